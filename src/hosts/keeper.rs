//! The one owner of the generations and of the hosts file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::model::{HostFaults, HostId, Source};
use crate::nagios::Nagios;
use crate::state::{Applied, Generation, LiveSet, NewGeneration, Recorded, State};
use crate::telemetry::sentence;

use super::first_checks::Newcomers;
use super::restarter::Link;
use super::union::{Sets, as_faults};
use super::{Config, Published, ReplaceError};

pub(super) type Answer = Result<Generation, ReplaceError>;

#[derive(Debug)]
pub(super) enum Command {
    Replace { new: NewGeneration, reply: oneshot::Sender<Answer> },
    Reconfigure { config: Config, nagios: Box<Nagios> },
}

/// Whether the file that was proved last is the one that comes back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Is,
    /// Also after a start: the last process may have been killed in between.
    NotYet,
    Failed(String),
}

pub struct Keeper {
    pub(super) config: Config,
    pub(super) nagios: Nagios,
    pub(super) state: Arc<State>,
    commands: mpsc::Receiver<Command>,
    pub(super) link: Link,
    pub(super) newcomers: mpsc::Sender<Newcomers>,
    published: watch::Sender<Arc<Published>>,
    nodes: watch::Sender<Nodes>,
    pub(super) sets: Sets,
    /// The live generation of each source.
    pub(super) live: BTreeMap<Source, Generation>,
    pub(super) applied: Option<Applied>,
    pub(super) watched: HashSet<HostId>,
    /// The hosts of the file that Nagios has proved to have read.
    pub(super) proved: HashSet<HostId>,
    skipped: BTreeMap<Source, HostFaults>,
    pub(super) trouble: Option<String>,
    /// The file that Nagios died of last, by its digest: it stays off the disk
    /// until a caller forces it, whoever's change brings it up again.
    pub(super) fatal: Option<String>,
    pub(super) last_good: Kept,
    /// Generations that a stopped process had accepted and not settled.
    resumed: Vec<LiveSet>,
}

/// The metric nodes of the watched hosts.
type Nodes = Arc<HashSet<Box<str>>>;

/// A caller that waits for its source's set, or a later one, to be live.
struct Waiter {
    source: Source,
    /// Where its set stands among those that are new.
    place: Option<usize>,
    reply: oneshot::Sender<Answer>,
}

/// How often the file on disk is held against what it should be.
const HEAL_INTERVAL: Duration = Duration::from_secs(60);
/// After a file that was proved could not be kept.
const KEEP_AGAIN: Duration = Duration::from_secs(5);
/// Calls that are taken in one transaction.
const MAX_BATCH: usize = 256;

impl Keeper {
    pub(super) async fn load(
        config: Config,
        nagios: Nagios,
        state: Arc<State>,
        commands: mpsc::Receiver<Command>,
        link: Link,
        newcomers: mpsc::Sender<Newcomers>,
    ) -> Result<(Self, watch::Receiver<Arc<Published>>, watch::Receiver<Nodes>), crate::state::Error>
    {
        let snapshot = state.snapshot().await?;
        let (published, receiver) = watch::channel(Arc::default());
        let (nodes, live_nodes) = watch::channel(Nodes::default());
        let mut keeper = Self {
            config,
            nagios,
            state,
            commands,
            link,
            newcomers,
            published,
            nodes,
            sets: Sets::default(),
            live: BTreeMap::new(),
            applied: snapshot.applied,
            watched: HashSet::new(),
            proved: HashSet::new(),
            skipped: BTreeMap::new(),
            trouble: None,
            fatal: None,
            last_good: Kept::NotYet,
            resumed: snapshot.pending,
        };
        keeper.take_over(snapshot.live);
        keeper.watched = keeper.watched_before().await;
        keeper.watched = keeper.watched_ids();
        keeper.proved = keeper.proved_before().await;
        keeper.publish();
        Ok((keeper, receiver, live_nodes))
    }

    /// A stop is not kept waiting by a verify that takes minutes: whatever is
    /// dropped in the middle, a crash may end as well, and the next start
    /// takes it up.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.work() => Err(never),
        }
    }

    async fn work(&mut self) -> Infallible {
        self.resume().await;
        let mut heal = tokio::time::interval(HEAL_INTERVAL);
        heal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        heal.reset();
        loop {
            tokio::select! {
                Some(event) = self.link.events.recv() => self.hear(event).await,
                Some(first) = self.commands.recv() => self.obey(first).await,
                _ = heal.tick() => self.bring_in_line().await,
                () = tokio::time::sleep(KEEP_AGAIN), if self.has_to_keep() => {
                    self.keep_last_good().await;
                }
            }
        }
    }

    /// Finishes what a stopped process had begun, or heals the file.
    async fn resume(&mut self) {
        let pending: BTreeMap<Source, LiveSet> = std::mem::take(&mut self.resumed)
            .into_iter()
            .map(|one| (one.generation.source.clone(), one))
            .collect();
        if pending.is_empty() {
            self.bring_in_line().await;
            return;
        }
        for (source, answer) in self.settle(pending).await {
            if let Err(fault) = answer {
                tracing::warn!(%source, "a set accepted before the last stop is not live: {fault}");
            }
        }
    }

    async fn obey(&mut self, first: Command) {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(next) = self.commands.try_recv()
        {
            batch.push(next);
        }
        let mut replacements = Vec::new();
        for command in batch {
            match command {
                Command::Replace { new, reply } => replacements.push((new, reply)),
                Command::Reconfigure { config, nagios } => {
                    (self.config, self.nagios) = (config, *nagios);
                    self.order(self.target());
                    self.publish();
                    self.bring_in_line().await;
                }
            }
        }
        if !replacements.is_empty() {
            self.replace(replacements).await;
        }
    }

    async fn replace(&mut self, replacements: Vec<(NewGeneration, oneshot::Sender<Answer>)>) {
        let elsewhere = match self.nagios.defined_elsewhere().await {
            Ok(found) => found,
            Err(fault) => {
                // `nagios -v` will refuse a clash, only less clearly.
                tracing::debug!(fault = sentence(&fault), "Nagios's other hosts are not known");
                HashMap::new()
            }
        };
        let mut waiters = Vec::new();
        let mut wanted: Vec<NewGeneration> = Vec::new();
        for (new, reply) in replacements {
            let source = new.source.clone();
            match self.admit(new, &elsewhere) {
                Ok(new) => {
                    // Equal to what is live, unless another set comes between.
                    let last = wanted.iter().rposition(|other| other.source == source);
                    let known = match last {
                        Some(at) => Some(&wanted[at].set),
                        None => self.sets.get(&source),
                    };
                    let place = if known == Some(&new.set) {
                        last
                    } else {
                        wanted.push(new);
                        Some(wanted.len() - 1)
                    };
                    waiters.push(Waiter { source, place, reply });
                }
                Err(fault) => answer(reply, Err(fault)),
            }
        }
        let (refused, pending) = self.record(wanted).await;
        let settled = if pending.is_empty() {
            self.bring_in_line().await;
            BTreeMap::new()
        } else {
            self.settle(pending).await
        };
        for Waiter { source, place, reply } in waiters {
            let told = match place {
                Some(at) => match (refused.get(&at), settled.get(&source)) {
                    (Some(fault), _) => Err(fault.clone()),
                    (None, Some(told)) => told.clone(),
                    (None, None) => self.live_answer(&source),
                },
                // Equal to what was live, and still is unless a later one is.
                None => self.live_answer(&source),
            };
            answer(reply, told);
        }
    }

    /// The set as it may go on, or why it may not.
    fn admit(
        &mut self,
        mut new: NewGeneration,
        elsewhere: &HashMap<String, PathBuf>,
    ) -> Result<NewGeneration, ReplaceError> {
        let clashes = self.sets.clashes(&new.source, &new.set, elsewhere);
        if new.source == Source::Rpc {
            if !clashes.is_empty() {
                return Err(ReplaceError::Invalid(Arc::new(as_faults(clashes))));
            }
        } else {
            let bad: HashSet<HostId> = clashes.iter().map(|(id, _)| id.clone()).collect();
            new.set = new.set.retain(|host| !bad.contains(&host.id));
            self.skipped.insert(new.source.clone(), as_faults(clashes));
        }
        // A cloud's part has asked the brake itself: only there it is known
        // which absences the cloud explained.
        let braked = new.source == Source::Rpc && self.config.brake.rpc;
        if let Some(current) = self.sets.get(&new.source).filter(|_| braked && !new.forced) {
            let removed = current.iter().filter(|old| new.set.get(&old.id).is_none()).count();
            if self.config.brake.holds(removed, current.len()) {
                return Err(ReplaceError::Held { removed, current: current.len() });
            }
        }
        Ok(new)
    }

    /// Makes the sets durable as pending generations. Returns those that were
    /// refused, by place, and the newest of each source.
    async fn record(
        &self,
        wanted: Vec<NewGeneration>,
    ) -> (HashMap<usize, ReplaceError>, BTreeMap<Source, LiveSet>) {
        let mut refused = HashMap::new();
        let mut pending = BTreeMap::new();
        if wanted.is_empty() {
            return (refused, pending);
        }
        let sets: Vec<_> = wanted.iter().map(|new| (new.source.clone(), new.set.clone())).collect();
        match self.state.record(wanted, SystemTime::now()).await {
            Ok(recorded) => {
                for (at, ((source, set), one)) in sets.into_iter().zip(recorded).enumerate() {
                    match one {
                        Recorded::Pending(generation) => {
                            pending.insert(source, LiveSet { generation, set });
                        }
                        Recorded::Quarantined { reason } => {
                            refused.insert(at, quarantined(&reason));
                        }
                    }
                }
            }
            Err(fault) => {
                let told = sentence(&fault);
                tracing::error!("hosts were not replaced: {told}");
                let fault = ReplaceError::Unavailable(told);
                refused.extend((0..sets.len()).map(|at| (at, fault.clone())));
            }
        }
        (refused, pending)
    }

    pub(super) fn take_over(&mut self, live: Vec<LiveSet>) {
        self.sets = Sets::default();
        self.live.clear();
        for LiveSet { generation, set } in live {
            self.sets.put(generation.source.clone(), set);
            self.live.insert(generation.source.clone(), generation);
        }
    }

    /// Over max_hosts, those in the file keep their places.
    async fn watched_before(&self) -> HashSet<HostId> {
        if self.sets.union(&self.watched, usize::MAX).len() <= self.config.max_hosts {
            return HashSet::new();
        }
        self.nagios.live_ids().await.unwrap_or_else(|fault| {
            tracing::warn!("who was watched is not known: {}", sentence(&fault));
            HashSet::new()
        })
    }

    /// Whom Nagios is known to watch.
    async fn proved_before(&self) -> HashSet<HostId> {
        if self.applied.as_ref().is_some_and(|applied| applied.proved_by.is_some()) {
            return self.watched.clone();
        }
        self.nagios.last_good_ids().await.unwrap_or_else(|fault| {
            tracing::debug!(fault = sentence(&fault), "the last good hosts are not known");
            HashSet::new()
        })
    }

    pub(super) fn watched_ids(&self) -> HashSet<HostId> {
        let union = self.sets.union(&self.watched, self.config.max_hosts);
        union.into_iter().filter(|one| one.watched).map(|one| one.host.id).collect()
    }

    pub(super) fn live_answer(&self, source: &Source) -> Answer {
        match (&self.trouble, self.live.get(source)) {
            (None, Some(live)) => Ok(live.clone()),
            (Some(trouble), _) => Err(ReplaceError::Unavailable(trouble.clone())),
            (None, None) => Err(ReplaceError::Unavailable("the set is not live".to_owned())),
        }
    }

    pub(super) fn publish(&self) {
        let hosts: Arc<[_]> = self.sets.union(&self.watched, self.config.max_hosts).into();
        let nodes =
            hosts.iter().filter(|one| one.watched).map(|one| one.host.node().as_str().into());
        self.nodes.send_replace(Arc::new(nodes.collect()));
        self.published.send_replace(Arc::new(Published {
            sets: self.sets.clone(),
            watched: hosts.iter().filter(|one| one.watched).count(),
            hosts,
            live_generation: self.live.values().map(|live| live.number).max(),
            on_disk: self.applied.is_some(),
            in_step: self.applied.as_ref().is_some_and(|applied| applied.proved_by.is_some()),
            skipped: Arc::new(self.skipped.clone()),
            trouble: self.trouble.clone(),
            nagios: Some(self.nagios.clone()),
        }));
    }
}

fn quarantined(reason: &str) -> ReplaceError {
    ReplaceError::Rejected(format!(
        "this set is in quarantine because Nagios died of it ({reason}); \
         use `hosts set --force` once the cause is mended"
    ))
}

fn answer(reply: oneshot::Sender<Answer>, told: Answer) {
    if reply.send(told).is_err() {
        tracing::debug!("a caller of set_hosts did not wait for its answer");
    }
}
