//! The ledger as its readers see it: rows that never move to another id, each
//! with the revision of its last change. Times are UTC seconds since 1970.

/// A stretch of one instance's life in which nothing that counts changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Stable for ever.
    pub id: i64,
    /// Grows over all rows of the ledger; no two rows share one.
    pub revision: i64,
    /// Stable for one (cloud, instance id, incarnation).
    pub instance: i64,
    pub user: i64,
    pub cloud: i64,
    pub flavor: i64,
    /// Absent: the cloud did not say.
    pub vcpus: Option<u32>,
    pub from: i64,
    /// The first second that is no longer part of it, always after `from`;
    /// absent: it goes on.
    pub to: Option<i64>,
    /// The instance was in a state whose time counts.
    pub counted: bool,
    /// The segment proved to be empty: forget it.
    pub deleted: bool,
}

/// Users are the same person in every cloud, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: i64,
    pub revision: i64,
    pub name: String,
    /// Absent: the directory was not asked yet.
    pub is_staff: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRow {
    pub id: i64,
    pub revision: i64,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlavorRow {
    pub id: i64,
    pub revision: i64,
    pub cloud: i64,
    pub name: String,
}

/// When a cloud was last listed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    pub cloud: i64,
    pub name: String,
    /// In the ledger's time of the cloud.
    pub at: i64,
    /// By the clock of whoever listed it.
    pub noticed: i64,
}

/// A stretch in which nobody asked the cloud, or it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapRow {
    pub cloud: i64,
    pub from: i64,
    pub to: i64,
}
