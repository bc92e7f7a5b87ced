//! What feeds the service supervisor's watchdog: an accept loop that turns and
//! a state.db that takes a write. Nothing else: Nagios, Carbon, Graphite and
//! the clouds may be away, and a restart of ours would not bring them back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::notify;
use crate::rpc::Pulse;
use crate::state::State;

pub(super) struct Watchdog {
    /// Between two meals; the supervisor kills after three that fail.
    period: Duration,
    state: Arc<State>,
    pulse: Pulse,
}

impl Watchdog {
    /// `limit` is how long the supervisor waits for a sign of life.
    pub fn new(limit: Duration, state: Arc<State>, pulse: Pulse) -> Self {
        // An interval of zero would panic.
        Self { period: (limit / 3).max(Duration::from_millis(1)), state, pulse }
    }

    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut tick = interval(self.period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rounds = async {
            loop {
                tick.tick().await;
                match self.sign_of_life().await {
                    Ok(()) => notify(&[NotifyState::Watchdog]),
                    Err(fault) => tracing::error!("the watchdog is not fed: {fault}"),
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = rounds => Ok(()),
        }
    }

    async fn sign_of_life(&self) -> Result<(), String> {
        match timeout(self.period, self.pulse.beat()).await {
            Ok(true) => {}
            Ok(false) => return Err("the Thrift door is closed".to_owned()),
            Err(_) => return Err(format!("the accept loop has hung for {:?}", self.period)),
        }
        match timeout(self.period, self.state.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(format!("{:#}", anyhow::Error::new(fault))),
            Err(_) => Err(format!("state.db has not answered for {:?}", self.period)),
        }
    }
}
