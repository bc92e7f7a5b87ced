//! What the page costs with 10,000 hosts: time and CPU of an answer and its
//! size, the same of what Prometheus asks for, and what the Thrift door's calls
//! cost while somebody scrapes.
//!
//! The appliance's parts run in a process of their own, so that CPU time, from
//! /proc, is theirs alone.
//!
//! cargo bench --bench page [RUNS [ROUNDS]]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench fails by panicking, and its tasks end with its runtime"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::page::status;
use common::process::cpu_seconds;
use common::results::Results;
use common::sample::{Plan, Sample};
use common::thrift::{Encoding, config, frame, get_metrics, raw_call, read_to_close};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weather_balloon::inspect::Inspector;
use weather_balloon::rpc;

const HOSTS: usize = 10_000;
const CONNECTIONS: usize = 16;
const LOAD: Duration = Duration::from_secs(2);

/// Path, the longest time at the median, the largest answer.
const WANTED: [(&str, Duration, usize); 6] = [
    ("/", Duration::from_millis(50), 100_000),
    ("/hosts", Duration::from_millis(50), 100_000),
    ("/hosts?search=i-1", Duration::from_millis(50), 100_000),
    ("/hosts?state=pending&owner=a", Duration::from_millis(50), 100_000),
    ("/v1/hosts", Duration::from_millis(50), 100_000),
    ("/metrics", Duration::from_millis(5), 100_000),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|word| word == "serve") {
        return serve();
    }
    let number = |at: usize, default| arguments.get(at).map_or(default, |n| n.parse().unwrap());
    let (runs, rounds) = (number(0, 200), number(1, 9));
    let server = Server::start();
    let mut results = Results::begin("The page and what Prometheus reads");
    let missed = pages(&server, runs, &mut results) | scraped(&server, rounds, &mut results);
    results.publish();
    assert!(!missed, "over a limit");
}

/// Whether a limit was missed.
fn pages(server: &Server, runs: usize, results: &mut Results) -> bool {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let host = ("/hosts/east_i-1000", Duration::from_secs(1), 400_000);
    let mut missed = false;
    for (path, longest, largest) in WANTED.into_iter().chain([host]) {
        // The first one may find that what Nagios says is to be read anew.
        let size = server.get(path).len();
        let before = server.cpu();
        let mut took: Vec<Duration> = (0..runs)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(status(&server.get(path)), 200);
                began.elapsed()
            })
            .collect();
        let cost = (server.cpu() - before) / runs as f64 / 1e3;
        took.sort();
        let (median, late) = (took[runs / 2], took[runs * 99 / 100]);
        let met = median <= longest && size <= largest;
        missed |= !met;
        let measured = format!(
            "{cost:.2} ms of CPU, {:.2} ms (99 of 100 within {:.2} ms), {:.1} KB",
            ms(median),
            ms(late),
            size as f64 / 1e3
        );
        let what = format!("`GET {path}` with {HOSTS} hosts, {runs} times");
        let target = format!("{longest:?}, {} KB", largest / 1000);
        results.judge(&what, &target, &measured, "", met);
    }
    missed
}

/// Rounds of all in turn, so that a machine that becomes slower becomes so for
/// all of them; without a scraper at both ends, which tells what noise is.
const SCRAPES: [(&str, Option<Duration>); 4] = [
    ("no scraper", None),
    ("a scraper once a second", Some(Duration::from_secs(1))),
    ("a scraper ten times a second", Some(Duration::from_millis(100))),
    ("no scraper again", None),
];
/// What a scraper may add, unless the machine's own noise is more.
const NOISE: f64 = 1.05;

fn scraped(server: &Server, rounds: usize, results: &mut Results) -> bool {
    // i32 fields 1 and 2: all of time.
    let window = [&[8, 0, 1, 0, 0, 0, 0, 8, 0, 2][..], &i32::MAX.to_be_bytes(), &[0]].concat();
    let leaderboard = frame(&raw_call("get_leaderboard", &window));
    let calls =
        [("get_metrics", get_metrics(Encoding::Binary, true)), ("get_leaderboard", leaderboard)];
    let mut missed = false;
    for (name, request) in calls {
        let reply = server.reply_length(&request);
        let measured: Vec<_> = (0..rounds)
            .map(|_| SCRAPES.map(|(_, every)| server.load(&request, reply, every)))
            .collect();
        let ratio = |at: usize| median(measured.iter().map(|round| round[at].0 / round[0].0));
        let bare = median(measured.iter().map(|round| round[0].0));
        let limit = ratio(SCRAPES.len() - 1).max(NOISE);
        for (at, (scraper, _)) in SCRAPES.into_iter().enumerate().skip(1) {
            let cost = median(measured.iter().map(|round| round[at].0));
            let rate = median(measured.iter().map(|round| round[at].1));
            missed |= ratio(at) > limit;
            let what = format!("{name}, {CONNECTIONS} connections, {scraper}, CPU a call");
            let shown = format!("{cost:.2} us, {:.3} x, {rate:.0} calls/s", ratio(at));
            let target = format!("at most {limit:.2} x no scraper");
            results.judge(&what, &target, &shown, &format!("{bare:.2} us"), ratio(at) <= limit);
        }
    }
    missed
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The sample, its page, and a Thrift door to the same parts.
fn serve() {
    let sample = Sample::of(&Plan::large(HOSTS));
    let parts = sample.services.clone();
    let services = rpc::Services {
        hosts: parts.hosts,
        metrics: parts.metrics,
        shipping: parts.shipping,
        clouds: parts.clouds,
        usage: parts.usage,
        inspector: Inspector::default(),
        calls: parts.calls,
    };
    let runtime = common::page::runtime();
    let door = runtime.block_on(rpc::Door::bind(&config())).unwrap();
    println!("{} {}", sample.page.address(), door.addresses()[0]);
    runtime.spawn(door.serve(services, CancellationToken::new()));
    // Until the parent closes the pipe or is gone: its end and its failure both
    // mean to go.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
}

struct Server {
    child: Child,
    page: SocketAddr,
    door: SocketAddr,
    _said: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let (page, door) = line.trim().split_once(' ').expect("the server did not start");
        let (page, door) = (page.parse().unwrap(), door.parse().unwrap());
        Self { child, page, door, _said: said }
    }

    /// User and system time so far, in microseconds.
    fn cpu(&self) -> f64 {
        cpu_seconds(self.child.id()) * 1e6
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.page).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn reply_length(&self, request: &[u8]) -> usize {
        let mut stream = TcpStream::connect(self.door).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        read_to_close(&stream).len()
    }

    /// CPU microseconds a call and calls a second, while somebody scrapes.
    fn load(&self, request: &[u8], reply: usize, scrape: Option<Duration>) -> (f64, f64) {
        let runtime = common::page::runtime();
        let request: Arc<[u8]> = request.into();
        let (calls, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let measured = runtime.block_on(async {
            let mut guests = JoinSet::new();
            for _ in 0..CONNECTIONS {
                let mut stream = tokio::net::TcpStream::connect(self.door).await.unwrap();
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
            if let Some(every) = scrape {
                guests.spawn(scraper(self.page, every, Arc::clone(&stop)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (before, done, began) = (self.cpu(), calls.load(Ordering::Relaxed), Instant::now());
            tokio::time::sleep(LOAD).await;
            let count = (calls.load(Ordering::Relaxed) - done) as f64;
            let (cost, took) = (self.cpu() - before, began.elapsed());
            stop.store(true, Ordering::Relaxed);
            while let Some(ended) = guests.join_next().await {
                ended.unwrap();
            }
            (cost / count, count / took.as_secs_f64())
        });
        runtime.shutdown_background();
        measured
    }
}

/// As Prometheus does: one connection, which stays.
async fn scraper(page: SocketAddr, every: Duration, stop: Arc<AtomicBool>) {
    let mut stream = tokio::net::TcpStream::connect(page).await.unwrap();
    let mut answer = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        answer.clear();
        while !answer.ends_with(b"# EOF\n") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the page closed");
        }
        tokio::time::sleep(every).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
