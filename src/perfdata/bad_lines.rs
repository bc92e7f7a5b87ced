//! Lines that could not be read, kept for the operator.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Of a line, this much is kept.
const KEPT_BYTES: usize = 4096;

/// A file of at most a given size and one predecessor, `.1`. What is kept is
/// plain ASCII: a line is a tenant's text, and the operator's terminal obeys
/// what it is shown.
#[derive(Debug)]
pub struct BadLines {
    path: PathBuf,
    max_bytes: u64,
    waiting: Vec<u8>,
}

impl BadLines {
    pub fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self { path, max_bytes, waiting: Vec::new() }
    }

    /// Takes a line; [`flush`](Self::flush) writes it. More than fits into the
    /// file is not taken: false.
    pub fn keep(&mut self, file: &str, reason: &str, line: &[u8]) -> bool {
        let cut = &line[..line.len().min(KEPT_BYTES)];
        let text = format!("{file}: {reason}: {}\n", cut.escape_ascii());
        let fits = (self.waiting.len() + text.len()) as u64 <= self.max_bytes;
        if fits {
            self.waiting.extend_from_slice(text.as_bytes());
        }
        fits
    }

    /// Appends what waits. It is forgotten also where that fails: these lines
    /// are a help, and a full disk is not to fill memory.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&self.path)?;
        if file.metadata()?.len() + waiting.len() as u64 > self.max_bytes {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            std::fs::rename(&self.path, older)?;
            file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&self.path)?;
        }
        file.write_all(&waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_of_bounded_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad-lines");
        let mut kept = BadLines::new(path.clone(), 1000);
        for number in 0..500 {
            assert!(kept.keep("f", "has no key", format!("line {number}").as_bytes()));
            kept.flush().unwrap();
        }
        let newest = std::fs::read_to_string(&path).unwrap();
        assert!(newest.ends_with("f: has no key: line 499\n"));
        assert!(newest.len() <= 1000);
        assert!(std::fs::metadata(dir.path().join("bad-lines.1")).unwrap().len() <= 1000);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn text_is_harmless_and_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad-lines");
        let mut kept = BadLines::new(path.clone(), 100_000);
        assert!(kept.keep("f", "r", b"\x1b[2J\xff\ttab"));
        assert!(kept.keep("f", "r", &[b'y'; 10_000]));
        assert!(!kept.keep("f", "r", &[0; 1_000_000]) || kept.waiting.len() < 100_000);
        kept.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("f: r: \\x1b[2J\\xff\\ttab\n"));
        assert!(text.len() < 100_000);
    }

    #[test]
    fn a_flood_stops_at_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = BadLines::new(dir.path().join("bad-lines"), 1000);
        let taken = (0..1000).filter(|_| kept.keep("f", "r", b"0123456789")).count();
        assert!(taken > 0 && taken < 100);
        kept.flush().unwrap();
        assert!(kept.keep("f", "r", b"again"));
    }
}
