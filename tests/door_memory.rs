//! What guests can make the door hold. The door runs in a process of its own,
//! so that what is measured is the door's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::thrift::{
    Encoding, OpenDoor, PATIENCE, call, config, connect, get_metrics, hosts, raw_call,
    read_to_close, tcp_client,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use weather_balloon::rpc::wire::hosts::THostsSyncClient;

/// Set for the child: how many descriptors it may have.
const MARK: &str = "WEATHER_BALLOON_TEST_DOOR";
const MANY: u64 = 16_384;

fn allow_descriptors(count: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(count), hard).unwrap();
}

/// Not a test: the process that the tests here start.
#[test]
#[ignore = "only the tests of this file start it"]
#[allow(clippy::disallowed_methods, reason = "how the child is told from a plain test run")]
fn door_process() {
    let Ok(descriptors) = std::env::var(MARK) else { return };
    allow_descriptors(descriptors.parse().unwrap());
    let door = OpenDoor::new(&config());
    println!("\nlistening on {}", door.tcp());
    // Until the parent closes the pipe or is gone.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(door);
}

struct DoorProcess {
    child: Child,
    /// Open to the end, because the child writes there when it ends.
    _said: std::io::Lines<BufReader<std::process::ChildStdout>>,
    address: SocketAddr,
}

impl DoorProcess {
    fn start() -> Self {
        Self::with_descriptors(MANY)
    }

    fn with_descriptors(count: u64) -> Self {
        allow_descriptors(MANY);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "door_process", "--nocapture"])
            .env(MARK, count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = said
            .find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok())
            .expect("the door process said no address");
        Self { child, _said: said, address }
    }

    /// KiB of /proc/PID/status.
    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Of the process so far, to 10 ms.
    fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = [11, 12].map(|at| fields[at].parse::<u64>().unwrap()).iter().sum();
        Duration::from_millis(10 * ticks)
    }

    fn small_call(&self) -> Duration {
        let began = Instant::now();
        let found = tcp_client(self.address).get_metrics("vm-1".into(), String::new()).unwrap();
        assert_eq!(found.len(), 3);
        began.elapsed()
    }
}

impl Drop for DoorProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn two_thousand_idle_connections_starve_nobody_and_cost_little() {
    let door = DoorProcess::start();
    door.small_call();
    let before = door.memory("VmRSS");
    // Half of them silent, half after a call.
    let request = get_metrics(Encoding::Binary, false);
    let idle: Vec<TcpStream> = (0..2000)
        .map(|n| {
            let mut stream = connect(door.address);
            if n % 2 == 0 {
                stream.write_all(&request).unwrap();
                let mut reply = [0; 4096];
                stream.read_exact(&mut reply).unwrap();
            }
            stream
        })
        .collect();
    let took = door.small_call();
    let cost = door.memory("VmRSS").saturating_sub(before);
    eprintln!("{} idle connections: {cost} KiB, a call in {took:?}", idle.len());
    assert!(cost < 10_000, "{cost} KiB");
}

#[test]
fn half_sent_messages_wait_instead_of_filling_memory() {
    const SENT: usize = 4 * 1024 * 1024;
    let door = DoorProcess::start();
    door.small_call();
    let idle = door.memory("VmRSS");
    // 190,000 hosts are claimed, of which a third is sent.
    let mut whole = call(Encoding::Binary, false, |c| drop(c.set_hosts(hosts(65_000))));
    whole[25..29].copy_from_slice(&190_000_u32.to_be_bytes());
    let framed = [b"\x01\0\0\0", &whole[..SENT]].concat();
    let mut halves: Vec<(TcpStream, &[u8])> = (0..300)
        .map(|n| {
            let stream = connect(door.address);
            stream.set_nonblocking(true).unwrap();
            (stream, if n % 2 == 0 { &whole[..SENT] } else { &framed })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        for (stream, rest) in &mut halves {
            *rest = &rest[send_some(stream, rest)..];
        }
        slowest = slowest.max(door.small_call());
    }
    let peak = door.memory("VmHWM");
    eprintln!("300 half-sent messages: {idle} to {peak} KiB, slowest call {slowest:?}");
    assert!(peak < 64_000, "more than the budget is held: {peak} KiB");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    drop(halves);
    // The room comes back, and a large message passes.
    let fault = {
        let mut bad = hosts(10_000);
        bad[9_999].id = None;
        tcp_client(door.address).set_hosts(bad).unwrap_err()
    };
    assert!(matches!(fault, thrift::Error::Application(_)), "{fault:?}");
}

/// As much as the socket takes now.
fn send_some(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn a_claim_costs_nothing() {
    let door = DoorProcess::start();
    door.small_call();
    let (resident, virtual_size) = (door.memory("VmHWM"), door.memory("VmPeak"));
    let claim = raw_call("set_hosts", b"\x0f\0\x01\x0c\x05\x5d\x4a\x80\0\0\0\0");
    assert_eq!(claim.len(), 33);
    for _ in 0..200 {
        let mut stream = connect(door.address);
        stream.write_all(&claim).unwrap();
        assert_eq!(read_to_close(&stream), b"");
        // The same claim of a string and of a frame, and then silence.
        for bytes in [
            raw_call("get_metrics", b"\x0b\0\x01\0\x0f\xff\xff"),
            b"\x00\xff\xff\xff\x80\x01\0\x01".to_vec(),
        ] {
            connect(door.address).write_all(&bytes).unwrap();
        }
    }
    door.small_call();
    let grown = door.memory("VmHWM") - resident;
    let claimed = door.memory("VmPeak") - virtual_size;
    eprintln!("200 claims of each kind: {grown} KiB resident, {claimed} KiB virtual");
    assert!(grown < 4_000, "{grown} KiB resident");
    assert!(claimed < 150_000, "{claimed} KiB virtual");
}

#[test]
fn out_of_descriptors_the_door_waits_and_recovers() {
    let door = DoorProcess::with_descriptors(60);
    door.small_call();
    // Idle ones make room for each other.
    let idle: Vec<TcpStream> = (0..100).map(|_| connect(door.address)).collect();
    door.small_call();
    drop(idle);

    // Busy ones are left alone, and nothing is done about the rest.
    let half = &get_metrics(Encoding::Binary, false)[..20];
    let mut busy: Vec<TcpStream> = (0..100).map(|_| connect(door.address)).collect();
    for stream in &mut busy {
        stream.write_all(half).unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    let before = door.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let spent = door.cpu_time() - before;
    assert!(spent < Duration::from_millis(300), "{spent:?} of CPU in a second of waiting");
    drop(busy);
    door.small_call();
}
