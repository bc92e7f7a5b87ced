//! The first checks of new hosts, soon after Nagios has read them: by its own
//! schedule a new host waits up to fifteen minutes for its first value.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::HostId;
use crate::nagios::Nagios;

pub struct FirstChecks {
    newcomers: mpsc::Receiver<Newcomers>,
}

/// Hosts that this Nagios has just begun to watch.
#[derive(Debug)]
pub(super) struct Newcomers {
    pub(super) nagios: Nagios,
    pub(super) ids: Vec<HostId>,
    /// first_checks_per_second.
    pub(super) per_second: u32,
}

/// Newcomers beyond these wait for Nagios's own schedule.
const MAX_WAITING: usize = 100_000;

impl FirstChecks {
    pub(super) fn new() -> (Self, mpsc::Sender<Newcomers>) {
        let (sender, newcomers) = mpsc::channel(4);
        (Self { newcomers }, sender)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut waiting = VecDeque::new();
        let mut pace = None;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(Newcomers { nagios, ids, per_second }) = self.newcomers.recv() => {
                    if per_second > 0 {
                        let room = MAX_WAITING.saturating_sub(waiting.len());
                        waiting.extend(ids.into_iter().take(room));
                        pace = Some((nagios, per_second as usize));
                    } else {
                        waiting.clear();
                    }
                }
                _ = second.tick(), if !waiting.is_empty() => {
                    if let Some((nagios, per_second)) = &pace {
                        ask_for_some(nagios, *per_second, &mut waiting).await;
                    }
                }
            }
        }
    }
}

async fn ask_for_some(nagios: &Nagios, per_second: usize, waiting: &mut VecDeque<HostId>) {
    let some: Vec<_> = waiting.drain(..per_second.min(waiting.len())).collect();
    if let Err(fault) = nagios.schedule_checks(&some, SystemTime::now()).await {
        // Nagios checks them by its own schedule all the same.
        tracing::debug!(
            fault = crate::telemetry::sentence(&fault),
            "first checks were not asked for"
        );
        waiting.clear();
    }
}
