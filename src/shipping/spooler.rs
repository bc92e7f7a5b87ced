//! Lists the spool and removes what is done with.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::perfdata::{Config, Error, Pending, Spool, SpoolFile, Watch};
use crate::telemetry::sentence;

use super::{Cursor, Listing, SpoolStatus};

pub struct Spooler {
    config: Config,
    spool: Spool,
    sinks: Vec<Cursor>,
    listing: watch::Sender<Listing>,
    status: watch::Sender<SpoolStatus>,
}

impl Spooler {
    pub(super) fn new(
        config: &Config,
        sinks: Vec<Cursor>,
        listing: watch::Sender<Listing>,
    ) -> (Self, watch::Receiver<SpoolStatus>) {
        let (status, receiver) = watch::channel(SpoolStatus::default());
        let spool = Spool::new(config);
        (Self { config: config.clone(), spool, sinks, listing, status }, receiver)
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
        let listing = Listing {
            // Beyond what is listed at once nothing is known of files.
            is_whole: pending.files.len() as u64 == pending.count,
            files: pending.files.into(),
        };
        let now = SystemTime::now();
        let (done, waiting): (Vec<_>, Vec<_>) = listing.files.iter().partition(|file| {
            self.sinks.iter().all(|sink| sink.progress().lets_go(file, sink.replay_window, now))
        });
        let done = done.into_iter().cloned().collect();
        let oldest =
            waiting.iter().find(|file| !self.sinks.iter().all(|sink| sink.progress().has(file)));
        let oldest = oldest.map(|file| SystemTime::UNIX_EPOCH + Duration::from_secs(file.rotated));
        let fault = self.retire(done).await.or(pending.fault);
        self.status.send_modify(|status| {
            status.files = pending.count;
            status.bytes = pending.disk_bytes;
            status.oldest = oldest;
            status.lost_files += lost_files;
            status.lost_bytes += lost_bytes;
        });
        self.trouble(fault.map(|fault| sentence(&fault)));
        self.listing.send_replace(listing);
    }

    async fn retire(&self, done: Vec<SpoolFile>) -> Option<Error> {
        let spool = self.spool.clone();
        let retired = tokio::task::spawn_blocking(move || {
            done.iter().filter_map(|file| spool.retire(file).err()).next()
        });
        retired.await.unwrap_or(None)
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
