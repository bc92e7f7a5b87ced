//! Stands between a directory and the LDAP library. The library reads BER by
//! recursion and keeps all that it is sent, so that a few hundred kilobytes of
//! nested tags would end the process: only whole messages of a sane size, depth
//! and shape reach it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Of one message.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Of one message; each takes about a hundred bytes of memory.
const MAX_ELEMENTS: usize = 250_000;
/// A search result's entry has six levels.
const MAX_DEPTH: usize = 16;
/// In answer to one question. The library keeps them all until they are asked
/// for.
const MAX_ANSWER_MESSAGES: usize = 1000;
const MAX_ANSWER_BYTES: usize = 2 * MAX_BYTES;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const EXTENDED_RESPONSE: u8 = 0x78;
/// Bind response, search entry, search result, search reference, extended and
/// intermediate response (RFC 4511, section 4.2).
const RESPONSES: [u8; 6] = [0x61, 0x64, 0x65, 0x73, EXTENDED_RESPONSE, 0x79];

/// What is wrong with what a directory sent.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("it is not LDAP")]
    Shape,
    #[error(
        "a message is larger than {MAX_BYTES} bytes, {MAX_ELEMENTS} elements or {MAX_DEPTH} levels"
    )]
    Large,
    #[error("an answer is longer than {MAX_ANSWER_MESSAGES} messages or {MAX_ANSWER_BYTES} bytes")]
    Long,
    #[error("the connection broke off")]
    Broken(#[source] io::Error),
    #[error("the connection broke off in mid-message")]
    Cut,
}

/// What a directory may still send in answer to the question under way.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Allowance {
    /// The next question is about to be asked.
    pub(super) fn renew(&self) {
        self.messages.store(MAX_ANSWER_MESSAGES, Ordering::Relaxed);
        self.bytes.store(MAX_ANSWER_BYTES, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> Result<(), Malformed> {
        let less = |left: &AtomicUsize, by| {
            left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(by))
        };
        let both = less(&self.messages, 1).and(less(&self.bytes, bytes));
        both.map(drop).map_err(|_| Malformed::Long)
    }
}

/// Carries bytes both ways until one side closes.
pub(super) async fn relay<S>(
    server: S,
    library: &mut UnixStream,
    allowance: &Allowance,
) -> Result<(), Malformed>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut from_library, mut to_library) = library.split();
    let up = tokio::io::copy(&mut from_library, &mut to_server);
    let down = async {
        let mut frames = Frames::default();
        while let Some(message) = frames.next(&mut from_server).await? {
            allowance.take(message.len())?;
            to_library.write_all(&message).await.map_err(Malformed::Broken)?;
        }
        Ok(())
    };
    tokio::select! {
        sent = up => sent.map(drop).map_err(Malformed::Broken),
        received = down => received,
    }
}

/// Asks for TLS (RFC 4511, section 4.14). The stream is then ready for it;
/// otherwise the server's result code says why not.
pub(super) async fn start_tls<S>(server: &mut S) -> Result<Result<(), u8>, Malformed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    const REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    server.write_all(REQUEST).await.map_err(Malformed::Broken)?;
    server.flush().await.map_err(Malformed::Broken)?;
    let mut frames = Frames::default();
    let message = frames.next(server).await?.ok_or(Malformed::Cut)?;
    // Whatever came before the encryption is not the server's word.
    if !frames.buffer.is_empty() {
        return Err(Malformed::Shape);
    }
    let envelope = Header::read(&message)?.ok_or(Malformed::Shape)?;
    let inner = message.get(envelope.length..).unwrap_or_default();
    let rest = inner.strip_prefix(b"\x02\x01\x01").ok_or(Malformed::Shape)?;
    let operation = Header::read(rest)?.ok_or(Malformed::Shape)?;
    match (operation.tag, rest.get(operation.length..)) {
        (EXTENDED_RESPONSE, Some(&[0x0a, 0x01, 0, ..])) => Ok(Ok(())),
        (EXTENDED_RESPONSE, Some(&[0x0a, 0x01, code, ..])) => Ok(Err(code)),
        _ => Err(Malformed::Shape),
    }
}

/// Whole messages out of a stream of bytes.
#[derive(Default)]
struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    async fn next(
        &mut self,
        server: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Vec<u8>>, Malformed> {
        loop {
            if let Some(length) = frame(&self.buffer)?
                && self.buffer.len() >= length
            {
                let rest = self.buffer.split_off(length);
                let message = std::mem::replace(&mut self.buffer, rest);
                inspect(&message)?;
                return Ok(Some(message));
            }
            self.buffer.reserve(16 * 1024);
            let read = server.read_buf(&mut self.buffer).await.map_err(Malformed::Broken)?;
            if read == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(Malformed::Cut) };
            }
        }
    }
}

/// The length of the message that begins here, once that can be told.
fn frame(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Err(Malformed::Shape);
    }
    let Some(header) = Header::read(bytes)? else { return Ok(None) };
    let length = header.length + header.content;
    if length > MAX_BYTES { Err(Malformed::Large) } else { Ok(Some(length)) }
}

/// A BER tag with its length.
struct Header {
    tag: u8,
    /// Of the header itself.
    length: usize,
    content: usize,
}

impl Header {
    /// Nothing where the bytes do not reach.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let [tag, first, rest @ ..] = bytes else { return Ok(None) };
        // LDAP has no long tags and no indefinite lengths (RFC 4511, 5.1).
        if tag & 0x1f == 0x1f {
            return Err(Malformed::Shape);
        }
        let (length, content) = match *first {
            short @ 0..=0x7f => (2, usize::from(short)),
            long @ 0x81..=0x84 => {
                let count = usize::from(long - 0x80);
                let Some(digits) = rest.get(..count) else { return Ok(None) };
                let content = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (2 + count, content)
            }
            _ => return Err(Malformed::Shape),
        };
        Ok(Some(Self { tag: *tag, length, content }))
    }
}

/// Lets a message pass whose tags nest as they should, and that is a response.
fn inspect(message: &[u8]) -> Result<(), Malformed> {
    let mut ends = Vec::new();
    let (mut at, mut elements) = (0, 0);
    let mut second = Vec::new();
    while at < message.len() {
        while ends.last() == Some(&at) {
            ends.pop();
        }
        let header = Header::read(&message[at..])?.ok_or(Malformed::Shape)?;
        let end = at + header.length + header.content;
        if end > ends.last().copied().unwrap_or(message.len()) {
            return Err(Malformed::Shape);
        }
        elements += 1;
        if ends.len() == 1 && second.len() < 3 {
            second.push((header.tag, header.content));
        }
        let constructed = header.tag & 0x20 != 0;
        if constructed && header.content > 0 {
            ends.push(end);
            at += header.length;
        } else {
            at = end;
        }
        if elements > MAX_ELEMENTS || ends.len() > MAX_DEPTH {
            return Err(Malformed::Large);
        }
    }
    match second.as_slice() {
        [(INTEGER, 1..=4), (tag, _), ..] if RESPONSES.contains(tag) => Ok(()),
        _ => Err(Malformed::Shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, 0x84];
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
        bytes
    }

    fn response(tag: u8, content: &[u8]) -> Vec<u8> {
        wrap(SEQUENCE, &[&[INTEGER, 1, 7], &*wrap(tag, content)].concat())
    }

    async fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut frames = Frames::default();
        let mut rest = bytes;
        let mut read = Vec::new();
        while let Some(message) = frames.next(&mut rest).await? {
            read.push(message);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn whole_messages_pass() {
        let done = response(0x65, b"\x0a\x01\0\x04\0\x04\0");
        let short = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0".to_vec();
        let both = [done.clone(), short.clone()].concat();
        assert_eq!(read(&both).await.unwrap(), [done.clone(), short]);
        for cut in 1..done.len() {
            let fault = read(&done[..cut]).await.unwrap_err();
            assert!(matches!(fault, Malformed::Cut), "{cut}: {fault:?}");
        }
    }

    #[tokio::test]
    async fn no_depth_reaches_the_library() {
        let mut deep = vec![0x04, 0];
        for _ in 0..20_000 {
            deep = if deep.len() < 4_000_000 { wrap(0x30, &deep) } else { deep };
            if deep.len() > 100_000 {
                break;
            }
        }
        assert!(matches!(read(&response(0x64, &deep)).await, Err(Malformed::Large)));
        let many = [0x04, 0].repeat(MAX_ELEMENTS);
        assert!(matches!(read(&response(0x64, &many)).await, Err(Malformed::Large)));
        let long = [SEQUENCE, 0x84, 0x7f, 0, 0, 0];
        assert!(matches!(read(&long).await, Err(Malformed::Large)));
    }

    #[tokio::test]
    async fn what_is_not_ldap_is_refused() {
        for bad in [
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            b"\x16\x03\x01\x02\0".to_vec(),
            b"\x30\x80\0\0".to_vec(),
            b"\x30\x85\0\0\0\0\x01".to_vec(),
            // Nothing in it; no operation; no id; a request.
            b"\x30\0".to_vec(),
            b"\x30\x03\x02\x01\x01".to_vec(),
            b"\x30\x02\x61\0".to_vec(),
            b"\x30\x05\x02\x01\x01\x63\0".to_vec(),
            // An element that is longer than what it is in.
            b"\x30\x05\x02\x01\x01\x61\x01".to_vec(),
            b"\x30\x07\x02\x01\x01\x61\x02\x04\x05".to_vec(),
            b"\x30\x05\x02\x01\x01\x7f\0".to_vec(),
        ] {
            let fault = read(&bad).await;
            assert!(matches!(fault, Err(Malformed::Shape)), "{bad:?}: {fault:?}");
        }
    }
}
