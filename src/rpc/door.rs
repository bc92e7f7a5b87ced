//! Who comes in, who stays, who has to go.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::listen::{self, Accepted, Endpoint, Listeners, Passed};

use super::answer::Services;
use super::config::Config;
use super::connection::{Connection, End, Peer, Shared};
use super::pulse::{self, Heart, Pulse};
use super::slot::{Slot, now};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("[rpc] {key}: {reason}")]
    Config { key: &'static str, reason: String },
    #[error("the Thrift door, [rpc], cannot open")]
    Listen(#[from] listen::Error),
}

/// The bound sockets. Nobody is answered before [`Door::serve`].
pub struct Door {
    config: Config,
    listeners: Listeners,
    addresses: Vec<Endpoint>,
    pulse: Pulse,
    heart: Heart,
}

impl Door {
    /// Binds every address, or none.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        Self::open(config, &mut Passed::default()).await
    }

    /// The same; an address that is passed to us is not bound again.
    pub async fn open(config: &Config, passed: &mut Passed) -> Result<Self, Error> {
        if let Some((key, reason)) = config.check().into_iter().next() {
            return Err(Error::Config { key, reason });
        }
        let (listeners, addresses) = Listeners::bind(&config.listen, &config.tls, passed).await?;
        let (pulse, heart) = pulse::pair();
        Ok(Self { config: config.clone(), listeners, addresses, pulse, heart })
    }

    /// In the order of `listen`, with the ports that port 0 became.
    pub fn addresses(&self) -> &[Endpoint] {
        &self.addresses
    }

    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Answers until `stop`; then lets running calls end, for a short while.
    pub async fn serve(self, services: Services, stop: CancellationToken) -> Result<(), Error> {
        let Self { config, mut listeners, mut heart, .. } = self;
        let mut guests = Guests {
            shared: Arc::new(Shared::new(&config, services)),
            max: config.max_connections,
            epoch: Instant::now(),
            tasks: JoinSet::new(),
            known: HashMap::new(),
        };
        let idle = config.idle_timeout;
        let mut sweep = tokio::time::interval(
            (idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(10)),
        );
        let mut pause = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // Who asked and gave up needs no answer.
                Some(asked) = heart.recv() => drop(asked.send(())),
                Some(ended) = guests.tasks.join_next_with_id() => guests.forget(ended),
                _ = sweep.tick() => {
                    guests.close_idle(idle);
                    guests.shared.journal.catch_up();
                }
                () = wait_for(pause), if pause.is_some() => pause = None,
                accepted = listeners.accept(), if pause.is_none() => match accepted {
                    Ok(accepted) => guests.admit(accepted, config.message_timeout),
                    Err(fault) => pause = guests.failed_accept(&fault),
                },
            }
        }
        listeners.close();
        guests.leave().await;
        Ok(())
    }
}

async fn wait_for(until: Option<tokio::time::Instant>) {
    if let Some(until) = until {
        sleep_until(until).await;
    }
}

fn refuse(shared: &Shared, peer: Peer, why: &End) {
    shared.journal.say(format_args!("refused the connection of {peer}: {why}"));
}

/// The connections that are open, and the door's hold on each.
struct Guests {
    shared: Arc<Shared>,
    max: usize,
    epoch: Instant,
    tasks: JoinSet<()>,
    known: HashMap<Id, (Arc<Slot>, AbortHandle)>,
}

impl Guests {
    fn admit(&mut self, accepted: Accepted, handshake: Duration) {
        let peer = match &accepted {
            Accepted::Tcp(_, peer) | Accepted::Tls(_, peer, _) => Peer::Tcp(*peer),
            Accepted::Unix(stream) => Peer::Unix(stream.peer_cred().ok().map(|of| of.uid())),
        };
        if self.known.len() >= self.max && !self.close_oldest_idle() {
            self.shared.journal.say(format_args!(
                "refused the connection of {peer}: there are [rpc] max_connections ({}) and none is idle",
                self.max
            ));
            return;
        }
        let slot = Arc::new(Slot::new(self.epoch));
        let shared = Arc::clone(&self.shared);
        let handle = match accepted {
            Accepted::Tcp(stream, _) => {
                self.tasks.spawn(Connection::new(stream, peer, Arc::clone(&slot), shared).run())
            }
            Accepted::Unix(stream) => {
                self.tasks.spawn(Connection::new(stream, peer, Arc::clone(&slot), shared).run())
            }
            Accepted::Tls(stream, _, acceptor) => {
                let slot = Arc::clone(&slot);
                self.tasks.spawn(async move {
                    match timeout(handshake, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => Connection::new(stream, peer, slot, shared).run().await,
                        Ok(Err(fault)) => refuse(&shared, peer, &End::Tls(fault)),
                        Err(_) => refuse(&shared, peer, &End::MessageLate),
                    }
                })
            }
        };
        self.known.insert(handle.id(), (slot, handle));
    }

    /// Pauses when the process has run out of something: the connection stays
    /// in the queue, so asking at once again would only spin.
    fn failed_accept(&mut self, fault: &io::Error) -> Option<tokio::time::Instant> {
        const PAUSE: Duration = Duration::from_millis(100);
        let errno = fault.raw_os_error().map(Errno::from_raw);
        // That connection is gone; the next one may be fine.
        if matches!(errno, Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO)) {
            return None;
        }
        let room = if self.close_oldest_idle() { "; the oldest idle one makes room" } else { "" };
        self.shared.journal.say(format_args!("cannot accept a connection: {fault}{room}"));
        Some(tokio::time::Instant::now() + PAUSE)
    }

    fn close_oldest_idle(&mut self) -> bool {
        loop {
            let oldest = self
                .known
                .iter()
                .filter_map(|(id, (slot, _))| Some((slot.resting_since()?, *id)))
                .min_by_key(|(since, _)| *since);
            let Some((_, id)) = oldest else { return false };
            // It may have woken since it was looked at.
            if self.close(id) {
                return true;
            }
        }
    }

    fn close_idle(&mut self, longer_than: Duration) {
        let before = now(self.epoch).saturating_sub(longer_than.as_millis() as u64);
        let due: Vec<_> = self
            .known
            .iter()
            .filter(|(_, (slot, _))| slot.resting_since().is_some_and(|since| since < before))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.close(id);
        }
    }

    /// False: it does not rest.
    fn close(&mut self, id: Id) -> bool {
        let Some((slot, task)) = self.known.get(&id) else { return false };
        if !slot.evict() {
            return false;
        }
        task.abort();
        self.known.remove(&id);
        true
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(fault) => {
                if fault.is_panic() {
                    tracing::error!("a Thrift connection panicked: {fault}");
                }
                fault.id()
            }
        };
        self.known.remove(&id);
    }

    /// Closes who rests, waits a little for the others, closes them too.
    async fn leave(mut self) {
        const GRACE: Duration = Duration::from_secs(2);
        self.shared.stopping.store(true, Ordering::SeqCst);
        let all: Vec<_> = self.known.keys().copied().collect();
        for id in all {
            self.close(id);
        }
        let deadline = tokio::time::Instant::now() + GRACE;
        while let Ok(Some(ended)) = timeout_at(deadline, self.tasks.join_next_with_id()).await {
            self.forget(ended);
        }
        if !self.known.is_empty() {
            tracing::warn!(
                "{} Thrift calls did not end in time and were cut off",
                self.known.len()
            );
        }
        self.tasks.shutdown().await;
    }
}
