//! What a campaign prints: one line in a form that `prove/run.sh` collects.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::time::Instant;

/// A campaign that runs.
pub struct Row {
    part: &'static str,
    /// May tell, in the end, what was measured.
    pub what: String,
    began: Instant,
    pub points: u64,
    pub trials: u64,
    violations: Vec<String>,
}

impl Row {
    pub fn new(part: &'static str, what: impl Into<String>) -> Self {
        Self {
            part,
            what: what.into(),
            began: Instant::now(),
            points: 0,
            trials: 0,
            violations: Vec::new(),
        }
    }

    /// What it was, once that is known better.
    pub fn tell(&mut self, what: String) {
        self.what = what;
    }

    /// Runs one trial. Where it panics, that is a violation, and false.
    pub fn trial(&mut self, of: &str, trial: impl FnOnce()) -> bool {
        self.trials += 1;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(trial));
        if outcome.is_err() {
            eprintln!("violation: {}: {of}", self.what);
            self.violations.push(of.to_owned());
        }
        outcome.is_ok()
    }

    pub fn add(&mut self, other: Self) {
        self.points = self.points.max(other.points);
        self.trials += other.trials;
        self.violations.extend(other.violations);
    }

    /// Prints the line, and fails where anything was violated.
    pub fn end(self) {
        println!(
            "\nPROVED\t{}\t{}\t{}\t{}\t{}\t{}",
            self.part,
            self.what,
            self.points,
            self.trials,
            self.violations.len(),
            self.began.elapsed().as_secs()
        );
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
    }
}
