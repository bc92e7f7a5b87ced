//! A batch through a connection of its own.
//!
//! Carbon never answers. But when we end our half of the connection, it ends
//! its own only after its process has read every byte: that end is the
//! receipt. It says that Carbon has the points in memory, not that they are
//! on disk; a Carbon that dies after it still loses them, which is what the
//! replay of whoever sends is for.
//!
//! An end that comes before ours is no receipt. Linux reports it as a plain
//! end also when a reset follows it, so it is looked for before our end, and
//! the socket's error after its. What slips through is a peer that closes
//! while our end is under way; it takes no further connection then.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Batch, Config, Destination};

/// Carbon's process has read the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub points: usize,
    /// From the first byte sent.
    pub took: Duration,
    /// From the last byte sent: how far behind Carbon was.
    pub waited: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("cannot resolve carbon's address {to}")]
    Resolve { to: Destination, source: io::Error },
    #[error("cannot connect to carbon at {to}")]
    Connect { to: Destination, source: io::Error },
    #[error("carbon at {to} took no connection within {after:?}")]
    ConnectTimeout { to: Destination, after: Duration },
    #[error("the connection to carbon at {to} broke while sending")]
    Write { to: Destination, source: io::Error },
    #[error("carbon at {to} took no byte within {after:?}")]
    WriteTimeout { to: Destination, after: Duration },
    #[error("the connection to carbon at {to} broke before carbon had read the batch")]
    Receipt { to: Destination, source: io::Error },
    #[error("carbon at {to} did not read the batch within {after:?}")]
    ReceiptTimeout { to: Destination, after: Duration },
    #[error("carbon at {to} ended the connection before the batch was through")]
    Closed { to: Destination },
    #[error("what listens at {to} answers, so it is not carbon")]
    Answered { to: Destination },
}

impl SendError {
    /// A smaller batch may get through.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::WriteTimeout { .. } | Self::ReceiptTimeout { .. })
    }
}

/// Sends to one destination.
#[derive(Clone, Debug)]
pub struct Sender {
    to: Destination,
    connect_timeout: Duration,
    write_timeout: Duration,
    receipt_timeout: Duration,
}

impl Sender {
    pub fn new(to: Destination, config: &Config) -> Self {
        Self {
            to,
            connect_timeout: config.connect_timeout,
            write_timeout: config.write_timeout,
            receipt_timeout: config.receipt_timeout,
        }
    }

    pub fn destination(&self) -> &Destination {
        &self.to
    }

    /// After an error any part of the batch may have arrived: send it again.
    pub async fn send_batch(&self, batch: Batch<'_>) -> Result<Receipt, SendError> {
        let mut stream = self.connect().await?;
        let started = Instant::now();
        self.write(&mut stream, batch.bytes).await?;
        let written = Instant::now();
        self.receipt(&mut stream).await?;
        Ok(Receipt { points: batch.points, took: started.elapsed(), waited: written.elapsed() })
    }

    async fn connect(&self) -> Result<TcpStream, SendError> {
        let to = || self.to.clone();
        let attempt = async {
            let addresses = tokio::net::lookup_host(self.to.as_str())
                .await
                .map_err(|source| SendError::Resolve { to: to(), source })?
                .collect::<Vec<SocketAddr>>();
            TcpStream::connect(&*addresses)
                .await
                .map_err(|source| SendError::Connect { to: to(), source })
        };
        let after = self.connect_timeout;
        timeout(after, attempt)
            .await
            .unwrap_or_else(|_| Err(SendError::ConnectTimeout { to: to(), after }))
    }

    /// As long as Carbon takes something now and then, however slowly.
    async fn write(&self, stream: &mut TcpStream, mut bytes: &[u8]) -> Result<(), SendError> {
        let broken = |source| SendError::Write { to: self.to.clone(), source };
        let after = self.write_timeout;
        while !bytes.is_empty() {
            let written = timeout(after, stream.write(bytes))
                .await
                .map_err(|_| SendError::WriteTimeout { to: self.to.clone(), after })?
                .map_err(broken)?;
            bytes = &bytes[written..];
        }
        match recv(stream.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => stream.shutdown().await.map_err(broken),
            Err(errno) => Err(broken(errno.into())),
            Ok(0) => Err(SendError::Closed { to: self.to.clone() }),
            Ok(_) => Err(SendError::Answered { to: self.to.clone() }),
        }
    }

    async fn receipt(&self, stream: &mut TcpStream) -> Result<(), SendError> {
        let to = || self.to.clone();
        let after = self.receipt_timeout;
        let read = timeout(after, stream.read(&mut [0]))
            .await
            .map_err(|_| SendError::ReceiptTimeout { to: to(), after })?;
        let error = stream.take_error();
        match (read, error) {
            (Ok(0), Ok(None)) => Ok(()),
            (Ok(0), Ok(Some(source))) | (Ok(0), Err(source)) | (Err(source), _) => {
                Err(SendError::Receipt { to: to(), source })
            }
            (Ok(_), _) => Err(SendError::Answered { to: to() }),
        }
    }
}
