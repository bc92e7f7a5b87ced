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
    lane: Option<Arc<Semaphore>>,
}

/// A part of the budget, given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Share {
    room: Option<OwnedSemaphorePermit>,
    lane: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn units(&self) -> usize {
        self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Parts with what covers so many bytes beyond the free ones, or with all.
    pub(super) fn split(&mut self, bytes: usize) -> Share {
        let units = beyond_free(bytes).min(self.units());
        let room = self.room.as_mut().filter(|_| units > 0).and_then(|held| held.split(units));
        Share { room, lane: None }
    }
}

fn beyond_free(bytes: usize) -> usize {
    bytes.saturating_sub(FREE).div_ceil(UNIT)
}

impl Budget {
    /// For who asks once: holders that asked again could wait for each other.
    pub(super) fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT);
        Self { room: Arc::new(Semaphore::new(units)), units, lane: None }
    }

    /// For who asks for more and more, each for `most` bytes in the end. So
    /// much is set aside for one holder at a time, who therefore always gets
    /// to its end and makes room for the others.
    pub(super) fn growing(bytes: usize, most: usize) -> Self {
        let lane = Some(Arc::new(Semaphore::new(1)));
        Self { lane, ..Self::new(bytes.saturating_sub(most)) }
    }

    /// Waits until the share covers so many bytes beyond the free ones.
    pub(super) async fn cover(&self, share: &mut Share, bytes: usize) {
        let wanted = beyond_free(bytes);
        let missing = wanted.saturating_sub(share.units());
        if missing == 0 || share.lane.is_some() {
            return;
        }
        // The semaphores are never closed, so each gives a permit in the end.
        match &self.lane {
            None => {
                let missing = missing.min(self.units - share.units());
                share.add(self.take(missing).await);
            }
            Some(lane) if wanted > self.units => {
                share.lane = Arc::clone(lane).acquire_owned().await.ok();
            }
            Some(lane) => tokio::select! {
                biased;
                more = self.take(missing) => share.add(more),
                all = Arc::clone(lane).acquire_owned() => share.lane = all.ok(),
            },
        }
    }

    async fn take(&self, units: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(units).await.ok()
    }
}

impl Share {
    fn add(&mut self, more: Option<OwnedSemaphorePermit>) {
        match (&mut self.room, more) {
            (Some(held), Some(more)) => held.merge(more),
            (none, more) => *none = more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const KIB: usize = 1024;

    async fn waits(budget: &Budget, share: &mut Share, bytes: usize) -> bool {
        let cover = budget.cover(share, bytes);
        tokio::time::timeout(Duration::from_millis(20), cover).await.is_err()
    }

    #[tokio::test]
    async fn a_share_grows_and_comes_back() {
        let budget = Budget::new(100 * KIB);
        let mut share = Share::default();
        budget.cover(&mut share, FREE).await;
        assert_eq!(share.units(), 0);
        budget.cover(&mut share, FREE + 1).await;
        budget.cover(&mut share, FREE + 60 * KIB).await;
        assert_eq!((share.units(), budget.room.available_permits()), (60, 40));

        let part = share.split(FREE + 5 * KIB);
        assert_eq!((part.units(), share.units()), (5, 55));
        drop(part);
        budget.cover(&mut share, FREE + 60 * KIB).await;
        assert_eq!(share.split(FREE).units(), 0);

        let mut other = Share::default();
        assert!(waits(&budget, &mut other, FREE + 50 * KIB).await);
        drop(share);
        budget.cover(&mut other, FREE + 50 * KIB).await;
        drop(other);

        let mut all = Share::default();
        budget.cover(&mut all, usize::MAX).await;
        assert_eq!(all.units(), 100);
    }

    #[tokio::test]
    async fn who_grows_never_waits_for_who_waits() {
        let budget = Budget::growing(150 * KIB, 50 * KIB);
        let (mut one, mut two, mut three) = Default::default();
        budget.cover(&mut one, FREE + 50 * KIB).await;
        budget.cover(&mut two, FREE + 50 * KIB).await;
        budget.cover(&mut one, FREE + 60 * KIB).await;
        assert!(one.lane.is_some());
        assert!(waits(&budget, &mut two, FREE + 60 * KIB).await);
        assert!(waits(&budget, &mut three, FREE + KIB).await);
        drop(one);
        budget.cover(&mut two, FREE + 60 * KIB).await;
        budget.cover(&mut three, FREE + KIB).await;
        assert!(two.lane.is_none() && three.lane.is_none());

        // More than there is beside the lane can only have the lane.
        let mut four = Share::default();
        budget.cover(&mut four, FREE + 140 * KIB).await;
        assert!(four.lane.is_some());
    }
}
