//! How far long work has come, on a terminal and nowhere else.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);

pub struct Progress {
    terminal: bool,
    /// Guards the line on the terminal: when it was last written.
    shown: Mutex<Option<Instant>>,
}

impl Progress {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: Mutex::new(None) }
    }

    pub fn show(&self, text: &str) {
        if !self.terminal {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none_or(|at| at.elapsed() >= PAUSE) {
            *shown = Some(Instant::now());
            // A terminal that went away misses nothing.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    pub fn clear(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.take().is_some() {
            // As above.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
