//! Takes files to one Carbon, batch by batch.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::carbon::{self, Backoff, BatchLimit, Receipt, SendError, Sender};
use crate::state::{Shipped, State};
use crate::telemetry::sentence;

use super::load::{Load, Loader, Wanted};
use super::read_back::Probe;
use super::{Listing, Sink, SinkStatus};

/// Small files that share a batch; each batch costs a connection.
const MAX_FILES: usize = 256;

pub struct Carrier {
    sink: Sink,
    sender: Sender,
    limit: BatchLimit,
    receipt_timeout: Duration,
    backoff: Backoff,
    /// Away while a blocking thread fills it.
    loader: Option<Loader>,
    listing: watch::Receiver<Listing>,
    state: Arc<State>,
    status: watch::Sender<SinkStatus>,
    probes: mpsc::Sender<Probe>,
}

enum Carried {
    Something,
    Nothing,
    Failed,
}

impl Carrier {
    pub(super) fn new(
        sink: Sink,
        sender: Sender,
        config: &carbon::Config,
        loader: Loader,
        listing: watch::Receiver<Listing>,
        state: Arc<State>,
        probes: mpsc::Sender<Probe>,
    ) -> (Self, watch::Receiver<SinkStatus>) {
        let (status, receiver) = watch::channel(SinkStatus::default());
        // Any number serves: it keeps several appliances from trying in step.
        let seed = RandomState::new().hash_one(&sink.name);
        let carrier = Self {
            limit: BatchLimit::new(config.max_batch_points),
            receipt_timeout: config.receipt_timeout,
            backoff: Backoff::new(config.max_backoff, seed),
            loader: Some(loader),
            sink,
            sender,
            listing,
            state,
            status,
            probes,
        };
        (carrier, receiver)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        // Carbon may have died while we were not there to see it.
        self.rewind();
        loop {
            let carried = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                carried = self.carry() => carried,
            };
            match carried {
                Carried::Something => {}
                Carried::Nothing => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    // The spooler holds the other end while the group runs.
                    Ok(()) = self.listing.changed() => {}
                },
                Carried::Failed => {
                    let again = self.backoff.next(Instant::now());
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep_until(again.into()) => {}
                    }
                }
            }
        }
    }

    async fn carry(&mut self) -> Carried {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Carried::Nothing;
        }
        let Some(load) = self.fill(wanted).await else { return Carried::Nothing };
        if let Some(fault) = &load.trouble {
            self.trouble(sentence(fault));
        }
        if load.files.is_empty() {
            return Carried::Nothing;
        }
        match self.send().await {
            Ok(receipt) => {
                self.note(load, receipt).await;
                Carried::Something
            }
            Err(fault) => {
                if fault.is_slow() {
                    self.limit.timed_out();
                }
                self.status.send_modify(|status| status.failures += 1);
                self.trouble(sentence(&fault));
                self.rewind();
                Carried::Failed
            }
        }
    }

    fn wanted(&mut self) -> Vec<Wanted> {
        let files = Arc::clone(&self.listing.borrow_and_update());
        let progress = self.sink.progress();
        let wanted = progress.wanted(&files).take(MAX_FILES);
        wanted
            .map(|(file, from)| Wanted {
                file: file.clone(),
                from,
                again: progress.is_repetition(file, from),
            })
            .collect()
    }

    async fn fill(&mut self, wanted: Vec<Wanted>) -> Option<Load> {
        let mut loader = self.loader.take()?;
        let max_points = self.limit.points();
        let filled = tokio::task::spawn_blocking(move || {
            let load = loader.fill(&wanted, max_points);
            (loader, load)
        });
        let (loader, load) = filled.await.ok()?;
        self.loader = Some(loader);
        Some(load)
    }

    /// None where the batch has no point: then there is nothing to send.
    async fn send(&mut self) -> Result<Option<Receipt>, SendError> {
        let Some(loader) = &mut self.loader else { return Ok(None) };
        if loader.framer.points() == 0 {
            return Ok(None);
        }
        self.sender.send_batch(loader.framer.batch()).await.map(Some)
    }

    async fn note(&mut self, load: Load, receipt: Option<Receipt>) {
        let now = SystemTime::now();
        let receipts: Vec<Shipped> = load
            .files
            .into_iter()
            .map(|(file, ended)| Shipped { done: ended.then_some(now), ..file })
            .collect();
        {
            let mut progress = self.sink.progress();
            receipts.iter().for_each(|receipt| progress.received(receipt));
        }
        let mut trouble = load.trouble.map(|fault| sentence(&fault));
        if let Err(fault) = self.state.note_shipped(self.sink.name.to_string(), receipts).await {
            // After a restart the batch goes out again, which harms nobody.
            trouble.get_or_insert(format!("receipts are not kept: {}", sentence(&fault)));
        }
        if let Some(receipt) = receipt {
            // A few are enough: where there is no room nobody waits for it.
            load.probe.map(|probe| self.probes.try_send(probe).ok());
            self.limit.received(receipt.waited, self.receipt_timeout);
            self.backoff.reset();
        }
        self.status.send_modify(|status| {
            status.lines += load.lines;
            status.bad_lines += load.bad_lines;
            status.resent += load.resent;
            if let Some(receipt) = receipt {
                status.samples += receipt.points as u64;
                status.last_receipt = Some(now);
            }
            status.trouble = trouble;
        });
    }

    fn rewind(&self) {
        self.sink.progress().rewind(self.sink.replay_window, SystemTime::now());
    }

    fn trouble(&self, told: String) {
        if self.status.borrow().trouble.as_ref() != Some(&told) {
            tracing::warn!("{told}; perfdata waits in the spool");
        }
        self.status.send_modify(|status| status.trouble = Some(told));
    }
}
