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
    /// Its own: neither the pages of the program that it has touched, nor the
    /// archive's head; none where it did not say how much that is.
    pub memory_kib: Option<u64>,
    /// The state directory without the ledger, which is to keep everything, the
    /// archive's journal, and what SQLite has not carried over yet.
    pub disk_kib: Option<u64>,
    pub ledger_kib: u64,
    pub wal_kib: u64,
    pub spool_kib: u64,
    /// What the archive takes in between two seals, every two hours: in memory
    /// and in its journal. A soak does not last so long.
    pub head_kib: Option<u64>,
}

impl Held {
    pub fn now(appliance: &Appliance, spool: &Path, began: Instant) -> Self {
        let at = format!("/proc/{}", appliance.pid());
        let status = fs::read_to_string(format!("{at}/status")).unwrap();
        let number = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let (state, head_kib) = (sizes(&appliance.path("state")), head_kib(appliance));
        Self {
            at: began.elapsed(),
            descriptors: fs::read_dir(format!("{at}/fd")).unwrap().count() as u64,
            threads: number("Threads:"),
            tasks: tasks(&appliance.page()),
            memory_kib: head_kib.map(|head| number("RssAnon:").saturating_sub(head)),
            disk_kib: head_kib.map(|head| state.others.saturating_sub(head)),
            ledger_kib: state.ledger,
            wal_kib: state.wal,
            spool_kib: sizes(spool).others,
            head_kib,
        }
    }
}

/// KiB.
#[derive(Default)]
struct Sizes {
    others: u64,
    ledger: u64,
    wal: u64,
}

fn sizes(dir: &Path) -> Sizes {
    let mut sizes = Sizes::default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // It may be gone since.
        let Ok(meta) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if meta.is_dir() {
            sizes.others += self::sizes(&entry.path()).others;
        } else if name.ends_with("-wal") || name.ends_with("-shm") {
            sizes.wal += meta.len() / 1024;
        } else if name == "ledger.db" {
            sizes.ledger += meta.len() / 1024;
        } else {
            sizes.others += meta.len() / 1024;
        }
    }
    sizes
}

/// 16 bytes a point.
fn head_kib(appliance: &Appliance) -> Option<u64> {
    let status = appliance.try_client()?.get_archive_status().ok()?;
    Some(status.head_points? as u64 * 16 / 1024)
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
pub fn slope(held: &[Held], of: impl Fn(&Held) -> Option<u64>) -> f64 {
    let known: Vec<_> = held
        .iter()
        .filter_map(|one| Some((one.at.as_secs_f64() / 3600.0, of(one)? as f64)))
        .collect();
    let count = known.len() as f64;
    let mean_x = known.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = known.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = known.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = known.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    above / below
}

/// The most of the first half, and of the second.
pub fn most(held: &[Held], of: impl Fn(&Held) -> Option<u64>) -> (u64, u64) {
    let (early, late) = held.split_at(held.len() / 2);
    let most = |held: &[Held]| held.iter().filter_map(&of).max().unwrap();
    (most(early), most(late))
}
