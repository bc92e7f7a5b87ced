//! One cloud's task: asks it, and brings what it says to the ledger and to
//! Nagios.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hosts::{BrakeConfig, Hosts};
use crate::ledger::Rhythm;
use crate::model::{HostId, HostSet};
use crate::providers::{self, Listing, Provider, Question};
use crate::state::{Absence, State};
use crate::store::Lease;
use crate::telemetry::sentence;

use super::beside::{following, without_ledger};
use super::lease::Standing;
use super::records::{Memory, Records};
use super::round::{Ground, Outcome, Round, Shown};
use super::schedule::{Ending, LOOK, Schedule, has_slept};
use super::view::{CloudView, HeldView, MAX_HELD, Role, token};
use super::{CloudName, Error, Owners, owners};

#[derive(Debug)]
pub(super) enum Request {
    Sync {
        reply: oneshot::Sender<Result<CloudView, Error>>,
    },
    /// Only what the token names, where there is one.
    Release {
        shown: Option<i64>,
        reply: oneshot::Sender<Result<CloudView, Error>>,
    },
}

/// What every poller is given.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub state: Arc<State>,
    pub hosts: Hosts,
    pub brake: watch::Receiver<BrakeConfig>,
    pub standing: watch::Receiver<Standing>,
    /// Tells the lease's keeper that it was found lost.
    pub lost: Arc<Notify>,
    /// Tells that there may be new owners.
    pub owners: Arc<Notify>,
}

pub struct Poller {
    pub(super) name: CloudName,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) around: Surroundings,
    /// Absent: there is no ledger at all.
    pub(super) records: Option<Records>,
    pub(super) absences: Vec<Absence>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) published: watch::Sender<CloudView>,
}

/// How long the first poll waits to learn who asks the clouds.
const STANDING_PATIENCE: Duration = Duration::from_secs(15);

/// Why a poll came to nothing.
enum Fault {
    Cloud(providers::Error),
    /// The ledger or Nagios; a sentence.
    Here(String),
    /// Another appliance took over while the cloud was asked.
    Fenced,
}

impl Poller {
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.work() => Err(never),
        }
    }

    async fn work(&mut self) -> Infallible {
        let mut schedule = Schedule::new(self.interval);
        let mut due = Instant::now();
        let mut waiting: Vec<oneshot::Sender<Result<CloudView, Error>>> = Vec::new();
        loop {
            tokio::select! {
                () = until(due) => due = Instant::now(),
                Some(request) = self.requests.recv() => waiting.extend(self.obey(request).await),
            }
            while let Ok(request) = self.requests.try_recv() {
                waiting.extend(self.obey(request).await);
            }
            if waiting.is_empty() && Instant::now() < due {
                continue;
            }
            let began = Instant::now();
            self.published.send_modify(|view| view.last_attempt = Some(unix_now()));
            let ending = self.poll().await;
            let pause = schedule.pause(ending, began.elapsed(), chance());
            due = Instant::now() + pause;
            self.published.send_modify(|view| {
                view.next_poll = Some(unix_now().saturating_add(pause.as_secs().cast_signed()));
            });
            let told = self.published.borrow().clone();
            for reply in waiting.drain(..) {
                let answer = match &told.error {
                    Some(error) => Err(Error::Failed(error.clone())),
                    None => Ok(told.clone()),
                };
                drop(reply.send(answer));
            }
        }
    }

    /// Returns who waits for the next poll.
    async fn obey(
        &mut self,
        request: Request,
    ) -> Option<oneshot::Sender<Result<CloudView, Error>>> {
        match request {
            Request::Sync { reply } => Some(reply),
            Request::Release { shown, reply } => match self.release(shown).await {
                Ok(()) => Some(reply),
                Err(fault) => {
                    drop(reply.send(Err(fault)));
                    None
                }
            },
        }
    }

    /// Marks what is held; the next listing without it ends it.
    async fn release(&mut self, shown: Option<i64>) -> Result<(), Error> {
        let name = self.name.to_string();
        if *self.around.standing.borrow() == Standing::Theirs {
            return Err(Error::Elsewhere(name));
        }
        let held = token(&self.absences);
        if held == 0 {
            return Err(Error::NothingHeld(name));
        }
        if shown.is_some_and(|shown| shown != held) {
            return Err(Error::Changed(name));
        }
        let mut absences = self.absences.clone();
        let now = unix_now();
        for one in &mut absences {
            if let Some(held) = &mut one.held {
                held.released.get_or_insert(now);
            }
        }
        self.save(absences).await.map_err(Error::Failed)?;
        tracing::warn!(cloud = %self.name, "what was held was released by an operator");
        Ok(())
    }

    async fn poll(&mut self) -> Ending {
        let outcome = match self.standing().await {
            Standing::Mine(lease) => self.ask(Some(lease)).await,
            Standing::Theirs => self.follow().await,
            Standing::Unasked => {
                self.trouble(Some("the ledger gave no answer yet".to_owned()));
                self.ask(None).await
            }
            Standing::Unreachable(told) => {
                self.trouble(Some(told));
                self.ask(None).await
            }
        };
        let failed = u64::from(outcome.is_err());
        self.published.send_modify(|view| {
            view.polls += 1;
            view.failed_polls += failed;
        });
        match outcome {
            Ok(()) => {
                if self.published.borrow().error.is_some() {
                    tracing::info!(cloud = %self.name, "the cloud is polled again");
                }
                self.published.send_modify(|view| (view.error, view.blame) = (None, None));
                Ending::Done
            }
            Err(fault) => self.failed(fault),
        }
    }

    fn failed(&mut self, fault: Fault) -> Ending {
        let (told, blame, ending) = match fault {
            Fault::Cloud(fault) => {
                (sentence(&fault), Some(fault.blame), Ending::of(fault.blame, fault.retry_after))
            }
            Fault::Here(told) => (told, None, Ending::Failed),
            Fault::Fenced => {
                self.around.lost.notify_one();
                let told = "another weather-balloon took over while the cloud was asked; \
                            what it said was not used";
                (told.to_owned(), None, Ending::Failed)
            }
        };
        let changed = self.published.borrow().error.as_ref() != Some(&told);
        if changed {
            tracing::error!(cloud = %self.name, "its hosts stay as they were: {told}");
        }
        self.published.send_modify(|view| (view.error, view.blame) = (Some(told), blame));
        ending
    }

    async fn standing(&mut self) -> Standing {
        let known = self.around.standing.wait_for(|standing| *standing != Standing::Unasked);
        // Where it is not known in time, it is still unasked.
        drop(tokio::time::timeout(STANDING_PATIENCE, known).await);
        self.around.standing.borrow().clone()
    }

    async fn ask(&mut self, lease: Option<Lease>) -> Result<(), Fault> {
        let watched = self.around.hosts.set_of(&self.name.source());
        let mut question = Question::default();
        let mut lease = lease;
        if let (Some(held), Some(records)) = (&lease, &mut self.records) {
            match records.recall(held, Rhythm::every(self.interval)).await {
                Ok(Memory { last, living, unseen }) => {
                    question = Question { since: last.map(|last| last.at), living, unseen };
                    self.published.send_modify(|view| {
                        view.last_success = view.last_success.max(last.map(|last| last.noticed));
                    });
                    self.trouble(None);
                }
                Err(fault) if fault.is_lost() => return Err(Fault::Fenced),
                Err(fault) if fault.is_moved() => {
                    return Err(Fault::Here(
                        "the ledger was written by another; it is read anew".to_owned(),
                    ));
                }
                Err(fault) => {
                    self.trouble(Some(sentence(&fault)));
                    lease = None;
                }
            }
        }
        let living = &question.living;
        let beside = watched
            .iter()
            .filter(|host| self.name.key_of(&host.id).is_some_and(|key| !living.contains(key)));
        let beside: Vec<_> = beside.filter_map(|host| self.name.instance_of(&host.id)).collect();
        question.living.extend(beside);
        let began = Instant::now();
        let listing = match tokio::time::timeout(self.timeout, self.provider.list(&question)).await
        {
            Ok(told) => told.map_err(Fault::Cloud)?,
            Err(_) => {
                let told = format!(
                    "the cloud gave no whole listing within {}; raise timeout if it is large",
                    humantime::format_duration(self.timeout)
                );
                return Err(Fault::Cloud(providers::Error::new(providers::Blame::Trouble, told)));
            }
        };
        // Of a large cloud it is large.
        drop(question);
        let took = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = unix_now();
        let skew = listing.sighting.ended() - now;
        let shown = match &lease {
            Some(lease) => {
                if !matches!(&*self.around.standing.borrow(), Standing::Mine(now) if now.epoch == lease.epoch)
                {
                    return Err(Fault::Fenced);
                }
                self.record(lease, listing, watched, now).await?
            }
            None => self.pass_on(&listing, &watched).await?,
        };
        let role = if lease.is_some() { Role::Polls } else { Role::NoLedger };
        self.published.send_modify(|view| {
            view.last_success = Some(now);
            view.took_ms = Some(took);
            view.skew = skew;
        });
        self.show(role, shown);
        Ok(())
    }

    /// Listing, ledger, Nagios.
    async fn record(
        &mut self,
        lease: &Lease,
        listing: Listing,
        watched: HostSet,
        now: i64,
    ) -> Result<Shown, Fault> {
        let Some(records) = &mut self.records else { return Ok(Shown::default()) };
        let view = match records.view(&listing.sighting, &watched).await {
            Ok(view) => view,
            Err(fault) => {
                self.trouble(Some(sentence(&fault)));
                return self.pass_on(&listing, &watched).await;
            }
        };
        self.name_owners(owners::listed(&self.name, &listing, Some(&view)));
        let ground = Ground {
            cloud: self.name.clone(),
            view,
            watched,
            absences: self.absences.clone(),
            brake: *self.around.brake.borrow(),
        };
        let rhythm = Rhythm::every(self.interval);
        let round = aside(move || Round::new(ground, listing, now, rhythm)).await?;
        let testimony = self.hear(&round).await;
        let outcome = aside(move || round.decide(testimony.as_ref())).await?;
        self.settle(lease, outcome).await
    }

    /// When Nagios's checks of possible witnesses last ended OK; absent where
    /// it cannot be learned.
    async fn hear(&self, round: &Round) -> Option<HashMap<HostId, i64>> {
        let witnesses = round.witnesses();
        if witnesses.is_empty() {
            return Some(HashMap::new());
        }
        match self.around.hosts.last_ok(witnesses).await {
            Ok(told) => Some(told),
            Err(fault) => {
                tracing::warn!(cloud = %self.name, "who may be gone waits for the next listing: {fault}");
                None
            }
        }
    }

    /// In this order a crash loses no decision: what is held is durable before
    /// the ledger ends anything, and the ledger ends it before Nagios lets go.
    async fn settle(&mut self, lease: &Lease, outcome: Outcome) -> Result<Shown, Fault> {
        let Outcome { changes, hosts, absences_before, absences, ending, unseen, shown } = outcome;
        self.save(absences_before).await.map_err(Fault::Here)?;
        if shown.newly_held > 0 {
            tracing::error!(
                cloud = %self.name,
                "{} instances went without a word and are held; look at `weather-balloon clouds list`",
                shown.newly_held
            );
        }
        let Some(records) = &mut self.records else { return Ok(shown) };
        let tally = changes.tally;
        let kept = match records.keep(lease, changes, unseen).await {
            Ok(()) => true,
            Err(fault) if fault.is_lost() => return Err(Fault::Fenced),
            Err(fault) if fault.is_moved() => return Err(Fault::Here(sentence(&fault))),
            Err(fault) => {
                self.trouble(Some(sentence(&fault)));
                false
            }
        };
        if kept {
            tracing::debug!(cloud = %self.name, ?tally, "a listing was recorded");
            if tally.new > 0 || tally.owner_replaced > 0 {
                self.around.owners.notify_one();
            }
        }
        let hosts = if kept {
            hosts
        } else {
            // What may not have ended in the ledger does not leave Nagios.
            HostSet::of_first(hosts.iter().cloned().chain(ending))
        };
        self.watch(hosts).await?;
        if kept {
            self.save(absences).await.map_err(Fault::Here)?;
        }
        Ok(shown)
    }

    /// Listing, Nagios.
    async fn pass_on(&mut self, listing: &Listing, watched: &HostSet) -> Result<Shown, Fault> {
        self.name_owners(owners::listed(&self.name, listing, None));
        let (hosts, absences, shown) = without_ledger(&self.name, listing, watched, &self.absences);
        self.save(absences).await.map_err(Fault::Here)?;
        self.watch(hosts).await?;
        Ok(shown)
    }

    async fn follow(&mut self) -> Result<(), Fault> {
        let Some(records) = &mut self.records else { return Ok(()) };
        let watched = self.around.hosts.set_of(&self.name.source());
        let view =
            records.followed(&watched).await.map_err(|fault| Fault::Here(sentence(&fault)))?;
        self.trouble(None);
        let Some(last) = view.last else {
            self.show(Role::Follows, Shown::default());
            return Ok(());
        };
        self.name_owners(owners::kept(&self.name, &view));
        let (hosts, shown) = following(&self.name, &view, &watched);
        // Who polls decides what is held.
        self.save(Vec::new()).await.map_err(Fault::Here)?;
        self.watch(hosts).await?;
        self.published.send_modify(|view| view.last_success = Some(last.noticed));
        self.show(Role::Follows, shown);
        Ok(())
    }

    /// The same door as the wire's.
    async fn watch(&mut self, hosts: HostSet) -> Result<(), Fault> {
        let count = hosts.len();
        let replaced = self.around.hosts.replace(self.name.source(), hosts, false).await;
        self.published.send_modify(|view| view.watched = count);
        replaced.map(drop).map_err(|fault| {
            Fault::Here(format!("Nagios's hosts were not replaced: {}", sentence(&fault)))
        })
    }

    async fn save(&mut self, absences: Vec<Absence>) -> Result<(), String> {
        if absences != self.absences {
            let saved = self.around.state.put_absences(self.name.as_str(), absences.clone()).await;
            saved.map_err(|fault| sentence(&fault))?;
            self.absences = absences;
        }
        Ok(())
    }

    fn name_owners(&self, owners: Owners) {
        self.published.send_modify(|view| view.owners = Arc::new(owners));
    }

    fn trouble(&self, told: Option<String>) {
        if let Some(told) = told.as_ref().filter(|_| self.published.borrow().trouble != told) {
            tracing::error!(cloud = %self.name, "nothing is recorded, and nothing ends: {told}");
        }
        self.published.send_modify(|view| view.trouble = told);
    }

    pub(super) fn show(&self, role: Role, shown: Shown) {
        let watched = self.around.hosts.set_of(&self.name.source());
        let held = self.absences.iter().filter(|one| one.is_held());
        let first = held.clone().take(MAX_HELD).filter_map(|one| {
            let decided = one.held?;
            let host = HostId::parse(&format!("{}_{}", self.name, one.instance)).ok();
            Some(HeldView {
                instance: one.instance.clone(),
                address: host.as_ref().and_then(|id| Some(watched.get(id)?.address.clone())),
                host,
                since: one.since,
                held_at: decided.at,
                by: decided.by,
            })
        });
        let (held_total, first) = (held.clone().count(), first.collect());
        self.published.send_modify(|view| {
            view.role = role;
            view.shown = shown;
            view.watched = watched.len();
            (view.held, view.held_total) = (first, held_total);
            view.held_token = token(&self.absences);
        });
    }
}

/// The seam to work that takes long enough to hold others up.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Fault::Here("the process is stopping".to_owned())),
        },
    }
}

/// Until then, or until the machine wakes from a sleep: what is due by the
/// clock on the wall is not put off.
async fn until(due: Instant) {
    loop {
        let (began, wall) = (Instant::now(), SystemTime::now());
        tokio::time::sleep_until(due.min(began + LOOK)).await;
        if Instant::now() >= due || has_slept(began.elapsed(), wall.elapsed().ok()) {
            return;
        }
    }
}

pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// From 0 to 1. Each RandomState has keys of its own.
fn chance() -> f64 {
    f64::from((RandomState::new().hash_one(0_u8) >> 32) as u32) / f64::from(u32::MAX)
}
