/// A stretch of time in which an instance ran for one owner in one shape, as
/// the ledger has it now. Times are UTC seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Stable. The columns are smallest where ids are dense and grow with time.
    pub id: i64,
    /// Grows with every change of any row in the store.
    pub revision: i64,
    /// Stable id of (cloud, instance id, incarnation).
    pub instance: i64,
    pub user: i64,
    pub cloud: i64,
    pub flavor: i64,
    /// Absent: unknown.
    pub vcpus: Option<u32>,
    pub from: i64,
    /// Absent: it runs.
    pub to: Option<i64>,
    /// False: the instance existed but is not billed (stopped, suspended).
    pub counted: bool,
    pub deleted: bool,
}

/// Users of one name are one user, whichever clouds they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: i64,
    pub revision: i64,
    pub name: String,
    pub is_staff: bool,
}

/// A cloud or a flavor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRow {
    pub id: i64,
    pub name: String,
}

/// A stretch of time in which a cloud was not observed. A later row of the same
/// cloud and start replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapRow {
    pub cloud: i64,
    pub from: i64,
    /// Absent: it lasts.
    pub to: Option<i64>,
}

/// One page of what changed in the store; in any order within the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub segments: Vec<SegmentRow>,
    pub users: Vec<UserRow>,
    pub clouds: Vec<NameRow>,
    pub flavors: Vec<NameRow>,
    pub gaps: Vec<GapRow>,
    /// Set on the last page of a reading: every row that the store had at this
    /// revision has now been given. Rows up to it are passed over from then on.
    pub through: Option<i64>,
}
