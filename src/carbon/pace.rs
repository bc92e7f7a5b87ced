//! How long to wait and how much to send after trouble. Pure: the caller has
//! the clock.

use std::time::{Duration, Instant};

/// Pauses that double up to a limit. Of each pause the upper half is random,
/// so that many senders do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    pause: Duration,
    noise: u64,
}

impl Backoff {
    /// Two of different `seed`s do not keep step.
    pub fn new(longest: Duration, seed: u64) -> Self {
        let first = Duration::from_millis(250).min(longest);
        Self { first, longest, pause: first, noise: seed }
    }

    /// After a failure at `now`: when to try again.
    pub fn next(&mut self, now: Instant) -> Instant {
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(self.longest);
        now + pause.mul_f64(0.5 + 0.5 * self.random())
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.pause = self.first;
    }

    /// In [0, 1), by splitmix64.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    fn random(&mut self) -> f64 {
        self.noise = self.noise.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.noise;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How many points to send through one connection. A receiver that is too slow
/// for a batch would be sent the same one for ever: so a time-out halves it.
#[derive(Clone, Debug)]
pub struct BatchLimit {
    highest: usize,
    current: usize,
}

impl BatchLimit {
    /// About 5 KB.
    pub const LOWEST: usize = 100;

    pub fn new(highest: usize) -> Self {
        let highest = highest.max(Self::LOWEST);
        Self { highest, current: highest }
    }

    pub fn points(&self) -> usize {
        self.current
    }

    pub fn timed_out(&mut self) {
        self.current = (self.current / 2).max(Self::LOWEST);
    }

    /// After a receipt. Only where there was time to spare the next batch is a
    /// larger one: a receiver that is slow, but steady, is to see no further
    /// time-out, each of which would bring back all that it had lately.
    pub fn received(&mut self, waited: Duration, timeout: Duration) {
        if waited <= timeout / 2 {
            self.current = (self.current + self.current / 4).min(self.highest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_bounds() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(10), 7);
        let mut expected = Duration::from_millis(250);
        for _ in 0..20 {
            let pause = backoff.next(now) - now;
            assert!(pause >= expected / 2 && pause <= expected, "{pause:?} of {expected:?}");
            expected = (expected * 2).min(Duration::from_secs(10));
        }
        backoff.reset();
        assert!(backoff.next(now) - now <= Duration::from_millis(250));
    }

    #[test]
    fn seeds_do_not_keep_step() {
        let now = Instant::now();
        let pauses = |seed| {
            let mut backoff = Backoff::new(Duration::from_secs(10), seed);
            (0..8).map(|_| backoff.next(now)).collect::<Vec<_>>()
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn limits_fall_fast_and_rise_again() {
        let mut limit = BatchLimit::new(10_000);
        for _ in 0..20 {
            limit.timed_out();
        }
        assert_eq!(limit.points(), BatchLimit::LOWEST);
        for _ in 0..40 {
            limit.received(Duration::from_secs(6), Duration::from_secs(10));
        }
        assert_eq!(limit.points(), BatchLimit::LOWEST);
        for _ in 0..40 {
            limit.received(Duration::from_secs(5), Duration::from_secs(10));
        }
        assert_eq!(limit.points(), 10_000);
    }
}
