//! The archive against a real Carbon and a real graphite-web: the same points
//! and the same questions bring the same answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::graphite::{Graphite, STEP};
use weather_balloon::archive::{self, Archive, Batch, Nodes, Pattern};
use weather_balloon::graphite::{Client, Config};
use weather_balloon::model::{HostId, MetricKey, MetricNode, Window};

const DAY: i64 = 86_400;
const KEEP: i64 = 90 * DAY;
const HOSTS: u64 = 3;
const NAMES: [&str; 5] = ["load.load1", "load.load5", "disk._", "ping.rta", "deep.er.name"];
const KEYS: [&str; 7] = ["", "*.*", "load.*", "*.load5", "load.load1", "*.*.*", "none.*"];

/// The same each time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn among(&mut self, range: std::ops::Range<i64>) -> i64 {
        range.start + i64::try_from(self.below((range.end - range.start).unsigned_abs())).unwrap()
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Dense of late and sparse before, in order of time but for some late ones,
/// and some twice in a slot. What Carbon still holds in memory is merged by
/// the time of a point and not by its arrival: so the later one is the newer.
fn points(random: &mut Random, prefix: &str, now: i64) -> Vec<(String, i64, f64)> {
    let mut points = Vec::new();
    let mut time = now - KEEP + DAY;
    while time < now {
        for host in 0..HOSTS {
            for name in NAMES {
                let value = random.below(1_000_000) as f64 / 1_000.0;
                points.push((format!("nagios.{prefix}{host}.{name}"), time, value));
            }
        }
        let step = if time < now - 3 * DAY { random.among(1..20) * STEP } else { STEP / 2 };
        time += step + random.among(0..200);
    }
    points.retain(|_| random.below(8) > 0);
    for at in 0..points.len() / 20 {
        // Late ones, of slots that are over long since.
        let from = random.below(points.len() as u64 - at as u64) as usize;
        let point = points.remove(from);
        let slot = point.1 / STEP;
        if !points.iter().any(|other| other.1 / STEP == slot && other.0 == point.0) {
            points.push(point);
        }
    }
    points
}

/// Sealed and put together in part, in pieces in part, in memory in part.
fn take(dir: &std::path::Path, points: &[(String, i64, f64)], now: i64) -> Archive {
    let archive = || {
        let archive = Archive::new(dir, &archive::Config::default(), "nagios");
        archive.tend_blocking(now).unwrap();
        archive
    };
    for (at, part) in points.chunks(points.len() / 3 + 1).enumerate() {
        let batch: Batch =
            part.iter().map(|(path, time, value)| (path.as_str(), *time, *value)).collect();
        let archive = archive();
        assert_eq!(archive.ingest_blocking(&batch, None, now).unwrap().kept, part.len());
        if at < 2 {
            archive.seal_blocking(now).unwrap();
            archive.tend_blocking(now + 7_200).unwrap();
        }
    }
    archive()
}

fn window(random: &mut Random, now: i64) -> Option<Window> {
    let length = match random.below(4) {
        0 => random.among(1..2 * STEP),
        1 => random.among(STEP..DAY),
        2 => random.among(DAY..7 * DAY),
        _ => random.among(7 * DAY..120 * DAY),
    };
    let (mut start, mut end) = match random.below(8) {
        // About now, about the oldest, and anywhere.
        0 => (now - random.among(0..2 * length), 0),
        1 => (now - KEEP - random.among(0..length), 0),
        _ => (now - random.among(0..KEEP), 0),
    };
    end += start + length;
    if random.below(3) == 0 {
        (start, end) = (start / STEP * STEP, end / STEP * STEP + STEP);
    }
    // Both ask their own clock: where it matters, by a margin.
    let is_near = |time: i64| [now, now - KEEP].iter().any(|edge| (time - edge).abs() < 60);
    if is_near(start) || is_near(end) { None } else { Some(Window::new(start, end).unwrap()) }
}

async fn compare(prefix: &str, questions: u32, seed: u64) {
    let graphite = Graphite::shared();
    let mut random = Random(seed);
    let begun = now();
    let mut points = points(&mut random, prefix, begun - 1);
    let dir = tempfile::tempdir().unwrap();
    let archive = take(dir.path(), &points, begun);
    // Carbon takes the lines of a connection in order.
    let last = format!("nagios.{prefix}last.x.y");
    points.push((last.clone(), begun, 1.0));
    graphite.send(&points);
    graphite.wait_for([last.as_str()]);

    let config =
        Config { url: graphite.url(), timeout: Duration::from_secs(60), ..Config::default() };
    let client = Client::new(&config).unwrap().unwrap();
    let (mut asked, mut values) = (0, 0);
    while asked < questions {
        let host = format!("{prefix}{}", random.below(HOSTS + 1));
        let node = MetricNode::of(&HostId::parse(&host).unwrap());
        let key = MetricKey::parse(KEYS[random.below(KEYS.len() as u64) as usize]).unwrap();
        let at = now();
        // Without one, now and then.
        let window = if random.below(20) == 0 { None } else { window(&mut random, at) };
        let max_points = match random.below(3) {
            0 => Some(u32::try_from(random.among(1..500)).unwrap()),
            _ => None,
        };
        let theirs = client.render(&node, &key, window, max_points).await.unwrap();
        let pattern = Pattern { nodes: Nodes::One(node), key };
        let ours = archive.answer_blocking(&pattern, window, max_points, at).unwrap();
        // A step began while they were asked.
        if now() / STEP != at / STEP {
            continue;
        }
        let shape = |series: &[weather_balloon::model::Series]| -> Vec<_> {
            series
                .iter()
                .map(|one| (one.name.clone(), one.points.len(), one.points.first().map(|p| p.time)))
                .collect()
        };
        assert_eq!(shape(&ours), shape(&theirs), "{host} {pattern:?} {window:?} {max_points:?}");
        assert!(
            ours == theirs,
            "{host} {pattern:?} {window:?} {max_points:?}\n{}",
            difference(&ours, &theirs)
        );
        asked += 1;
        values += ours.iter().flat_map(|one| &one.points).filter(|p| p.value.is_some()).count();
    }
    assert!(values > 100 * questions as usize, "only {values} values were compared");
}

fn difference(
    ours: &[weather_balloon::model::Series],
    theirs: &[weather_balloon::model::Series],
) -> String {
    let mut told = String::new();
    for (one, other) in ours.iter().zip(theirs) {
        for (a, b) in one.points.iter().zip(&other.points).filter(|(a, b)| a != b).take(5) {
            told += &format!("{}: ours {a:?}, Graphite's {b:?}\n", one.name);
        }
    }
    told
}

#[tokio::test]
async fn it_answers_as_graphite_does() {
    compare("some", 150, 0x1234_5678_9ABC).await;
}

#[tokio::test]
#[ignore = "the long form: minutes"]
async fn it_answers_a_thousand_questions_as_graphite_does() {
    compare("many", 1_000, 0x9ABC_1234_5678).await;
}
