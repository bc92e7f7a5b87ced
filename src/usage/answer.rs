use std::collections::HashMap;
use std::sync::Arc;

use super::columns::Columns;
use super::days;
use super::instances::Distinct;
use super::names::{Label, Names};
use super::query::{Error, Filter, Gap, Group, GroupBy, Order, Query, Report};

impl Columns {
    /// Who used how much in the window, up to `now` (UTC seconds). Costs one
    /// thread a scan of what lies near the window: milliseconds for millions
    /// of segments.
    pub fn leaderboard(&self, query: &Query, now: i64) -> Result<Report, Error> {
        let start = query.window.start();
        let end = query.window.end().min(now).max(start);
        let selection = Selection::new(self, &query.filter, query.group_by);
        let mut groups = match query.group_by {
            GroupBy::User => self.by_name(&selection, start, end, self.users().labels(), true),
            GroupBy::Cloud => self.by_name(&selection, start, end, self.clouds().labels(), false),
            GroupBy::Flavor => self.by_name(&selection, start, end, self.flavors().labels(), false),
            GroupBy::Day => days::by_day(self, &selection, start, end)?,
        };
        let group_count = groups.len();
        put_in_order(&mut groups, query.order, query.limit.map_or(usize::MAX, |limit| limit.get()));
        let (gaps, gap_count) = self.gaps_within(query.filter.cloud.as_deref(), start, end);
        let window = query.window;
        Ok(Report { window, counted_until: end, groups, group_count, gaps, gap_count })
    }

    fn by_name(
        &self,
        selection: &Selection,
        start: i64,
        end: i64,
        labels: &[Label],
        staff: bool,
    ) -> Vec<Group> {
        let mut sums = Sums::new(labels.len());
        let mut distinct = Distinct::new(self.instances());
        self.scan(start, end, |piece| {
            let (group, rate) = selection.group(piece.user, piece.shape);
            if sums.add(group, piece.to.abs_diff(piece.from), rate)
                && distinct.is_first(piece.instance, group)
            {
                sums.count(group);
            }
        });
        let used = sums.into_sums().zip(labels).filter(|(sum, _)| sum.uptime > 0);
        used.map(|(sum, label)| sum.group(Arc::clone(&label.name), staff.then_some(label.is_staff)))
            .collect()
    }

    fn gaps_within(&self, cloud: Option<&str>, start: i64, end: i64) -> (Vec<Gap>, usize) {
        let mut gaps: Vec<Gap> = self
            .gaps()
            .filter_map(|(id, from, to)| {
                let (from, to) = (from.max(start), to.map_or(end, |to| to.min(end)));
                let gap = (from < to).then(|| Gap { cloud: self.clouds().shown(id), from, to })?;
                cloud.is_none_or(|cloud| *gap.cloud == *cloud).then_some(gap)
            })
            .collect();
        gaps.sort_by(|a, b| (a.from, &a.cloud).cmp(&(b.from, &b.cloud)));
        let count = gaps.len();
        gaps.drain(..count.saturating_sub(Report::MAX_GAPS));
        (gaps, count)
    }
}

/// How much CPU time a second of uptime is.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    /// 0 where unknown.
    pub(super) vcpus: u32,
    /// 1 where unknown.
    pub(super) unknown: u32,
}

/// Which group a segment counts for, by its user and its shape: the two parts
/// add up to the group. What the filter leaves out adds up beyond the last.
pub(super) struct Selection {
    users: Vec<u32>,
    shapes: Vec<(u32, Rate)>,
}

impl Selection {
    /// Twice it still fits, and no table has so many names.
    const OUT: u32 = 1 << 30;

    fn new(columns: &Columns, filter: &Filter, group_by: GroupBy) -> Self {
        let users = part(columns.users(), group_by == GroupBy::User, |label| {
            filter.user.as_deref().is_none_or(|name| *label.name == *name)
                && filter.staff.is_none_or(|staff| label.is_staff == staff)
        });
        let clouds = part(columns.clouds(), group_by == GroupBy::Cloud, |label| {
            filter.cloud.as_deref().is_none_or(|name| *label.name == *name)
        });
        let flavors = part(columns.flavors(), group_by == GroupBy::Flavor, |label| {
            filter.flavor.as_deref().is_none_or(|name| *label.name == *name)
        });
        let shapes = columns.shapes().iter().map(|shape| {
            let get = |parts: &[u32], at: u32| parts.get(at as usize).copied();
            let group = match (get(&clouds, shape.cloud), get(&flavors, shape.flavor)) {
                (Some(cloud), Some(flavor)) => (cloud + flavor).min(Self::OUT),
                _ => Self::OUT,
            };
            let unknown = u32::from(shape.vcpus.is_none());
            (group, Rate { vcpus: shape.vcpus.unwrap_or(0), unknown })
        });
        Self { users, shapes: shapes.collect() }
    }

    #[inline]
    pub(super) fn group(&self, user: u32, shape: u32) -> (u32, Rate) {
        match (self.users.get(user as usize), self.shapes.get(shape as usize)) {
            (Some(user), Some((shape, rate))) => (user + shape, *rate),
            _ => (Self::OUT, Rate { vcpus: 0, unknown: 0 }),
        }
    }
}

/// What each thing of a table adds to the group: its own where one groups by
/// this table, nothing otherwise, and too much where it is not wanted.
fn part(names: &Names, groups: bool, wanted: impl Fn(&Label) -> bool) -> Vec<u32> {
    let by_group: Vec<u32> = (0..)
        .zip(names.labels())
        .map(|(group, label)| match (wanted(label), groups) {
            (false, _) => Selection::OUT,
            (true, true) => group,
            (true, false) => 0,
        })
        .collect();
    names.groups().iter().map(|group| by_group[*group as usize]).collect()
}

/// The sums of every group while they grow. Nearly all fit 64 bits, which is
/// what the processor is fast at; those that do not go on in `wide`.
pub(super) struct Sums {
    narrow: Vec<Narrow>,
    wide: HashMap<u32, Sum>,
}

#[derive(Clone, Copy, Default)]
struct Narrow {
    cpu: u64,
    uptime: u64,
    /// At most the uptime.
    unknown: u64,
    instances: u64,
}

impl Sums {
    pub(super) fn new(groups: usize) -> Self {
        Self { narrow: vec![Narrow::default(); groups], wide: HashMap::new() }
    }

    /// False for a group beyond the last: the filter leaves it out.
    #[inline]
    pub(super) fn add(&mut self, group: u32, seconds: u64, rate: Rate) -> bool {
        let Some(sum) = self.narrow.get_mut(group as usize) else { return false };
        let cpu = seconds.checked_mul(u64::from(rate.vcpus));
        let cpu = cpu.and_then(|cpu| sum.cpu.checked_add(cpu));
        match (cpu, sum.uptime.checked_add(seconds)) {
            (Some(cpu), Some(uptime)) => {
                (sum.cpu, sum.uptime) = (cpu, uptime);
                if rate.unknown > 0 {
                    sum.unknown += seconds;
                }
            }
            _ => self.widen(group, seconds, rate),
        }
        true
    }

    #[cold]
    fn widen(&mut self, group: u32, seconds: u64, rate: Rate) {
        let narrow = std::mem::take(&mut self.narrow[group as usize]);
        let wide = self.wide.entry(group).or_default();
        wide.take(narrow);
        wide.add(seconds, rate);
    }

    #[inline]
    fn count(&mut self, group: u32) {
        self.narrow[group as usize].instances += 1;
    }

    /// By group.
    pub(super) fn into_sums(mut self) -> impl Iterator<Item = Sum> {
        (0..).zip(self.narrow).map(move |(group, narrow)| {
            let mut sum = self.wide.remove(&group).unwrap_or_default();
            sum.take(narrow);
            sum
        })
    }
}

/// Wide enough that no number of any segments runs over.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) cpu: u128,
    pub(super) uptime: u128,
    pub(super) unknown: u128,
    pub(super) instances: u64,
}

impl Sum {
    #[inline]
    fn add(&mut self, seconds: u64, rate: Rate) {
        self.uptime += u128::from(seconds);
        self.cpu += u128::from(seconds) * u128::from(rate.vcpus);
        self.unknown += u128::from(seconds) * u128::from(rate.unknown);
    }

    fn take(&mut self, narrow: Narrow) {
        self.cpu += u128::from(narrow.cpu);
        self.uptime += u128::from(narrow.uptime);
        self.unknown += u128::from(narrow.unknown);
        self.instances += narrow.instances;
    }

    pub(super) fn group(&self, name: Arc<str>, is_staff: Option<bool>) -> Group {
        let stop = |sum: u128| i64::try_from(sum).unwrap_or(i64::MAX);
        Group {
            name,
            is_staff,
            cpu_seconds: stop(self.cpu),
            uptime_seconds: stop(self.uptime),
            unknown_vcpu_seconds: stop(self.unknown),
            instance_count: stop(self.instances.into()),
        }
    }
}

fn put_in_order(groups: &mut Vec<Group>, order: Order, limit: usize) {
    let compare = |a: &Group, b: &Group| match order {
        Order::CpuTime => b.cpu_seconds.cmp(&a.cpu_seconds).then_with(|| a.name.cmp(&b.name)),
        Order::Name => a.name.cmp(&b.name),
    };
    if limit < groups.len() {
        groups.select_nth_unstable_by(limit, compare);
        groups.truncate(limit);
    }
    groups.sort_unstable_by(compare);
}
