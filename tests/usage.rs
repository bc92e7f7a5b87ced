//! The leaderboard is exact: it agrees with the plainest reckoning on any
//! history, in any window.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is a claim")]

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use common::usage::{CLOUDS, Event, FLAVORS, Ledger, NAMES, Numbering};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use weather_balloon::model::{CloudRow, FlavorRow, GapRow, SegmentRow, UserRow, Window};
use weather_balloon::usage::{
    Batch, Columns, Draft, Filter, GroupBy, Order, Query, Report, TooManyDays,
};

const DAY: i64 = 86_400;
const GROUPINGS: [GroupBy; 4] = [GroupBy::User, GroupBy::Cloud, GroupBy::Flavor, GroupBy::Day];

fn refreshed(draft: &mut Draft, batches: &[Batch]) -> Arc<Columns> {
    batches.iter().for_each(|batch| draft.apply(batch));
    draft.finish()
}

/// Without gaps.
fn told(columns: &Columns, query: &Query, now: i64) -> Result<Report, TooManyDays> {
    columns.leaderboard(query, &[], now)
}

fn whole(start: i64, end: i64) -> Query {
    Query::new(Window::new(start, end).unwrap())
}

fn segment(id: i64, user: i64, from: i64, to: Option<i64>) -> SegmentRow {
    SegmentRow {
        id,
        revision: 1,
        instance: id,
        user,
        cloud: 1,
        flavor: 1,
        vcpus: Some(1),
        from,
        to,
        counted: true,
        deleted: false,
    }
}

fn batch(segments: &[SegmentRow]) -> Batch {
    let user =
        |id: i64, name: &str, is_staff| UserRow { id, revision: 1, name: name.into(), is_staff };
    let cloud = |id, name: &str| CloudRow { id, revision: 1, name: name.into() };
    Batch {
        segments: segments.to_vec(),
        users: vec![user(1, "ada", Some(false)), user(2, "bob", Some(true)), user(3, "cyd", None)],
        clouds: vec![cloud(1, "east"), cloud(2, "west")],
        flavors: vec![FlavorRow { id: 1, revision: 1, cloud: 1, name: "small".into() }],
        ..Batch::default()
    }
}

/// (name, CPU time, uptime, instances) of each group.
fn brief(report: &Report) -> Vec<(&str, i64, i64, i64)> {
    let groups = report.groups.iter();
    groups
        .map(|group| (&*group.name, group.cpu_seconds, group.uptime_seconds, group.instance_count))
        .collect()
}

#[test]
fn a_suspended_instance_is_one_and_its_rest_is_not_billed() {
    let mut usage = Draft::default();
    let first = SegmentRow { vcpus: Some(4), ..segment(1, 1, 0, Some(10 * DAY)) };
    let second = SegmentRow { id: 2, from: 20 * DAY, to: Some(30 * DAY), ..first };
    let columns = refreshed(&mut usage, &[batch(&[first, second])]);
    let report = told(&columns, &whole(0, 40 * DAY), 40 * DAY).unwrap();
    assert_eq!(brief(&report), [("ada", 80 * DAY, 20 * DAY, 1)]);
    let days = Query { group_by: GroupBy::Day, order: Order::Name, ..whole(0, 40 * DAY) };
    let report = told(&columns, &days, 40 * DAY).unwrap();
    assert_eq!(report.groups.len(), 20);
    assert!(brief(&report).iter().all(|day| (day.1, day.2, day.3) == (4 * DAY, DAY, 1)));
    assert_eq!(&*report.groups[10].name, "1970-01-21");
}

#[test]
fn nobody_with_zero_use_is_shown_and_ties_go_by_name() {
    let mut usage = Draft::default();
    let rows = [
        segment(1, 2, 100, Some(200)),
        segment(2, 1, 50, Some(150)),
        segment(3, 3, 300, None),
        segment(4, 3, 120, Some(120)),
        segment(5, 3, 180, Some(120)),
        SegmentRow { counted: false, ..segment(6, 3, 100, Some(200)) },
    ];
    let columns = refreshed(&mut usage, &[batch(&rows)]);
    let report = told(&columns, &whole(0, 300), 1000).unwrap();
    assert_eq!(brief(&report), [("ada", 100, 100, 1), ("bob", 100, 100, 1)]);
    assert_eq!(report.groups[1].is_staff, Some(true));
    let limited = Query { limit: NonZeroUsize::new(1), ..whole(0, 301) };
    let report = told(&columns, &limited, 1000).unwrap();
    assert_eq!((brief(&report), report.group_count), (vec![("ada", 100, 100, 1)], 3));
}

#[test]
fn unknown_vcpus_are_told_apart_from_none() {
    let mut usage = Draft::default();
    let unknown = SegmentRow { vcpus: None, ..segment(1, 1, 0, Some(100)) };
    let none = SegmentRow { vcpus: Some(0), ..segment(2, 2, 0, Some(100)) };
    let columns = refreshed(&mut usage, &[batch(&[unknown, none, segment(3, 1, 0, Some(7))])]);
    let report = told(&columns, &whole(0, 100), 100).unwrap();
    assert_eq!(brief(&report), [("ada", 7, 107, 2), ("bob", 0, 100, 1)]);
    assert_eq!(report.groups[0].unknown_vcpu_seconds, 100);
    assert_eq!(report.groups[1].unknown_vcpu_seconds, 0);
}

#[test]
fn what_runs_counts_up_to_now_and_no_further() {
    let mut usage = Draft::default();
    let columns = refreshed(&mut usage, &[batch(&[segment(1, 1, 100, None)])]);
    let until = |end, now| told(&columns, &whole(0, end), now).unwrap();
    assert_eq!(brief(&until(150, 1000)), [("ada", 50, 50, 1)]);
    assert_eq!(brief(&until(5000, 1000)), [("ada", 900, 900, 1)]);
    assert_eq!(until(5000, 1000).counted_until, 1000);
    assert_eq!(brief(&until(5000, 100)), []);
    // Beyond 2106, where 32 bits end.
    assert_eq!(brief(&until(i64::MAX, 1 << 40)), [("ada", (1 << 40) - 100, (1 << 40) - 100, 1)]);
}

#[test]
fn every_window_gets_a_clear_answer() {
    let mut usage = Draft::default();
    let rows = [segment(1, 1, 100, None), segment(2, 1, i64::from(i32::MAX) - 5, None)];
    let columns = refreshed(&mut usage, &[batch(&rows)]);
    let now = i64::from(i32::MAX);
    for (start, end) in [(now, now + 1), (now + 1, i64::MAX), (-DAY, 0), (i64::MIN, -1), (0, 100)] {
        let report = told(&columns, &whole(start, end), now).unwrap();
        assert_eq!(brief(&report), [], "{start} to {end}");
        assert_eq!(report.counted_until, end.min(now).max(start));
    }
    let all = now - 100 + 5;
    for (start, end) in [(i64::MIN, i64::MAX), (i64::from(i32::MIN), now), (0, now)] {
        let report = told(&columns, &whole(start, end), now).unwrap();
        assert_eq!(brief(&report), [("ada", all, all, 2)], "{start} to {end}");
    }
    for (start, end) in [(5, 5), (6, 5), (i64::MAX, i64::MIN)] {
        assert!(Window::new(start, end).is_err());
    }
}

#[test]
fn sums_beyond_i64_stop_there() {
    let mut usage = Draft::default();
    let heavy = |id| SegmentRow { vcpus: Some(u32::MAX), ..segment(id, 1, i64::MIN, None) };
    let columns = refreshed(&mut usage, &[batch(&[heavy(1), heavy(2), segment(3, 2, 0, Some(9))])]);
    let report = told(&columns, &whole(i64::MIN, i64::MAX), i64::MAX).unwrap();
    assert_eq!(brief(&report), [("ada", i64::MAX, i64::MAX, 2), ("bob", 9, 9, 1)]);
}

#[test]
fn more_sizes_than_rows_tell_apart_are_summed_up() {
    let mut usage = Draft::default();
    let sizes = 1..=20_000_u32;
    let sized = |size: u32| SegmentRow {
        vcpus: Some(size),
        ..segment(size.into(), 1 + i64::from(size % 2), 0, Some(10))
    };
    let columns = refreshed(&mut usage, &[batch(&sizes.clone().map(sized).collect::<Vec<_>>())]);
    let sum = |odd: u32| 10 * sizes.clone().filter(|size| size % 2 == odd).sum::<u32>();
    let report = told(&columns, &whole(0, 20), 20).unwrap();
    let of = |name, odd| (name, i64::from(sum(odd)), 100_000, 10_000);
    assert_eq!(brief(&report), [of("ada", 0), of("bob", 1)]);
}

#[test]
fn an_answer_of_too_many_days_is_refused() {
    let mut usage = Draft::default();
    let query = Query { group_by: GroupBy::Day, ..whole(i64::MIN, i64::MAX) };
    let columns = refreshed(&mut usage, &[batch(&[segment(1, 1, 0, Some(5))])]);
    assert_eq!(told(&columns, &query, 36_525 * DAY).unwrap().groups.len(), 1);
    let refused = told(&columns, &query, 36_525 * DAY + 1).unwrap_err();
    assert_eq!(refused, TooManyDays { days: 36_526 });
    assert!(told(&columns, &query, i64::MAX).is_err());
    let empty = Draft::default().finish();
    assert_eq!(told(&empty, &query, i64::MAX).unwrap().groups, []);
}

#[test]
fn a_later_row_replaces_and_an_old_one_does_not() {
    let mut usage = Draft::default();
    let first = SegmentRow { revision: 5, ..segment(1, 1, 0, None) };
    let ended = SegmentRow { revision: 9, to: Some(40), ..first };
    let through = |revision, rows: &[SegmentRow]| Batch { through: Some(revision), ..batch(rows) };
    let asked = whole(0, 100);
    let before = refreshed(&mut usage, &[through(5, &[first])]);
    let columns = refreshed(&mut usage, &[through(9, &[ended, first])]);
    assert_eq!(brief(&told(&columns, &asked, 100).unwrap()), [("ada", 40, 40, 1)]);
    let columns = refreshed(&mut usage, &[batch(&[first])]);
    assert_eq!(brief(&told(&columns, &asked, 100).unwrap()), [("ada", 40, 40, 1)]);
    assert_eq!((columns.through(), columns.segments()), (Some(9), 1));
    let moved = SegmentRow { revision: 10, user: 2, ..ended };
    let columns = refreshed(&mut usage, &[batch(&[moved])]);
    assert_eq!(brief(&told(&columns, &asked, 100).unwrap()), [("bob", 40, 40, 1)]);
    let deleted = SegmentRow { revision: 11, deleted: true, ..ended };
    let columns = refreshed(&mut usage, &[batch(&[deleted])]);
    assert_eq!(brief(&told(&columns, &asked, 100).unwrap()), []);
    // Who began to read before goes on with what was then.
    assert_eq!(brief(&told(&before, &asked, 100).unwrap()), [("ada", 100, 100, 1)]);
}

#[test]
fn users_of_one_name_are_one_user() {
    let mut usage = Draft::default();
    let rows = [
        segment(1, 1, 0, Some(10)),
        // The same instance, first known under another id.
        SegmentRow { instance: 1, ..segment(2, 2, 10, Some(30)) },
    ];
    let columns = refreshed(&mut usage, &[batch(&rows)]);
    assert_eq!(
        brief(&told(&columns, &whole(0, 30), 30).unwrap()),
        [("bob", 20, 20, 1), ("ada", 10, 10, 1)]
    );
    let renamed = UserRow { id: 1, revision: 2, name: "bob".into(), is_staff: None };
    let columns = refreshed(&mut usage, &[Batch { users: vec![renamed], ..Batch::default() }]);
    let report = told(&columns, &whole(0, 30), 30).unwrap();
    assert_eq!(brief(&report), [("bob", 30, 30, 1)]);
    assert_eq!(report.groups[0].is_staff, Some(true));
    let unnamed = refreshed(
        &mut usage,
        &[Batch { segments: vec![segment(3, 77, 0, Some(5))], ..Batch::default() }],
    );
    assert_eq!(brief(&told(&unnamed, &whole(0, 30), 30).unwrap())[1], ("#77", 5, 5, 1));
}

#[test]
fn gaps_of_the_window_are_told() {
    let mut usage = Draft::default();
    let gap = |cloud, from, to| GapRow { cloud, from, to };
    let gaps = [gap(1, 10, 20), gap(2, 15, 80), gap(1, 90, 95)];
    let columns = refreshed(&mut usage, &[batch(&[])]);
    let found = |query: &Query| -> Vec<(String, i64, i64)> {
        let report = columns.leaderboard(query, &gaps, 80).unwrap();
        report.gaps.iter().map(|gap| (gap.cloud.to_string(), gap.from, gap.to)).collect()
    };
    assert_eq!(found(&whole(12, 50)), [("east".into(), 12, 20), ("west".into(), 15, 50)]);
    assert_eq!(found(&whole(20, 99)), [("west".into(), 20, 80)]);
    let filter = Filter { cloud: Some("east".into()), ..Filter::default() };
    assert_eq!(found(&Query { filter, ..whole(0, 99) }), [("east".into(), 10, 20)]);
    let many: Vec<_> = (0..3000).map(|at| gap(1, 100 + 2 * at, 101 + 2 * at)).collect();
    let report = columns.leaderboard(&whole(100, 9000), &many, 9000).unwrap();
    assert_eq!((report.gaps.len(), report.gap_count), (Report::MAX_GAPS, 3000));
    assert_eq!(report.gaps.last().unwrap().from, 6098);
}

fn vcpus() -> impl Strategy<Value = Option<u32>> {
    select(&[None, Some(0), Some(1), Some(4), Some(64), Some(u32::MAX)][..])
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Start),
        5 => Just(Event::Stop),
        2 => Just(Event::Flap),
        3 => (0..3_i64, vcpus()).prop_map(|(flavor, vcpus)| Event::Resize { flavor, vcpus }),
        1 => (1..=4_i64).prop_map(Event::Owner),
        1 => (0..100_000_i64).prop_map(|earlier| Event::Correct { earlier }),
        1 => Just(Event::Uncount),
        1 => Just(Event::Delete),
        1 => (1..=4_i64, 0..4_usize, any::<Option<bool>>())
            .prop_map(|(user, name, is_staff)| Event::Rename { user, name, is_staff }),
    ]
}

fn numbering() -> impl Strategy<Value = Numbering> {
    const EPOCHS: [i64; 5] = [0, 1_400_000_000, (1 << 31) - 200_000, (1 << 32) - 200_000, -250_000];
    (
        select(&EPOCHS[..]),
        select(&[1, -3, 1 << 40][..]),
        select(&[1, 2, 30_000, 70_000][..]),
        // The marks of instances end at 1 << 26, and cost time up there.
        prop_oneof![
            50 => select(&[0, 62, 1 << 26, (1 << 32) - 2, -2][..]),
            1 => Just((1 << 26) - 2),
        ],
    )
        .prop_map(|(epoch, first_segment, segment_step, first_instance)| Numbering {
            epoch,
            first_segment,
            segment_step,
            first_instance,
        })
}

fn filter() -> impl Strategy<Value = Filter> {
    let name = |names: &'static [&'static str]| {
        let known = select(names).prop_map(|name| Some(Box::from(name)));
        prop_oneof![6 => Just(None), 2 => known, 1 => Just(Some(Box::from("nobody")))]
    };
    (
        name(&NAMES),
        name(&CLOUDS),
        name(&FLAVORS),
        select(&[None, None, Some(true), Some(false)][..]),
    )
        .prop_map(|(user, cloud, flavor, staff)| Filter { user, cloud, flavor, staff })
}

/// A window from edge to edge, give or take a second; sometimes all of time.
fn window(
    edges: &[i64],
    (start, end): (Index, Index),
    (early, late): (i64, i64),
) -> Option<Window> {
    let beyond = |edge: i64, by: i64| match by {
        -2 => i64::MIN,
        2 => i64::MAX,
        by => edge + by,
    };
    Window::new(beyond(*start.get(edges), early), beyond(*end.get(edges), late)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn it_agrees_with_the_plainest_reckoning(
        numbering in numbering(),
        events in prop::collection::vec((0..90_000_i64, 0..5_i64, event(), 0..4_u8), 1..40),
        windows in prop::collection::vec((any::<(Index, Index)>(), (-2..=1_i64, -1..=2_i64)), 3),
        filters in prop::collection::vec((filter(), select(&[Order::CpuTime, Order::Name][..])), 3),
        ahead in select(&[0, 1, 5_000, -30_000][..]),
        limit in select(vec![None, NonZeroUsize::new(2)]),
    ) {
        let mut usage = Draft::default();
        let mut ledger = Ledger::new(numbering);
        for (after, instance, event, publish) in events {
            // Often several things happen in one second.
            ledger.happen(after.saturating_sub(30_000).max(0), instance, event);
            if publish == 0 {
                refreshed(&mut usage, &[ledger.batch()]);
            }
        }
        let columns = refreshed(&mut usage, &[ledger.batch()]);
        let now = ledger.now + ahead;
        let edges: Vec<i64> = ledger.edges().into_iter().collect();
        for ((ends, by), (filter, order)) in windows.into_iter().zip(filters) {
            let Some(window) = window(&edges, ends, by) else { continue };
            for group_by in GROUPINGS {
                let filter = filter.clone();
                let query = Query { window, filter, group_by, order, limit };
                let report = told(&columns, &query, now).unwrap();
                prop_assert_eq!(&report.groups, &ledger.leaderboard(&query, now), "{:?}", query);
            }
        }
    }
}

/// Many segments, so that chunks and blocks fill, split and are passed over.
#[test]
fn many_segments_in_any_order_of_arrival() {
    let mut seed = 7_u64;
    let mut random = move |below: i64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.unsigned_abs()).cast_signed()
    };
    let mut usage = Draft::default();
    let mut kept = BTreeMap::new();
    for revision in 1..=60 {
        let rows: Vec<SegmentRow> = (0..1000)
            .map(|_| {
                let id = random(30_000);
                let from = id * 50 + random(100_000);
                let lasts = if random(20) == 0 { random(1_000_000) } else { random(3_000) };
                SegmentRow {
                    revision,
                    instance: id / (1 + id % 3),
                    user: 1 + random(3),
                    vcpus: (random(9) > 0).then(|| 1 + random(64) as u32),
                    to: (random(10) > 0).then_some(from + lasts),
                    deleted: random(50) == 0,
                    ..segment(id, 1, from, None)
                }
            })
            .collect();
        let mut latest = BTreeMap::new();
        for row in rows.iter().rev() {
            latest.entry(row.id).or_insert(*row);
        }
        let rows: Vec<_> = latest.values().copied().collect();
        kept.extend(latest);
        refreshed(&mut usage, &[Batch { through: Some(revision), ..batch(&rows) }]);
        if revision % 6 > 0 {
            continue;
        }
        let columns = usage.finish();
        for _ in 0..20 {
            let start = random(1_700_000);
            let longest = if random(2) == 0 { 10_000 } else { 1_700_000 };
            let end = start + 1 + random(longest);
            let now = 1_600_000;
            let mut told = brief(&told(&columns, &whole(start, end), now).unwrap())
                .into_iter()
                .map(|(name, cpu, up, count)| (name.to_owned(), (cpu, up, count)))
                .collect::<BTreeMap<_, _>>();
            for (user, name) in [(1, "ada"), (2, "bob"), (3, "cyd")] {
                let (mut cpu, mut up) = (0, 0);
                let mut instances = std::collections::BTreeSet::new();
                for row in kept.values().filter(|row| row.user == user && !row.deleted) {
                    let overlap = row.to.unwrap_or(now).min(end).min(now) - row.from.max(start);
                    if overlap > 0 {
                        up += overlap;
                        cpu += overlap * i64::from(row.vcpus.unwrap_or(0));
                        instances.insert(row.instance);
                    }
                }
                let expected = (up > 0).then_some((cpu, up, instances.len() as i64));
                assert_eq!(told.remove(name), expected, "{name}, {start} to {end}");
            }
        }
    }
}
