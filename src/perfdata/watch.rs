//! Word from the kernel that something came into the spool.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use inotify::{EventStream, Inotify, WatchMask};
use tokio_util::sync::CancellationToken;

use super::Config;

const EVENT_BYTES: usize = 4096;

/// Wakes when a file comes into the spool.
pub struct Watch {
    dir: PathBuf,
    interval: Duration,
    /// None where the kernel gives none (too many of this user): then the
    /// interval alone must do.
    events: Option<EventStream<[u8; EVENT_BYTES]>>,
}

impl Watch {
    /// Within a tokio runtime.
    pub fn new(config: &Config) -> Self {
        let events =
            Inotify::init().and_then(|inotify| inotify.into_event_stream([0; EVENT_BYTES])).ok();
        let watch = Self { dir: config.spool.clone(), interval: config.scan_interval, events };
        watch.arm();
        watch
    }

    /// Returns when something came into the spool since the last call (or
    /// might have), when the scan interval has passed or at `stop`.
    pub async fn wait(&mut self, stop: &CancellationToken) {
        // Again each time: the directory may be a new one under its old name.
        self.arm();
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(self.interval) => {}
            () = self.event() => {}
        }
    }

    fn arm(&self) {
        if let Some(events) = &self.events {
            let arrivals = WatchMask::MOVED_TO | WatchMask::CREATE | WatchMask::ONLYDIR;
            // A directory that is not there is reported by whoever lists it.
            let _ = events.watches().add(&self.dir, arrivals);
        }
    }

    /// What happened is found by listing: a burst counts as one event.
    async fn event(&mut self) {
        if let Some(events) = &mut self.events
            && matches!(events.next().await, Some(Ok(_)))
        {
            while let Some(Some(Ok(_))) = events.next().now_or_never() {}
            return;
        }
        std::future::pending().await
    }
}
