//! Which of several appliances writes the ledger, and so asks the clouds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::store::{self, Error, Lease, NotOpen, Store};
use crate::telemetry::sentence;

/// How this appliance stands to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not asked yet.
    Unasked,
    Mine(Lease),
    /// Another appliance writes it.
    Theirs,
    /// It cannot be reached; a sentence.
    Unreachable(String),
}

/// A holder that is killed is followed after this time.
const LENGTH: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(20);
/// For letting go at a stop.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

pub struct LeaseKeeper {
    ledger: store::Handle,
    holder: String,
    standing: watch::Sender<Standing>,
    /// Somebody found the lease lost.
    lost: Arc<Notify>,
    renewed: Instant,
}

impl LeaseKeeper {
    pub(super) fn new(
        ledger: store::Handle,
        holder: String,
        lost: Arc<Notify>,
    ) -> (Self, watch::Receiver<Standing>) {
        let (standing, receiver) = watch::channel(Standing::Unasked);
        (Self { ledger, holder, standing, lost, renewed: Instant::now() }, receiver)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        // Whether it could be opened is asked again with each look.
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = self.ledger.opened() => {}
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.look() => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
                () = self.lost.notified() => {}
                () = self.ledger.changed() => {}
            }
        }
        let standing = self.standing.borrow().clone();
        if let (Standing::Mine(lease), Ok(store)) = (standing, self.ledger.get()) {
            let released = tokio::time::timeout(RELEASE_TIMEOUT, store.release_lease(&lease));
            // Where it fails the lease runs out by itself.
            if !matches!(released.await, Ok(Ok(()))) {
                tracing::debug!("the ledger's lease was not released");
            }
        }
        Ok(())
    }

    async fn look(&mut self) {
        let before = self.standing.borrow().clone();
        let asked = Instant::now();
        let store = match self.ledger.get() {
            Ok(store) => store,
            Err(NotOpen::Yet) => return,
            Err(fault) => return self.stand(before, Standing::Unreachable(sentence(&fault))),
        };
        let now = match before.clone() {
            Standing::Mine(lease) => match store.renew_lease(&lease, LENGTH).await {
                Ok(()) => {
                    self.renewed = asked;
                    before.clone()
                }
                Err(Error::LeaseLost { .. }) => self.take(&*store, asked).await,
                // It is ours until it has run out; each write is fenced anyway.
                Err(_) if self.renewed.elapsed() < LENGTH => before.clone(),
                Err(fault) => Standing::Unreachable(sentence(&fault)),
            },
            _ => self.take(&*store, asked).await,
        };
        self.stand(before, now);
    }

    fn stand(&self, before: Standing, now: Standing) {
        if now != before {
            match &now {
                Standing::Mine(lease) => {
                    tracing::info!(epoch = lease.epoch, "this appliance asks the clouds");
                }
                Standing::Theirs => tracing::info!(
                    "another weather-balloon asks the clouds; its ledger is followed"
                ),
                Standing::Unreachable(told) => tracing::error!("no ledger: {told}"),
                Standing::Unasked => (),
            }
            self.standing.send_replace(now);
        }
    }

    async fn take(&mut self, store: &dyn Store, asked: Instant) -> Standing {
        match store.take_lease(&self.holder, LENGTH).await {
            Ok(Some(lease)) => {
                self.renewed = asked;
                Standing::Mine(lease)
            }
            Ok(None) => Standing::Theirs,
            Err(fault) => Standing::Unreachable(sentence(&fault)),
        }
    }
}
