//! The real binary with a configuration of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use weather_balloon::rpc::wire::hosts::HostsStatus;

use crate::rounds::Scratch;
use crate::{child, keeper, wire};

const BINARY: &str = env!("CARGO_BIN_EXE_weather-balloon");
const PATIENCE: Duration = Duration::from_secs(180);

/// Stopped when dropped.
pub struct Appliance {
    child: Child,
    pub address: SocketAddr,
    /// From the start of the process to its READY.
    pub start: Duration,
    log: String,
    _scratch: Scratch,
}

impl Appliance {
    /// `sections`: the [nagios] section and what else matters, as TOML.
    pub fn start(sections: &str) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let state = scratch.path("state");
        std::fs::create_dir(&state)?;
        let config = format!(
            "[rpc]\nlisten = [\"{address}\"]\n[http]\nlisten = []\n[state]\ndirectory = {state:?}\n[log]\nformat = \"text\"\n{sections}"
        );
        let config = scratch.put("weather-balloon.toml", config)?;
        let notify = scratch.path("notify");
        let news = UnixDatagram::bind(&notify)?;
        news.set_read_timeout(Some(Duration::from_secs(20)))?;
        let log = scratch.path("log");
        let output = std::fs::File::create(&log)?;
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(config).arg("serve").env("NOTIFY_SOCKET", &notify);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let begun = Instant::now();
        let child = keeper::spawn(command)?;
        let mut appliance = Self {
            child,
            address,
            start: Duration::ZERO,
            log: log.display().to_string(),
            _scratch: scratch,
        };
        let mut buffer = [0; 4096];
        loop {
            let length = news.recv(&mut buffer).map_err(anyhow::Error::from);
            let length = length.with_context(|| format!("no READY came: {}", appliance.said()))?;
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                appliance.start = begun.elapsed();
                return Ok(appliance);
            }
        }
    }

    pub fn cpu(&self) -> anyhow::Result<Duration> {
        child::cpu(self.child.id())
    }

    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        child::resident_bytes(self.child.id())
    }

    /// Waits until Nagios has read what is on disk, and no restart is due.
    pub fn wait_in_step(&self) -> anyhow::Result<HostsStatus> {
        let mut client = wire::Client::connect(self.address)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = client.status()?;
            if status.in_step == Some(true) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("Nagios did not come in step: {:?}; {}", status.trouble, self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        keeper::stop(&mut self.child);
    }
}

pub fn binary_bytes() -> anyhow::Result<u64> {
    let length = std::fs::metadata(Path::new(BINARY))?.len();
    ensure!(!cfg!(debug_assertions), "this is a debug build");
    Ok(length)
}
