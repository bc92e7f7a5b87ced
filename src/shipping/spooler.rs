//! Lists the spool and removes what is done with.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::perfdata::{Config, Error, Pending, Spool, SpoolFile, Watch};
use crate::state::{ShippedFile, State};
use crate::telemetry::sentence;

use super::{Listing, Sink, SpoolStatus};

pub struct Spooler {
    config: Config,
    spool: Spool,
    sinks: Vec<Sink>,
    listing: watch::Sender<Listing>,
    state: Arc<State>,
    status: watch::Sender<SpoolStatus>,
}

impl Spooler {
    pub(super) fn new(
        config: &Config,
        sinks: Vec<Sink>,
        listing: watch::Sender<Listing>,
        state: Arc<State>,
    ) -> (Self, watch::Receiver<SpoolStatus>) {
        let (status, receiver) = watch::channel(SpoolStatus::default());
        let spool = Spool::new(config);
        (Self { config: config.clone(), spool, sinks, listing, state, status }, receiver)
    }

    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut watch = Watch::new(&self.config);
        while !stop.is_cancelled() {
            match self.list().await {
                Ok(pending) => self.sort_out(pending).await,
                Err(fault) => self.trouble(Some(sentence(&fault))),
            }
            watch.wait(&stop).await;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Pending, Error> {
        let (spool, sinks) = (self.spool.clone(), self.sinks.clone());
        let had = move |file: &SpoolFile| sinks.iter().all(|sink| sink.progress().has(file));
        tokio::task::spawn_blocking(move || spool.pending(had))
            .await
            .unwrap_or_else(|_| Ok(Pending::default()))
    }

    async fn sort_out(&self, pending: Pending) {
        let lost: Vec<&SpoolFile> = pending
            .dropped
            .iter()
            .filter(|file| !self.sinks.iter().all(|sink| sink.progress().has(file)))
            .collect();
        let (lost_files, lost_bytes) =
            (lost.len() as u64, lost.iter().map(|file| file.size).sum::<u64>());
        if lost_files > 0 {
            tracing::error!(
                lost_files,
                lost_bytes,
                "the perfdata spool is full: the oldest files went before every sink had them"
            );
        }
        // Beyond what is listed at once nothing is known of files.
        if pending.files.len() as u64 == pending.count {
            self.forget(&pending.files).await;
        }
        let now = SystemTime::now();
        let (done, waiting): (Vec<_>, Vec<_>) = pending.files.into_iter().partition(|file| {
            self.sinks.iter().all(|sink| sink.progress().lets_go(file, sink.replay_window, now))
        });
        let fault = self.retire(done).await.or(pending.fault);
        let oldest =
            waiting.iter().find(|file| !self.sinks.iter().all(|sink| sink.progress().has(file)));
        let oldest = oldest.map(|file| SystemTime::UNIX_EPOCH + Duration::from_secs(file.rotated));
        self.status.send_modify(|status| {
            status.files = pending.count;
            status.bytes = pending.disk_bytes;
            status.oldest = oldest;
            status.lost_files += lost_files;
            status.lost_bytes += lost_bytes;
        });
        self.trouble(fault.map(|fault| sentence(&fault)));
        self.listing.send_replace(waiting.into());
    }

    async fn retire(&self, done: Vec<SpoolFile>) -> Option<Error> {
        let spool = self.spool.clone();
        let retired = tokio::task::spawn_blocking(move || {
            done.iter().filter_map(|file| spool.retire(file).err()).next()
        });
        retired.await.unwrap_or(None)
    }

    /// Receipts of files that are gone are forgotten, memory and disk.
    async fn forget(&self, there: &[SpoolFile]) {
        let mut gone: Vec<ShippedFile> = Vec::new();
        for sink in &self.sinks {
            let mut progress = sink.progress();
            let missing = progress.missing(there);
            missing.iter().for_each(|file| progress.forget(file));
            gone.extend(missing);
        }
        if gone.is_empty() {
            return;
        }
        if let Err(fault) = self.state.forget_shipped(gone).await {
            tracing::warn!("old receipts stay in the state: {}", sentence(&fault));
        }
    }

    fn trouble(&self, trouble: Option<String>) {
        if let Some(told) = &trouble
            && self.status.borrow().trouble != trouble
        {
            tracing::error!("{told}");
        }
        self.status.send_modify(|status| status.trouble = trouble);
    }
}
