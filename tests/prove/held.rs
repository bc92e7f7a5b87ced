//! What the process holds at a moment, and how that grows.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::common::appliance::Appliance;

#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub at: Duration,
    pub descriptors: u64,
    pub threads: u64,
    /// Of the runtime; none where the page did not answer.
    pub tasks: Option<u64>,
    pub resident_kib: u64,
    /// The state directory without the ledger, which is to keep everything.
    pub state_kib: u64,
    pub ledger_kib: u64,
    pub spool_kib: u64,
}

impl Held {
    pub fn now(appliance: &Appliance, spool: &Path, began: Instant) -> Self {
        let at = format!("/proc/{}", appliance.pid());
        let status = fs::read_to_string(format!("{at}/status")).unwrap();
        let number = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let (state_kib, ledger_kib) = sizes(&appliance.path("state"));
        Self {
            at: began.elapsed(),
            descriptors: fs::read_dir(format!("{at}/fd")).unwrap().count() as u64,
            threads: number("Threads:"),
            tasks: tasks(&appliance.page()),
            resident_kib: number("VmRSS:"),
            state_kib,
            ledger_kib,
            spool_kib: sizes(spool).0,
        }
    }
}

/// KiB of all files but the ledger's, and of those.
fn sizes(dir: &Path) -> (u64, u64) {
    let (mut others, mut ledger) = (0, 0);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // It may be gone since.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            others += sizes(&entry.path()).0;
        } else if entry.file_name().to_string_lossy().starts_with("ledger.db") {
            ledger += meta.len() / 1024;
        } else {
            others += meta.len() / 1024;
        }
    }
    (others, ledger)
}

fn tasks(page: &Path) -> Option<u64> {
    let mut stream = UnixStream::connect(page).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut told = String::new();
    stream.read_to_string(&mut told).ok()?;
    told.lines().find_map(|line| line.strip_prefix("weather_balloon_tasks "))?.trim().parse().ok()
}

/// So much an hour, by least squares.
pub fn slope(held: &[Held], of: impl Fn(&Held) -> u64) -> f64 {
    let count = held.len() as f64;
    let hours = |one: &Held| one.at.as_secs_f64() / 3600.0;
    let of = |one: &Held| of(one) as f64;
    let (mean_x, mean_y) =
        (held.iter().map(hours).sum::<f64>() / count, held.iter().map(of).sum::<f64>() / count);
    let above: f64 = held.iter().map(|one| (hours(one) - mean_x) * (of(one) - mean_y)).sum();
    let below: f64 = held.iter().map(|one| (hours(one) - mean_x).powi(2)).sum();
    above / below
}

/// The most of the first half, and of the second.
pub fn most(held: &[Held], of: impl Fn(&Held) -> Option<u64>) -> (u64, u64) {
    let (early, late) = held.split_at(held.len() / 2);
    let most = |held: &[Held]| held.iter().filter_map(&of).max().unwrap();
    (most(early), most(late))
}
