//! Brings Nagios to read the live file, and reports the proof or the death.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::nagios::{Fate, Nagios, ProgramStatus};

use super::pacer::{Pacer, Step};
use super::{Config, sentence};

/// The hosts file that Nagios should have read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) digest: String,
    pub(super) swapped: SystemTime,
    pub(super) proved: bool,
}

/// What the restarter works on, as the keeper sets it.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub(super) target: Option<Target>,
    pub(super) nagios: Nagios,
    pub(super) min_interval: Duration,
    pub(super) confirm_timeout: Duration,
}

#[derive(Debug)]
pub(super) enum Event {
    Proved {
        digest: String,
        program_start: i64,
    },
    /// Nagios ended over the file with this digest; what it said.
    Died {
        digest: String,
        told: String,
    },
}

/// How far it is, for everybody to see.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) restarts: u64,
    pub(super) program_start: Option<i64>,
    pub(super) last_took: Option<Duration>,
    pub(super) trouble: Option<String>,
}

/// The keeper's end.
pub(super) struct Link {
    pub(super) orders: watch::Sender<Orders>,
    pub(super) events: mpsc::Receiver<Event>,
}

pub struct Restarter {
    orders: watch::Receiver<Orders>,
    events: mpsc::Sender<Event>,
    progress: watch::Sender<Progress>,
    pacer: Pacer,
    /// The process that a restart was asked of, and when.
    asked: Option<(i32, SystemTime)>,
    known: Option<Target>,
}

const IDLE_LOOK: Duration = Duration::from_secs(10);
/// A process that bails out of a configuration does so 1.2 s after the command
/// (measured); one that is gone much later was ended by somebody.
const DEATH_OF_OURS: Duration = Duration::from_secs(15);

impl Restarter {
    pub(super) fn new(config: &Config, nagios: Nagios) -> (Self, watch::Receiver<Progress>, Link) {
        let (min_interval, confirm_timeout) = (config.min_restart_interval, config.confirm_timeout);
        let (orders_in, orders) =
            watch::channel(Orders { target: None, nagios, min_interval, confirm_timeout });
        let (events, events_out) = mpsc::channel(8);
        let (progress, progress_out) = watch::channel(Progress::default());
        let pacer = Pacer::new(min_interval, confirm_timeout);
        let restarter = Self { orders, events, progress, pacer, asked: None, known: None };
        (restarter, progress_out, Link { orders: orders_in, events: events_out })
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            let wait = self.turn().await;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
                // The keeper holds the other end while the group runs.
                Ok(()) = self.orders.changed() => {}
            }
        }
    }

    /// Looks at Nagios once and does what is next; returns how long to wait.
    async fn turn(&mut self) -> Duration {
        let nagios = self.orders.borrow().nagios.clone();
        let status = match nagios.program_status().await {
            Ok(status) => status,
            Err(fault) => {
                self.trouble(Some(sentence(&fault)));
                None
            }
        };
        let start = status.map(|status| status.program_start);
        self.take_orders(start);
        self.observe(start).await;
        self.look_for_death(&nagios, status).await;
        let wait = match self.pacer.next(Instant::now()) {
            Step::Rest => IDLE_LOOK,
            Step::Watch(wait) => wait,
            Step::Ask => {
                self.ask(&nagios, status).await;
                Duration::ZERO
            }
            Step::TimedOut(waited) => {
                let told = format!(
                    "Nagios has not restarted within {} s of being asked; is it hanging? It is asked again",
                    waited.as_secs()
                );
                tracing::warn!("{told}");
                self.trouble(Some(told));
                Duration::ZERO
            }
        };
        self.publish(start);
        wait
    }

    fn take_orders(&mut self, program_start: Option<i64>) {
        let orders = self.orders.borrow_and_update();
        self.pacer.reconfigure(orders.min_interval, orders.confirm_timeout);
        if orders.target == self.known {
            return;
        }
        match &orders.target {
            Some(target) if !target.proved => self.pacer.swapped(target.swapped, program_start),
            _ => self.pacer.settled(),
        }
        self.known.clone_from(&orders.target);
    }

    async fn observe(&mut self, program_start: Option<i64>) {
        let Some(start) = program_start else { return };
        if !self.pacer.observe(Instant::now(), program_start) {
            return;
        }
        self.asked = None;
        self.trouble(None);
        if let Some(target) = &self.known {
            tracing::info!(program_start = start, took = ?self.pacer.last_took(), "Nagios reads the live hosts");
            let event = Event::Proved { digest: target.digest.clone(), program_start: start };
            self.report(event).await;
        }
    }

    /// Nagios deletes its status file when it ends; the process that was asked
    /// is looked for as well, because a killed one leaves it.
    async fn look_for_death(&mut self, nagios: &Nagios, status: Option<ProgramStatus>) {
        let (Some((pid, since)), Some(waited)) =
            (self.asked, self.pacer.in_flight_for(Instant::now()))
        else {
            return;
        };
        let told = match nagios.fate_of(pid, since).await {
            Fate::Alive => return,
            Fate::BailedOut(line) => line,
            Fate::Gone if status.is_none() && waited < DEATH_OF_OURS => {
                "it ended right after it was asked to read the new hosts".to_owned()
            }
            Fate::Stopped | Fate::Gone => {
                self.pacer.gone();
                self.asked = None;
                return;
            }
        };
        self.pacer.gone();
        self.asked = None;
        if let Some(target) = &self.known {
            self.report(Event::Died { digest: target.digest.clone(), told }).await;
        }
    }

    async fn ask(&mut self, nagios: &Nagios, status: Option<ProgramStatus>) {
        let now = SystemTime::now();
        match nagios.request_restart().await {
            Ok(()) => {
                self.pacer.asked(Instant::now(), status.map(|status| status.program_start));
                self.asked = status.and_then(|status| status.pid).map(|pid| (pid, now));
                self.progress.send_modify(|progress| progress.restarts += 1);
            }
            Err(fault) => {
                self.pacer.not_asked(Instant::now());
                let told =
                    format!("{}; the restart is asked for again until it comes", sentence(&fault));
                if self.progress.borrow().trouble.as_ref() != Some(&told) {
                    tracing::warn!("{told}");
                }
                self.trouble(Some(told));
            }
        }
    }

    fn trouble(&self, trouble: Option<String>) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.trouble != trouble;
            progress.trouble = trouble;
            changed
        });
    }

    fn publish(&self, program_start: Option<i64>) {
        self.progress.send_modify(|progress| {
            progress.program_start = program_start;
            progress.last_took = self.pacer.last_took();
            if !self.pacer.is_due() {
                progress.trouble = None;
            }
        });
    }

    async fn report(&self, event: Event) {
        // The keeper is gone only when the group is stopping.
        if self.events.send(event).await.is_err() {
            tracing::debug!("nobody is left to hear of Nagios");
        }
    }
}
