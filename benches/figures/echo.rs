//! The floor: a bare server that knows no Thrift. It reads a length and so
//! many bytes, and answers with the bytes that the door would answer with.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::child::GREETING;

/// With a URL, each answer waits for a GET of it.
pub async fn serve(reply: &str, url: Option<&str>) -> anyhow::Result<()> {
    let reply: Arc<[u8]> = tokio::fs::read(reply).await?.into();
    let client = url.map(|url| (crate::upstream::client(), url.to_owned()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{GREETING}{}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(converse(stream, Arc::clone(&reply), client.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(
    mut stream: TcpStream,
    reply: Arc<[u8]>,
    get: Option<(reqwest::Client, String)>,
) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        while let Some((head, rest)) = buffer.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*head) as usize;
            if rest.len() < length {
                break;
            }
            buffer.drain(..4 + length);
            if let Some((client, url)) = &get {
                client.get(url).send().await?.bytes().await?;
            }
            stream.write_all(&reply).await?;
        }
    }
}
