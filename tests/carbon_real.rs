//! Our sender and a real Carbon.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::time::Duration;

use nix::sys::signal::Signal;

use common::carbon::{Carbon, STEP, last_step};
use common::keeper;
use weather_balloon::carbon::{Config, Destination, Framer, Protocol, SendError, Sender};
use weather_balloon::model::{PathBuffer, Sample};

fn sender(port: u16) -> Sender {
    let config = Config {
        write_timeout: Duration::from_secs(20),
        receipt_timeout: Duration::from_secs(20),
        ..Config::default()
    };
    sender_with(port, &config)
}

fn sender_with(port: u16, config: &Config) -> Sender {
    Sender::new(Destination::parse(&format!("127.0.0.1:{port}")).unwrap(), config)
}

/// `points` of each of `hosts` series, the newest in the slot before this one.
fn fill(framer: &mut Framer, label: &str, hosts: usize, points: i64) -> Vec<String> {
    let mut paths = PathBuffer::default();
    let newest = last_step() - STEP;
    let mut names = Vec::new();
    for host in 0..hosts {
        paths.set_head(b"nagios", format!("h{host}").as_bytes(), b"svc").unwrap();
        let path = paths.label(label.as_bytes(), false).unwrap();
        for age in (0..points).rev() {
            let value = value_of(host, age);
            framer.push(&Sample::new(path, newest - age * STEP, value).unwrap());
        }
        names.push(path.as_str().to_owned());
    }
    names
}

fn value_of(host: usize, age: i64) -> f64 {
    host as f64 + age as f64 / 1000.0
}

async fn every_point_arrives(protocol: Protocol, label: &str) {
    let carbon = Carbon::start();
    let port = match protocol {
        Protocol::Pickle => carbon.pickle_port,
        Protocol::Plaintext => carbon.line_port,
    };
    let mut framer = Framer::new(protocol);
    let names = fill(&mut framer, label, 20, 125);
    let newest = last_step() - STEP;
    let receipt = sender(port).send_batch(framer.batch()).await.unwrap();
    assert_eq!(receipt.points, 2500);
    for (host, name) in names.iter().enumerate() {
        let stored = carbon.wait_for(name, 125);
        let values = stored.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        let expected = (0..125).rev().map(|age| value_of(host, age)).collect::<Vec<_>>();
        assert_eq!(values, expected, "{name}");
        assert!((stored[124].0 - newest).abs() <= STEP, "{stored:?}");
    }
}

#[tokio::test]
async fn every_point_of_a_pickle_batch_arrives() {
    every_point_arrives(Protocol::Pickle, "load1").await;
}

#[tokio::test]
async fn every_point_of_a_plaintext_batch_arrives() {
    every_point_arrives(Protocol::Plaintext, "load1").await;
}

/// Paths of the greatest length make frames of the greatest size.
#[tokio::test]
async fn the_biggest_frame_is_accepted() {
    let carbon = Carbon::start();
    let mut framer = Framer::new(Protocol::Pickle);
    let mut paths = PathBuffer::default();
    let prefix = vec!["x".repeat(109); 8].join(".");
    paths.set_head(prefix.as_bytes(), b"h", b"").unwrap();
    let label = "y".repeat(128);
    let path = paths.label(label.as_bytes(), false).unwrap();
    let newest = last_step() - STEP;
    for age in (0..1000).rev() {
        framer.push(&Sample::new(path, newest - age * STEP, 1.0).unwrap());
    }
    let batch = framer.batch();
    let first = u32::from_be_bytes(batch.bytes[..4].try_into().unwrap());
    assert!(first > 898_000, "the frame has {first} bytes only");
    sender(carbon.pickle_port).send_batch(batch).await.unwrap();
    assert_eq!(carbon.wait_for(path.as_str(), 1000).len(), 1000);
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut framer = Framer::new(Protocol::Pickle);
    fill(&mut framer, "load1", 1, 1);
    let fault = sender(port).send_batch(framer.batch()).await.unwrap_err();
    assert!(matches!(fault, SendError::Connect { .. }), "{fault:?}");
    assert!(!fault.is_slow());
}

#[tokio::test]
async fn a_stopped_carbon_gives_no_receipt_and_a_woken_one_does() {
    let carbon = Carbon::start();
    let mut framer = Framer::new(Protocol::Pickle);
    let names = fill(&mut framer, "load1", 1, 10);
    let config = Config { receipt_timeout: Duration::from_millis(300), ..Config::default() };
    keeper::signal(carbon.child(), Signal::SIGSTOP);
    let impatient = sender_with(carbon.pickle_port, &config);
    let fault = impatient.send_batch(framer.batch()).await.unwrap_err();
    assert!(matches!(fault, SendError::ReceiptTimeout { .. }), "{fault:?}");
    assert!(fault.is_slow());
    // More than the kernels hold for a process that does not read.
    let mut big = Framer::new(Protocol::Pickle);
    fill(&mut big, "big", 400, 1000);
    let config = Config { write_timeout: Duration::from_millis(300), ..Config::default() };
    let fault = sender_with(carbon.pickle_port, &config).send_batch(big.batch()).await.unwrap_err();
    assert!(matches!(fault, SendError::WriteTimeout { .. }), "{fault:?}");

    keeper::signal(carbon.child(), Signal::SIGCONT);
    sender(carbon.pickle_port).send_batch(framer.batch()).await.unwrap();
    assert_eq!(carbon.wait_for(&names[0], 10).len(), 10);
}

#[tokio::test]
async fn a_carbon_killed_within_a_batch_gives_no_receipt() {
    let carbon = Carbon::start();
    let mut framer = Framer::new(Protocol::Pickle);
    fill(&mut framer, "load1", 400, 1000);
    let sender = sender(carbon.pickle_port);
    let idle = cpu_ticks(carbon.child().id());
    let kill = async {
        // It reads and unpickles; a tenth of what the whole batch takes is done.
        while cpu_ticks(carbon.child().id()) < idle + 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        keeper::signal(carbon.child(), Signal::SIGKILL);
    };
    let (sent, ()) = tokio::join!(sender.send_batch(framer.batch()), kill);
    let fault = sent.unwrap_err();
    assert!(matches!(fault, SendError::Write { .. } | SendError::Receipt { .. }), "{fault:?}");
}

/// Hundredths of a second that a process has worked: fields 14 and 15 of
/// proc_pid_stat(5), behind a name in brackets.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
