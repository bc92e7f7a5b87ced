//! One client: its messages one after another, each answered before the next
//! is read.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::{MaybeUninit, take};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use thrift::ApplicationErrorKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::settings::ByteSize;

use super::answer::{Services, answer};
use super::budget::{Budget, FREE, Share};
use super::call::{Call, Failure, Method, Reply};
use super::config::Config;
use super::decode::decode;
use super::detect::{Form, detect};
use super::encode::{Addressee, encode, exception, weight};
use super::journal::Journal;
use super::limits::{Limits, Refusal};
use super::scan::{Found, Scan};
use super::slot::Slot;

/// Decoding and encoding more than this is left to a blocking thread, so that
/// small calls do not wait for large ones.
const HEAVY: usize = 64 * 1024;

/// What all connections of a door share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) services: Services,
    pub(super) journal: Journal,
    pub(super) stopping: AtomicBool,
    calls: Semaphore,
    /// Large messages that are decoded or encoded right now.
    heavy: Semaphore,
    /// Messages that are being received.
    unfinished: Budget,
    /// Messages whose calls run: what was decoded of them lives on.
    running: Budget,
    /// Replies that are being sent.
    unsent: Budget,
    max_reply: usize,
    message_timeout: Duration,
    write_timeout: Duration,
    call_timeout: Duration,
}

impl Shared {
    pub(super) fn new(config: &Config, services: Services) -> Self {
        /// Two keep a machine of two cores busy and bound the memory.
        const HEAVY_AT_ONCE: usize = 2;
        // `Config::check` keeps every size far below usize::MAX.
        let bytes = |size: ByteSize| size.as_u64() as usize;
        let limits = Limits::of(config);
        Self {
            services,
            journal: Journal::new(),
            stopping: AtomicBool::new(false),
            calls: Semaphore::new(config.max_calls),
            heavy: Semaphore::new(HEAVY_AT_ONCE),
            unfinished: Budget::growing(bytes(config.max_unfinished), limits.message),
            running: Budget::new(bytes(config.max_unfinished)),
            unsent: Budget::new(bytes(config.max_unsent)),
            max_reply: bytes(config.max_reply),
            limits,
            message_timeout: config.message_timeout,
            write_timeout: config.write_timeout,
            call_timeout: config.call_timeout,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    Tcp(std::net::SocketAddr),
    /// Of this user, where the kernel tells.
    Unix(Option<u32>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix(Some(uid)) => write!(f, "unix, user {uid}"),
            Peer::Unix(None) => f.write_str("unix"),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// By its client, between two messages, or by us to stop or to make room.
    #[error("closed")]
    Closed,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("a message stopped in the middle")]
    CutShort,
    #[error("a message did not end within [rpc] message_timeout")]
    MessageLate,
    #[error("a reply was not taken within [rpc] write_timeout")]
    ReplyNotTaken,
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Bytes received and not yet used. Of what a large message needs, the
/// connection holds a share of the common budget.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// Before it: messages that were answered.
    start: usize,
    share: Share,
}

impl Input {
    fn unused(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Takes the first bytes, and the share of the budget that they need.
    fn take_first(&mut self, count: usize) -> (Vec<u8>, Share) {
        let end = self.start + count;
        if end < self.bytes.len() && count <= FREE {
            let first = self.bytes[self.start..end].to_vec();
            self.start = end;
            return (first, Share::default());
        }
        let rest = self.bytes.split_off(end);
        let mut first = std::mem::replace(&mut self.bytes, rest);
        first.drain(..take(&mut self.start));
        let mut share = take(&mut self.share);
        self.share = share.split(self.bytes.capacity());
        (first, share)
    }
}

pub(super) struct Connection<S> {
    stream: S,
    peer: Peer,
    slot: Arc<Slot>,
    shared: Arc<Shared>,
    form: Option<Form>,
    input: Input,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, peer: Peer, slot: Arc<Slot>, shared: Arc<Shared>) -> Self {
        Self { stream, peer, slot, shared, form: None, input: Input::default() }
    }

    /// Answers until the connection ends.
    pub(super) async fn run(mut self) {
        match self.answer_all().await {
            End::Closed => {}
            End::Io(fault) => tracing::debug!(peer = %self.peer, %fault, "connection lost"),
            end => {
                let peer = self.peer;
                self.shared.journal.say(format_args!("closed the connection of {peer}: {end}"));
            }
        }
    }

    async fn answer_all(&mut self) -> End {
        loop {
            match self.answer_next().await {
                Ok(()) if self.shared.stopping.load(Ordering::SeqCst) => return End::Closed,
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn answer_next(&mut self) -> Result<(), End> {
        if self.input.unused().is_empty() {
            self.slot.rest();
            // The door sets this first and then closes who rests: one of both
            // sees the other.
            if self.shared.stopping.load(Ordering::SeqCst) {
                return Err(End::Closed);
            }
            let count = read_first(&mut self.stream, &mut self.input.bytes).await;
            if !self.slot.wake() || matches!(count, Ok(0)) {
                return Err(End::Closed);
            }
            count?;
        }
        let mut scan = None;
        let found = match self.find(&mut scan)? {
            Some(found) => found,
            None => {
                let limit = self.shared.message_timeout;
                timeout(limit, self.receive(&mut scan)).await.map_err(|_| End::MessageLate)??
            }
        };
        self.answer(found).await
    }

    /// The message's end, if all of it is there.
    fn find(&mut self, scan: &mut Option<Scan>) -> Result<Option<Found>, End> {
        let limits = &self.shared.limits;
        if self.form.is_none() {
            self.form = detect(self.input.unused(), limits)?;
        }
        let Some(form) = self.form else { return Ok(None) };
        let scan = scan.get_or_insert_with(|| Scan::new(form));
        Ok(scan.advance(self.input.unused(), limits)?)
    }

    /// Reads on until the message's end is there.
    async fn receive(&mut self, scan: &mut Option<Scan>) -> Result<Found, End> {
        loop {
            let claimed = scan.as_ref().and_then(Scan::claimed_end);
            self.make_room(claimed).await;
            if self.stream.read_buf(&mut self.input.bytes).await? == 0 {
                return Err(End::CutShort);
            }
            if let Some(found) = self.find(scan)? {
                return Ok(found);
            }
        }
    }

    /// Makes sure that there is room for at least one more byte; waits for a
    /// share of the budget where that takes more than the free bytes. Room
    /// grows with what has been received; a claim only holds it down.
    async fn make_room(&mut self, claimed: Option<usize>) {
        // Large enough for the allocator to map it on its own, so that growing
        // on copies nothing and leaves no holes behind.
        const LARGE: usize = 256 * 1024;
        const STEP: usize = 1024 * 1024;
        let input = &mut self.input;
        if input.start > 0 {
            input.bytes.drain(..input.start);
            input.start = 0;
        }
        let len = input.bytes.len();
        if len < input.bytes.capacity() {
            return;
        }
        let grown = match len {
            _ if len < FREE => FREE,
            _ if len < LARGE => LARGE,
            _ => len + len.min(STEP),
        };
        let wanted = claimed.map_or(grown, |end| grown.min(end.max(len + 1)));
        self.shared.unfinished.cover(&mut input.share, wanted).await;
        input.bytes.reserve_exact(wanted - len);
    }

    async fn answer(&mut self, found: Found) -> Result<(), End> {
        let Some(form) = self.form else { return Err(Refusal::UnknownProtocol.into()) };
        let Found { header, end } = found;
        let to = Addressee { form, sequence: header.sequence };
        let name = String::from_utf8_lossy(&self.input.unused()[header.name.clone()]);
        let known = Method::named(&name).ok_or_else(|| unknown_method(to, &name));
        let (message, share) = self.input.take_first(end);
        let method = match known {
            Ok(method) => method,
            Err(_) if header.oneway => return Ok(()),
            Err(reply) => return self.send(reply).await,
        };
        let began = Instant::now();
        let reply = self.call(method, form, message, share, header.arguments).await;
        self.shared.services.calls.note(method.name(), reply.is_ok(), began.elapsed());
        if header.oneway {
            return Ok(());
        }
        self.reply(to, method, reply).await
    }

    /// Makes the call in its turn and within its time.
    async fn call(
        &self,
        method: Method,
        form: Form,
        message: Vec<u8>,
        share: Share,
        arguments: usize,
    ) -> Result<Reply, Failure> {
        let (shared, peer) = (&self.shared, self.peer);
        // On the heap, because an idle connection should not carry the room
        // for everything a call may do.
        let work = Box::pin(async move {
            let mut room = Share::default();
            shared.running.cover(&mut room, message.len()).await;
            drop(share);
            let _turn = shared.calls.acquire().await;
            let call = if message.len() <= HEAVY {
                decode(method, form.encoding, &message[arguments..], &shared.limits)
            } else {
                decode_heavy(shared, method, form, message, arguments).await
            };
            answer(&shared.services, call?, peer).await
        });
        match timeout(shared.call_timeout, contained(method, work)).await {
            Ok(reply) => reply,
            Err(_) => Err(Failure::Unavailable(format!(
                "no answer within {:?} ([rpc] call_timeout); what was begun may still be done: look before trying again",
                shared.call_timeout
            ))),
        }
    }

    async fn reply(
        &mut self,
        to: Addressee,
        method: Method,
        reply: Result<Reply, Failure>,
    ) -> Result<(), End> {
        let shared = Arc::clone(&self.shared);
        let weight = weight(&reply);
        let mut share = Share::default();
        if weight > FREE {
            let room = shared.unsent.cover(&mut share, weight);
            timeout(shared.write_timeout, room).await.map_err(|_| End::ReplyNotTaken)?;
        }
        let most = shared.max_reply;
        let message = if weight <= HEAVY {
            encode(to, method, reply, most)
        } else {
            let _turn = shared.heavy.acquire().await;
            tokio::task::spawn_blocking(move || encode(to, method, reply, most))
                .await
                .map_err(|fault| End::Io(io::Error::other(fault)))?
        };
        self.send(message).await
    }

    async fn send(&mut self, message: Vec<u8>) -> Result<(), End> {
        let stream = &mut self.stream;
        let sending = async {
            stream.write_all(&message).await?;
            // TLS keeps bytes back until then.
            stream.flush().await
        };
        timeout(self.shared.write_timeout, sending).await.map_err(|_| End::ReplyNotTaken)??;
        Ok(())
    }
}

/// A panic becomes the failure of its own call.
async fn contained(
    method: Method,
    work: impl Future<Output = Result<Reply, Failure>>,
) -> Result<Reply, Failure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked(method)))
}

async fn decode_heavy(
    shared: &Shared,
    method: Method,
    form: Form,
    message: Vec<u8>,
    arguments: usize,
) -> Result<Call, Failure> {
    let _turn = shared.heavy.acquire().await;
    let limits = shared.limits.clone();
    tokio::task::spawn_blocking(move || {
        decode(method, form.encoding, &message[arguments..], &limits)
    })
    .await
    .unwrap_or_else(|_| Err(panicked(method)))
}

fn panicked(method: Method) -> Failure {
    tracing::error!("{} panicked; this is a fault of the appliance", method.name());
    Failure::internal("the appliance failed inside; its log says more")
}

fn unknown_method(to: Addressee, name: &str) -> Vec<u8> {
    let plain = name.split_once(':').map_or(name, |(_, plain)| plain);
    let sentence = format!("unknown method {name:?}");
    exception(to, plain, ApplicationErrorKind::UnknownMethod, &sentence)
}

/// Waits for the first bytes without a buffer: they pass over the stack, so
/// that an idle connection holds no memory for them.
async fn read_first<S: AsyncRead + Unpin>(stream: &mut S, into: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut space = [MaybeUninit::uninit(); FREE];
        let mut chunk = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut chunk))?;
        into.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_failure_of_its_own_call() {
        let work = async { if true { panic!("a fault of ours") } else { Ok(Reply::Done) } };
        let reply = contained(Method::SetHosts, work).await;
        let Err(Failure::Application(kind, text)) = reply else { panic!("{reply:?}") };
        assert_eq!(kind, ApplicationErrorKind::InternalError);
        assert!(text.contains("its log says more"));
    }

    #[test]
    fn an_idle_connection_is_small() {
        let future = std::mem::size_of::<Connection<tokio::net::TcpStream>>();
        assert!(future < 400, "{future} bytes");
    }
}
