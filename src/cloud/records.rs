//! One poller's way to the ledger.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{Changes, Listed, Rhythm, View};
use crate::model::{Departure, HostSet, InstanceId, Sighting};
use crate::store::{self, Lease};

use super::CloudName;
use super::beside::unknown_to;
use super::unseen::untold;

/// What the ledger knows that bears on a question to the cloud.
#[derive(Debug)]
pub(super) struct Memory {
    /// The last listing that was kept.
    pub last: Option<Listed>,
    pub living: HashSet<InstanceId>,
    pub unseen: HashMap<InstanceId, i64>,
}

/// What was not seen when a listing was kept. It is worth nothing once another
/// appliance has kept a later one.
#[derive(Clone, Debug, Default)]
struct Unseen {
    /// That listing, by the cloud's clock.
    at: Option<i64>,
    since: HashMap<InstanceId, i64>,
}

/// A run of which it is not known whether its commit arrived.
struct Doubtful {
    run: String,
    changes: Arc<Changes>,
    unseen: HashMap<InstanceId, i64>,
}

pub(super) struct Records {
    ledger: store::Handle,
    cloud: CloudName,
    holder: String,
    doubtful: Option<Doubtful>,
    unseen: Unseen,
    runs: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    NotOpen(#[from] store::NotOpen),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Another appliance has the lease.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Store(store::Error::LeaseLost { .. }))
    }

    pub(super) fn is_moved(&self) -> bool {
        matches!(self, Self::Store(store::Error::Moved { .. }))
    }

    /// The run was not kept and never will be.
    fn is_final(&self) -> bool {
        self.is_lost() || self.is_moved() || matches!(self, Self::Store(store::Error::Spoiled(_)))
    }
}

/// Tries of one run in one poll, and the pause between them.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

impl Records {
    pub(super) fn new(ledger: store::Handle, cloud: CloudName, holder: String) -> Self {
        let unseen = Unseen::default();
        Self { ledger, cloud, holder, doubtful: None, unseen, runs: 0 }
    }

    /// What a question to the cloud needs. A run in doubt is settled first.
    pub(super) async fn recall(&mut self, lease: &Lease, rhythm: Rhythm) -> Result<Memory, Error> {
        self.settle(lease).await?;
        let roster = self.ledger.get()?.roster(self.cloud.as_str()).await?;
        let at = roster.last.map(|last| last.at);
        if self.unseen.at != at {
            self.unseen = Unseen { at, since: HashMap::new() };
        }
        let unseen = untold(&roster, &self.unseen.since, rhythm);
        Ok(Memory { last: roster.last, living: roster.living, unseen })
    }

    /// What the ledger knows that bears on the sighting, and what it has as
    /// gone of the instances that Nagios watches.
    pub(super) async fn view(&self, sighting: &Sighting, watched: &HostSet) -> Result<View, Error> {
        let mut view = self.ledger.get()?.view(sighting).await?;
        let mut strangers = unknown_to(&self.cloud, &view, watched);
        strangers.retain(|id| sighting.instance(id).is_none() && !sighting.is_departed(id));
        if !strangers.is_empty() {
            view.gone.extend(self.gone(strangers).await?.gone);
        }
        view.unseen.clone_from(&self.unseen.since);
        Ok(view)
    }

    /// As another appliance keeps it.
    pub(super) async fn followed(&mut self, watched: &HostSet) -> Result<View, Error> {
        self.doubtful = None;
        self.unseen = Unseen::default();
        let mut view = self.ledger.get()?.living(self.cloud.as_str()).await?;
        let strangers = unknown_to(&self.cloud, &view, watched);
        if !strangers.is_empty() {
            view.gone.extend(self.gone(strangers).await?.gone);
        }
        Ok(view)
    }

    async fn gone(&self, ids: Vec<InstanceId>) -> Result<View, Error> {
        let named = ids.into_iter().map(|id| Departure { id, at: None, record: None }).collect();
        match Sighting::new(self.cloud.as_str(), 0, 0, Vec::new(), named, Vec::new()) {
            Ok(asked) => Ok(self.ledger.get()?.view(&asked).await?),
            Err(fault) => Err(store::Error::Spoiled(fault.to_string()).into()),
        }
    }

    /// Keeps the changes. Where it fails and the commit may have arrived, the
    /// same run is brought up again before the next question.
    pub(super) async fn keep(
        &mut self,
        lease: &Lease,
        changes: Changes,
        unseen: HashMap<InstanceId, i64>,
    ) -> Result<(), Error> {
        self.runs += 1;
        let run = format!("{} {} {} {}", self.holder, lease.epoch, self.cloud, self.runs);
        self.doubtful = Some(Doubtful { run, changes: Arc::new(changes), unseen });
        for _ in 1..TRIES {
            match self.settle(lease).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.is_final() => return Err(fault),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        self.settle(lease).await
    }

    async fn settle(&mut self, lease: &Lease) -> Result<(), Error> {
        let Some(Doubtful { run, changes, .. }) = &self.doubtful else { return Ok(()) };
        let store = self.ledger.get()?;
        match store.apply(lease, run, Arc::clone(changes)).await.map_err(Error::from) {
            Ok(_) => {
                if let Some(kept) = self.doubtful.take() {
                    self.unseen = Unseen { at: Some(kept.changes.at), since: kept.unseen };
                }
                Ok(())
            }
            Err(fault) => {
                if fault.is_final() {
                    self.doubtful = None;
                }
                Err(fault)
            }
        }
    }
}
