use super::{Listed, Rhythm};
use crate::model::{Moment, Sighting, TimeSource, Window};

/// The times of one sighting in the ledger's time of its cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The listing began, and with it everything it shows is dated.
    pub at: i64,
    /// It ended; no event is taken to be later.
    pub ended: i64,
    pub last: Option<i64>,
    pub gap: Option<Window>,
    pub skew: i64,
    pub stepped: bool,
    gap_after: i64,
}

impl Times {
    /// A cloud's clock may be ahead of ours by this much before it is doubted:
    /// what is dated into the future would not be billed until then.
    const MAX_AHEAD: i64 = 300;
    /// Two clocks that differ by more than this over one interval: one was set.
    const MAX_DRIFT: i64 = 300;

    pub(super) fn of(sighting: &Sighting, last: Option<Listed>, now: i64, rhythm: Rhythm) -> Self {
        let latest = now.saturating_add(Self::MAX_AHEAD);
        let last_at = last.map(|last| last.at);
        let at = sighting.began().min(latest).max(last_at.unwrap_or(0)).max(0);
        let ended = sighting.ended().min(latest).max(at);
        let stepped = last.is_some_and(|last| {
            let (theirs, ours) = (at - last.at, now.saturating_sub(last.noticed));
            sighting.began() < last.at || theirs.saturating_sub(ours).abs() > Self::MAX_DRIFT
        });
        let skew = sighting.began().saturating_sub(now);
        let gap_after = rhythm.gap_after();
        Self { at, ended, last: None, gap: None, skew, stepped, gap_after }.since(last_at)
    }

    /// For an instance that was last seen then, where that is not the last
    /// listing.
    pub(super) fn since(self, last: Option<i64>) -> Self {
        let gap = last
            .filter(|last| self.at - last > self.gap_after)
            .and_then(|last| Window::new(last, self.at).ok());
        Self { last, gap, ..self }
    }

    /// When something began that this listing is the first to show.
    pub(super) fn appeared(&self) -> Moment {
        Moment { at: self.at, by: TimeSource::Listing }
    }

    /// When something ended that this listing is the first not to show.
    pub(super) fn vanished(&self) -> Moment {
        match self.gap {
            Some(gap) => Moment { at: gap.start(), by: TimeSource::Estimate },
            None => self.appeared(),
        }
    }

    /// An event's time, not after the listing.
    pub(super) fn event(&self, at: i64) -> Moment {
        Moment { at: at.clamp(0, self.ended), by: TimeSource::Event }
    }

    /// The creation, where it lies after the last listing: before that the
    /// cloud showed that the instance was not there yet.
    pub(super) fn created(&self, created: Option<i64>) -> Option<Moment> {
        let (created, last) = (created?, self.last?);
        (created > last).then(|| Moment { at: created.min(self.ended), by: TimeSource::Estimate })
    }
}
