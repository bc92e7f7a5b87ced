//! OpenStack: Keystone's version 3 lets us in, Nova tells of its servers.
//!
//! A listing walks all servers of all projects, then what changed since the
//! last one (the deleted ones too) and, of what changed, the actions with
//! their times. `launched_at` is never used: a resize moves it.

mod access;
mod actions;
mod address;
mod answers;
mod config;
mod flavors;
#[doc(hidden)]
pub mod fuzz;
mod keystone;
mod names;
mod nova;
mod pages;
mod record;
mod session;
mod time;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::model::{Departure, Event, Instance, InstanceId, Label, Owner, OwnerRank, Sighting};
use crate::providers::{Blame, Error, Listing, Provider, Question, Skipped};
use flavors::Flavors;
use names::Names;
use nova::{Found, Nova, Told};
use record::{Fate, Kind, Reader, Server};
use session::{Poll, Session};

pub use address::Preference;
pub use config::{Config, Interface};

/// One cloud of one or more regions.
#[derive(Debug)]
pub struct OpenStack {
    name: String,
    config: Config,
    reader: Reader,
    session: Session,
    /// What is known from earlier listings.
    learned: tokio::sync::Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    /// Region by region.
    flavors: Vec<Flavors>,
    names: Names,
}

/// Questions under way at a time.
const AT_ONCE: usize = 4;

impl OpenStack {
    /// Connects to nobody yet. `name` is the cloud's in the ledger.
    pub fn new(name: &str, config: &Config) -> Result<Self, Error> {
        if let Some((key, reason)) = config.check().into_iter().next() {
            return Err(Error::new(Blame::Configuration, format!("{key} {reason}")));
        }
        Ok(Self {
            name: name.to_owned(),
            config: config.clone(),
            reader: Reader::new(config),
            session: Session::new(config)?,
            learned: tokio::sync::Mutex::default(),
        })
    }
}

#[async_trait]
impl Provider for OpenStack {
    async fn list(&self, question: &Question) -> Result<Listing, Error> {
        let poll = Poll::new();
        let grant = self.session.grant(None).await?;
        let mut regions = Vec::new();
        for region in &grant.compute {
            regions.push(Nova::open(&self.session, &poll, &self.config, region).await?);
        }
        let mut round = Round {
            cloud: self,
            question,
            regions,
            found: Found::default(),
            touched: BTreeSet::new(),
            departed: Vec::new(),
            events: Vec::new(),
            began: began(&poll),
        };
        let began = round.began;
        round.walk().await?;
        round.absent().await;
        round.happened().await?;
        let (_, ended) = poll.clock().unwrap_or((began, began));
        round.finish(began, ended).await
    }
}

/// By the cloud's clock, or by ours where it shows none.
fn began(poll: &Poll) -> i64 {
    poll.clock().map_or_else(
        || {
            tracing::warn!("the cloud's answers bear no Date; this host's clock stands for its");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
        },
        |(first, _)| first,
    )
}

/// One listing in the making.
struct Round<'a> {
    cloud: &'a OpenStack,
    question: &'a Question,
    regions: Vec<Nova<'a>>,
    found: Found,
    /// What changed since the last listing, and where.
    touched: BTreeSet<(usize, InstanceId)>,
    /// Of which the cloud has no record left.
    departed: Vec<InstanceId>,
    events: Vec<Event>,
    /// By the cloud's clock.
    began: i64,
}

impl Round<'_> {
    /// What is there, then what changed: a server that was made while the walk
    /// was under way is missed by it and shown by the latter.
    async fn walk(&mut self) -> Result<(), Error> {
        let reader = &self.cloud.reader;
        for (number, nova) in self.regions.iter().enumerate() {
            let found = &mut self.found;
            nova.servers(reader, None, |record| drop(found.take(number, record))).await?;
        }
        let since = self.since().unwrap_or(self.began).min(self.began);
        for (number, nova) in self.regions.iter().enumerate() {
            let (found, touched) = (&mut self.found, &mut self.touched);
            let take = |record| {
                touched.extend(found.take(number, record).map(|id| (number, id)));
            };
            nova.servers(reader, Some(since), take).await?;
        }
        Ok(())
    }

    /// A change that was under way at the last listing is dated before its end.
    fn since(&self) -> Option<i64> {
        self.question.since.map(|since| since.saturating_sub(self.overlap()))
    }

    fn overlap(&self) -> i64 {
        i64::try_from(self.cloud.config.overlap.as_secs()).unwrap_or(i64::MAX)
    }

    /// Whose actions are asked for. First comes what the cloud has something to
    /// say of again: what it told meanwhile is in no list of changes any more.
    fn changed(&self) -> Vec<(usize, InstanceId)> {
        let mut seen_again = BTreeSet::new();
        for id in self.question.unseen.keys() {
            match self.found.alive.get(id).or_else(|| self.found.gone.get(id)) {
                Some((number, _)) => drop(seen_again.insert((*number, id.clone()))),
                // Any region may have been its.
                None if self.departed.contains(id) => {
                    seen_again.extend((0..self.regions.len()).map(|number| (number, id.clone())));
                }
                None => (),
            }
        }
        let others = self.touched.difference(&seen_again).cloned().collect::<Vec<_>>();
        seen_again.into_iter().chain(others).collect()
    }

    /// How far back the actions of one matter; absent: to its creation.
    fn since_of(&self, id: &InstanceId) -> Option<i64> {
        // What was before the cloud was first listed is not ours to bill.
        let Some(since) = self.since() else { return Some(self.began) };
        let last_seen =
            self.question.unseen.get(id).map(|last| last.saturating_sub(self.overlap()));
        let known = self.question.living.contains(id).then_some(since);
        last_seen.map_or(known, |last| Some(last.min(since)))
    }

    /// When what changed did so.
    async fn happened(&mut self) -> Result<(), Error> {
        /// A server whose actions the cloud cannot tell stops no listing.
        const FAILURES: usize = 3;
        let max = self.cloud.config.max_lookups;
        let mut asked = self.changed();
        if asked.len() > max {
            tracing::warn!(
                cloud = self.cloud.name,
                changed = asked.len(),
                max_lookups = max,
                "more servers changed than are asked for their actions; the times of the rest are those of the listings"
            );
        }
        asked.truncate(max);
        let mut failures = 0;
        for some in asked.chunks(AT_ONCE) {
            let answers = join_all(
                some.iter()
                    .map(|(number, id)| self.regions[*number].actions(id, self.since_of(id))),
            );
            for ((_, id), outcome) in some.iter().zip(answers.await) {
                match outcome {
                    Ok(actions) => self.events.extend(self.events_of(id, &actions)),
                    Err(fault) if fault.blame == Blame::Trouble && failures < FAILURES => {
                        failures += 1;
                        tracing::warn!(cloud = self.cloud.name, server = %id, %fault, "the times of its changes are those of the listings");
                    }
                    Err(fault) if fault.blame == Blame::Credentials => {
                        tracing::warn!(cloud = self.cloud.name, %fault, "times of changes are those of the listings");
                        return Ok(());
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(())
    }

    fn events_of(&self, id: &InstanceId, actions: &[actions::Action]) -> Vec<Event> {
        let gone = self.found.gone.get(id);
        let server = gone.or_else(|| self.found.alive.get(id));
        let busy = server.is_some_and(|(_, server)| server.busy);
        let is_gone = gone.is_some() || self.departed.contains(id);
        let rescue = self.cloud.config.counted_states.iter().any(|state| state == "RESCUE");
        let mut events = actions::events(id, actions, busy, is_gone, rescue);
        // Of what the ledger knows it knows by itself what it has heard before.
        if !self.question.living.contains(id) {
            let since = self.since_of(id);
            events.retain(|event| since.is_none_or(|since| event.at >= since));
        }
        events
    }

    /// Asks for what lived and is nowhere. A fault here explains nothing, and
    /// makes nothing of what was found untrue.
    async fn absent(&mut self) {
        let max = self.cloud.config.max_lookups;
        let living = &self.question.living;
        let missing = living.iter().filter(|id| !self.found.names(id));
        let mut missing: Vec<_> = missing.cloned().collect();
        missing.sort_unstable();
        missing.truncate(max);
        for some in missing.chunks(AT_ONCE) {
            let answers = join_all(some.iter().map(|id| self.ask_for(id))).await;
            for (id, outcome) in some.iter().zip(answers) {
                match outcome {
                    Ok((number, Told::Record(record))) => drop(self.found.take(number, *record)),
                    Ok((_, Told::Absent)) => self.departed.push(id.clone()),
                    Ok((_, Told::Nothing)) => (),
                    Err(fault) => {
                        tracing::warn!(cloud = self.cloud.name, %fault, "the cloud does not say where servers are that it no longer lists");
                        return;
                    }
                }
            }
        }
    }

    /// Absent is what every region says is.
    async fn ask_for(&self, id: &InstanceId) -> Result<(usize, Told), Error> {
        let mut answer = (0, Told::Absent);
        for (number, nova) in self.regions.iter().enumerate() {
            match nova.server(&self.cloud.reader, id).await? {
                Told::Absent => (),
                Told::Nothing => answer = (number, Told::Nothing),
                record @ Told::Record(_) => return Ok((number, record)),
            }
        }
        Ok(answer)
    }

    async fn finish(mut self, began: i64, ended: i64) -> Result<Listing, Error> {
        let mut learned = self.cloud.learned.lock().await;
        learned.flavors.resize_with(self.regions.len(), Flavors::default);
        for (number, nova) in self.regions.iter().enumerate() {
            let wanted: BTreeSet<_> = self
                .servers()
                .filter(|(region, _)| *region == number)
                .filter_map(|(_, server)| match &server.kind {
                    Kind::ById(id) => Some(id),
                    Kind::Embedded(_) => None,
                })
                .collect();
            learned.flavors[number].learn(nova, wanted.into_iter()).await?;
        }
        let nameless: BTreeSet<_> = self
            .servers()
            .filter(|(_, server)| server.creator.is_none())
            .map(|(_, server)| server.user_id.clone())
            .collect();
        // Keystone's clock is not Nova's: its answers' times are not noted.
        let cloud = self.cloud;
        learned.names.learn(&cloud.session, &Poll::new(), &cloud.config, nameless).await;
        self.listing(&learned, began, ended)
    }

    fn servers(&self) -> impl Iterator<Item = &(usize, Server)> {
        self.found.alive.values().chain(self.found.gone.values())
    }

    fn listing(&mut self, learned: &Learned, began: i64, ended: i64) -> Result<Listing, Error> {
        let mut skipped: Vec<_> = std::mem::take(&mut self.found.skipped)
            .into_iter()
            .map(|(id, reason)| Skipped { id, reason })
            .collect();
        let mut build = |id: InstanceId, number: usize, server: Server| {
            learned.instance(id, number, server).map_err(|one| skipped.push(one)).ok()
        };
        let alive = std::mem::take(&mut self.found.alive)
            .into_iter()
            .filter_map(|(id, (number, server))| build(id, number, server))
            .collect();
        let mut departed: Vec<_> = std::mem::take(&mut self.found.gone)
            .into_iter()
            .map(|(id, (number, server))| {
                let Fate::Gone(at) = server.fate else {
                    return Departure { id, at: None, record: None };
                };
                Departure { id: id.clone(), at, record: build(id, number, server) }
            })
            .collect();
        let unrecorded = self.departed.drain(..);
        departed.extend(unrecorded.map(|id| Departure { id, at: None, record: None }));
        let events = std::mem::take(&mut self.events);
        let sighting = Sighting::new(&self.cloud.name, began, ended, alive, departed, events)
            .map_err(|fault| {
                Error::new(Blame::Trouble, "the cloud's listing has no usable time").because(fault)
            })?;
        Ok(Listing { sighting, skipped })
    }
}

impl Learned {
    fn instance(&self, id: InstanceId, number: usize, server: Server) -> Result<Instance, Skipped> {
        let Server { created, creator, user_id, details, kind, counted, .. } = server;
        let named = || {
            let name = self.names.get(&user_id)?;
            Owner::new(OwnerRank::UserName, name.as_str())
        };
        let owner = creator.or_else(named).or_else(|| Owner::new(OwnerRank::Id, user_id.as_str()));
        let Some(owner) = owner else {
            return Err(Skipped { id, reason: Label::tame("it has no user") });
        };
        let shape = match kind {
            Kind::Embedded(shape) => shape,
            Kind::ById(flavor) => self.flavors[number].get(&flavor),
        };
        Ok(Instance { id, created, owner, details, shape, counted })
    }
}
