//! The leaderboard's figures beside DuckDB's, on a made-up cloud of 1 M and
//! 10 M instances: CPU time (user and system), the best of several runs.
//!
//! `cargo bench --bench usage [-- SIZE...]`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench stops at any fault")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use weather_balloon::model::Window;
use weather_balloon::usage::{Batch, Columns, GroupBy, NameRow, Query, SegmentRow, Usage, UserRow};

const DAY: i64 = 86_400;
/// 2026-01-01 00:00 UTC.
const NOW: i64 = 1_767_225_600;
const YEARS: i64 = 5 * 365 * DAY;
/// The edges of the second and third lie on no grid.
const WINDOWS: [(&str, i64, i64); 4] = [
    ("30d", NOW - 30 * DAY, NOW),
    ("mid", NOW - 912 * DAY - 12_345, NOW - 882 * DAY - 12_345),
    ("1y", NOW - 400 * DAY + 777, NOW - 35 * DAY + 777),
    ("all", NOW - YEARS, NOW),
];
const CPUS: [(u8, f64); 8] =
    [(1, 0.30), (2, 0.25), (4, 0.15), (8, 0.12), (16, 0.08), (24, 0.05), (32, 0.03), (64, 0.02)];
const RUNNING: u32 = u32::MAX;
const PAGE: usize = 10_000;

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000, 10_000_000] } else { sizes };
    for size in sizes {
        let cloud = Cloud::invent(size, if size > 1_000_000 { 20_000 } else { 5_000 });
        bench(cloud);
    }
}

fn bench(cloud: Cloud) {
    let size = cloud.created.len();
    println!("\n{size} instances, {} users", cloud.users);
    let before = resident();
    let ids: Vec<u32> = (0..size as u32).collect();
    let (usage, took) = load(&cloud, &ids, i64::from);
    drop(ids);
    let bytes = resident() - before;
    println!("cold load, by id: {took:.0} ms CPU");
    println!("memory: {} MB, {:.1} bytes a segment", bytes / 1_000_000, bytes as f64 / size as f64);
    let columns = usage.columns();
    let duck = duckdb(&cloud);
    println!("{:>6} {:>10} {:>12} {:>8} {:>8}", "window", "ms CPU", "DuckDB", "ratio", "by day");
    for (name, start, end) in WINDOWS {
        let query = Query::new(Window::new(start, end).unwrap());
        let ours = best(9, || drop(columns.leaderboard(&query, NOW).unwrap()));
        let by_day = Query { group_by: GroupBy::Day, ..query.clone() };
        let days = best(3, || drop(columns.leaderboard(&by_day, NOW).unwrap()));
        let (theirs, ratio) = match &duck {
            Some(duck) => {
                assert_eq!(found(&columns, &query), duck.found[name], "{name}");
                let theirs = duck.best[name];
                (format!("{theirs:.1}"), format!("{:.1}", theirs / ours))
            }
            None => ("not installed".to_owned(), String::new()),
        };
        println!("{name:>6} {ours:>10.2} {theirs:>12} {ratio:>8} {days:>8.2}");
    }
    if duck.is_some() {
        println!("every user's figures equal DuckDB's in every window");
    }
    drop(columns);
    refresh(&cloud, &usage);
    drop(usage);
    by_time(&cloud);
    stop_and_start(cloud);
}

/// A poll finds one of a hundred running instances gone and as many new ones.
fn refresh(cloud: &Cloud, usage: &Usage) {
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
    let reader = usage.columns();
    let took = best(1, || {
        let mut refresh = block_on(usage.refresh());
        refresh.apply(&batch);
        refresh.publish();
    });
    println!("refresh, {} rows changed, under a reader: {took:.1} ms CPU", batch.segments.len());
    drop(reader);
}

/// The store's rows by revision come as the segments ended.
fn by_time(cloud: &Cloud) {
    let mut ids: Vec<u32> = (0..cloud.created.len() as u32).collect();
    ids.sort_by_key(|id| cloud.ended[*id as usize]);
    let (usage, took) = load(cloud, &ids, i64::from);
    println!("cold load, by revision: {took:.0} ms CPU");
    assert_eq!(usage.columns().segments(), cloud.ended.len() - cloud.empty());
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
    let (usage, _) = load(&cloud, &ids, |id| i64::from(instances[id as usize]));
    let columns = usage.columns();
    for group_by in [GroupBy::User, GroupBy::Flavor, GroupBy::Day] {
        print!("with 30 % of the segments after a stop, by {group_by:?}, ms CPU:");
        for (name, start, end) in WINDOWS {
            let query = Query { group_by, ..Query::new(Window::new(start, end).unwrap()) };
            let took = best(5, || drop(columns.leaderboard(&query, NOW).unwrap()));
            print!(" {name} {took:.2}");
        }
        println!();
    }
}

fn load(cloud: &Cloud, ids: &[u32], instance: impl Fn(u32) -> i64) -> (Usage, f64) {
    let usage = Usage::default();
    let mut refresh = block_on(usage.refresh());
    let mut took = best(1, || refresh.apply(&cloud.names()));
    for page in ids.chunks(PAGE) {
        let segments = page.iter().map(|id| cloud.segment(*id as usize, instance(*id)));
        let batch = Batch { segments: segments.collect(), ..Batch::default() };
        took += best(1, || refresh.apply(&batch));
    }
    took += cpu(|| drop(refresh.publish()));
    (usage, took)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn best(times: usize, mut work: impl FnMut()) -> f64 {
    (0..times).map(|_| cpu(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Milliseconds of CPU.
fn cpu(work: impl FnOnce()) -> f64 {
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
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Every user's (CPU time, uptime, instances), by number.
type Found = BTreeMap<u32, (i64, i64, i64)>;

fn found(columns: &Columns, query: &Query) -> Found {
    let report = columns.leaderboard(query, NOW).unwrap();
    let by_number = report.groups.iter().map(|group| {
        let user = group.name.trim_start_matches("user").parse().unwrap();
        (user, (group.cpu_seconds, group.uptime_seconds, group.instance_count))
    });
    by_number.collect()
}

struct Duck {
    best: BTreeMap<String, f64>,
    found: BTreeMap<String, Found>,
}

/// DuckDB on the same rows, or nothing where it cannot be installed.
fn duckdb(cloud: &Cloud) -> Option<Duck> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-usage");
    fs::create_dir_all(&scratch).unwrap();
    let python = python(&scratch)?;
    let bytes = |column: &[u32]| column.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    fs::write(scratch.join("created"), bytes(&cloud.created)).unwrap();
    fs::write(scratch.join("ended"), bytes(&cloud.ended)).unwrap();
    fs::write(scratch.join("user_id"), bytes(&cloud.user)).unwrap();
    fs::write(scratch.join("cpu"), &cloud.cpu).unwrap();
    let mut windows = String::new();
    for (name, start, end) in WINDOWS {
        writeln!(windows, "{name} {start} {end}").unwrap();
    }
    fs::write(scratch.join("windows"), windows).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/usage_duckdb.py");
    let output = Command::new(python).arg(script).arg(&scratch).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut duck = Duck { best: BTreeMap::new(), found: BTreeMap::new() };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match words[0] {
            "version" => println!("DuckDB {}", words[1]),
            "best" => drop(duck.best.insert(words[1].into(), words[2].parse().unwrap())),
            _ => {
                let found = duck.found.entry(words[0].into()).or_default();
                found.insert(number(1) as u32, (number(2), number(3), number(4)));
            }
        }
    }
    fs::remove_dir_all(scratch).unwrap();
    Some(duck)
}

fn python(scratch: &Path) -> Option<PathBuf> {
    let place = scratch.parent().unwrap().with_file_name("bench-py");
    let python = place.join("bin/python");
    let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let ready = || runs(Command::new(&python).args(["-c", "import duckdb, numpy"]));
    if !ready() {
        let began = Instant::now();
        let _made = runs(Command::new("python3").args(["-m", "venv"]).arg(&place))
            && runs(Command::new(&python).args(["-m", "pip", "install", "-q", "duckdb", "numpy"]));
        println!("DuckDB from PyPI: {:.0} s", began.elapsed().as_secs_f64());
    }
    ready().then_some(python)
}

/// Instances by creation. Their place is their id.
struct Cloud {
    created: Vec<u32>,
    ended: Vec<u32>,
    user: Vec<u32>,
    cpu: Vec<u8>,
    users: usize,
}

impl Cloud {
    /// Arrivals grow linearly; users follow Zipf; lifetimes are log-normal
    /// about 6 h; one in twenty runs, about 30 days old.
    fn invent(size: usize, users: usize) -> Self {
        let mut random = Random(42);
        let weights = (1..=users).map(|rank| 1.0 / (rank as f64).powf(1.05));
        let zipf = cumulated(weights);
        let flavors = cumulated(CPUS.iter().map(|(_, share)| *share));
        let mut shuffled: Vec<u32> = (0..users as u32).collect();
        for at in (1..users).rev() {
            shuffled.swap(at, random.below(at + 1));
        }
        let mut rows: Vec<(u32, u32, u32, u8)> = (0..size)
            .map(|_| {
                let (created, ended) = random.life();
                let user = shuffled[random.pick(&zipf)];
                (created, ended, user, CPUS[random.pick(&flavors)].0)
            })
            .collect();
        rows.sort_unstable();
        Self {
            created: rows.iter().map(|row| row.0).collect(),
            ended: rows.iter().map(|row| row.1).collect(),
            user: rows.iter().map(|row| row.2).collect(),
            cpu: rows.iter().map(|row| row.3).collect(),
            users,
        }
    }

    fn empty(&self) -> usize {
        self.created.iter().zip(&self.ended).filter(|(created, ended)| ended <= created).count()
    }

    fn names(&self) -> Batch {
        let users = (0..self.users).map(|id| UserRow {
            id: id as i64,
            revision: 1,
            name: format!("user{id}"),
            is_staff: id % 50 == 0,
        });
        let flavor = |(cpu, _): &(u8, f64)| NameRow { id: (*cpu).into(), name: format!("m{cpu}") };
        Batch {
            users: users.collect(),
            clouds: vec![NameRow { id: 1, name: "east".into() }],
            flavors: CPUS.iter().map(flavor).collect(),
            ..Batch::default()
        }
    }

    fn segment(&self, at: usize, instance: i64) -> SegmentRow {
        SegmentRow {
            id: at as i64,
            revision: 1,
            instance,
            user: self.user[at].into(),
            cloud: 1,
            flavor: self.cpu[at].into(),
            vcpus: Some(self.cpu[at].into()),
            from: self.created[at].into(),
            to: (self.ended[at] != RUNNING).then_some(self.ended[at].into()),
            counted: true,
            deleted: false,
        }
    }
}

fn cumulated(weights: impl Iterator<Item = f64>) -> Arc<[f64]> {
    let mut sum = 0.0;
    weights
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect()
}

/// SplitMix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick(&mut self, cumulated: &[f64]) -> usize {
        let at = self.uniform() * cumulated[cumulated.len() - 1];
        cumulated.partition_point(|sum| *sum <= at).min(cumulated.len() - 1)
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let (radius, turn) = (1.0 - self.uniform(), self.uniform());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos();
        median * (sigma * normal).exp()
    }

    /// Start and end of one instance.
    fn life(&mut self) -> (u32, u32) {
        if self.uniform() < 0.05 {
            let age = self.log_normal(30.0 * DAY as f64, 1.0).min(YEARS as f64);
            return ((NOW - age as i64) as u32, RUNNING);
        }
        let created = NOW - YEARS + (YEARS as f64 * self.uniform().sqrt()) as i64;
        let mut ended = created + self.log_normal(6.0 * 3600.0, 2.0).min(1e12) as i64;
        if ended > NOW {
            ended = created + ((NOW - created) as f64 * self.uniform()) as i64;
        }
        (created as u32, ended as u32)
    }
}
