//! What get_metrics costs at the door, beside a bare TCP server that answers
//! the same bytes with the same bytes. CPU time is the server's, from /proc.
//!
//! cargo bench --bench door [CONNECTIONS] [SECONDS] [RUNS]

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::process::cpu_seconds;
use common::thrift::{Encoding, OpenDoor, config, connect, get_metrics, read_to_close};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("door") => serve_door(),
        Some("echo") => serve_echo(arguments[1].parse().unwrap(), arguments[2].parse().unwrap()),
        _ => {
            let number = |at: usize, default| {
                arguments.get(at).map_or(default, |text: &String| text.parse().unwrap())
            };
            compare(number(0, 16), number(1, 2), number(2, 5));
        }
    }
}

fn compare(connections: u64, seconds: u64, runs: u64) {
    let length = Duration::from_secs(seconds);
    println!("get_metrics, 3 series x 144 points, {connections} connections, median of {runs}");
    println!("| form | echo us | door us | ratio | door calls/s |\n|---|---|---|---|---|");
    for (name, encoding, framed) in [
        ("binary", Encoding::Binary, false),
        ("binary, framed", Encoding::Binary, true),
        ("compact", Encoding::Compact, false),
    ] {
        let request = get_metrics(encoding, framed);
        let reply = reply_length(&request);
        let mut points: Vec<_> = (0..runs)
            .map(|_| {
                let sizes = [request.len().to_string(), reply.to_string()];
                let echo = Server::start(&["echo", &sizes[0], &sizes[1]]);
                let (bare, _) = echo.load(&request, reply, connections, length);
                let door = Server::start(&["door"]);
                let (cost, rate) = door.load(&request, reply, connections, length);
                (cost / bare, bare, cost, rate)
            })
            .collect();
        points.sort_by(|a: &(f64, f64, f64, f64), b| a.0.total_cmp(&b.0));
        let (ratio, bare, cost, rate) = points[points.len() / 2];
        println!("| {name} | {bare:.1} | {cost:.1} | {ratio:.2} | {rate:.0} |");
    }
}

/// Whole replies are equally long.
fn reply_length(request: &[u8]) -> usize {
    use std::io::Write;

    let door = OpenDoor::new(&config());
    let mut stream = connect(door.tcp());
    stream.write_all(request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    read_to_close(&stream).len()
}

fn serve_door() {
    let door = OpenDoor::new(&config());
    println!("{}", door.tcp());
    wait_for_end();
}

fn serve_echo(request: usize, reply: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    println!("{}", listener.local_addr().unwrap());
    runtime.spawn(async move {
        let reply: Arc<[u8]> = vec![7; reply].into();
        let mut guests = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let reply = Arc::clone(&reply);
            guests.spawn(async move {
                let mut buffer = vec![0; request];
                while stream.read_exact(&mut buffer).await.is_ok() {
                    if stream.write_all(&reply).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    wait_for_end();
    runtime.shutdown_background();
}

/// Until the parent closes the pipe or is gone.
fn wait_for_end() {
    // Its end and its failure both mean to go.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

struct Server {
    child: Child,
    address: SocketAddr,
    _said: BufReader<ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap(), _said: said }
    }

    /// User and system time so far, in microseconds.
    fn cpu(&self) -> f64 {
        cpu_seconds(self.child.id()) * 1e6
    }

    /// CPU microseconds a call, and calls a second.
    fn load(&self, request: &[u8], reply: usize, connections: u64, length: Duration) -> (f64, f64) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let request: Arc<[u8]> = request.into();
        let (calls, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        runtime.block_on(async {
            let mut guests = JoinSet::new();
            for _ in 0..connections {
                let mut stream = TcpStream::connect(self.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (request, calls, stop) = (request.clone(), calls.clone(), stop.clone());
                guests.spawn(async move {
                    let mut buffer = vec![0; reply];
                    while !stop.load(Ordering::Relaxed) {
                        stream.write_all(&request).await.unwrap();
                        stream.read_exact(&mut buffer).await.unwrap();
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (before, done, began) = (self.cpu(), calls.load(Ordering::Relaxed), Instant::now());
            tokio::time::sleep(length).await;
            let count = (calls.load(Ordering::Relaxed) - done) as f64;
            let (cost, took) = (self.cpu() - before, began.elapsed());
            stop.store(true, Ordering::Relaxed);
            while guests.join_next().await.is_some() {}
            (cost / count, count / took.as_secs_f64())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
