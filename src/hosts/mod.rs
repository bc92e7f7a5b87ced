//! Which hosts Nagios watches: sources, generations, the brake, and the way of
//! a set from a caller to a Nagios that has proved that it reads it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::{Host, HostFaults, HostSet, Source};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationState {
    Pending,
    Live,
    Rejected,
    Superseded,
}

/// One replacement of one source's whole set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: i64,
    pub source: Source,
    pub state: GenerationState,
    pub created: SystemTime,
    pub live: Option<SystemTime>,
    pub proved: Option<SystemTime>,
    pub host_count: usize,
    pub reason: Option<String>,
    pub forced: bool,
    pub restores: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedHost {
    pub host: Host,
    pub source: Source,
    /// False: over max_hosts, recorded only.
    pub watched: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub live_generation: Option<i64>,
    pub watched: usize,
    pub unwatched: usize,
    /// Nagios has proved that it read the file on disk.
    pub in_step: bool,
    pub restart_due: bool,
    pub trouble: Option<String>,
    pub restarts: u64,
    /// UTC seconds.
    pub nagios_started: Option<i64>,
    pub last_restart: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub status: Status,
    /// Sorted by id.
    pub hosts: Arc<[WatchedHost]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub added: Vec<Host>,
    pub removed: Vec<Host>,
    /// The new form of each.
    pub changed: Vec<Host>,
    pub unchanged: usize,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplaceError {
    #[error(transparent)]
    Invalid(Arc<HostFaults>),
    #[error(
        "held by the brake: the change would remove {removed} of {current} hosts, more than [brake] allows; nothing was changed; use --force or replace_hosts with force if this is meant"
    )]
    Held { removed: usize, current: usize },
    #[error("{0}")]
    Rejected(String),
    #[error("{0}")]
    Unavailable(String),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RollbackError {
    #[error(
        "generation {0} is not kept, or is not one of the RPC's; `hosts history` lists what there is"
    )]
    Unknown(i64),
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

/// The handle that doors and clouds hold.
#[derive(Clone, Debug)]
pub struct Hosts {}

impl Hosts {
    /// Refuses everything as unavailable: for tests and benches of the doors.
    #[doc(hidden)]
    pub fn detached() -> Self {
        Self {}
    }

    /// Replaces the set of one source. Returns when this set, or a later one
    /// of the source, is live on disk.
    pub async fn replace(
        &self,
        _source: Source,
        _set: HostSet,
        _force: bool,
    ) -> Result<Generation, ReplaceError> {
        Err(ReplaceError::Unavailable("detached".to_owned()))
    }

    /// Restores the RPC's set of an earlier generation.
    pub async fn rollback(&self, _number: i64, _force: bool) -> Result<Generation, RollbackError> {
        Err(ReplaceError::Unavailable("detached".to_owned()).into())
    }

    /// Newest first; at most `limit`.
    pub async fn history(&self, _limit: usize) -> Result<Vec<Generation>, ReplaceError> {
        Err(ReplaceError::Unavailable("detached".to_owned()))
    }

    /// What replacing the source's set would change.
    pub fn diff(&self, _source: &Source, _set: &HostSet) -> Diff {
        Diff::default()
    }

    pub fn view(&self) -> Arc<View> {
        Arc::default()
    }
}
