//! The first checks of new hosts, soon after Nagios has read them: by its own
//! schedule a new host waits up to fifteen minutes for its first value.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::HostId;
use crate::nagios::Nagios;

use super::Config;

pub struct FirstChecks {
    nagios: Nagios,
    per_second: usize,
    newcomers: mpsc::Receiver<Vec<HostId>>,
}

/// Newcomers beyond these wait for Nagios's own schedule.
const MAX_WAITING: usize = 100_000;

impl FirstChecks {
    pub(super) fn new(config: &Config, nagios: Nagios) -> (Self, mpsc::Sender<Vec<HostId>>) {
        let (sender, newcomers) = mpsc::channel(4);
        (Self { nagios, per_second: config.first_checks_per_second as usize, newcomers }, sender)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut waiting = VecDeque::new();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(new) = self.newcomers.recv() => {
                    if self.per_second > 0 {
                        let room = MAX_WAITING.saturating_sub(waiting.len());
                        waiting.extend(new.into_iter().take(room));
                    }
                }
                _ = second.tick(), if !waiting.is_empty() => self.ask_for_some(&mut waiting).await,
            }
        }
    }

    async fn ask_for_some(&self, waiting: &mut VecDeque<HostId>) {
        let some: Vec<_> = waiting.drain(..self.per_second.min(waiting.len())).collect();
        if let Err(fault) = self.nagios.schedule_checks(&some, SystemTime::now()).await {
            // Nagios checks them by its own schedule all the same.
            tracing::debug!(
                fault = crate::telemetry::sentence(&fault),
                "first checks were not asked for"
            );
            waiting.clear();
        }
    }
}
