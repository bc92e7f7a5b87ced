//! What the embedded archive costs: disk, CPU, memory and time, beside whisper,
//! carbon-cache and graphite-web of the same run.
//!
//! `cargo bench --bench archive`, and with `-- small` without the part of
//! 500,000 series, with `-- alone` without the others. Series are made up and
//! look like performance data of the product's checks; CPU time is that of the
//! process. The table at the end is what is promised.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "archive/peers.rs"]
mod peers;

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::results::Results;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use weather_balloon::archive::{
    Archive, Batch, Config, DATABASE_NAME, Nodes, Pattern, Position, Receipt,
};
use weather_balloon::model::{HostId, MetricKey, MetricNode, Window};

const STEP: i64 = 600;
const DAY: i64 = 86_400;
/// The beginning of a day.
const START: i64 = 20_000 * DAY;
/// The product's own 17 and two byte counters.
const NAMES: [&str; 19] = [
    "load.load1",
    "load.load5",
    "load.load15",
    "idle.idle",
    "idle.last_login",
    "memory.free",
    "memory.cached",
    "memory.used",
    "users.users",
    "disk._",
    "procs.procs",
    "swap.swap",
    "zombie.procs",
    "connections.open",
    "ping.rta",
    "ping.pl",
    "connections.listen",
    "net.eth0.rx",
    "net.eth0.tx",
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "fill", dir, series] => fill(Path::new(dir), series.parse().unwrap()),
        [_, "start", dir, series] => start(Path::new(dir), series.parse().unwrap()),
        _ => {
            let has = |word: &str| args.iter().any(|arg| arg == word);
            let days = ninety_days();
            let few = two_hours(20_000);
            let many = (!has("small")).then(|| two_hours(500_000));
            let peers = (!has("alone")).then(Peers::measure);
            table(&days, &few, many.as_ref(), peers.as_ref());
        }
    }
}

/// Of ninety days of 1,121 series.
struct Days {
    bytes_a_series: f64,
    /// Thousands, seals included.
    points_a_cpu_second: f64,
    /// One host's 24 hours and 90 days, and 1,003 series x 24 hours: warm (CPU,
    /// wall) and cold (wall), in ms.
    questions: Vec<[f64; 3]>,
    /// Milliseconds of CPU for the last one with its JSON.
    json: f64,
}

/// What the children told, by the words before the number.
struct Told(String);

impl Told {
    fn number(&self, words: &str) -> f64 {
        let line = self.0.lines().find(|line| line.trim().starts_with(words)).unwrap();
        line.split_whitespace().next_back().unwrap().parse().unwrap()
    }
}

struct Peers {
    whisper_bytes: f64,
    carbon_points: f64,
    render_ms: f64,
}

impl Peers {
    fn measure() -> Self {
        Self {
            whisper_bytes: peers::whisper_bytes() as f64,
            carbon_points: peers::carbon_points(),
            render_ms: peers::render_ms(1_003),
        }
    }
}

fn table(days: &Days, few: &Told, many: Option<&Told>, peers: Option<&Peers>) {
    let mut results = Results::begin("The archive");
    let mut row = |what: &str, target: &str, measured: String, peer: String, met: bool| {
        results.judge(what, target, &measured, &peer, met);
    };
    let bytes = days.bytes_a_series;
    let whisper = peers.map_or(String::new(), |p| format!("whisper {:.0} B", p.whisper_bytes));
    row(
        "bytes per series of 90 days",
        "under 22 kB",
        format!("{bytes:.0} B"),
        whisper,
        bytes < 22e3,
    );
    let points = days.points_a_cpu_second;
    let times = peers.map(|p| points / p.carbon_points);
    row(
        "durable ingest with seals, k points a CPU second",
        "at least 500 and 8 x carbon-cache",
        format!("{points:.0}{}", times.map_or(String::new(), |times| format!(", {times:.0} x"))),
        peers.map_or(String::new(), |p| format!("carbon-cache {:.1}", p.carbon_points)),
        points >= 500.0 && times.is_none_or(|times| times >= 8.0),
    );
    for (what, at, warm, cold) in
        [("one host, 17 series: 24 h", 0, 1.0, 10.0), ("one host, 17 series: 90 d", 1, 15.0, 150.0)]
    {
        let [_, found, first] = days.questions[at];
        row(
            what,
            &format!("under {warm:.0} ms warm, {cold:.0} ms cold"),
            format!("{found:.2} ms, {first:.2} ms"),
            String::new(),
            found < warm && first < cold,
        );
    }
    let less = peers.map(|p| p.render_ms / days.json);
    row(
        "1,003 series x 24 h as JSON, CPU",
        "at least 7 x less than graphite-web's render",
        format!(
            "{:.1} ms{}",
            days.json,
            less.map_or(String::new(), |less| format!(", {less:.1} x less"))
        ),
        peers.map_or(String::new(), |p| format!("graphite-web {:.0} ms", p.render_ms)),
        less.is_none_or(|less| less >= 7.0),
    );
    memory_table(&mut results, few, many);
    if many.is_some() && peers.is_some() {
        results.publish();
    } else {
        results.print();
    }
}

fn memory_table(results: &mut Results, few: &Told, many: Option<&Told>) {
    let mut row = |what: &str, target: &str, measured: String, peer: String, met: bool| {
        results.judge(what, target, &measured, &peer, met);
    };
    let memory = few.number("MB of memory more at the peak");
    row(
        "memory at 20,000 series, two hours and a seal",
        "under 30 MB more",
        format!("{memory:.0} MB"),
        String::new(),
        memory < 30.0,
    );
    let Some(many) = many else { return };
    let memory = many.number("MB of memory more at the peak");
    row(
        "memory at 500,000 series, two hours and a seal",
        "under 300 MB more",
        format!("{memory:.0} MB"),
        String::new(),
        memory < 300.0,
    );
    let written = many.number("GB written a day, journal and seals");
    row(
        "written a day, 500,000 series, 1,000 points/s, extrapolated",
        "under 6 GB",
        format!("{written:.1} GB"),
        String::new(),
        written < 6.0,
    );
    let start = many.number("seconds from start to first answer");
    row(
        "start with a two-hour journal of 500,000 series",
        "answers within 3 s",
        format!("{start:.1} s"),
        String::new(),
        start < 3.0,
    );
}

fn ninety_days() -> Days {
    const HOSTS: usize = 59;
    let dir = tempfile::tempdir().unwrap();
    let archive = open(dir.path(), START);
    let mut series: Vec<_> = (0..HOSTS * NAMES.len()).map(Series::new).collect();
    let (mut points, mut cpu, mut wall) = (0, 0.0, 0.0);
    // Up to an hour before the end of a day: then it lies in most pieces.
    let slots = 90 * 144 + 138;
    let mut written = 0;
    for first in (0..slots).step_by(6) {
        let mut batch = Batch::default();
        let mut path = String::new();
        for slot in first..first + 6 {
            // Neighbours in the file are not neighbours in time.
            for at in 0..series.len() {
                let at = at * 7_919 % series.len();
                if let Some(value) = series[at].next(slot) {
                    name(&mut path, at);
                    batch.push(&path, START + slot * STEP, value);
                }
            }
        }
        let now = START + (first + 5) * STEP;
        let before = (cpu_seconds(), Instant::now(), written_bytes());
        points += take(&archive, &batch, now).kept;
        archive.tend_blocking(now).unwrap();
        cpu += cpu_seconds() - before.0;
        wall += before.1.elapsed().as_secs_f64();
        written += written_bytes() - before.2;
    }
    let stats = archive.stats_blocking().unwrap();
    println!("{} series, 90 days: {:.1} M points, 1 % gaps", series.len(), points as f64 / 1e6);
    let file = std::fs::metadata(dir.path().join(DATABASE_NAME)).unwrap().len();
    println!("  bytes a series                    {:>10.0}", file as f64 / series.len() as f64);
    println!("  MB beside it, of SQLite's own log {:>10.0}", (stats.bytes - file) as f64 / 1e6);
    println!("  k points a CPU second, all in all {:>10.0}", points as f64 / cpu / 1e3);
    println!("  k points a second (wall)          {:>10.0}", points as f64 / wall / 1e3);
    println!("  bytes written a point             {:>10.1}", written as f64 / points as f64);
    drop(archive);

    let now = START + (slots - 1) * STEP;
    let host = Pattern {
        nodes: Nodes::One(MetricNode::of(&HostId::parse(&host_name(7)).unwrap())),
        key: MetricKey::parse("*.*").unwrap(),
    };
    let all = Pattern { nodes: Nodes::All, ..host.clone() };
    println!("  questions, ms: CPU warm, wall warm, wall cold");
    let (mut questions, mut json) = (Vec::new(), 0.0);
    for (what, pattern, span, count) in [
        ("17 series x 24 h", &host, DAY, 17),
        ("17 series x 90 d", &host, 90 * DAY, 17),
        ("1,003 series x 24 h", &all, DAY, 1_003),
    ] {
        let archive = open(dir.path(), now);
        let window = Some(Window::new(now - span, now).unwrap());
        let ask = || {
            let found = archive.answer_blocking(pattern, window, None, now).unwrap();
            assert_eq!(found.len(), count);
            let points = found[0].points.iter();
            assert!(
                points.filter(|point| point.value.is_some()).count() as i64 > span / STEP * 9 / 10
            );
        };
        forget_pages(&dir.path().join(DATABASE_NAME));
        let cold = Instant::now();
        ask();
        let cold = cold.elapsed().as_secs_f64();
        let mut costs: Vec<_> = (0..25)
            .map(|_| {
                let (cpu, wall) = (cpu_seconds(), Instant::now());
                ask();
                (cpu_seconds() - cpu, wall.elapsed().as_secs_f64())
            })
            .collect();
        costs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (cpu, wall) = costs[costs.len() / 2];
        println!("    {what:<30}{:>8.2} {:>8.2} {:>8.2}", cpu * 1e3, wall * 1e3, cold * 1e3);
        questions.push([cpu * 1e3, wall * 1e3, cold * 1e3]);
        // As graphite-web writes it.
        let before = cpu_seconds();
        let found = archive.answer_blocking(pattern, window, None, now).unwrap();
        let series = found.iter().map(|one| {
            let points = one.points.iter().map(|point| (point.value, point.time));
            serde_json::json!({ "target": one.name, "datapoints": points.collect::<Vec<_>>() })
        });
        std::hint::black_box(serde_json::Value::from_iter(series).to_string());
        json = (cpu_seconds() - before) * 1e3;
    }
    Days {
        bytes_a_series: file as f64 / series.len() as f64,
        points_a_cpu_second: points as f64 / cpu / 1e3,
        questions,
        json,
    }
}

fn two_hours(series: usize) -> Told {
    let dir = tempfile::tempdir().unwrap();
    println!("\n{series} series, two hours");
    let mut all = String::new();
    for part in ["fill", "start"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([part, dir.path().to_str().unwrap(), &series.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(child.wait().unwrap().success());
        print!("{told}");
        all.push_str(&told);
    }
    Told(all)
}

/// Leaves a journal of two hours behind.
fn fill(dir: &Path, series: usize) {
    let base = memory("VmRSS");
    let archive = open(dir, START);
    let mut generating = 0.0;
    let before = cpu_seconds();
    let mut points = 0;
    for slot in 0..12 {
        each_batch(series, 100_000, slot, &mut generating, |batch, now| {
            points += take(&archive, batch, now).kept;
        });
    }
    let cpu = cpu_seconds() - before - generating;
    println!("  k points a CPU second into the journal {:>8.0}", points as f64 / cpu / 1e3);
    println!("  MB of memory more                      {:>8.0}", (memory("VmRSS") - base) / 1e6);
}

/// Starts with that journal, seals it, and goes on for some time.
fn start(dir: &Path, series: usize) {
    let base = memory("VmRSS");
    let now = START + 12 * STEP;
    let begun = Instant::now();
    let archive = open(dir, now - STEP);
    let host = Pattern {
        nodes: Nodes::One(MetricNode::of(&HostId::parse(&host_name(7)).unwrap())),
        key: MetricKey::parse("*.*").unwrap(),
    };
    let found = archive.answer_blocking(&host, None, None, now).unwrap();
    let known = found[3].points.iter().filter(|point| point.value.is_some()).count();
    assert_eq!(known, 12);
    println!("  seconds from start to first answer     {:>8.2}", begun.elapsed().as_secs_f64());
    println!("  MB of memory more after the start      {:>8.0}", (memory("VmRSS") - base) / 1e6);
    let before = (cpu_seconds(), written_bytes(), Instant::now());
    archive.seal_blocking(now).unwrap();
    let seal_bytes = written_bytes() - before.1;
    println!("  seal: CPU seconds                      {:>8.2}", cpu_seconds() - before.0);
    println!("  seal: seconds (wall)                   {:>8.2}", before.2.elapsed().as_secs_f64());
    println!("  seal: MB written                       {:>8.0}", seal_bytes as f64 / 1e6);
    println!("  MB of memory more at the peak          {:>8.0}", (memory("VmHWM") - base) / 1e6);
    let (mut commits, mut generating) = (0_u64, 0.0);
    let before = (cpu_seconds(), written_bytes());
    each_batch(series.min(500_000), 10_000, 13, &mut generating, |batch, now| {
        let _: Receipt = take(&archive, batch, now);
        commits += 1;
    });
    let commit_bytes = (written_bytes() - before.1) / commits;
    let cpu = (cpu_seconds() - before.0 - generating) / commits as f64;
    println!("  commit of 10,000: ms CPU               {:>8.2}", cpu * 1e3);
    println!("  commit of 10,000: MB written           {:>8.2}", commit_bytes as f64 / 1e6);
    let day = (commit_bytes * 8_640 + seal_bytes * 12) as f64 / 1e9;
    println!("  GB written a day, journal and seals    {day:>8.2}");
}

fn each_batch(
    series: usize,
    size: usize,
    slot: i64,
    generating: &mut f64,
    mut each: impl FnMut(&Batch, i64),
) {
    let mut path = String::new();
    let mut batch = Batch::default();
    for first in (0..series).step_by(size) {
        let begun = cpu_seconds();
        batch.clear();
        for at in first..(first + size).min(series) {
            let at = at * 7_919 % series;
            name(&mut path, at);
            batch.push(&path, START + slot * STEP, (at as i64 * 7 + slot * 13) as f64 / 100.0);
        }
        *generating += cpu_seconds() - begun;
        each(&batch, START + slot * STEP);
    }
}

fn open(dir: &Path, now: i64) -> Archive {
    let archive = Archive::new(dir, &Config::default(), "nagios");
    archive.tend_blocking(now).unwrap();
    archive
}

fn take(archive: &Archive, batch: &Batch, now: i64) -> Receipt {
    let position = Position { file: "service-perfdata.1".to_owned(), offset: now.unsigned_abs() };
    let receipt = archive.ingest_blocking(batch, Some(&position), now).unwrap();
    assert_eq!(receipt.kept, batch.len());
    receipt
}

fn host_name(host: usize) -> String {
    format!("atmo_i-{:08x}", host.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF)
}

fn name(path: &mut String, at: usize) {
    path.clear();
    let (host, series) = (at / NAMES.len(), at % NAMES.len());
    write!(path, "nagios.{}.{}", host_name(host), NAMES[series]).unwrap();
}

/// A series that looks like what a check of the product prints.
struct Series {
    kind: usize,
    random: u64,
    walk: f64,
    count: f64,
}

impl Series {
    fn new(at: usize) -> Self {
        let random = (at as u64 + 1) * 0x9E37_79B9_7F4A_7C15;
        let mut series = Self { kind: at % NAMES.len(), random, walk: 0.0, count: 0.0 };
        for _ in 0..8 {
            series.unit();
        }
        series.walk = match series.kind {
            5..=7 => 2e6 + 4e6 * series.unit(),
            9 => (50_000.0 * series.unit()).round(),
            _ => 0.5 + series.unit(),
        };
        series
    }

    /// From 0 to 1 (xorshift64).
    fn unit(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.unit()).sum::<f64>() - 3.0
    }

    fn next(&mut self, slot: i64) -> Option<f64> {
        let wave = (slot as f64 / 144.0 * std::f64::consts::TAU).sin();
        let value = match self.kind {
            0..=2 => {
                self.walk = (self.walk + 0.02 * self.bell()).clamp(0.01, 8.0);
                decimals((self.walk + 0.3 * wave + 0.05 * self.unit()).max(0.0), 2)
            }
            3 => decimals((90.0 - 10.0 * wave + self.bell()).clamp(0.0, 100.0), 2),
            4 => {
                self.count = if self.unit() < 0.003 { 0.0 } else { self.count + 600.0 };
                self.count
            }
            5..=7 => {
                self.walk = (self.walk + 8_000.0 * self.bell()).max(1e5);
                (self.walk + 2_000.0 * self.bell()).round()
            }
            8 => (2.0 + self.bell()).round().max(0.0),
            9 => self.walk + (slot / 20) as f64,
            10 => (80.0 + 5.0 * wave + 2.0 * self.bell()).round(),
            11 => (3.0 + 0.2 * self.bell()).round(),
            12 => f64::from(self.unit() < 0.005),
            13 => (40.0 + 4.0 * self.bell()).round(),
            14 => {
                let spike = if self.unit() < 0.02 { 20.0 + 50.0 * self.unit() } else { 0.0 };
                decimals(0.5 + 0.2 * self.unit() + spike, 3)
            }
            15 => 20.0 * f64::from(self.unit() < 0.005),
            16 => 7.0 + (1.2 * self.unit()).floor(),
            _ => {
                self.count += (6e8 * (0.5 + self.unit())).floor();
                self.count
            }
        };
        (self.unit() >= 0.01).then_some(value)
    }
}

/// As it would be printed and read again.
fn decimals(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$}").parse().unwrap()
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

fn proc_number(file: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// In bytes.
fn memory(key: &str) -> f64 {
    proc_number("/proc/self/status", key) * 1024.0
}

fn written_bytes() -> u64 {
    proc_number("/proc/self/io", "write_bytes") as u64
}

fn forget_pages(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        .unwrap();
}
