use crate::model::{CloudRow, FlavorRow, SegmentRow, UserRow};

/// Rows that are new or changed in the store; in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub segments: Vec<SegmentRow>,
    pub users: Vec<UserRow>,
    pub clouds: Vec<CloudRow>,
    pub flavors: Vec<FlavorRow>,
    /// Set on the last batch of a reading: every row that the store had at this
    /// revision has now been given. Rows up to it are passed over from then on.
    pub through: Option<i64>,
}
