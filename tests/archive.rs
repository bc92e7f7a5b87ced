//! The archive against a plain map, through seals, days, restarts and damage.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use weather_balloon::archive::{
    Archive, Batch, Config, DATABASE_NAME, Error, Nodes, Pattern, Position, Stats,
};
use weather_balloon::model::{HostId, MetricKey, MetricNode, Series, Window};

const STEP: i64 = 600;
const DAY: i64 = 86_400;
/// The beginning of a day.
const START: i64 = 20_000 * DAY;

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

fn open(dir: &Path, config: &Config, now: i64) -> Archive {
    let archive = Archive::new(dir, config, "nagios");
    archive.tend_blocking(now).unwrap();
    archive
}

fn node(name: &str) -> MetricNode {
    MetricNode::of(&HostId::parse(name).unwrap())
}

fn of_host(name: &str, key: &str) -> Pattern {
    Pattern { nodes: Nodes::One(node(name)), key: MetricKey::parse(key).unwrap() }
}

fn of_all(key: &str) -> Pattern {
    Pattern { nodes: Nodes::All, key: MetricKey::parse(key).unwrap() }
}

fn take(archive: &Archive, points: &[(String, i64, f64)], now: i64) {
    let batch = points.iter().map(|(path, time, value)| (path.as_str(), *time, *value));
    let receipt = archive.ingest_blocking(&batch.collect::<Batch>(), None, now).unwrap();
    assert_eq!(receipt.kept + receipt.refused + receipt.untimely, points.len());
}

fn known(series: &[Series]) -> Vec<(&str, i64, f64)> {
    let mut known = Vec::new();
    for one in series {
        let points = one.points.iter();
        known
            .extend(points.filter_map(|point| Some((one.name.as_str(), point.time, point.value?))));
    }
    known
}

/// A series of an answer.
type Named = (String, Vec<(i64, Option<f64>)>);

/// What the archive is to be: the last value of each slot.
#[derive(Clone, Default)]
struct Plain {
    series: BTreeMap<String, BTreeMap<i64, f64>>,
}

impl Plain {
    fn take(&mut self, points: &[(String, i64, f64)], keep: i64, now: i64) {
        for (path, time, value) in points {
            let slot = time.div_euclid(STEP);
            let oldest = (now - keep).div_euclid(STEP);
            if (oldest..=now.div_euclid(STEP) + 1).contains(&slot) {
                self.series.entry(path.clone()).or_default().insert(slot, *value);
            }
        }
    }

    fn answer(&self, host: usize, part: &str, from: i64, to: i64) -> Vec<Named> {
        let first = from.div_euclid(STEP) + 1;
        let end = (to.div_euclid(STEP) + 1).max(first + 1);
        let head = format!("nagios.h{host}.");
        let wanted = self.series.iter().filter_map(|(path, points)| {
            let name = path.strip_prefix(&head)?;
            (part == "*" || name.split('.').next() == Some(part)).then_some((name, points))
        });
        wanted
            .map(|(name, points)| {
                let value = |slot| (slot * STEP, points.get(&slot).copied());
                (name.to_owned(), (first..end).map(value).collect())
            })
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Move {
    Take(Vec<(usize, usize, i64, f64)>),
    Wait(i64),
    Seal,
    Reopen,
    Forget(usize),
    Ask { host: usize, part: usize, back: i64, length: i64 },
}

const PARTS: [&str; 3] = ["load", "disk", "*"];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let value = prop_oneof![
        3 => (-100_000_i64..100_000).prop_map(|whole| whole as f64 / 100.0),
        1 => any::<f64>().prop_filter("finite", |value| value.is_finite()),
    ];
    // Mostly of now, sometimes late, seldom too late or too early.
    let back = prop_oneof![6 => -600_i64..1_200, 2 => 0_i64..2 * DAY, 1 => -2_000_i64..5 * DAY];
    let point = (0..3_usize, 0..4_usize, back, value);
    let one = prop_oneof![
        6 => proptest::collection::vec(point, 1..40).prop_map(Move::Take),
        4 => (1_i64..20_000).prop_map(Move::Wait),
        1 => (DAY / 2..2 * DAY).prop_map(Move::Wait),
        2 => Just(Move::Seal),
        1 => Just(Move::Reopen),
        1 => (0..30_usize).prop_map(Move::Forget),
        6 => (0..3_usize, 0..3_usize, -3_600_i64..4 * DAY, 1_i64..2 * DAY)
            .prop_map(|(host, part, back, length)| Move::Ask { host, part, back, length }),
    ];
    proptest::collection::vec(one, 1..60)
}

fn check(archive: &Archive, plain: &Plain, ask: (usize, usize, i64, i64), keep: i64, now: i64) {
    let (host, part, from, to) = ask;
    let Ok(window) = Window::new(from, to) else { return };
    let key = format!("{}.*", PARTS[part]);
    let found =
        archive.answer_blocking(&of_host(&format!("h{host}"), &key), Some(window), None, now);
    let found: Vec<_> = found
        .unwrap()
        .into_iter()
        .map(|one| {
            let points = one.points.iter().map(|point| (point.time, point.value));
            (one.name, points.collect::<Vec<_>>())
        })
        .collect();
    if from > now || to < now - keep {
        assert_eq!(found, []);
        return;
    }
    let expected = plain.answer(host, PARTS[part], from.max(now - keep), to.min(now));
    // A series of which nothing is kept any more may be gone or be empty.
    let some = |answer: &[Named]| {
        let has_some = |one: &&Named| one.1.iter().any(|point| point.1.is_some());
        answer.iter().filter(has_some).cloned().collect::<Vec<_>>()
    };
    assert_eq!(some(&found), some(&expected), "h{host} {key} {from}..{to} at {now}");
    for one in &found {
        let times = |one: &Named| one.1.iter().map(|point| point.0).collect::<Vec<_>>();
        if let Some(expected) = expected.iter().find(|other| other.0 == one.0) {
            assert_eq!(times(one), times(expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map_of_slots(moves in moves()) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { keep: days(3), ..Config::default() };
        let keep = 3 * DAY;
        let (mut archive, mut plain, mut now) = (open(dir.path(), &config, START), Plain::default(), START);
        for one in moves {
            match one {
                Move::Take(points) => {
                    let points: Vec<_> = points
                        .into_iter()
                        .map(|(host, series, back, value)| {
                            let path = ["load.load1", "load.load5", "disk._", "disk.root"][series];
                            (format!("nagios.h{host}.{path}"), now - back, value)
                        })
                        .collect();
                    take(&archive, &points, now);
                    plain.take(&points, keep, now);
                }
                Move::Wait(seconds) => {
                    now += seconds;
                    archive.tend_blocking(now).unwrap();
                }
                Move::Seal => archive.seal_blocking(now).unwrap(),
                Move::Reopen => {
                    drop(archive);
                    archive = open(dir.path(), &config, now);
                }
                // Mostly of hosts that are not there.
                Move::Forget(host) => {
                    archive.forget_blocking(&node(&format!("h{host}"))).unwrap();
                    plain.series.retain(|path, _| !path.starts_with(&format!("nagios.h{host}.")));
                }
                Move::Ask { host, part, back, length } => {
                    check(&archive, &plain, (host, part, now - back - length, now - back), keep, now);
                }
            }
        }
        for host in 0..3 {
            check(&archive, &plain, (host, 2, now - 4 * DAY, now + DAY), keep, now);
        }
        let Stats { broken_rows, put_aside, .. } = archive.stats_blocking().unwrap();
        prop_assert_eq!((broken_rows, put_aside), (0, None));
    }
}

#[test]
fn what_is_refused_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { max_series: 2, ..Config::default() };
    let archive = open(dir.path(), &config, START);
    let points: Vec<(&str, i64, f64)> = vec![
        ("nagios.a.load.x", START, 1.0),
        ("nagios.a.load.y", START, 2.0),
        ("nagios.a.load.z", START, 3.0),
        ("nagios.b.load.x", START, 3.0),
        ("nagios.b.load.x", START, 4.0),
        ("nagios.a.load.x", START - 91 * DAY, 5.0),
        ("nagios.a.load.x", START + 2 * STEP, 6.0),
        ("nagios.a.load.x", START, f64::NAN),
        ("nagios.a.load.x", START, f64::INFINITY),
        ("nagios.a.load.x", i64::MIN, 1.0),
        ("nagios.a.load.x", i64::MAX, 1.0),
        ("nagios.a.load.x", START + STEP, 7.0),
    ];
    let receipt = archive.ingest_blocking(&points.into_iter().collect(), None, START).unwrap();
    assert_eq!((receipt.kept, receipt.refused, receipt.untimely), (3, 3, 6));
    let stats = archive.stats_blocking().unwrap();
    assert_eq!((stats.refused_series, stats.refused_points, stats.untimely_points), (2, 3, 6));
    assert_eq!((stats.series, stats.nodes, stats.newest), (2, 1, Some(START + STEP)));
    let found = archive.answer_blocking(&of_all("*.*"), None, None, START + STEP).unwrap();
    let expected =
        [("a.load.x", START, 1.0), ("a.load.x", START + STEP, 7.0), ("a.load.y", START, 2.0)];
    assert_eq!(known(&found), expected);
    assert_eq!(found[0].points.len(), 144);
}

#[test]
fn an_answer_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let archive = open(dir.path(), &Config::default(), START);
    let points: Vec<_> = (0..10_001)
        .map(|at| (format!("nagios.h{}.load.s{}", at / 100, at % 100), START, 1.0))
        .collect();
    take(&archive, &points, START);
    let ask = |pattern: &Pattern, back: i64, max_points: Option<u32>| {
        let window = Window::new(START - back, START).unwrap();
        archive.answer_blocking(pattern, Some(window), max_points, START)
    };
    let fault = ask(&of_all("load.*"), STEP, None).unwrap_err();
    assert!(matches!(fault, Error::TooManySeries { max: 10_000 }), "{fault}");
    assert_eq!(ask(&of_all("load.s1"), 90 * DAY, None).unwrap().len(), 100);
    let one_day = ask(&of_host("h3", "load.*"), 89 * DAY, Some(10)).unwrap();
    assert_eq!(one_day.len(), 100);
    assert!(one_day.iter().all(|one| one.points.len() <= 10));
    // 9,900 series of 90 days, without and with averages.
    archive.forget_blocking(&node("h100")).unwrap();
    archive.forget_blocking(&node("h99")).unwrap();
    let fault = ask(&of_all("load.*"), 90 * DAY, None).unwrap_err();
    assert!(matches!(fault, Error::TooManyPoints { max: 2_000_000 }), "{fault}");
    let fault = ask(&of_all("load.*"), 90 * DAY, Some(10)).unwrap_err();
    assert!(matches!(fault, Error::TooMuchToRead { .. }), "{fault}");
    assert_eq!(ask(&of_all("load.*"), DAY, None).unwrap().len(), 9_900);
}

#[test]
fn positions_are_kept_with_the_points() {
    let dir = tempfile::tempdir().unwrap();
    let position = |file: &str, offset| Position { file: file.to_owned(), offset };
    let point = |value: f64| -> Batch { [("nagios.a.load.x", START, value)].into_iter().collect() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    {
        let archive = open(dir.path(), &Config::default(), START);
        let take = |value, position: &Position| {
            archive.ingest_blocking(&point(value), Some(position), START)
        };
        let _ = take(1.0, &position("f1", 10)).unwrap();
        let _ = take(2.0, &position("f1", 20)).unwrap();
        let _ = take(3.0, &position("f2", 7)).unwrap();
        let long = position(&"f".repeat(1_025), 1);
        assert!(matches!(take(9.0, &long), Err(Error::LongFileName(1_025))));
    }
    let archive = open(dir.path(), &Config::default(), START);
    let positions = || runtime.block_on(archive.positions()).unwrap();
    assert_eq!(positions(), [position("f1", 20), position("f2", 7)]);
    runtime.block_on(archive.forget_positions(vec!["f1".to_owned(), "none".to_owned()])).unwrap();
    assert_eq!(positions(), [position("f2", 7)]);
    let found = archive.answer_blocking(&of_host("a", ""), None, None, START).unwrap();
    assert_eq!(known(&found), [("load.x", START, 3.0)]);
}

#[test]
fn hosts_are_listed_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::default();
    let archive = open(dir.path(), &config, START);
    let all = |time| -> Vec<_> {
        (0..50)
            .flat_map(|series| ["a", "b", "c"].map(|host| (host, series)))
            .map(|(host, series)| (format!("nagios.{host}.load.s{series}"), time, 1.0))
            .collect()
    };
    take(&archive, &all(START), START);
    take(&archive, &[("elsewhere.x.y.z".to_owned(), START, 1.0)], START);
    archive.seal_blocking(START).unwrap();
    archive.tend_blocking(START + DAY + 7_200).unwrap();
    let now = START + DAY + 7_200;
    take(&archive, &all(now), now);
    archive.seal_blocking(now).unwrap();
    take(&archive, &[("nagios.c.load.s1".to_owned(), now + STEP, 5.0)], now);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let nodes = |archive: &Archive| runtime.block_on(archive.nodes()).unwrap();
    let found = nodes(&archive);
    assert_eq!(
        found.iter().map(|one| (one.node.as_str(), one.series)).collect::<Vec<_>>(),
        [("a", 50), ("b", 50), ("c", 50)]
    );
    assert_eq!((found[0].newest, found[2].newest), (now, now + STEP));

    assert_eq!(archive.forget_blocking(&node("b")).unwrap(), 50);
    assert_eq!(archive.forget_blocking(&node("b")).unwrap(), 0);
    for archive in [archive, open(dir.path(), &config, now)] {
        assert_eq!(nodes(&archive).len(), 2);
        let window = Some(Window::new(START - 1, now).unwrap());
        assert_eq!(archive.answer_blocking(&of_host("b", ""), window, None, now).unwrap(), []);
        let found = archive.answer_blocking(&of_all("load.s1"), window, None, now).unwrap();
        let expected = [
            ("a.load.s1", START, 1.0),
            ("a.load.s1", now, 1.0),
            ("c.load.s1", START, 1.0),
            ("c.load.s1", now, 1.0),
        ];
        assert_eq!(known(&found), expected);
        // The host comes back with other numbers: nothing of the old ones.
        take(&archive, &[("nagios.b.load.s1".to_owned(), now, 7.0)], now);
        let found = archive.answer_blocking(&of_host("b", ""), window, None, now).unwrap();
        assert_eq!(known(&found), [("load.s1", now, 7.0)]);
        archive.forget_blocking(&node("b")).unwrap();
    }
}

#[test]
fn a_copy_is_a_whole_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = open(dir.path(), &Config::default(), START);
    let points = |slots: std::ops::Range<i64>| -> Vec<_> {
        slots
            .flat_map(|slot| (0..20).map(move |n| (slot, n)))
            .map(|(slot, n)| (format!("nagios.h{n}.load.load1"), START + slot * STEP, n as f64))
            .collect()
    };
    // Some of it sealed, some in the journal only.
    take(&archive, &points(0..20), START + 20 * STEP);
    archive.seal_blocking(START + 20 * STEP).unwrap();
    take(&archive, &points(20..30), START + 30 * STEP);

    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join(DATABASE_NAME);
    archive.backup_blocking(&copy).unwrap();
    take(&archive, &points(30..31), START + 31 * STEP);
    let fault = archive.backup_blocking(&copy).unwrap_err().to_string();
    assert!(fault.contains("must be a new file"), "{fault}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&copy.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let now = START + 31 * STEP;
    let ask = |archive: &Archive| {
        let window = Window::new(START - 1, now).unwrap();
        archive.answer_blocking(&of_all("*.*"), Some(window), None, now).unwrap()
    };
    let found = ask(&open(elsewhere.path(), &Config::default(), now));
    assert_eq!((known(&found).len(), known(&ask(&archive)).len()), (20 * 30, 20 * 31));
}

#[test]
fn the_step_is_the_files_own() {
    let dir = tempfile::tempdir().unwrap();
    let point = [("nagios.a.load.x".to_owned(), START + 299, 1.0)];
    take(&open(dir.path(), &Config::default(), START), &point, START + 299);
    let other = Config { step: Duration::from_secs(60), ..Config::default() };
    let archive = open(dir.path(), &other, START);
    let found = archive.answer_blocking(&of_host("a", ""), None, None, START + 299).unwrap();
    assert_eq!((known(&found), found[0].points.len()), (vec![("load.x", START, 1.0)], 144));
}

#[tokio::test]
async fn it_opens_beside_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::new(dir.path(), &Config::default(), "nagios");
    let fault = archive.answer(of_host("a", ""), None, None).await.unwrap_err();
    assert!(matches!(fault, Error::Opening), "{fault}");
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(archive.clone().run(stop.clone()));
    while matches!(archive.stats().await, Err(Error::Opening)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let batch: Batch = [("nagios.a.load.x", now.as_secs() as i64, 1.5)].into_iter().collect();
    let position = Position { file: "f".to_owned(), offset: 1 };
    assert_eq!(archive.ingest(batch, vec![position]).await.unwrap().kept, 1);
    let found = archive.answer(of_host("a", ""), None, None).await.unwrap();
    assert_eq!(known(&found).len(), 1);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_NAME);
    std::fs::create_dir(&path).unwrap();
    let archive = Archive::new(dir.path(), &Config::default(), "nagios");
    assert!(matches!(archive.tend_blocking(START), Err(Error::Closed { .. })));
    let fault = archive.answer(of_host("a", ""), None, None).await.unwrap_err();
    assert!(fault.to_string().contains("directory"), "{fault}");
    std::fs::remove_dir(&path).unwrap();
    archive.tend_blocking(START).unwrap();
    assert_eq!(archive.answer(of_host("a", ""), None, None).await.unwrap(), []);
}

#[test]
fn ninety_days_with_churn_are_flat() {
    churn(12, 3);
}

/// Minutes with --release, and more than an hour without.
#[test]
#[ignore = "318 million points"]
fn ninety_days_of_a_thousand_hosts_are_flat() {
    churn(1_000, 17);
}

/// Hosts come and go; the disk does not notice.
fn churn(count: i64, series_a_host: i64) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { keep: days(90), ..Config::default() };
    let archive = open(dir.path(), &config, START);
    let path = |host: i64, series: i64| format!("nagios.h{host}.load.s{series}");
    let mut sizes = Vec::new();
    for day in 0..130 {
        // Half of the hosts are other ones each ten days.
        let hosts =
            (0..count).map(|host| if host % 2 == 0 { host } else { host + count * (1 + day / 10) });
        let hosts: Vec<_> = hosts.collect();
        for part in 0..4 {
            let mut points = Vec::new();
            for slot in part * 36..(part + 1) * 36 {
                for host in &hosts {
                    for series in 0..series_a_host {
                        let value = ((slot * 7 + host * 13 + day) % 100) as f64 / 100.0;
                        points.push((path(*host, series), START + day * DAY + slot * STEP, value));
                    }
                }
            }
            let now = START + day * DAY + (part + 1) * 36 * STEP;
            take(&archive, &points, now);
            archive.tend_blocking(now).unwrap();
        }
        sizes.push(archive.stats_blocking().unwrap().bytes);
    }
    let now = START + 130 * DAY;
    archive.tend_blocking(now + 7_200).unwrap();
    let (then, last) = (sizes[95], *sizes.last().unwrap());
    eprintln!(
        "{count} hosts: bytes after each ten days {:?}",
        sizes.iter().step_by(10).collect::<Vec<_>>()
    );
    assert!(last <= then + then / 20, "{then} bytes after 95 days, {last} after 130");

    let all = Some(Window::new(START, now).unwrap());
    let found = archive.answer_blocking(&of_host("h0", "load.s0"), all, None, now).unwrap();
    // The slot of now is empty yet.
    assert_eq!(known(&found).len(), 12_959);
    // Of the first forty days nothing is left, of hosts that ended then not
    // even the name; hosts that ended later are there.
    let nodes = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(archive.nodes())
        .unwrap();
    let has = |host: i64| nodes.iter().any(|one| one.node == format!("h{host}"));
    assert!(!has(1 + count) && !has(1 + 3 * count) && has(1 + 5 * count));
    let database = rusqlite::Connection::open(dir.path().join(DATABASE_NAME)).unwrap();
    let oldest: i64 =
        database.query_row("SELECT min(block) FROM block", [], |row| row.get(0)).unwrap();
    assert_eq!(oldest, START / DAY + 40);
}
