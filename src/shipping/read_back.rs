//! Asks Graphite now and then for points that a Carbon has taken.
//!
//! Carbon gives no word about a series that it does not make: beyond
//! MAX_CREATES_PER_MINUTE it drops the points and says nothing.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::graphite;
use crate::model::{HostId, MetricKey, MetricNode, Sample, Window};
use crate::telemetry::sentence;

/// Rounds after which nobody asks for a point any more: its host may be gone.
const MAX_ROUNDS: u32 = 6;
/// Older points may be beyond what Graphite keeps.
const MAX_AGE: i64 = 86_400;
/// No usual series has longer steps.
const STEP: i64 = 3600;

/// A point that was sent.
#[derive(Debug)]
pub(super) struct Probe {
    path: String,
    time: i64,
    /// How often it was asked for in vain.
    rounds: u32,
}

impl Probe {
    pub(super) fn of(sample: &Sample<'_>) -> Self {
        Self { path: sample.path().as_str().to_owned(), time: sample.time(), rounds: 0 }
    }

    /// None where it is not below the nodes of which Graphite is asked.
    fn question(&self, prefix: &str) -> Option<(MetricNode, MetricKey)> {
        let (node, key) = self.path.strip_prefix(prefix)?.strip_prefix('.')?.split_once('.')?;
        let node = MetricNode::of(&HostId::parse(node).ok()?);
        Some((node, MetricKey::parse(key).ok()?))
    }
}

pub struct ReadBack {
    interval: Duration,
    taken: mpsc::Receiver<Probe>,
    asked: Vec<Probe>,
    graphite: watch::Receiver<Option<graphite::Client>>,
    trouble: watch::Sender<Option<String>>,
}

impl ReadBack {
    pub(super) const MAX_PROBES: usize = 8;

    pub(super) fn new(
        interval: Duration,
        taken: mpsc::Receiver<Probe>,
        graphite: watch::Receiver<Option<graphite::Client>>,
    ) -> (Self, watch::Receiver<Option<String>>) {
        let (trouble, told) = watch::channel(None);
        (Self { interval, taken, asked: Vec::new(), graphite, trouble }, told)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.interval) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.look() => {}
            }
            self.take_new();
        }
    }

    /// After the look, so that each has waited for an interval before it is
    /// asked for.
    fn take_new(&mut self) {
        let oldest = now() - MAX_AGE;
        while let Ok(probe) = self.taken.try_recv() {
            if self.asked.len() < Self::MAX_PROBES && probe.time >= oldest {
                self.asked.push(probe);
            }
        }
    }

    async fn look(&mut self) {
        let Some(client) = self.graphite.borrow_and_update().clone() else {
            self.asked.clear();
            return self.tell(None);
        };
        let all = self.asked.len();
        let mut unseen = Vec::new();
        for probe in &mut self.asked {
            match appears(&client, probe).await {
                Ok(true) => {}
                Ok(false) => {
                    probe.rounds += 1;
                    unseen.push(probe.path.clone());
                }
                Err(fault) => {
                    tracing::debug!("points are not read back: {}", sentence(&fault));
                    return;
                }
            }
        }
        if all > 0 {
            tracing::debug!(all, unseen = unseen.len(), "points were read back from Graphite");
            self.tell(unseen.first().map(|path| told(path, unseen.len(), all)));
        }
        self.asked.retain(|probe| unseen.contains(&probe.path) && probe.rounds < MAX_ROUNDS);
    }

    fn tell(&self, trouble: Option<String>) {
        if let (Some(told), None) = (&trouble, &*self.trouble.borrow()) {
            tracing::warn!("{told}");
        }
        self.trouble.send_replace(trouble);
    }
}

/// Whether its series has a value then or later.
async fn appears(client: &graphite::Client, probe: &Probe) -> Result<bool, graphite::Error> {
    let Some((node, key)) = probe.question(client.prefix()) else { return Ok(true) };
    let end = now().max(probe.time) + STEP;
    let Ok(window) = Window::new(probe.time - STEP, end) else { return Ok(true) };
    let series = client.render(&node, &key, Some(window), None).await?;
    Ok(series.iter().flat_map(|one| &one.points).any(|point| point.value.is_some()))
}

fn told(path: &str, unseen: usize, all: usize) -> String {
    format!(
        "Graphite does not show {unseen} of {all} series that Carbon has taken, such as {path}; \
         look whether MAX_CREATES_PER_MINUTE in carbon.conf is too low, and whether [graphite] url \
         reads what [carbon] address writes"
    )
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
