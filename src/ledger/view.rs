use std::collections::{HashMap, HashSet};

use crate::model::{Details, InstanceId, Owner, Segment};

/// What the ledger knows that bears on one sighting: everything of the cloud
/// that is not gone, and what is gone under an id that the sighting names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub cloud: Box<str>,
    /// How many listings were applied; the changes fit on no other number.
    pub listing: i64,
    pub last: Option<Listed>,
    pub live: HashMap<InstanceId, Known>,
    /// The incarnations of an id, in any order.
    pub gone: HashMap<InstanceId, Vec<Known>>,
    /// What the last listings did not show, or had no readable record of, and
    /// the time of the last one that did. What is not in here was shown by the
    /// last one, or not there.
    pub unseen: HashMap<InstanceId, i64>,
}

/// The ids of what is not gone in a cloud.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    pub last: Option<Listed>,
    pub living: HashSet<InstanceId>,
    /// Those of them that the last listing did not show.
    pub missing: Vec<Missing>,
}

/// Of an instance that is [`Presence::Missing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub id: InstanceId,
    pub since: i64,
    pub ends: i64,
}

/// The last complete listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// In the ledger's time of the cloud.
    pub at: i64,
    /// By this host's clock.
    pub noticed: i64,
}

/// One incarnation as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The store's own number.
    pub row: i64,
    pub incarnation: i64,
    pub created: Option<i64>,
    pub owner: Owner,
    pub details: Details,
    pub presence: Presence,
    /// The last one, open unless the instance is gone. Absent where its end
    /// left nothing of it.
    pub segment: Option<KeptSegment>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct KeptSegment {
    pub id: i64,
    pub segment: Segment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// Absent without a word of the cloud.
    Missing {
        /// The first complete listing without it, in the ledger's time.
        since: i64,
        /// The same by this host's clock.
        noticed: i64,
        /// Where its last segment ends if it does not return.
        ends: i64,
    },
    Gone {
        at: i64,
        /// The cloud said so.
        explained: bool,
    },
}
