use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::model::Window;

/// A question to the leaderboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// May reach beyond what has been; nothing is counted after now.
    pub window: Window,
    pub filter: Filter,
    pub group_by: GroupBy,
    pub order: Order,
    /// At most so many groups, the first in order.
    pub limit: Option<NonZeroUsize>,
}

impl Query {
    /// Everybody's use in the window, heaviest first.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            filter: Filter::default(),
            group_by: GroupBy::User,
            order: Order::CpuTime,
            limit: None,
        }
    }
}

/// What counts: all that is named must hold. A name that nothing has leaves
/// nothing to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub user: Option<Box<str>>,
    pub cloud: Option<Box<str>>,
    pub flavor: Option<Box<str>>,
    pub staff: Option<bool>,
}

/// Users, clouds and flavors are told apart by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    User,
    Cloud,
    Flavor,
    /// Days of UTC.
    Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Most CPU time first, then by name.
    CpuTime,
    /// For days this is the order of time.
    Name,
}

/// The use of one user, cloud, flavor or day; never none at all. Sums are exact
/// and stop at the largest i64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// A day is written as 2026-01-31.
    pub name: Arc<str>,
    /// Of users only.
    pub is_staff: Option<bool>,
    /// Uptime times the vCPUs at that time, where they are known.
    pub cpu_seconds: i64,
    pub uptime_seconds: i64,
    /// The part of the uptime whose vCPUs are not known.
    pub unknown_vcpu_seconds: i64,
    /// Different instances that were up.
    pub instance_count: i64,
}

/// A stretch of the window in which a cloud was not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub cloud: Arc<str>,
    pub from: i64,
    pub to: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// As it was asked for.
    pub window: Window,
    /// Where counting ended: the window's end, or now where that is earlier. A
    /// window of the future has none of it: this is then its start.
    pub counted_until: i64,
    pub groups: Vec<Group>,
    /// How many there are without the limit.
    pub group_count: usize,
    /// The latest [`Report::MAX_GAPS`], by start and cloud; of the cloud alone
    /// that the question names.
    pub gaps: Vec<Gap>,
    /// How many there are, of those that were given.
    pub gap_count: usize,
}

impl Report {
    pub const MAX_GAPS: usize = 1000;
    pub const MAX_DAYS: u64 = 36_525;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "by day the answer would have {days} days, and at most {max} are given; ask for a shorter window",
    max = Report::MAX_DAYS
)]
pub struct TooManyDays {
    pub days: u64,
}
