//! Takes files to one sink, batch by batch.

use std::convert::Infallible;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::state::Shipped;
use crate::telemetry::sentence;

use super::load::{Load, Loader, Wanted};
use super::sink::{Failed, Sink};
use super::{Cursor, Listing, SinkStatus};

/// Small files that share a batch; each batch costs a connection or a commit.
const MAX_FILES: usize = 256;

#[expect(private_bounds, reason = "what a sink is concerns nobody outside")]
pub struct Carrier<S: Sink> {
    sink: S,
    cursor: Cursor,
    /// Away while a blocking thread works at it.
    desk: Option<(Loader, S::Batch)>,
    listing: watch::Receiver<Listing>,
    status: watch::Sender<SinkStatus>,
    is_resumed: bool,
}

enum Carried {
    Something,
    Nothing,
}

#[expect(private_bounds, reason = "what a sink is concerns nobody outside")]
impl<S: Sink> Carrier<S> {
    pub(super) fn new(
        sink: S,
        cursor: Cursor,
        loader: Loader,
        batch: S::Batch,
        listing: watch::Receiver<Listing>,
    ) -> (Self, watch::Receiver<SinkStatus>) {
        let (status, receiver) = watch::channel(SinkStatus::default());
        let desk = Some((loader, batch));
        (Self { sink, cursor, desk, listing, status, is_resumed: false }, receiver)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            let carried = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                carried = self.carry() => carried,
            };
            match carried {
                Ok(Carried::Something) => {}
                Ok(Carried::Nothing) => tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    // The spooler holds the other end while the group runs.
                    Ok(()) = self.listing.changed() => {}
                },
                Err(failed) => {
                    self.is_resumed = false;
                    let again = failed.again;
                    self.note_failure(failed);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep_until(again.into()) => {}
                    }
                }
            }
        }
    }

    async fn carry(&mut self) -> Result<Carried, Failed> {
        if !self.is_resumed || self.sink.in_doubt() {
            self.sink.resume(&self.cursor).await?;
            self.is_resumed = true;
            // What was said of a start that is over.
            self.status.send_if_modified(|status| {
                std::mem::take(&mut status.is_starting) && status.trouble.take().is_some()
            });
        }
        self.forget().await;
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Ok(Carried::Nothing);
        }
        let Some(mut load) = self.fill(wanted).await else { return Ok(Carried::Nothing) };
        if let Some(fault) = &load.trouble {
            self.trouble(sentence(fault));
        }
        let Some((_, batch)) = &mut self.desk else { return Ok(Carried::Nothing) };
        if load.files.is_empty() {
            return Ok(Carried::Nothing);
        }
        let now = SystemTime::now();
        let receipts: Vec<Shipped> = std::mem::take(&mut load.files)
            .into_iter()
            .map(|(file, ended)| Shipped { done: ended.then_some(now), ..file })
            .collect();
        let taken = self.sink.take(batch, &mut load, &receipts).await?;
        {
            let mut progress = self.cursor.progress();
            receipts.iter().for_each(|receipt| progress.received(receipt));
        }
        let has_points = load.points > 0;
        let trouble = load.trouble.map(|fault| sentence(&fault)).or(taken.trouble);
        self.status.send_modify(|status| {
            status.lines += load.lines;
            status.bad_lines += load.bad_lines;
            status.resent += load.resent;
            status.samples += taken.points;
            if has_points {
                status.last_receipt = Some(now);
            }
            status.trouble = trouble;
        });
        Ok(Carried::Something)
    }

    fn wanted(&mut self) -> Vec<Wanted> {
        let listing = self.listing.borrow_and_update().clone();
        let progress = self.cursor.progress();
        let wanted = progress.wanted(&listing.files).take(MAX_FILES);
        wanted
            .map(|(file, from)| Wanted {
                file: file.clone(),
                from,
                again: progress.is_repetition(file, from),
            })
            .collect()
    }

    async fn fill(&mut self, wanted: Vec<Wanted>) -> Option<Load> {
        let (mut loader, mut batch) = self.desk.take()?;
        let max_points = self.sink.max_points();
        let filled = tokio::task::spawn_blocking(move || {
            S::clear(&mut batch);
            let load = loader.fill(&wanted, max_points, &mut |sample| S::push(&mut batch, sample));
            (loader, batch, load)
        });
        let (loader, batch, load) = filled.await.ok()?;
        self.desk = Some((loader, batch));
        Some(load)
    }

    /// Receipts of files that are gone are forgotten, memory and disk.
    async fn forget(&mut self) {
        let listing = self.listing.borrow().clone();
        if !listing.is_whole {
            return;
        }
        let gone = self.cursor.progress().missing(&listing.files);
        if gone.is_empty() {
            return;
        }
        match self.sink.forget(gone.clone()).await {
            Ok(()) => {
                let mut progress = self.cursor.progress();
                gone.iter().for_each(|receipt| progress.forget(&receipt.file));
            }
            // They are found missing with the next listing, too.
            Err(fault) => tracing::debug!("old receipts stay: {fault}"),
        }
    }

    fn note_failure(&mut self, failed: Failed) {
        let Failed { told, is_starting, .. } = failed;
        if is_starting {
            self.status.send_modify(|status| {
                status.is_starting = true;
                status.trouble = Some(told);
            });
            return;
        }
        self.status.send_modify(|status| status.failures += 1);
        self.trouble(told);
    }

    fn trouble(&self, told: String) {
        if self.status.borrow().trouble.as_ref() != Some(&told) {
            tracing::warn!("{told}; perfdata waits in the spool");
        }
        self.status.send_modify(|status| {
            status.is_starting = false;
            status.trouble = Some(told);
        });
    }
}
