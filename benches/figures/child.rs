//! A server process that is measured from outside.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::keeper;

/// Stopped when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// What a server says first on its standard output, before its address.
pub const GREETING: &str = "listening on ";

impl Server {
    /// This program again, in another role.
    pub fn role(role: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--role").args(role);
        Self::start(command)
    }

    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let shown = format!("{command:?}");
        let mut child = keeper::spawn(command).with_context(|| format!("cannot start {shown}"))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match line.trim().strip_prefix(GREETING).map(str::parse) {
            Some(Ok(address)) => Ok(Self { child, address }),
            _ => {
                keeper::stop(&mut child);
                bail!("{shown} did not say where it listens, but {line:?}");
            }
        }
    }

    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(self.child.id())
    }

    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        resident_bytes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        keeper::stop(&mut self.child);
    }
}

/// User and system time of all the process's own threads, not of its children.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold spaces; utime and stime are fields 14, 15.
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has another form")?;
    let fields = rest.split_whitespace().collect::<Vec<_>>();
    let ticks = |at: usize| -> anyhow::Result<u64> {
        Ok(fields.get(at).context("/proc/PID/stat is short")?.parse()?)
    };
    // Linux reports these in hundredths of a second whatever its own clock.
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse::<u64>()? * 1024)
}
