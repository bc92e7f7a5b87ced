//! One Carbon as a sink. Its receipts are in state.db.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use crate::carbon::{self, Backoff, BatchLimit, Framer, SendError, Sender};
use crate::model::Sample;
use crate::state::{Shipped, State};
use crate::telemetry::sentence;

use super::Cursor;
use super::load::Load;
use super::read_back::Probe;
use super::sink::{Failed, Sink, Taken};

pub struct ToCarbon {
    /// Of its receipts.
    name: Arc<str>,
    sender: Sender,
    limit: BatchLimit,
    receipt_timeout: Duration,
    backoff: Backoff,
    state: Arc<State>,
    probes: mpsc::Sender<Probe>,
}

impl ToCarbon {
    pub(super) fn new(
        name: Arc<str>,
        sender: Sender,
        config: &carbon::Config,
        state: Arc<State>,
        probes: mpsc::Sender<Probe>,
    ) -> Self {
        // Any number serves: it keeps several appliances from trying in step.
        let seed = RandomState::new().hash_one(&name);
        Self {
            limit: BatchLimit::new(config.max_batch_points),
            receipt_timeout: config.receipt_timeout,
            backoff: Backoff::new(config.max_backoff, seed),
            name,
            sender,
            state,
            probes,
        }
    }

    fn failed(&mut self, fault: &SendError) -> Failed {
        if fault.is_slow() {
            self.limit.timed_out();
        }
        let again = self.backoff.next(Instant::now());
        Failed { told: sentence(fault), again, is_starting: false }
    }
}

impl Sink for ToCarbon {
    type Batch = Framer;

    fn push(batch: &mut Framer, sample: &Sample<'_>) {
        batch.push(sample);
    }

    fn clear(batch: &mut Framer) {
        batch.clear();
    }

    fn max_points(&self) -> usize {
        self.limit.points()
    }

    /// Carbon may have died, at the start while we were not there to see it.
    async fn resume(&mut self, cursor: &Cursor) -> Result<(), Failed> {
        cursor.progress().rewind(cursor.replay_window, SystemTime::now());
        Ok(())
    }

    fn in_doubt(&self) -> bool {
        false
    }

    async fn take(
        &mut self,
        batch: &mut Framer,
        load: &mut Load,
        receipts: &[Shipped],
    ) -> Result<Taken, Failed> {
        let mut taken = Taken::default();
        if load.points > 0 {
            let receipt = match self.sender.send_batch(batch.batch()).await {
                Ok(receipt) => receipt,
                Err(fault) => return Err(self.failed(&fault)),
            };
            taken.points = receipt.points as u64;
            // A few are enough: where there is no room nobody waits for it.
            load.probe.take().map(|probe| self.probes.try_send(probe).ok());
            self.limit.received(receipt.waited, self.receipt_timeout);
            self.backoff.reset();
        }
        if let Err(fault) = self.state.note_shipped(self.name.to_string(), receipts.to_vec()).await
        {
            // After a restart the batch goes out again, which harms nobody.
            taken.trouble = Some(format!("receipts are not kept: {}", sentence(&fault)));
        }
        Ok(taken)
    }

    async fn forget(&mut self, gone: Vec<Shipped>) -> Result<(), String> {
        let gone = gone.into_iter().map(|receipt| receipt.file).collect();
        self.state.forget_shipped(gone).await.map_err(|fault| sentence(&fault))
    }
}
