//! Memory that all connections share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What each connection may hold without asking: most calls and replies.
pub(super) const FREE: usize = 16 * 1024;

/// Counted in KiB, because a semaphore hands out at most u32::MAX at once.
const UNIT: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
    units: usize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

impl Share {
    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT
    }

    /// Parts with what covers so many bytes beyond the free ones, or with all.
    pub(super) fn split(&mut self, bytes: usize) -> Share {
        let units = bytes.saturating_sub(FREE).div_ceil(UNIT).min(self.bytes() / UNIT);
        Share(self.0.as_mut().filter(|_| units > 0).and_then(|held| held.split(units)))
    }
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        let units = (bytes as usize).div_ceil(UNIT);
        Self { room: Arc::new(Semaphore::new(units)), units }
    }

    /// Waits until the share covers so many bytes beyond the free ones.
    /// Whoever needs more than there is at all waits for all there is.
    pub(super) async fn cover(&self, share: &mut Share, bytes: usize) {
        let wanted = bytes.saturating_sub(FREE).div_ceil(UNIT).min(self.units);
        let missing = wanted.saturating_sub(share.bytes() / UNIT);
        if missing == 0 {
            return;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        // It is never closed, so this always gives a permit.
        if let Ok(more) = Arc::clone(&self.room).acquire_many_owned(missing).await {
            match &mut share.0 {
                Some(held) => held.merge(more),
                None => share.0 = Some(more),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_share_grows_and_comes_back() {
        let budget = Budget::new(100 * 1024);
        let mut share = Share::default();
        budget.cover(&mut share, FREE).await;
        assert_eq!(share.bytes(), 0);
        budget.cover(&mut share, FREE + 1).await;
        budget.cover(&mut share, FREE + 60 * 1024).await;
        assert_eq!(share.bytes(), 60 * 1024);
        assert_eq!(budget.room.available_permits(), 40);

        let part = share.split(FREE + 5 * 1024);
        assert_eq!((part.bytes(), share.bytes()), (5 * 1024, 55 * 1024));
        drop(part);
        budget.cover(&mut share, FREE + 60 * 1024).await;
        assert_eq!(share.split(FREE).bytes(), 0);

        let mut other = Share::default();
        let wait = budget.cover(&mut other, FREE + 50 * 1024);
        assert!(tokio::time::timeout(Duration::from_millis(20), wait).await.is_err());
        drop(share);
        budget.cover(&mut other, FREE + 50 * 1024).await;
        drop(other);

        let mut all = Share::default();
        budget.cover(&mut all, usize::MAX).await;
        assert_eq!(all.bytes(), 100 * 1024);
    }
}
