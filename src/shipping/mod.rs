//! Perfdata from Nagios's spool to its sinks: each has its own receipts and its
//! own pace, and a file goes when all have it and none will want it again.
//!
//! The spooler lists the spool and removes what is done with; a carrier takes
//! files to one Carbon.

mod carrier;
mod load;
mod progress;
mod spooler;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::perfdata::SpoolFile;
use crate::state::State;
use crate::{carbon, perfdata};

pub use carrier::Carrier;
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
}

/// The tasks of the part, to be run together; none where it is off.
pub struct Crew {
    pub spooler: Option<Spooler>,
    pub carriers: Vec<Carrier>,
}

impl Shipping {
    /// A handle of a part that is off.
    pub fn off() -> Self {
        Self { spool: None, sinks: Vec::new() }
    }

    /// Takes up each sink's work where its receipts end.
    pub async fn start(
        perfdata: &perfdata::Config,
        carbon: &carbon::Config,
        state: Arc<State>,
        live: LiveNodes,
    ) -> Result<(Self, Crew), crate::state::Error> {
        if !perfdata.is_on() {
            let crew = Crew { spooler: None, carriers: Vec::new() };
            return Ok((Self::off(), crew));
        }
        let (listing, listed) = watch::channel(Listing::default());
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
            let (status, receiver) = watch::channel(SinkStatus::default());
            carriers.push(Carrier::new(
                sink.clone(),
                carbon::Sender::new(destination.clone(), carbon),
                carbon,
                load,
                listed.clone(),
                Arc::clone(&state),
                status,
            ));
            shown.push((destination.as_str().into(), receiver));
            sinks.push(sink);
        }
        let (spooler, spool) = Spooler::new(perfdata, sinks, listing, state);
        Ok((Self { spool: Some(spool), sinks: shown }, Crew { spooler: Some(spooler), carriers }))
    }

    pub fn view(&self) -> View {
        View {
            spool: self.spool.as_ref().map(|spool| spool.borrow().clone()),
            sinks: self
                .sinks
                .iter()
                .map(|(name, status)| (name.to_string(), status.borrow().clone()))
                .collect(),
        }
    }
}
