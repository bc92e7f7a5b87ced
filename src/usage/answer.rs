use super::by_name::{by_shape, by_user};
use super::columns::Columns;
use super::days::by_day;
use super::query::{Gap, Group, GroupBy, Order, Query, Report, TooManyDays};
use super::selection::Selection;
use crate::model::GapRow;

impl Columns {
    /// Who used how much in the window, up to `now` (UTC seconds). Costs one
    /// thread a scan of what lies near the window: milliseconds for millions
    /// of segments. `gaps` are those of the window; they may be more.
    pub fn leaderboard(
        &self,
        query: &Query,
        gaps: &[GapRow],
        now: i64,
    ) -> Result<Report, TooManyDays> {
        let start = query.window.start();
        let end = query.window.end().min(now).max(start);
        let selection = Selection::new(self, &query.filter);
        let mut groups = match query.group_by {
            GroupBy::User => by_user(self, &selection, start, end),
            GroupBy::Cloud => {
                by_shape(self, &selection, start, end, (self.clouds(), |shape| shape.cloud))
            }
            GroupBy::Flavor => {
                by_shape(self, &selection, start, end, (self.flavors(), |shape| shape.flavor))
            }
            GroupBy::Day => by_day(self, &selection, start, end)?,
        };
        let group_count = groups.len();
        put_in_order(&mut groups, query.order, query.limit.map_or(usize::MAX, |limit| limit.get()));
        let (gaps, gap_count) = self.gaps_within(gaps, query, (start, end));
        let window = query.window;
        Ok(Report { window, counted_until: end, groups, group_count, gaps, gap_count })
    }

    fn gaps_within(
        &self,
        gaps: &[GapRow],
        query: &Query,
        (start, end): (i64, i64),
    ) -> (Vec<Gap>, usize) {
        let cloud = query.filter.cloud.as_deref();
        let mut gaps: Vec<Gap> = gaps
            .iter()
            .filter_map(|gap| {
                let (from, to) = (gap.from.max(start), gap.to.min(end));
                let cloud_of = || self.clouds().shown(gap.cloud);
                let gap = (from < to).then(|| Gap { cloud: cloud_of(), from, to })?;
                cloud.is_none_or(|cloud| *gap.cloud == *cloud).then_some(gap)
            })
            .collect();
        gaps.sort_by(|a, b| (a.from, &a.cloud).cmp(&(b.from, &b.cloud)));
        let count = gaps.len();
        gaps.drain(..count.saturating_sub(Report::MAX_GAPS));
        (gaps, count)
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
