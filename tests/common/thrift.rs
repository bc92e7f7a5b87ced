//! A Thrift door in this process, on a free port of loopback, and the bytes
//! that clients send to one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a rig fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TCompactOutputProtocol, TOutputProtocol,
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use weather_balloon::cloud::Clouds;
use weather_balloon::hosts::Hosts;
use weather_balloon::inspect::Inspector;
use weather_balloon::metrics::Metrics;
use weather_balloon::model::{Datapoint, Series};
use weather_balloon::rpc::wire::hosts::{Host, HostsSyncClient, THostsSyncClient};
use weather_balloon::rpc::{Config, Door, Endpoint, Services};
use weather_balloon::shipping::Shipping;
use weather_balloon::store;
use weather_balloon::usage::Usage;

/// Longer than anything takes here, shorter than a hung test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Three series of a day, with a gap in every tenth slot.
pub fn series() -> Vec<Series> {
    let point = |series: i64, slot: i64| Datapoint {
        time: 1_767_139_200 + 600 * slot,
        value: (slot % 10 != 9).then_some((series * 1000 + slot) as f64 / 8.0),
    };
    (0..3)
        .map(|n| Series {
            name: format!("load.load{n}"),
            points: (0..144).map(|slot| point(n, slot)).collect(),
        })
        .collect()
}

pub fn config() -> Config {
    Config { listen: vec!["127.0.0.1:0".to_owned()], ..Config::default() }
}

/// An open door. Dropping it closes it and fails if that takes too long.
pub struct OpenDoor {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    served: Option<std::sync::mpsc::Receiver<Result<(), weather_balloon::rpc::Error>>>,
    pub addresses: Vec<Endpoint>,
}

impl OpenDoor {
    pub fn new(config: &Config) -> Self {
        Self::answering(config, series())
    }

    pub fn answering(config: &Config, series: Vec<Series>) -> Self {
        Self::opened(config, series, None)
    }

    /// Answers the cloud service from this ledger.
    pub fn on_ledger(config: &Config, ledger: &store::Config) -> Self {
        Self::opened(config, series(), Some(ledger))
    }

    fn opened(config: &Config, series: Vec<Series>, ledger: Option<&store::Config>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let door = runtime.block_on(Door::bind(config)).unwrap();
        let addresses = door.addresses().to_vec();
        let stop = CancellationToken::new();
        let usage = match ledger {
            None => Usage::off(),
            Some(ledger) => {
                let (handle, opener) = store::Handle::opening(ledger.clone());
                let (usage, refresher) = Usage::start(handle, Default::default());
                runtime.spawn(opener.run(stop.clone(), stop.clone()));
                runtime.spawn(refresher.run(stop.clone()));
                usage
            }
        };
        let services = Services {
            hosts: Hosts::detached(),
            metrics: Metrics::in_memory(series),
            shipping: Shipping::off(),
            usage,
            inspector: Inspector::default(),
            clouds: Clouds::none(),
            calls: weather_balloon::telemetry::Calls::default(),
        };
        let (done, served) = std::sync::mpsc::channel();
        let serving = door.serve(services, stop.clone());
        runtime.spawn(async move { done.send(serving.await).unwrap() });
        Self { runtime: Some(runtime), stop, served: Some(served), addresses }
    }

    pub fn tcp(&self) -> SocketAddr {
        match self.addresses[0] {
            Endpoint::Tcp(address) | Endpoint::Tls(address) => address,
            Endpoint::Unix(_) => panic!("a unix socket has no port"),
        }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.tcp())
    }

    /// Asks it to stop; returns when it has.
    pub fn close(&mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            served.recv_timeout(Duration::from_secs(5)).expect("the door did not close").unwrap();
        }
    }
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client in the form that most use: buffered, strict binary.
pub fn client<S: Read + Write>(
    read: S,
    write: S,
) -> HostsSyncClient<TBinaryInputProtocol<S>, TBinaryOutputProtocol<S>> {
    HostsSyncClient::new(
        TBinaryInputProtocol::new(read, true),
        TBinaryOutputProtocol::new(write, true),
    )
}

pub fn tcp_client(
    address: SocketAddr,
) -> HostsSyncClient<TBinaryInputProtocol<TcpStream>, TBinaryOutputProtocol<TcpStream>> {
    let stream = connect(address);
    client(stream.try_clone().unwrap(), stream)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Binary,
    OldBinary,
    Compact,
}

/// What a client writes for one call, until it waits for the reply.
pub fn call(encoding: Encoding, framed: bool, make: impl Fn(&mut dyn THostsSyncClient)) -> Vec<u8> {
    let mut bytes = Vec::new();
    match encoding {
        Encoding::Binary => write(TBinaryOutputProtocol::new(&mut bytes, true), make),
        Encoding::OldBinary => write(TBinaryOutputProtocol::new(&mut bytes, false), make),
        Encoding::Compact => write(TCompactOutputProtocol::new(&mut bytes), make),
    }
    if framed { frame(&bytes) } else { bytes }
}

fn write(out: impl TOutputProtocol, make: impl Fn(&mut dyn THostsSyncClient)) {
    make(&mut HostsSyncClient::new(TBinaryInputProtocol::new(&[][..], true), out));
}

pub fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}

pub fn get_metrics(encoding: Encoding, framed: bool) -> Vec<u8> {
    call(encoding, framed, |c| drop(c.get_metrics("vm-1".to_owned(), "*.*".to_owned())))
}

/// A strict binary call of any name with these arguments.
pub fn raw_call(name: &str, arguments: &[u8]) -> Vec<u8> {
    let length = (name.len() as u32).to_be_bytes();
    [b"\x80\x01\x00\x01", &length[..], name.as_bytes(), b"\0\0\0\x07", arguments].concat()
}

pub fn hosts(count: usize) -> Vec<Host> {
    (0..count)
        .map(|n| {
            Host::new(
                format!("i-{n:08x}"),
                format!("a virtual machine {n}"),
                format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255),
            )
        })
        .collect()
}

/// Everything the peer says until it closes. A reset is a close.
pub fn read_to_close(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(fault) if fault.kind() == std::io::ErrorKind::ConnectionReset => return bytes,
            Err(fault) => panic!("the peer did not close: {fault}"),
        }
    }
}

pub fn read_bytes(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
