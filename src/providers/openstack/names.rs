use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::config::Config;
use super::keystone;
use super::pages::{List, Page, Read};
use super::session::{Poll, Session};
use crate::model::Label;

/// Keystone's names of users. What cannot be learned is no fault: the user's
/// id stands for it, and a later listing may know better.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<Label, (Option<Label>, Instant)>,
    /// Keystone does not let us ask until then.
    barred: Option<Instant>,
}

#[derive(Deserialize)]
struct UsersPage {
    users: Vec<Form>,
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
struct Links {
    next: Option<String>,
}

#[derive(Deserialize)]
struct OneUser {
    user: Form,
}

#[derive(Deserialize)]
struct Form {
    id: String,
    name: Option<String>,
}

type Named = (Label, Option<Label>);

impl Form {
    fn named(self) -> Named {
        (Label::tame(&self.id), self.name.as_deref().map(Label::tame))
    }
}

pub(super) fn page(body: &[u8]) -> serde_json::Result<Page<Named>> {
    let page: UsersPage = serde_json::from_slice(body)?;
    Ok(Page { items: page.users.into_iter().map(Form::named).collect(), next: page.links.next })
}

impl Names {
    const FRESH_FOR: Duration = Duration::from_secs(24 * 3600);
    const BARRED_FOR: Duration = Duration::from_secs(3600);
    /// From so many on, one question for all is cheaper.
    const MANY: usize = 20;
    const MAX: usize = 200_000;

    pub(super) fn get(&self, id: &Label) -> Option<&Label> {
        self.known.get(id)?.0.as_ref()
    }

    pub(super) async fn learn(
        &mut self,
        session: &Session,
        poll: &Poll,
        config: &Config,
        wanted: BTreeSet<Label>,
    ) {
        let now = Instant::now();
        let stale = |asked: Instant| now.duration_since(asked) > Self::FRESH_FOR;
        let fresh =
            |names: &Self, id: &Label| names.known.get(id).is_some_and(|(_, asked)| !stale(*asked));
        let mut missing: Vec<_> = wanted.into_iter().filter(|id| !fresh(self, id)).collect();
        if missing.is_empty() || self.barred.is_some_and(|until| until > now) {
            return;
        }
        if self.known.len() >= Self::MAX {
            self.known.clear();
        }
        if missing.len() > Self::MANY {
            self.all(session, poll, config).await;
            missing.retain(|id| !fresh(self, id));
        }
        for id in missing.into_iter().take(config.max_lookups) {
            if self.barred.is_some_and(|until| until > now) {
                break;
            }
            self.single(session, poll, id).await;
        }
    }

    async fn all(&mut self, session: &Session, poll: &Poll, config: &Config) {
        let outcome = async {
            let grant = session.grant(None).await?;
            let read: Arc<Read<Named>> = Arc::new(page);
            let list = List {
                session,
                poll,
                start: keystone::below(&grant.identity, "users"),
                version: None,
                what: "users",
                max_pages: config.max_pages,
            };
            let known = &mut self.known;
            list.walk(&read, |found| {
                let now = Instant::now();
                known.extend(found.into_iter().map(|(id, name)| (id, (name, now))));
                Ok(known.len() < Self::MAX)
            })
            .await
        };
        if let Err(fault) = outcome.await {
            tracing::debug!(%fault, "the cloud's users cannot be listed; they are asked for one by one");
        }
    }

    async fn single(&mut self, session: &Session, poll: &Poll, id: Label) {
        let outcome = async {
            let grant = session.grant(None).await?;
            let mut url = keystone::below(&grant.identity, "users");
            if let Ok(mut path) = url.path_segments_mut() {
                path.push(id.as_str());
            }
            session.get(poll, &url, None, "a user").await
        };
        let now = Instant::now();
        match outcome.await {
            Ok(answer) if answer.status.as_u16() == 404 => {
                self.known.insert(id, (None, now));
            }
            Ok(answer) if answer.status.is_success() => {
                let name = serde_json::from_slice::<OneUser>(&answer.body)
                    .ok()
                    .and_then(|form| form.user.named().1);
                self.known.insert(id, (name, now));
            }
            outcome => {
                self.barred = Some(now + Self::BARRED_FOR);
                let fault = outcome.err().map(|fault| fault.to_string()).unwrap_or_default();
                tracing::info!(
                    fault,
                    "Keystone does not tell users' names; their ids stand for them for an hour, where an instance has no owner in its metadata"
                );
            }
        }
    }
}
