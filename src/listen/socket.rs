//! The sockets of a door.

use std::fs::Permissions;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::disk::staged_name;

use super::endpoint::Endpoint;
use super::passed::Passed;
use super::tls::{TlsConfig, TlsError, acceptor};

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {endpoint}")]
    Bind { endpoint: Endpoint, source: io::Error },
    #[error("something answers on {0} already: is weather-balloon running?")]
    InUse(PathBuf),
    #[error("{0} is there and is not a socket; move it away")]
    NotASocket(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen: {0}")]
    Address(String),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("tls")]
    Tls(#[from] TlsError),
}

/// The bound sockets of one door.
pub struct Listeners {
    listeners: Vec<Listener>,
    /// Whose turn it is.
    next: usize,
}

impl Listeners {
    /// Binds every address that is not passed to us, or none. Also says what
    /// they are: in the order given, with the ports that port 0 became.
    pub async fn bind(
        listen: &[String],
        tls: &TlsConfig,
        passed: &mut Passed,
    ) -> Result<(Self, Vec<Endpoint>), Error> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        let mut ready: Option<TlsAcceptor> = None;
        for text in listen {
            let endpoint = Endpoint::parse(text).map_err(Error::Address)?;
            let listener = match &endpoint {
                Endpoint::Tcp(address) => Listener::Tcp(Listener::tcp(*address, passed).await?),
                Endpoint::Unix(path) => Listener::unix(path, passed).await?,
                Endpoint::Tls(address) => {
                    let acceptor = match &ready {
                        Some(acceptor) => acceptor.clone(),
                        None => ready.insert(acceptor(tls)?).clone(),
                    };
                    Listener::Tls(Listener::tcp(*address, passed).await?, acceptor)
                }
            };
            let bound = listener
                .endpoint()
                .map_err(|source| ListenError::Bind { endpoint: endpoint.clone(), source })?;
            addresses.push(bound);
            listeners.push(listener);
        }
        Ok((Self { listeners, next: 0 }, addresses))
    }

    /// The next connection of any listener, each in its turn.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        poll_fn(|cx| {
            for offset in 0..self.listeners.len() {
                let at = (self.next + offset) % self.listeners.len();
                if let Poll::Ready(accepted) = self.listeners[at].poll_accept(cx) {
                    self.next = at + 1;
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Nobody can connect any more.
    pub fn close(&mut self) {
        self.listeners.clear();
    }
}

enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
    Unix(UnixListener, SocketFile),
    /// Whoever passed it to us keeps its file.
    PassedUnix(UnixListener, PathBuf),
}

pub enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Tls(TcpStream, SocketAddr, TlsAcceptor),
    Unix(UnixStream),
}

impl Listener {
    async fn tcp(address: SocketAddr, passed: &mut Passed) -> Result<TcpListener, ListenError> {
        let opened = match passed.tcp(address) {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(address).await,
        };
        opened.map_err(|source| ListenError::Bind { endpoint: Endpoint::Tcp(address), source })
    }

    /// A socket file that only we and our group may use. One that nobody
    /// answers on is what an earlier process has left, and is replaced.
    async fn unix(path: &Path, passed: &mut Passed) -> Result<Self, ListenError> {
        let wrap = |source| ListenError::Bind { endpoint: Endpoint::Unix(path.into()), source };
        if let Some(socket) = passed.unix(path) {
            let listener = UnixListener::from_std(socket).map_err(wrap)?;
            return Ok(Self::PassedUnix(listener, path.to_owned()));
        }
        match std::fs::symlink_metadata(path) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => {}
            Err(fault) => return Err(wrap(fault)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket(path.into()));
            }
            Ok(_) => match UnixStream::connect(path).await {
                Ok(_) => return Err(ListenError::InUse(path.into())),
                Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => {}
                Err(fault) => return Err(wrap(fault)),
            },
        }
        // Bound under another name, so that nobody meets it with other rights.
        let staged = staged_name(path);
        match std::fs::remove_file(&staged) {
            Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(wrap(fault)),
            _ => {}
        }
        let listener = UnixListener::bind(&staged).map_err(wrap)?;
        let file = std::fs::set_permissions(&staged, Permissions::from_mode(0o660))
            .and_then(|()| std::fs::rename(&staged, path))
            .and_then(|()| SocketFile::at(path))
            .map_err(wrap)?;
        Ok(Self::Unix(listener, file))
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        Ok(match self {
            Listener::Tcp(listener) => Endpoint::Tcp(listener.local_addr()?),
            Listener::Tls(listener, _) => Endpoint::Tls(listener.local_addr()?),
            Listener::Unix(_, file) => Endpoint::Unix(file.path.clone()),
            Listener::PassedUnix(_, path) => Endpoint::Unix(path.clone()),
        })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Ready(Ok(match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                stream.set_nodelay(true)?;
                Accepted::Tcp(stream, peer)
            }
            Listener::Tls(listener, acceptor) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                stream.set_nodelay(true)?;
                Accepted::Tls(stream, peer, acceptor.clone())
            }
            Listener::Unix(listener, _) | Listener::PassedUnix(listener, _) => {
                Accepted::Unix(ready!(listener.poll_accept(cx))?.0)
            }
        }))
    }
}

/// Removes the file when dropped, unless another process has put its own there.
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // What is left is found to be nobody's at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
