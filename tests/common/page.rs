//! The page's door by itself, with nothing behind it, and what speaks to it
//! byte by byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig stops the test where something is missing"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use weather_balloon::cloud::Clouds;
use weather_balloon::hosts::Hosts;
use weather_balloon::http::{Config, Door, Services};
use weather_balloon::listen::Endpoint;
use weather_balloon::metrics::Metrics;
use weather_balloon::model::Series;
use weather_balloon::shipping::Shipping;
use weather_balloon::telemetry::Calls;
use weather_balloon::usage::Usage;

pub const TOKEN: &str = "t0ken-of-the-test";

/// What somebody may choose as a name in the hope that a page takes it for its
/// own.
pub const CORPUS: [&str; 8] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' autofocus onfocus='alert(1)",
    "</title></table></svg><script>alert(1)</script>",
    "javascript:alert(1)//",
    "{{7*7}}${7*7}<!--",
    "&lt;b&gt;<b>bold</b>",
];

pub struct Page {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    address: SocketAddr,
    _scratch: tempfile::TempDir,
}

impl Page {
    /// On a free port, or where `more` says, with [`TOKEN`] as the token.
    pub fn open(more: &str) -> Self {
        Self::answering(more, Vec::new())
    }

    pub fn answering(more: &str, series: Vec<Series>) -> Self {
        let services = Services {
            hosts: Hosts::detached(),
            metrics: Metrics::in_memory(series),
            shipping: Shipping::off(),
            usage: Usage::off(),
            clouds: Clouds::none(),
            calls: Calls::default(),
        };
        Self::of(runtime(), more, services)
    }

    /// Whatever runs on the runtime ends with the page.
    pub fn of(runtime: Runtime, more: &str, services: Services) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let token = scratch.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&token, private).unwrap();
        let listen = if more.contains("listen") { "" } else { "listen = ['127.0.0.1:0']" };
        let text = format!("{listen}\ntoken_file = {token:?}\n{more}");
        let config: Config = toml::from_str(&text).unwrap();
        let door = runtime.block_on(Door::bind(&config)).unwrap();
        let (Endpoint::Tcp(address) | Endpoint::Tls(address)) = door.addresses()[0] else {
            panic!("not on TCP")
        };
        let stop = CancellationToken::new();
        runtime.spawn(door.serve(services, stop.clone()));
        Self { runtime: Some(runtime), stop, address, _scratch: scratch }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends these bytes and reads until the door closes.
    pub fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A door that refuses a body closes while it is still being sent.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    pub fn get(&self, path: &str) -> String {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
    }

    /// With the token and what else is given.
    pub fn write(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        self.exchange(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

pub fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.cancel();
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
