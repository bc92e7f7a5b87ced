//! The archive killed at any instant, and with flipped bits on its disk.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use weather_balloon::archive::{
    Archive, Batch, Config, DATABASE_NAME, Error, Nodes, Pattern, Position,
};
use weather_balloon::model::{MetricKey, Window};

const STEP: i64 = 600;
const DAY: i64 = 86_400;
/// The beginning of a day.
const START: i64 = 20_000 * DAY;
const FILE: &str = "the spool file";
const SERIES: i64 = 40;
const FEW: i64 = 40;

/// The same each time, so that a failure comes again (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits of the first numbers are those of the seed.
        (self.0 >> 11) % end
    }
}

fn archive(dir: &Path) -> Archive {
    Archive::new(dir, &Config::default(), "nagios")
}

/// Two batches a slot, so that the later one has to win.
fn time_of(batch: i64) -> i64 {
    START + batch * STEP / 2
}

/// Values by series and time.
fn answers(archive: &Archive, now: i64) -> Result<BTreeMap<(String, i64), f64>, Error> {
    let pattern = Pattern { nodes: Nodes::All, key: MetricKey::parse("").unwrap() };
    let window = Window::new(START - 1, now).unwrap();
    let mut found = BTreeMap::new();
    for series in archive.answer_blocking(&pattern, Some(window), None, now)? {
        for point in series.points {
            if let Some(value) = point.value {
                found.insert((series.name.clone(), point.time), value);
            }
        }
    }
    Ok(found)
}

/// Not a test: what is killed. Told its directory and its first batch on stdin;
/// says each batch for which it has a receipt.
#[test]
#[ignore = "started by the test that kills it"]
#[allow(clippy::disallowed_methods, reason = "this process is to be busy on two threads")]
fn takes_points_until_it_is_killed() {
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    let Some((first, dir)) = told.trim().split_once(' ') else { return };
    let first: i64 = first.parse().unwrap();
    let archive = archive(Path::new(dir));
    archive.tend_blocking(time_of(first)).unwrap();
    let (now, stop) = (AtomicI64::new(time_of(first)), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                archive.tend_blocking(now.load(Ordering::Relaxed)).unwrap();
            }
        });
        for batch in first..first + 50_000 {
            let time = time_of(batch);
            let names: Vec<_> = (0..SERIES)
                .map(|series| format!("nagios.h{}.load.s{series}", series / 10))
                .collect();
            let points = names.iter().map(|name| (name.as_str(), time, batch as f64));
            let position = Position { file: FILE.to_owned(), offset: batch.unsigned_abs() };
            let receipt =
                archive.ingest_blocking(&points.collect::<Batch>(), Some(&position), time);
            assert_eq!(receipt.unwrap().kept, names.len());
            println!("kept {batch}");
            std::io::stdout().flush().unwrap();
            now.store(time, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Kills the taker after a while; the last batch that it had a receipt for.
fn kill_one(dir: &Path, first: i64, after: Duration) -> i64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "takes_points_until_it_is_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut child = common::keeper::spawn(command).unwrap();
    writeln!(child.stdin.take().unwrap(), "{first} {}", dir.display()).unwrap();
    let mut last = first - 1;
    let mut deadline = None;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The clock runs from the first receipt; the test harness talks before.
    while deadline.is_none_or(|deadline| Instant::now() < deadline) {
        let Some(line) = lines.next() else { panic!("the taker ended by itself") };
        if let Some(batch) = line.unwrap().strip_prefix("kept ") {
            last = batch.parse().unwrap();
            deadline = deadline.or(Some(Instant::now() + after));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = lines.map_while(Result::ok);
    left.filter_map(|line| line.strip_prefix("kept ")?.parse().ok()).last().unwrap_or(last)
}

/// Batches: with more than two days of them one day is put together.
const ENOUGH: i64 = 2 * 144;

fn kill_often(kills: u64, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut first, mut kill) = (0, 0);
    // On a busy machine few batches come between two kills.
    while kill < kills || (first <= ENOUGH && kill < 10 * kills) {
        let after = Duration::from_micros(random.below(300_000));
        let receipt = kill_one(dir.path(), first, after);
        let archive = archive(dir.path());
        archive.tend_blocking(time_of(first)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let positions = runtime.block_on(archive.positions()).unwrap();
        let kept = i64::try_from(positions[0].offset).unwrap();
        assert!(kept >= receipt, "kill {kill}: {receipt} had a receipt, only {kept} are kept");

        // What is kept is whole up to the position, and nothing is beyond it.
        let found = answers(&archive, time_of(kept)).unwrap();
        let mut expected = BTreeMap::new();
        for series in 0..SERIES {
            let name = format!("h{}.load.s{series}", series / 10);
            for batch in 0..=kept {
                let slot = time_of(batch) / STEP * STEP;
                expected.insert((name.clone(), slot), batch as f64);
            }
        }
        assert_eq!(found.len(), expected.len(), "kill {kill} after batch {kept}");
        assert!(found == expected, "kill {kill} after batch {kept}");
        let stats = archive.stats_blocking().unwrap();
        assert_eq!((stats.broken_rows, stats.put_aside), (0, None));
        drop(archive);
        let database = rusqlite::Connection::open(dir.path().join(DATABASE_NAME)).unwrap();
        let verdict: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        first = kept + 1;
        kill += 1;
    }
    assert!(first > ENOUGH, "only {first} batches came: no day was put together");
}

#[test]
fn nothing_with_a_receipt_is_lost_to_a_kill() {
    kill_often(20, 0x1111_2345_6789);
}

#[test]
#[ignore = "the long form: minutes"]
fn nothing_with_a_receipt_is_lost_to_two_hundred_kills() {
    kill_often(200, 0x2222_2345_6789);
}

/// Two days put together, one in pieces, and points in the journal.
fn filled(dir: &Path) -> (BTreeMap<(String, i64), f64>, i64) {
    let archive = archive(dir);
    archive.tend_blocking(START).unwrap();
    let mut truth = BTreeMap::new();
    let mut now = START;
    for part in 0..2 * 12 + 7 {
        let mut batch = Batch::default();
        for slot in part * 12..(part + 1) * 12 {
            for series in 0..FEW {
                let (time, name) =
                    (START + slot * STEP, format!("h{}.load.s{series}", series / 10));
                let value = ((slot * 7_919 + series * 1_299_709) % 100_003) as f64 / 100.0;
                batch.push(&format!("nagios.{name}"), time, value);
                truth.insert((name, time), value);
                now = time;
            }
        }
        let position = Position { file: FILE.to_owned(), offset: part.unsigned_abs() };
        assert_eq!(
            archive.ingest_blocking(&batch, Some(&position), now).unwrap().kept,
            batch.len()
        );
        archive.tend_blocking(now).unwrap();
    }
    assert_eq!(answers(&archive, now).unwrap(), truth);
    (truth, now)
}

fn flip_often(flips: u32, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (truth, now) = filled(dir.path());
    // So that hardly a page is free.
    let path = dir.path().join(DATABASE_NAME);
    rusqlite::Connection::open(&path).unwrap().execute_batch("VACUUM").unwrap();
    let whole = std::fs::read(path).unwrap();
    assert!(!dir.path().join(format!("{DATABASE_NAME}-wal")).exists(), "it was not closed");
    let mut random = Random(seed);
    let (mut told, mut put_aside, mut missed) = (0, 0, 0);
    for _ in 0..flips {
        let dir = tempfile::tempdir().unwrap();
        let (at, bit) = (random.below(whole.len() as u64) as usize, random.below(8));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        std::fs::File::create(dir.path().join(DATABASE_NAME)).unwrap().write_all(&bytes).unwrap();
        let archive = archive(dir.path());
        let opened = archive.tend_blocking(now);
        let found = answers(&archive, now);
        for (key, value) in found.iter().flatten() {
            assert_eq!(
                truth.get(key),
                Some(value),
                "bit {bit} of byte {at}: a wrong value of {key:?}"
            );
        }
        // Whatever it was, it goes on: at the latest the second time.
        if opened.is_err() || found.is_err() {
            archive.tend_blocking(now + 1).unwrap();
        }
        let new = "nagios.new.load.x";
        let take = || archive.ingest_blocking(&[(new, now, 1.0)].into_iter().collect(), None, now);
        if take().is_err() {
            archive.tend_blocking(now + 2).unwrap();
            assert_eq!(take().unwrap().kept, 1, "bit {bit} of byte {at}");
        }
        if archive.tend_blocking(now + 2 * DAY).is_err() {
            archive.tend_blocking(now + 2 * DAY).unwrap();
        }
        // What is damaged may be met only now.
        let after = answers(&archive, now + 2 * DAY).or_else(|_| {
            archive.tend_blocking(now + 2 * DAY)?;
            answers(&archive, now + 2 * DAY)
        });
        for (key, value) in after.unwrap() {
            let right = truth.get(&key).copied().or((key.0 == "new.load.x").then_some(1.0));
            assert_eq!(right, Some(value), "bit {bit} of byte {at}: a wrong value of {key:?}");
        }
        let stats = archive.stats_blocking().unwrap();
        let is_told = stats.broken_rows > 0 || stats.put_aside.is_some();
        told += u32::from(is_told);
        put_aside += u32::from(stats.put_aside.is_some());
        missed += u32::from(!is_told && found.is_ok_and(|found| found.len() < truth.len()));
    }
    println!(
        "{flips} flips: {told} told, of these {put_aside} put aside; {missed} left gaps untold"
    );
    // Most bytes are blocks.
    assert!(told > flips / 3, "only {told} of {flips} were told");
}

#[test]
fn flipped_bits_are_never_believed() {
    flip_often(100, 0x3333_2345_6789);
}

#[test]
#[ignore = "the long form: a minute"]
fn a_thousand_flipped_bits_are_never_believed() {
    flip_often(1_000, 0x4444_2345_6789);
}

#[test]
fn a_file_cut_short_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (_, now) = filled(dir.path());
    let path = dir.path().join(DATABASE_NAME);
    let size = std::fs::metadata(&path).unwrap().len();
    for (round, length) in [size / 2, 5_000, 50].into_iter().enumerate() {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length.min(file.metadata().unwrap().len() / 2)).unwrap();
        let archive = archive(dir.path());
        let now = now + round as i64;
        let point = || [("nagios.new.load.x", now, 1.0)].into_iter().collect::<Batch>();
        for _ in 0..2 {
            let opened = archive.tend_blocking(now);
            if opened.is_ok() && answers(&archive, now).is_ok() {
                break;
            }
        }
        assert_eq!(archive.ingest_blocking(&point(), None, now).unwrap().kept, 1);
        let aside = archive.stats_blocking().unwrap().put_aside.unwrap();
        assert!(aside.exists());
        // One at most, and the new one beside it.
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(
            names.iter().filter(|name| name.contains("damaged") && !name.ends_with("-wal")).count(),
            1,
            "{names:?}"
        );
    }
}
