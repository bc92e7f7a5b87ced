//! An HTTP server on a real socket that says exactly what a test tells it to,
//! for faults that real servers cannot be made to show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and serves from plain threads"
)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does after a request, in order. When the steps are done the
/// connection waits for its next request.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Again and again, until the peer goes away.
    Forever(Vec<u8>),
    /// Nothing, until the peer goes away.
    Silence,
    Close,
}

#[derive(Clone, Debug)]
pub struct Request {
    /// Method, path and version.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Stops serving and joins its threads when dropped.
pub struct Upstream {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<(TcpStream, JoinHandle<()>)>>,
    accepted: AtomicUsize,
    sent: AtomicUsize,
}

trait Handler: Fn(&Request) -> Vec<Step> + Send + Sync + 'static {}
impl<F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static> Handler for F {}

impl Upstream {
    /// The same steps for every request.
    pub fn saying(steps: Vec<Step>) -> Self {
        Self::start(move |_| steps.clone())
    }

    pub fn start(handler: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", handler)
    }

    /// Where 0 is any free port.
    pub fn start_at(
        address: &str,
        handler: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::serve("http", address, handler, |stream| Ok(Box::new(stream)))
    }

    /// With a certificate for 127.0.0.1 that signs itself; its PEM is the
    /// second value.
    pub fn start_tls(
        handler: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> (Self, String) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let upstream = Self::serve("https", "127.0.0.1:0", handler, move |stream| {
            let session =
                rustls::ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            Ok(Box::new(rustls::StreamOwned::new(session, stream)))
        });
        (upstream, own.cert.pem())
    }

    fn serve(
        scheme: &'static str,
        address: &str,
        handler: impl Handler,
        wrap: impl Fn(TcpStream) -> io::Result<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = {
            let shared = shared.clone();
            let both = Arc::new((handler, wrap));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let stream = stream.unwrap();
                    if shared.stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.accepted.fetch_add(1, Ordering::SeqCst);
                    stream.set_nodelay(true).unwrap();
                    let kept = stream.try_clone().unwrap();
                    let ended = stream.try_clone().unwrap();
                    let (shared_there, both) = (shared.clone(), both.clone());
                    let thread = std::thread::spawn(move || {
                        // The peer may leave whenever it likes.
                        let _ = both.1(stream).and_then(|s| converse(s, &shared_there, &both.0));
                        // `kept` holds the socket open.
                        let _ = ended.shutdown(Shutdown::Both);
                    });
                    shared.connections.lock().unwrap().push((kept, thread));
                }
            })
        };
        Self { address, scheme, shared, accepting: Some(accepting) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Bytes of answers that the kernel has taken so far.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for (stream, thread) in self.shared.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

fn converse(stream: Box<dyn Stream>, shared: &Shared, handler: &impl Handler) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream)? {
        let steps = handler(&request);
        shared.requests.lock().unwrap().push(request);
        for step in steps {
            let mut send = |bytes: &[u8]| {
                for piece in bytes.chunks(16 * 1024) {
                    stream.get_mut().write_all(piece)?;
                    stream.get_mut().flush()?;
                    shared.sent.fetch_add(piece.len(), Ordering::SeqCst);
                }
                Ok::<_, io::Error>(())
            };
            match step {
                Step::Send(bytes) => send(&bytes)?,
                Step::Pause(time) => std::thread::sleep(time),
                Step::Forever(bytes) => loop {
                    send(&bytes)?;
                    if shared.stopping.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                },
                Step::Silence => {
                    while stream.get_mut().read(&mut [0; 1024])? > 0 {}
                    return Ok(());
                }
                Step::Close => return Ok(()),
            }
        }
    }
    Ok(())
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { line: line.trim().to_owned(), headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    request.body = String::from_utf8(body).unwrap();
    Ok(Some(request))
}

/// A whole answer of a status such as "200 OK".
pub fn page(status: &str, kind: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub fn json(body: impl AsRef<[u8]>) -> Vec<u8> {
    page("200 OK", "application/json", body)
}

/// The head of an answer whose body ends when the connection does.
pub fn open_ended_json() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".to_vec()
}
