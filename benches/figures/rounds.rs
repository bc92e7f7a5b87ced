//! Several runs of several servers by turns, so that a machine that becomes
//! slower becomes so for all of them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The median; of an even number, the lower one of the middle.
pub fn median<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values = values.into_iter().collect::<Vec<_>>();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().saturating_sub(1) / 2).copied()
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Files that servers of another role read.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("wbb-").tempdir_in("/tmp")?))
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<String> {
        let path = self.path(name);
        fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
