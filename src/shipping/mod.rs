//! Perfdata from Nagios's spool to its sinks: each has its own receipts and its
//! own pace, and a file goes when all have it and none will want it again.
//!
//! The spooler lists the spool and removes what is done with; a carrier takes
//! files to one Carbon; the reader-back asks Graphite whether it shows them.

mod carrier;
mod load;
mod progress;
mod read_back;
mod spooler;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};

use crate::perfdata::SpoolFile;
use crate::state::State;
use crate::{carbon, graphite, perfdata};

pub use carrier::Carrier;
pub use read_back::ReadBack;
pub use spooler::Spooler;

use progress::Progress;

/// The metric nodes of the hosts that are watched now.
pub type LiveNodes = watch::Receiver<Arc<HashSet<Box<str>>>>;

/// Counters of one sink since this process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkStatus {
    /// Lines that gave at least one sample, or none for a good reason.
    pub lines: u64,
    /// Lines that were passed over.
    pub bad_lines: u64,
    pub samples: u64,
    /// Of the samples: sent again after a lost connection.
    pub resent: u64,
    pub failures: u64,
    pub last_receipt: Option<SystemTime>,
    /// Why nothing goes through now.
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    pub files: u64,
    /// Of the disk.
    pub bytes: u64,
    /// When Nagios let go of the oldest file that a sink still needs.
    pub oldest: Option<SystemTime>,
    /// Files that went before every sink had them, because more than the
    /// limit waited.
    pub lost_files: u64,
    pub lost_bytes: u64,
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Absent: [perfdata] spool is empty.
    pub spool: Option<SpoolStatus>,
    /// By address.
    pub sinks: Vec<(String, SinkStatus)>,
    /// Points that a Carbon has taken do not appear in Graphite.
    pub read_back_trouble: Option<String>,
}

/// What the spool holds, oldest first.
type Listing = Arc<[SpoolFile]>;

/// A sink as the spooler sees it.
#[derive(Clone)]
struct Sink {
    name: Arc<str>,
    /// Guards the receipts of one sink; held for one look or one note.
    progress: Arc<Mutex<Progress>>,
    replay_window: std::time::Duration,
}

impl Sink {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle that doors hold.
#[derive(Clone, Debug)]
pub struct Shipping {
    spool: Option<watch::Receiver<SpoolStatus>>,
    sinks: Vec<(Arc<str>, watch::Receiver<SinkStatus>)>,
    read_back: Option<watch::Receiver<Option<String>>>,
    graphite: watch::Sender<Option<graphite::Client>>,
}

/// The tasks of the part, to be run together; none where it is off.
pub struct Crew {
    pub spooler: Option<Spooler>,
    pub carriers: Vec<Carrier>,
    pub read_back: Option<ReadBack>,
}

impl Shipping {
    /// A handle of a part that is off.
    pub fn off() -> Self {
        let graphite = watch::Sender::new(None);
        Self { spool: None, sinks: Vec::new(), read_back: None, graphite }
    }

    /// Takes up each sink's work where its receipts end.
    pub async fn start(
        perfdata: &perfdata::Config,
        carbon: &carbon::Config,
        graphite: Option<graphite::Client>,
        state: Arc<State>,
        live: LiveNodes,
    ) -> Result<(Self, Crew), crate::state::Error> {
        if !perfdata.is_on() {
            let crew = Crew { spooler: None, carriers: Vec::new(), read_back: None };
            return Ok((Self::off(), crew));
        }
        let (listing, listed) = watch::channel(Listing::default());
        let graphite = watch::Sender::new(graphite);
        let (probes, taken) = mpsc::channel(ReadBack::MAX_PROBES);
        let mut sinks = Vec::new();
        let mut carriers = Vec::new();
        let mut shown = Vec::new();
        for (place, destination) in carbon.address.iter().enumerate() {
            let name: Arc<str> = format!("carbon {destination}").into();
            let kept = state.shipped(name.to_string()).await?;
            let sink = Sink {
                name: Arc::clone(&name),
                progress: Arc::new(Mutex::new(Progress::load(kept))),
                replay_window: carbon.replay_window,
            };
            // Every sink reads the same lines; one of them keeps the bad ones.
            let load =
                load::Loader::new(perfdata, carbon.protocol, live.clone(), place == 0, &state);
            let (carrier, receiver) = Carrier::new(
                sink.clone(),
                carbon::Sender::new(destination.clone(), carbon),
                carbon,
                load,
                listed.clone(),
                Arc::clone(&state),
                probes.clone(),
            );
            carriers.push(carrier);
            shown.push((destination.as_str().into(), receiver));
            sinks.push(sink);
        }
        let (spooler, spool) = Spooler::new(perfdata, sinks, listing, state);
        let looks = !carbon.read_back_interval.is_zero() && !carriers.is_empty();
        let (read_back, seen) = looks
            .then(|| ReadBack::new(carbon.read_back_interval, taken, graphite.subscribe()))
            .unzip();
        let shipping = Self { spool: Some(spool), sinks: shown, read_back: seen, graphite };
        Ok((shipping, Crew { spooler: Some(spooler), carriers, read_back }))
    }

    /// Reads back from another Graphite, or from none.
    pub fn reconfigure(&self, graphite: Option<graphite::Client>) {
        self.graphite.send_replace(graphite);
    }

    pub fn view(&self) -> View {
        View {
            spool: self.spool.as_ref().map(|spool| spool.borrow().clone()),
            sinks: self
                .sinks
                .iter()
                .map(|(name, status)| (name.to_string(), status.borrow().clone()))
                .collect(),
            read_back_trouble: self.read_back.as_ref().and_then(|seen| seen.borrow().clone()),
        }
    }
}
