//! The leaderboard's figures on a made-up cloud of 1 M and 10 M instances, beside
//! DuckDB and the query of 2014 on PostgreSQL: CPU time (user and system), the
//! best of several runs; and the whole of it, from the ledger's file to Thrift.
//!
//! `cargo bench --bench usage [-- SIZE...]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench stops at any fault"
)]

mod cloud;
#[path = "../../tests/common/mod.rs"]
mod common;
mod duck;
mod listing;
mod of_2014;
mod whole;

use std::collections::BTreeMap;
use std::fs;

use common::results::Results;
use nix::sys::resource::{UsageWho, getrusage};
use weather_balloon::model::{SegmentRow, Window};
use weather_balloon::usage::{Batch, Columns, Draft, GroupBy, Query};

use cloud::{Cloud, Random};

pub const DAY: i64 = 86_400;
/// 2026-01-01 00:00 UTC.
pub const NOW: i64 = 1_767_225_600;
pub const YEARS: i64 = 5 * 365 * DAY;
/// The edges of the second and third lie on no grid.
pub const WINDOWS: [(&str, i64, i64); 4] = [
    ("30d", NOW - 30 * DAY, NOW),
    ("mid", NOW - 912 * DAY - 12_345, NOW - 882 * DAY - 12_345),
    ("1y", NOW - 400 * DAY + 777, NOW - 35 * DAY + 777),
    ("all", NOW - YEARS, NOW),
];
pub const CPUS: [(u8, f64); 8] =
    [(1, 0.30), (2, 0.25), (4, 0.15), (8, 0.12), (16, 0.08), (24, 0.05), (32, 0.03), (64, 0.02)];
pub const RUNNING: u32 = u32::MAX;
const PAGE: usize = 10_000;

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let whole = sizes.is_empty();
    let sizes = if whole { vec![1_000_000, 10_000_000] } else { sizes };
    let mut figures = Figures(Results::begin("The ledger and the leaderboard"));
    for size in sizes {
        let cloud = Cloud::invent(size, if size > 1_000_000 { 20_000 } else { 5_000 });
        bench(cloud, &mut figures);
        whole::bench(Cloud::invent(size, 20_000), &mut figures);
    }
    listing::bench(&mut figures);
    if whole {
        figures.0.publish();
    } else {
        figures.0.print();
    }
}

/// What was measured against what is promised.
pub struct Figures(Results);

impl Figures {
    pub fn at_most(&mut self, what: String, unit: &str, limit: f64, found: f64) {
        let (target, found_in) = (format!("under {limit} {unit}"), format!("{found:.1} {unit}"));
        self.0.judge(&what, &target, &found_in, "", found < limit);
    }

    pub fn at_least(&mut self, what: String, limit: f64, found: f64) {
        let (target, found_in) = (format!("at least {limit} x"), format!("{found:.1} x"));
        self.0.judge(&what, &target, &found_in, "", found >= limit);
    }
}

fn bench(cloud: Cloud, figures: &mut Figures) {
    let size = cloud.created.len();
    let large = size > 1_000_000;
    println!("\n{size} instances, {} users", cloud.users);
    let before = resident();
    let ids: Vec<u32> = (0..size as u32).collect();
    let (mut draft, took) = load(&cloud, &ids, i64::from);
    drop(ids);
    let columns = draft.finish();
    let bytes = resident().saturating_sub(before);
    println!("columns, by id: {took:.0} ms CPU");
    println!("memory: {} MB, {:.1} bytes a segment", bytes / 1_000_000, bytes as f64 / size as f64);
    let duck = duck::duckdb(&cloud);
    // The query of 2014 takes minutes on ten million instances.
    let of_2014 =
        of_2014::bench(&cloud, if large { &["30d", "all"] } else { &["30d", "mid", "1y", "all"] });
    println!(
        "{:>6} {:>10} {:>12} {:>8} {:>12} {:>8} {:>8}",
        "window", "ms CPU", "DuckDB", "ratio", "2014, PG", "ratio", "by day"
    );
    for (name, start, end) in WINDOWS {
        let query = Query::new(Window::new(start, end).unwrap());
        let ours = best(9, || drop(columns.leaderboard(&query, &[], NOW).unwrap()));
        let by_day = Query { group_by: GroupBy::Day, ..query.clone() };
        let days = best(3, || drop(columns.leaderboard(&by_day, &[], NOW).unwrap()));
        figures.at_most(
            format!("leaderboard, {size} instances, {name}"),
            "ms CPU",
            if large { 50.0 } else { 5.0 },
            ours,
        );
        let mut cells = Vec::new();
        let baselines = [
            (duck.as_ref().map(|duck| (duck.best[name], &duck.found[name])), "DuckDB", 3.0),
            (of_2014.get(name).map(|(took, found)| (*took, found)), "the query of 2014", 500.0),
        ];
        for (baseline, who, limit) in baselines {
            let Some((theirs, known)) = baseline else {
                cells.extend([String::from("-"), String::from("-")]);
                continue;
            };
            assert_eq!(found(&columns, &query), *known, "{who}, {name}");
            cells.extend([format!("{theirs:.1}"), format!("{:.1}", theirs / ours)]);
            if large {
                let what = format!("less CPU than {who}, {size} instances, {name}");
                figures.at_least(what, limit, theirs / ours);
            }
        }
        println!(
            "{name:>6} {ours:>10.2} {:>12} {:>8} {:>12} {:>8} {days:>8.2}",
            cells[0], cells[1], cells[2], cells[3]
        );
    }
    println!("every user's figures equal those of each baseline in every window");
    drop(columns);
    refresh(&cloud, &mut draft);
    drop(draft);
    by_time(&cloud);
    stop_and_start(cloud);
}

/// A poll finds one of a hundred running instances gone and as many new ones.
fn refresh(cloud: &Cloud, draft: &mut Draft) {
    let running = (0..cloud.created.len()).filter(|at| cloud.ended[*at] == RUNNING);
    let gone = running.step_by(100).map(|at| SegmentRow {
        revision: 2,
        to: Some(NOW),
        ..cloud.segment(at, at as i64)
    });
    let mut segments: Vec<_> = gone.collect();
    let first_new = cloud.created.len();
    let new = (0..segments.len()).map(|at| SegmentRow {
        id: (first_new + at) as i64,
        instance: (first_new + at) as i64,
        from: NOW,
        to: None,
        ..segments[at]
    });
    segments.extend(new.collect::<Vec<_>>());
    let batch = Batch { segments, ..Batch::default() };
    let reader = draft.finish();
    let took = best(1, || {
        draft.apply(&batch);
        drop(draft.finish());
    });
    println!("refresh, {} rows changed, under a reader: {took:.1} ms CPU", batch.segments.len());
    drop(reader);
}

/// The store's rows by revision come as the segments ended.
fn by_time(cloud: &Cloud) {
    let mut ids: Vec<u32> = (0..cloud.created.len() as u32).collect();
    ids.sort_by_key(|id| cloud.ended[*id as usize]);
    let (mut draft, took) = load(cloud, &ids, i64::from);
    println!("columns, by revision: {took:.0} ms CPU");
    assert_eq!(draft.finish().segments(), cloud.ended.len() - cloud.empty());
}

/// Three of ten segments belong to an instance that had others before.
fn stop_and_start(mut cloud: Cloud) {
    let mut random = Random(43);
    let ids: Vec<u32> = (0..cloud.created.len() as u32).collect();
    let mut instances = ids.clone();
    for at in 1..instances.len() {
        if random.uniform() < 0.3 {
            let before = at - 1 - random.below(at.min(50_000));
            (instances[at], cloud.user[at]) = (instances[before], cloud.user[before]);
        }
    }
    let (mut draft, _) = load(&cloud, &ids, |id| i64::from(instances[id as usize]));
    let columns = draft.finish();
    for group_by in [GroupBy::User, GroupBy::Flavor, GroupBy::Day] {
        print!("with 30 % of the segments after a stop, by {group_by:?}, ms CPU:");
        for (name, start, end) in WINDOWS {
            let query = Query { group_by, ..Query::new(Window::new(start, end).unwrap()) };
            let took = best(5, || drop(columns.leaderboard(&query, &[], NOW).unwrap()));
            print!(" {name} {took:.2}");
        }
        println!();
    }
}

fn load(cloud: &Cloud, ids: &[u32], instance: impl Fn(u32) -> i64) -> (Draft, f64) {
    let mut draft = Draft::default();
    let mut took = best(1, || draft.apply(&cloud.names()));
    for page in ids.chunks(PAGE) {
        let segments = page.iter().map(|id| cloud.segment(*id as usize, instance(*id)));
        let batch = Batch { segments: segments.collect(), ..Batch::default() };
        took += best(1, || draft.apply(&batch));
    }
    took += cpu(|| drop(draft.finish()));
    (draft, took)
}

fn best(times: usize, mut work: impl FnMut()) -> f64 {
    (0..times).map(|_| cpu(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Milliseconds of CPU.
pub fn cpu(work: impl FnOnce()) -> f64 {
    let spent = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let (user, system) = (usage.user_time(), usage.system_time());
        (user.tv_sec() + system.tv_sec()) as f64 * 1e3
            + (user.tv_usec() + system.tv_usec()) as f64 / 1e3
    };
    let before = spent();
    work();
    spent() - before
}

/// VmRSS, in bytes.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Every user's (CPU time, uptime, instances), by number.
pub type Found = BTreeMap<u32, (i64, i64, i64)>;

fn found(columns: &Columns, query: &Query) -> Found {
    let report = columns.leaderboard(query, &[], NOW).unwrap();
    let by_number = report.groups.iter().map(|group| {
        let user = group.name.trim_start_matches("user").parse().unwrap();
        (user, (group.cpu_seconds, group.uptime_seconds, group.instance_count))
    });
    by_number.collect()
}
