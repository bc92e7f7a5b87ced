//! Whether a connection rests between two messages. One that rests may be
//! closed at any time to make room or to stop; one that does not is left to
//! finish, so no call is cut in two.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const BUSY: u64 = 0;
const EVICTED: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Slot {
    epoch: Instant,
    /// Milliseconds since the epoch at which it came to rest, plus 1; or one
    /// of the two above.
    state: AtomicU64,
}

impl Slot {
    /// Slots that are compared share an epoch.
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, state: AtomicU64::new(BUSY) }
    }

    pub(super) fn rest(&self) {
        self.state.store(now(self.epoch) + 1, Ordering::SeqCst);
    }

    /// False: it was evicted in the meantime and must not begin a message.
    pub(super) fn wake(&self) -> bool {
        let resting = self.state.load(Ordering::SeqCst);
        resting != EVICTED
            && self
                .state
                .compare_exchange(resting, BUSY, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
    }

    /// Since when it rests, in milliseconds of the epoch.
    pub(super) fn resting_since(&self) -> Option<u64> {
        match self.state.load(Ordering::SeqCst) {
            BUSY | EVICTED => None,
            since => Some(since - 1),
        }
    }

    /// True: it rested and is closed by now for good.
    pub(super) fn evict(&self) -> bool {
        match self.state.load(Ordering::SeqCst) {
            BUSY | EVICTED => false,
            resting => self
                .state
                .compare_exchange(resting, EVICTED, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok(),
        }
    }
}

/// Milliseconds since the epoch.
pub(super) fn now(epoch: Instant) -> u64 {
    // Half a billion years fit.
    epoch.elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_resting_connection_is_evicted_and_it_never_wakes() {
        let slot = Slot::new(Instant::now());
        assert!(!slot.evict());
        slot.rest();
        assert!(slot.resting_since().is_some());
        assert!(slot.wake());
        assert!(!slot.evict());
        slot.rest();
        assert!(slot.evict());
        assert!(!slot.wake());
        assert!(!slot.evict());
        assert_eq!(slot.resting_since(), None);
    }
}
