use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;

use super::actions::{self, Action};
use super::answers;
use super::config::Config;
use super::keystone::{Region, below};
use super::pages::{End, List, Read};
use super::record::{Fate, Reader, Record, Server};
use super::session::{Poll, Session};
use super::time;
use crate::model::{InstanceId, Label};
use crate::providers::{Blame, Error, Skipped};

/// One region's Nova, for one listing.
pub(super) struct Nova<'a> {
    pub session: &'a Session,
    pub poll: &'a Poll,
    pub config: &'a Config,
    pub region: &'a Region,
    /// Absent where it offers none: then it is 2.1.
    pub version: Option<String>,
}

/// What was found in all regions. The number is the region's.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub alive: HashMap<InstanceId, (usize, Server)>,
    pub gone: HashMap<InstanceId, (usize, Server)>,
    pub skipped: BTreeMap<InstanceId, Label>,
}

impl Found {
    /// Takes a record that is newer than what is there.
    pub(super) fn take(&mut self, region: usize, record: Record) -> Option<InstanceId> {
        match record {
            Err(Skipped { id, reason }) => {
                if !self.alive.contains_key(&id) {
                    self.skipped.insert(id, reason);
                }
                None
            }
            Ok((id, server)) => {
                self.skipped.remove(&id);
                match server.fate {
                    Fate::Lives => drop(self.alive.insert(id.clone(), (region, server))),
                    // An older record stays: it still has its metadata.
                    Fate::Gone(_) => drop(self.gone.insert(id.clone(), (region, server))),
                }
                Some(id)
            }
        }
    }

    pub(super) fn names(&self, id: &InstanceId) -> bool {
        self.alive.contains_key(id) || self.gone.contains_key(id) || self.skipped.contains_key(id)
    }
}

/// What one question for one server gave.
pub(super) enum Told {
    Record(Box<Record>),
    /// Nova says that there is no such server.
    Absent,
    Nothing,
}

/// The newest version whose forms are known here.
const NEWEST: (u32, u32) = (2, 93);

#[derive(Deserialize)]
struct Discovered {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: String,
}

fn choose(offered: &str) -> Option<String> {
    let (major, minor) = offered.split_once('.')?;
    let offered = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    let (major, minor) = offered.min(NEWEST);
    (major == 2 && minor > 1).then(|| format!("{major}.{minor}"))
}

impl<'a> Nova<'a> {
    /// Finds out which version of its forms the region speaks.
    pub(super) async fn open(
        session: &'a Session,
        poll: &'a Poll,
        config: &'a Config,
        region: &'a Region,
    ) -> Result<Self, Error> {
        const WHAT: &str = "Nova's versions";
        let mut answer = session.get(poll, &below(&region.url, ""), None, WHAT).await?;
        if answer.status.as_u16() == 404 {
            // An endpoint may end in the project's id, where no version is told.
            let parent = region.url.path().rsplit_once('/').map_or("", |(parent, _)| parent);
            let mut url = region.url.clone();
            url.set_path(&format!("{parent}/"));
            answer = session.get(poll, &url, None, WHAT).await?;
        }
        if !answer.status.is_success() {
            return Err(session.refusal(&answer, WHAT).await);
        }
        let found: Discovered = serde_json::from_slice(&answer.body)
            .map_err(|source| answers::malformed(WHAT, source))?;
        Ok(Self { session, poll, config, region, version: choose(&found.version.version) })
    }

    fn list<'b>(&'b self, start: Url, what: &'b str) -> List<'b> {
        List {
            session: self.session,
            poll: self.poll,
            start,
            version: self.version.as_deref(),
            what,
            max_pages: self.config.max_pages,
        }
    }

    /// Every server that is there now; with `since` every one that was touched
    /// from then on, the deleted ones too. It is given page by page.
    pub(super) async fn servers(
        &self,
        reader: &Reader,
        since: Option<i64>,
        mut take: impl FnMut(Record) + Send,
    ) -> Result<(), Error> {
        let what = if since.is_some() { "changed servers" } else { "servers" };
        let mut start = below(&self.region.url, "servers/detail");
        start
            .query_pairs_mut()
            .append_pair("all_tenants", "1")
            .append_pair("limit", &self.config.page_size.to_string());
        if let Some(since) = since {
            start.query_pairs_mut().append_pair("changes-since", &time::show(since));
        }
        let reader = reader.clone();
        let read: Arc<Read<Record>> = Arc::new(move |body: &[u8]| reader.page(body));
        let (list, max) = (self.list(start, what), self.config.max_instances);
        // A marker can be lost once; the records of the first way stay, as
        // what is newer replaces them.
        for _ in 0..2 {
            let mut count = 0;
            let end = list
                .walk(&read, |records| {
                    count += records.len();
                    records.into_iter().for_each(&mut take);
                    if count <= max {
                        return Ok(true);
                    }
                    Err(Error::new(Blame::Trouble, format!("the cloud lists more than max_instances ({max}) servers; raise it if that is right")))
                })
                .await?;
            match end {
                End::Whole => return Ok(()),
                End::Absent => break,
                End::LostMarker => (),
                End::Forbidden(refusal) => return Err(not_for_all(refusal)),
            }
        }
        Err(Error::new(Blame::Trouble, format!("the cloud lost its place in the list of {what}")))
    }

    /// What was done to a server, newest first; of one that is not `new`, no
    /// further back than `since`.
    pub(super) async fn actions(
        &self,
        id: &InstanceId,
        since: Option<i64>,
    ) -> Result<Vec<Action>, Error> {
        const MAX: usize = 10_000;
        let mut start = self.server_url(id);
        if let Ok(mut path) = start.path_segments_mut() {
            path.push("os-instance-actions");
        }
        let read: Arc<Read<Action>> = Arc::new(actions::page);
        let mut found = Vec::new();
        let end = self
            .list(start, "a server's actions")
            .walk(&read, |actions| {
                let oldest = actions.iter().filter_map(Action::at).min();
                found.extend(actions);
                let enough = since.zip(oldest).is_some_and(|(since, oldest)| oldest < since);
                Ok(!enough && found.len() < MAX)
            })
            .await?;
        match end {
            End::Forbidden(refusal) => Err(refusal),
            // Of a deleted server an old cloud tells none.
            End::Whole | End::LostMarker | End::Absent => Ok(found),
        }
    }

    /// What Nova says of one server.
    pub(super) async fn server(&self, reader: &Reader, id: &InstanceId) -> Result<Told, Error> {
        const WHAT: &str = "a server";
        let url = self.server_url(id);
        let answer = self.session.get(self.poll, &url, self.version.as_deref(), WHAT).await?;
        if answers::is_not_found(&answer) {
            return Ok(Told::Absent);
        }
        if !answer.status.is_success() {
            return Ok(Told::Nothing);
        }
        let record =
            reader.single(&answer.body).map_err(|source| answers::malformed(WHAT, source))?;
        let found = match &record {
            Ok((found, _)) => found,
            Err(skipped) => &skipped.id,
        };
        Ok(if found == id { Told::Record(Box::new(record)) } else { Told::Nothing })
    }

    fn server_url(&self, id: &InstanceId) -> Url {
        let mut url = below(&self.region.url, "servers");
        // It escapes what is no part of a path; an http URL always has one.
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id.as_str());
        }
        url
    }
}

/// Whoever may not ask for all projects' servers gets a refusal, never a
/// shorter list.
fn not_for_all(refusal: Error) -> Error {
    Error::new(
        Blame::Configuration,
        "the user may not list the servers of all projects (all_tenants=1); give it a role that Nova's policy os_compute_api:servers:detail:get_all_tenants allows, such as admin",
    )
    .because(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(choose("2.93").as_deref(), Some("2.93"));
        assert_eq!(choose("2.999").as_deref(), Some("2.93"));
        assert_eq!(choose("2.40").as_deref(), Some("2.40"));
        for none in ["", "2.1", "1.99", "x"] {
            assert_eq!(choose(none), None, "{none:?}");
        }
    }
}
