//! The ledger of this process as it comes to be open: beside the start, and
//! tried again for as long as it fails.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Config, Error, Store};
use crate::telemetry::sentence;

/// Whoever needs the ledger asks this for it each time. Clones are of the same
/// one.
#[derive(Clone, Debug)]
pub struct Handle {
    standing: watch::Receiver<Standing>,
}

#[derive(Clone)]
enum Standing {
    Opening,
    Open(Arc<dyn Store>),
    Failed(Arc<Error>),
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("Opening"),
            Self::Open(_) => f.write_str("Open"),
            Self::Failed(fault) => f.debug_tuple("Failed").field(fault).finish(),
        }
    }
}

/// Why there is no ledger to ask.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotOpen {
    #[error("the ledger is being opened")]
    Yet,
    #[error("the ledger cannot be used")]
    Failed(#[source] Arc<Error>),
}

impl Handle {
    /// The handle, and the task that opens what the configuration names.
    pub fn opening(config: Config) -> (Self, Opener) {
        let (set, standing) = watch::channel(Standing::Opening);
        (Self { standing }, Opener { config, standing: set })
    }

    pub fn get(&self) -> Result<Arc<dyn Store>, NotOpen> {
        match &*self.standing.borrow() {
            Standing::Opening => Err(NotOpen::Yet),
            Standing::Open(store) => Ok(Arc::clone(store)),
            Standing::Failed(fault) => Err(NotOpen::Failed(Arc::clone(fault))),
        }
    }

    /// The same, after the first attempt to open it has ended.
    pub async fn opened(&mut self) -> Result<Arc<dyn Store>, NotOpen> {
        let decided = |standing: &Standing| !matches!(standing, Standing::Opening);
        // Where the opener is gone, what it said last holds.
        let _ended = self.standing.wait_for(decided).await.is_err();
        self.get()
    }

    /// Waits until it stands otherwise than this clone has seen.
    pub async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

pub struct Opener {
    config: Config,
    standing: watch::Sender<Standing>,
}

impl Opener {
    const FIRST_PAUSE: Duration = Duration::from_secs(1);
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    /// Opens the ledger, however often that takes, and looks for damage once
    /// the process is `ready`. A damaged one is not used any more.
    pub async fn run(
        self,
        ready: CancellationToken,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let work = async {
            let store = self.open().await;
            ready.cancelled().await;
            self.check(&*store).await;
            std::future::pending().await
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = work => never,
        }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let mut pause = Self::FIRST_PAUSE;
        let mut told = String::new();
        loop {
            let fault = match super::open(&self.config).await {
                Ok(store) => {
                    self.standing.send_replace(Standing::Open(Arc::clone(&store)));
                    return store;
                }
                Err(fault) => fault,
            };
            let words = sentence(&fault);
            if words != told {
                tracing::error!("the ledger cannot be used: {words}; it is tried again");
                told = words;
            }
            self.standing.send_replace(Standing::Failed(Arc::new(fault)));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Self::LONGEST_PAUSE);
        }
    }

    async fn check(&self, store: &dyn Store) {
        match store.check().await {
            Ok(()) => tracing::info!("the ledger is sound"),
            Err(fault @ (Error::Damaged { .. } | Error::Spoiled(_))) => {
                tracing::error!("the ledger is not used any more: {}", sentence(&fault));
                self.standing.send_replace(Standing::Failed(Arc::new(fault)));
            }
            Err(fault) => tracing::warn!("the ledger was not checked: {}", sentence(&fault)),
        }
    }
}
