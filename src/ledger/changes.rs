use super::{Known, Presence};
use crate::model::{Instance, Segment, Window};

/// What one sighting changes. It fits only on the view it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    pub cloud: Box<str>,
    /// The view's number of listings.
    pub listing: i64,
    /// The time of this listing, in the ledger's time of the cloud.
    pub at: i64,
    /// By this host's clock.
    pub now: i64,
    /// Nobody looked since the last listing.
    pub gap: Option<Window>,
    /// Seconds by which the cloud's clock is ahead of this host's.
    pub skew: i64,
    /// One of the two clocks was set since the last listing: no absence is
    /// believed on this one.
    pub stepped: bool,
    pub new: Vec<NewInstance>,
    pub touched: Vec<Touched>,
    pub tally: Tally,
}

/// An incarnation that was not known.
#[derive(Clone, Debug, PartialEq)]
pub struct NewInstance {
    pub instance: Instance,
    pub incarnation: i64,
    pub presence: Presence,
    pub segments: Vec<Segment>,
}

/// A known incarnation as it is to be kept from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Touched {
    pub before: Known,
    /// With the owner, details and presence of now; its segment is the old one.
    pub after: Known,
    /// The last kept segment, where it changed.
    pub rewritten: Option<Rewritten>,
    /// What follows it.
    pub opened: Vec<Segment>,
    /// Its shape's size was not known in full before: what older segments of
    /// the same flavor lack is the same.
    pub learned: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rewritten {
    pub id: i64,
    /// Absent: nothing is left of it.
    pub segment: Option<Segment>,
}

impl Touched {
    /// It is to end although its cloud said nothing.
    pub fn ends_unexplained(&self) -> bool {
        matches!(self.before.presence, Presence::Missing { .. })
            && matches!(self.after.presence, Presence::Gone { explained: false, .. })
    }

    pub fn owner_replaced(&self) -> bool {
        self.before.owner.name() != self.after.owner.name()
    }
}

/// What happened, in numbers. Whether an absence is held is decided by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Incarnations that were there or missing before.
    pub before: usize,
    /// Those that the listing shows.
    pub listed: usize,
    pub new: usize,
    pub resized: usize,
    pub started: usize,
    pub stopped: usize,
    pub owner_replaced: usize,
    /// Absent for the first time, or still not believed to be gone.
    pub missing: usize,
    /// They were missing or gone and are back.
    pub returned: usize,
    pub gone_explained: usize,
    /// Two listings agree that they are gone, and the cloud says nothing.
    pub gone_unexplained: usize,
}

impl Changes {
    pub fn unexplained(&self) -> impl Iterator<Item = &Touched> {
        self.touched.iter().filter(|one| one.ends_unexplained())
    }

    /// Lets the unexplained absences that `held` picks stay missing; the next
    /// listing without them raises them again. Returns how many.
    pub fn hold(&mut self, mut held: impl FnMut(&Touched) -> bool) -> usize {
        let before = self.touched.len();
        self.touched.retain(|one| !(one.ends_unexplained() && held(one)));
        let count = before - self.touched.len();
        self.tally.gone_unexplained -= count;
        self.tally.missing += count;
        count
    }
}
