//! Perfdata from Nagios's spool to its sinks: each has its own receipts and its
//! own pace, and a file goes when all have it and none will want it again.
//!
//! The spooler lists the spool and removes what is done with; a carrier takes
//! files to one sink, the archive or a Carbon; the reader-back asks Graphite
//! whether it shows what Carbon has.

mod carrier;
mod load;
mod progress;
mod read_back;
mod sink;
mod spooler;
mod to_archive;
mod to_carbon;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::archive::{Archive, Batch};
use crate::perfdata::SpoolFile;
use crate::state::{Shipped, State};
use crate::{carbon, graphite, perfdata};

pub use carrier::Carrier;
pub use read_back::ReadBack;
pub use spooler::Spooler;
pub use to_archive::ToArchive;
pub use to_carbon::ToCarbon;

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
    /// The trouble is that it has only just begun.
    pub is_starting: bool,
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
    /// By address; the archive is the last and has the name [`ARCHIVE`].
    pub sinks: Vec<(String, SinkStatus)>,
    /// Points that a Carbon has taken do not appear in Graphite.
    pub read_back_trouble: Option<String>,
}

/// The archive among the sinks.
pub const ARCHIVE: &str = "archive";

/// What the spool holds.
#[derive(Clone, Default)]
struct Listing {
    /// Oldest first.
    files: Arc<[SpoolFile]>,
    /// No file is missing in it.
    is_whole: bool,
}

/// How far one sink is, as the spooler sees it.
#[derive(Clone)]
struct Cursor {
    /// Guards the receipts of one sink; held for one look or one note.
    progress: Arc<Mutex<Progress>>,
    /// How long the sink may want a file again that it had.
    replay_window: Duration,
}

impl Cursor {
    fn new(kept: Vec<Shipped>, replay_window: Duration) -> Self {
        Self { progress: Arc::new(Mutex::new(Progress::load(kept))), replay_window }
    }

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
#[derive(Default)]
pub struct Crew {
    pub spooler: Option<Spooler>,
    pub to_carbon: Vec<Carrier<ToCarbon>>,
    pub to_archive: Option<Carrier<ToArchive>>,
    pub read_back: Option<ReadBack>,
}

/// Where perfdata goes.
pub struct Sinks<'a> {
    pub carbon: &'a carbon::Config,
    pub archive: Option<Archive>,
    /// Shows what Carbon has.
    pub graphite: Option<graphite::Client>,
}

impl Shipping {
    /// A handle of a part that is off.
    pub fn off() -> Self {
        let graphite = watch::Sender::new(None);
        Self { spool: None, sinks: Vec::new(), read_back: None, graphite }
    }

    /// Takes up each sink's work where its receipts end. Waits for no sink.
    pub async fn start(
        perfdata: &perfdata::Config,
        sinks: Sinks<'_>,
        state: Arc<State>,
        live: LiveNodes,
    ) -> Result<(Self, Crew), crate::state::Error> {
        if !perfdata.is_on() {
            return Ok((Self::off(), Crew::default()));
        }
        let Sinks { carbon, archive, graphite } = sinks;
        let (listing, listed) = watch::channel(Listing::default());
        let graphite = watch::Sender::new(graphite);
        let (probes, taken) = mpsc::channel(ReadBack::MAX_PROBES);
        let (mut crew, mut cursors, mut shown) = (Crew::default(), Vec::new(), Vec::new());
        // Every sink reads the same lines; the first keeps the bad ones.
        let loader = |is_first| load::Loader::new(perfdata, live.clone(), is_first, &state);
        for destination in carbon.address.iter() {
            let name: Arc<str> = format!("carbon {destination}").into();
            let kept = state.shipped(name.to_string()).await?;
            let cursor = Cursor::new(kept, carbon.replay_window);
            let sender = carbon::Sender::new(destination.clone(), carbon);
            let (carrier, receiver) = Carrier::new(
                ToCarbon::new(name, sender, carbon, Arc::clone(&state), probes.clone()),
                cursor.clone(),
                loader(cursors.is_empty()),
                carbon::Framer::new(carbon.protocol),
                listed.clone(),
            );
            crew.to_carbon.push(carrier);
            shown.push((destination.as_str().into(), receiver));
            cursors.push(cursor);
        }
        if let Some(archive) = archive {
            let cursor = Cursor::new(Vec::new(), Duration::ZERO);
            let loader = loader(cursors.is_empty());
            let sink = ToArchive::new(archive);
            let (carrier, receiver) =
                Carrier::new(sink, cursor.clone(), loader, Batch::default(), listed);
            crew.to_archive = Some(carrier);
            shown.push((ARCHIVE.into(), receiver));
            cursors.push(cursor);
        }
        let (spooler, spool) = Spooler::new(perfdata, cursors, listing);
        crew.spooler = Some(spooler);
        let looks = !carbon.read_back_interval.is_zero() && !crew.to_carbon.is_empty();
        let (read_back, seen) = looks
            .then(|| ReadBack::new(carbon.read_back_interval, taken, graphite.subscribe()))
            .unzip();
        crew.read_back = read_back;
        let shipping = Self { spool: Some(spool), sinks: shown, read_back: seen, graphite };
        Ok((shipping, crew))
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
