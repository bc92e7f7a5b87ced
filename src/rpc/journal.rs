//! What peers make us write into the log, kept short: a peer that does nothing
//! but wrong must not be able to fill a disk with our complaints.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(10);
const LINES: u32 = 20;

#[derive(Debug)]
pub(super) struct Journal {
    /// The lines of the present window.
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    unwritten: u64,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self { window: Mutex::new(Window { began: Instant::now(), written: 0, unwritten: 0 }) }
    }

    /// Says what was done to a peer's connection, and why.
    pub(super) fn say(&self, what: &str, peer: &dyn Display, why: &dyn Display) {
        if self.has_room() {
            tracing::warn!(%peer, "{what}: {why}");
        }
    }

    /// Says how much was left unsaid, once its window is over. To be called
    /// now and then.
    pub(super) fn catch_up(&self) {
        let unwritten = {
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            window.turn()
        };
        if unwritten > 0 {
            tracing::warn!("{unwritten} more messages about Thrift clients were left out");
        }
    }

    fn has_room(&self) -> bool {
        self.catch_up();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let room = window.written < LINES;
        if room {
            window.written += 1;
        } else {
            window.unwritten += 1;
        }
        room
    }
}

impl Window {
    fn turn(&mut self) -> u64 {
        if self.began.elapsed() < WINDOW {
            return 0;
        }
        self.began = Instant::now();
        self.written = 0;
        std::mem::take(&mut self.unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_so_many_lines() {
        let journal = Journal::new();
        let written = (0..1000).filter(|_| journal.has_room()).count();
        assert_eq!(written, LINES as usize);
        let mut window = journal.window.lock().unwrap();
        window.began -= WINDOW;
        assert_eq!(window.turn(), 1000 - u64::from(LINES));
        assert_eq!(window.turn(), 0);
    }
}
