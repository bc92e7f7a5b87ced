//! What a listing of a cloud means for the ledger. Pure: no clock, no cloud and
//! no database; [`reconcile`] takes what is known and what was seen, and says
//! what changes.
//!
//! - A segment is cut at the time that is known best: an event of the cloud,
//!   else the first listing that shows it. After a gap in the observation the
//!   listing comes too late to tell, and the doubtful time is not billed: what
//!   is found stopped or gone counts until the gap began. What ran before and
//!   runs after it ran in between, and the gap is on record beside it. One
//!   instance that was not seen for as long as a gap is treated alike.
//! - An instance that is absent without a word of its cloud stays, marked as
//!   missing; a second complete listing ends it, at the first one's time.
//!   One that returns before that was never away. One that returns later
//!   goes on in the same incarnation, and the time between is not billed:
//!   the cloud denied it twice.
//! - An id with another creation time is another incarnation.
//! - The ledger's time of a cloud never runs backwards, and never far ahead of
//!   this host's. A clock that steps can squeeze stretches, not invent them.

mod changes;
mod life;
mod reconcile;
mod time;
mod view;

use std::time::Duration;

pub use changes::{Changes, NewInstance, Rewritten, Tally, Touched};
pub use reconcile::reconcile;
pub use view::{KeptSegment, Known, Listed, Missing, Presence, Roster, View};

/// How often a cloud is asked, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    interval: i64,
}

/// Every ten minutes.
impl Default for Rhythm {
    fn default() -> Self {
        Self::of_seconds(600)
    }
}

impl Rhythm {
    /// An unexplained absence is believed when two complete listings this far
    /// apart show it, by the cloud's clock and by ours.
    const CONFIRM_AFTER: i64 = 300;

    pub fn of_seconds(interval: u32) -> Self {
        Self { interval: i64::from(interval) }
    }

    pub fn every(interval: Duration) -> Self {
        Self::of_seconds(u32::try_from(interval.as_secs()).unwrap_or(u32::MAX))
    }

    /// Listings further apart than this leave a gap: two polls were lost.
    pub fn gap_after(self) -> i64 {
        3 * self.interval
    }

    /// Whether a listing at `at`, by the cloud's clock, and `now`, by ours, is
    /// late enough to believe an absence since then.
    pub fn confirms(since: i64, noticed: i64, at: i64, now: i64) -> bool {
        at - since >= Self::CONFIRM_AFTER && now - noticed >= Self::CONFIRM_AFTER
    }
}
