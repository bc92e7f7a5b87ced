//! Many connections, each of which asks, waits for the answer and asks again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long an answer may be late at the end of a run.
const GRACE: Duration = Duration::from_secs(10);

pub struct Asker {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Asker {
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reply: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a framed message and reads the framed reply, with its length.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.reply.clear();
        let mut wanted = 4;
        while self.reply.len() < wanted {
            let read = self.stream.read_buf(&mut self.reply).await?;
            ensure!(read > 0, "the server closed the connection");
            if let Some(head) = self.reply.first_chunk::<4>() {
                wanted = 4 + u32::from_be_bytes(*head) as usize;
            }
        }
        Ok(&self.reply)
    }
}

/// The number of answers, all of the length of `expected`.
pub async fn closed_loop(
    address: SocketAddr,
    request: Arc<[u8]>,
    expected: usize,
    connections: usize,
    run: Duration,
) -> anyhow::Result<u64> {
    let mut askers = JoinSet::new();
    let end = Instant::now() + run;
    for _ in 0..connections {
        let request = Arc::clone(&request);
        askers.spawn(timeout_at(end + GRACE, async move {
            let mut asker = Asker::connect(address).await?;
            let mut answers = 0;
            while Instant::now() < end {
                let length = asker.ask(&request).await?.len();
                ensure!(length == expected, "a reply of {length} bytes, not of {expected}");
                answers += 1;
            }
            anyhow::Ok(answers)
        }));
    }
    let mut answers = 0;
    while let Some(ended) = askers.join_next().await {
        answers += ended?.context("an answer did not come")??;
    }
    Ok(answers)
}
