//! Which hosts Nagios watches: sources, generations, the brake, and the way of
//! a set from a caller to a Nagios that has proved that it reads it.
//!
//! Three tasks share the work. The keeper owns the generations and the hosts
//! file; the restarter brings Nagios to read the file and reports its proof;
//! the scheduler asks for the first checks of new hosts at a bounded rate.

mod apply;
mod brake;
mod config;
mod first_checks;
mod keeper;
mod pacer;
#[cfg(test)]
mod pacer_schedules;
mod restarter;
mod sight;
mod trail;
mod union;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::{Host, HostFaults, HostId, HostSet, Source};
use crate::nagios::Nagios;
use crate::state::{NewGeneration, State};
use crate::telemetry::sentence;

pub use crate::state::{Generation, GenerationState};
pub use brake::BrakeConfig;
pub use config::Config;
pub use first_checks::FirstChecks;
pub use keeper::Keeper;
pub use restarter::Restarter;
pub use sight::Standings;
pub use trail::{Deed, Step};

use keeper::Command;
use restarter::Progress;
use sight::Sight;
use union::Sets;

/// A host of the union of all sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedHost {
    pub host: Host,
    /// Who owns it; of several, the first in order.
    pub source: Source,
    /// False: over max_hosts, recorded only.
    pub watched: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The newest generation in the file on disk.
    pub live_generation: Option<i64>,
    pub watched: usize,
    /// Over max_hosts.
    pub unwatched: usize,
    /// Nagios has proved that it read the file on disk.
    pub in_step: bool,
    pub restart_due: bool,
    pub trouble: Option<String>,
    /// Restarts asked for since this process started.
    pub restarts: u64,
    /// `program_start` of the running Nagios, UTC seconds.
    pub nagios_started: Option<i64>,
    pub last_restart: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub status: Status,
    /// Sorted by id.
    pub hosts: Arc<[WatchedHost]>,
    /// What could not be taken of a cloud's set, by source.
    pub skipped: Arc<BTreeMap<Source, HostFaults>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub added: Vec<Host>,
    pub removed: Vec<Host>,
    /// The new form of each.
    pub changed: Vec<Host>,
    pub unchanged: usize,
}

/// What one generation changed of its source's set.
#[derive(Clone, Debug)]
pub struct Change {
    pub generation: Generation,
    /// The generation before it that was live, where it is kept.
    pub replaced: Option<i64>,
    pub diff: Diff,
}

impl Diff {
    fn between(old: &HostSet, new: &HostSet) -> Self {
        let mut diff = Self::default();
        for host in new {
            match old.get(&host.id) {
                None => diff.added.push(host.clone()),
                Some(before) if before == host => diff.unchanged += 1,
                Some(_) => diff.changed.push(host.clone()),
            }
        }
        diff.removed = old.iter().filter(|host| new.get(&host.id).is_none()).cloned().collect();
        diff
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The set cannot stand beside what is there.
    #[error("{0}")]
    Invalid(Arc<HostFaults>),
    #[error(
        "held by the brake: the change would remove {removed} of {current} hosts, more than [brake] allows; \
         nothing was changed; if it is meant, use `hosts set --force` or replace_hosts with force"
    )]
    Held { removed: usize, current: usize },
    /// Nagios refused it, or died of it before; a sentence.
    #[error("{0}")]
    Rejected(String),
    /// It could not be tried; a sentence.
    #[error("{0}")]
    Unavailable(String),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RollbackError {
    #[error(
        "generation {0} is not kept, never reached Nagios, or is not one of the RPC's; \
         `hosts history` lists what there is"
    )]
    Unknown(i64),
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

/// The handle that doors and clouds hold.
#[derive(Clone, Debug)]
pub struct Hosts {
    commands: mpsc::Sender<Command>,
    published: watch::Receiver<Arc<Published>>,
    progress: watch::Receiver<Progress>,
    nodes: watch::Receiver<Arc<HashSet<Box<str>>>>,
    state: Option<Arc<State>>,
    sight: Sight,
    /// On whose behalf this handle replaces sets.
    caller: Option<Box<str>>,
}

/// What the keeper shows to everybody.
#[derive(Debug, Default)]
struct Published {
    sets: Sets,
    hosts: Arc<[WatchedHost]>,
    watched: usize,
    live_generation: Option<i64>,
    /// A hosts file of ours has its name.
    on_disk: bool,
    /// Nagios has proved that it read that file.
    in_step: bool,
    skipped: Arc<BTreeMap<Source, HostFaults>>,
    trouble: Option<String>,
    /// As it is configured now.
    nagios: Option<Nagios>,
}

/// Room for every call that the door lets in at once, and then some: who
/// finds it full waits.
const MAX_WAITING_COMMANDS: usize = 1024;

impl Hosts {
    /// Takes up the work where the state says it was left. The three tasks
    /// are to be run together.
    pub async fn start(
        config: Config,
        nagios: Nagios,
        state: Arc<State>,
    ) -> Result<(Self, Keeper, Restarter, FirstChecks), crate::state::Error> {
        let (commands, waiting) = mpsc::channel(MAX_WAITING_COMMANDS);
        let (restarter, progress, link) = restarter::Restarter::new(&config, nagios.clone());
        let (first_checks, newcomers) = FirstChecks::new();
        let (keeper, published, nodes) =
            Keeper::load(config, nagios, Arc::clone(&state), waiting, link, newcomers).await?;
        let sight = Sight::default();
        let hosts =
            Self { commands, published, progress, nodes, state: Some(state), sight, caller: None };
        Ok((hosts, keeper, restarter, first_checks))
    }

    /// A handle with nothing behind it: every call says so.
    #[doc(hidden)]
    pub fn detached() -> Self {
        let (commands, _) = mpsc::channel(1);
        let (_, published) = watch::channel(Arc::default());
        let (_, progress) = watch::channel(Progress::default());
        let (_, nodes) = watch::channel(Arc::default());
        let sight = Sight::default();
        Self { commands, published, progress, nodes, state: None, sight, caller: None }
    }

    /// A handle whose replacements tell that they were asked for from there.
    pub fn called_from(&self, caller: impl fmt::Display) -> Self {
        Self { caller: Some(caller.to_string().into()), ..self.clone() }
    }

    /// Replaces the set of one source. Returns when this set, or a later one
    /// of the source, is live on disk; the restart of Nagios comes after.
    pub async fn replace(
        &self,
        source: Source,
        set: HostSet,
        force: bool,
    ) -> Result<Generation, ReplaceError> {
        let caller = self.caller.clone();
        self.submit(NewGeneration { source, set, forced: force, restores: None, caller }).await
    }

    /// Restores the RPC's set of an earlier generation.
    pub async fn rollback(&self, number: i64, force: bool) -> Result<Generation, RollbackError> {
        let found = self.state()?.set_of(number).await.map_err(unavailable)?;
        let Some(kept) = found
            .filter(|kept| kept.generation.source == Source::Rpc && kept.generation.live.is_some())
        else {
            return Err(RollbackError::Unknown(number));
        };
        let new = NewGeneration {
            source: Source::Rpc,
            set: kept.set,
            forced: force,
            restores: Some(number),
            caller: self.caller.clone(),
        };
        Ok(self.submit(new).await?)
    }

    async fn submit(&self, new: NewGeneration) -> Result<Generation, ReplaceError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Replace { new, reply }).await.map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Newest first; at most `limit`.
    pub async fn history(&self, limit: usize) -> Result<Vec<Generation>, ReplaceError> {
        self.state()?.history(limit).await.map_err(unavailable)
    }

    /// What replacing the source's set would change.
    pub fn diff(&self, source: &Source, set: &HostSet) -> Diff {
        let published = self.published.borrow().clone();
        let empty = HostSet::default();
        Diff::between(published.sets.get(source).unwrap_or(&empty), set)
    }

    /// Absent: no generation of this number is kept.
    pub async fn change_of(&self, number: i64) -> Result<Option<Change>, ReplaceError> {
        let state = self.state()?;
        let Some(kept) = state.set_of(number).await.map_err(unavailable)? else { return Ok(None) };
        let before = state.set_before(&kept.generation).await.map_err(unavailable)?;
        let replaced = before.as_ref().map(|before| before.generation.number);
        let old = before.map(|before| before.set).unwrap_or_default();
        let work = move || Change {
            diff: Diff::between(&old, &kept.set),
            generation: kept.generation,
            replaced,
        };
        let change = tokio::task::spawn_blocking(work).await;
        change
            .map(Some)
            .map_err(|_| ReplaceError::Unavailable("the sets could not be compared".to_owned()))
    }

    pub fn view(&self) -> View {
        let published = self.published.borrow().clone();
        let progress = self.progress.borrow().clone();
        let status = Status {
            live_generation: published.live_generation,
            watched: published.watched,
            unwatched: published.hosts.len() - published.watched,
            in_step: published.in_step,
            restart_due: published.on_disk && !published.in_step,
            trouble: published.trouble.clone().or(progress.trouble),
            restarts: progress.restarts,
            nagios_started: progress.program_start,
            last_restart: progress.last_took,
        };
        View {
            status,
            hosts: Arc::clone(&published.hosts),
            skipped: Arc::clone(&published.skipped),
        }
    }

    /// What one source owns.
    pub fn set_of(&self, source: &Source) -> HostSet {
        self.published.borrow().sets.get(source).cloned().unwrap_or_default()
    }

    /// Who owns a set, an empty one too.
    pub fn sources(&self) -> Vec<Source> {
        self.published.borrow().sets.sources().cloned().collect()
    }

    /// When a check of any of their services last ended OK, in UTC seconds, of
    /// those of these hosts that had one.
    pub async fn last_ok(
        &self,
        hosts: HashSet<HostId>,
    ) -> Result<HashMap<HostId, i64>, ReplaceError> {
        let nagios = self.nagios()?;
        nagios.last_ok(hosts).await.map_err(|fault| ReplaceError::Unavailable(sentence(&fault)))
    }

    /// The metric nodes of the watched hosts, as they change.
    pub fn live_nodes(&self) -> watch::Receiver<Arc<HashSet<Box<str>>>> {
        self.nodes.clone()
    }

    /// Takes new settings over; what is on disk is brought in line with them.
    pub async fn reconfigure(&self, config: Config, nagios: Nagios) -> Result<(), ReplaceError> {
        let command = Command::Reconfigure { config, nagios: Box::new(nagios) };
        self.commands.send(command).await.map_err(|_| self.gone())
    }

    fn state(&self) -> Result<&State, ReplaceError> {
        self.state.as_deref().ok_or_else(|| self.gone())
    }

    fn gone(&self) -> ReplaceError {
        ReplaceError::Unavailable(match self.state {
            Some(_) => "the appliance is stopping; call again when it is back".to_owned(),
            None => "this handle is detached from any appliance".to_owned(),
        })
    }
}

fn unavailable(fault: crate::state::Error) -> ReplaceError {
    ReplaceError::Unavailable(sentence(&fault))
}
