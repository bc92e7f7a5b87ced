//! Random lives of instances, seen through listings and events, against an
//! oracle that knows nothing of segments: it says of each second by itself
//! whether it is billed and with how many vCPUs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use common::histories::{
    Cloud, Life, Look, START, Shows, TOGETHER, billed_by_listings, ledger_times, listed_cloud,
    looks, owner_of, sighting, told_life,
};
use common::ledger::{Ground, assert_sound, vm};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use weather_balloon::model::{SegmentRow, Sighting};
use weather_balloon::store::Applied;

/// Lives in the normal run, and in the long one (`--ignored`), of each kind
/// and on each store.
const LIVES: usize = 300;
const MANY_LIVES: usize = 10_000;
/// A reader that asks for what is newer, as the leaderboard does.
#[derive(Default)]
struct Reader {
    revision: i64,
    rows: std::collections::BTreeMap<i64, SegmentRow>,
}

impl Reader {
    async fn read_on(&mut self, ground: &Ground) {
        ground.read_on(&mut self.revision, &mut self.rows).await;
    }
}

/// Plays all looks, each twice in the ways that a poll may be repeated.
async fn play(ground: &Ground, reader: &mut Reader, name: &str, cloud: &Cloud) {
    for (index, look) in cloud.looks.iter().enumerate() {
        let seen = sighting(name, cloud, index);
        let run = format!("{name} {index}");
        let now = look.truth + look.ours;
        let changes = Arc::new(ground.see(&run, &seen, now).await);
        if index % 3 == 0 {
            // The commit was in doubt: the same run again; and the same
            // sighting again, as another run.
            reader.read_on(ground).await;
            let again = ground.store.apply(&ground.lease, &run, changes).await.unwrap();
            assert!(matches!(again, Applied::Before(_)));
            assert_eq!(ground.store.segments_since(reader.revision).await.unwrap(), []);
            let replayed = ground.would(&seen, now).await;
            assert!(replayed.new.is_empty() && replayed.touched.is_empty(), "{run} again changes");
            assert_eq!(replayed.gap, None);
        }
    }
    reader.read_on(ground).await;
}

/// The rows of one cloud by the life's number.
async fn rows_of(ground: &Ground, reader: &Reader, name: &str) -> HashMap<usize, Vec<SegmentRow>> {
    let clouds = ground.store.clouds_since(0).await.unwrap();
    let cloud = clouds.iter().find(|cloud| cloud.name == name).unwrap().id;
    let keys = keys_of(ground, name).await;
    let mut by_life: HashMap<usize, Vec<SegmentRow>> = HashMap::new();
    for row in reader.rows.values().filter(|row| row.cloud == cloud && !row.deleted) {
        by_life.entry(keys[&row.instance]).or_default().push(*row);
    }
    by_life
}

/// The life's number of each instance's row.
async fn keys_of(ground: &Ground, name: &str) -> HashMap<i64, usize> {
    let named = (0..TOGETHER).map(|number| vm(&format!("i-{number}"), "x", 1)).collect();
    let all = Sighting::new(name, START, START, named, vec![], vec![]).unwrap();
    let view = ground.store.view(&all).await.unwrap();
    let gone = view
        .gone
        .into_iter()
        .flat_map(|(id, all)| all.into_iter().map(move |one| (id.clone(), one)));
    view.live
        .into_iter()
        .chain(gone)
        .map(|(id, known)| (known.row, id.as_str()[2..].parse().unwrap()))
        .collect()
}

fn billed_by_rows(rows: &[SegmentRow], start: i64, end: i64) -> Vec<u32> {
    let mut seconds = vec![0; usize::try_from(end - start).unwrap()];
    for row in rows.iter().filter(|row| row.counted) {
        for second in row.from.max(start)..row.to.unwrap_or(end).min(end) {
            let here = &mut seconds[usize::try_from(second - start).unwrap()];
            assert_eq!(*here, 0, "second {second} is billed twice: {rows:?}");
            *here = row.vcpus.unwrap();
        }
    }
    seconds
}

fn assert_same(name: &str, life: &Life, looks: &[Look], expected: &[u32], rows: &[SegmentRow]) {
    let start = ledger_times(looks)[0].0;
    let end = start + i64::try_from(expected.len()).unwrap();
    let found = billed_by_rows(rows, start, end);
    if let Some(at) = (0..expected.len()).find(|at| expected[*at] != found[*at]) {
        panic!(
            "{name}: second {} has {} vCPUs, not {}\n{:?}\n{life:?}\n{rows:#?}",
            start + i64::try_from(at).unwrap(),
            found[at],
            expected[at],
            ledger_times(looks),
        );
    }
}

async fn listings_alone(ground: &Ground, clouds: usize, runner: &mut TestRunner) {
    let mut reader = Reader::default();
    for number in 0..clouds {
        let cloud = listed_cloud().new_tree(runner).unwrap().current();
        let name = format!("listed-{number}");
        play(ground, &mut reader, &name, &cloud).await;
        let (rows, users) = (rows_of(ground, &reader, &name).await, ground.user_names().await);
        for (index, life) in cloud.lives.iter().enumerate() {
            let none = Vec::new();
            let rows = rows.get(&index).unwrap_or(&none);
            let expected = billed_by_listings(&cloud.looks, life);
            assert_same(&name, life, &cloud.looks, &expected, rows);
            if let Some(owner) = owner_of(life, &name) {
                assert!(rows.iter().all(|row| users[&row.user] == owner), "{life:?}\n{rows:#?}");
            }
        }
    }
    assert_same_as_new(ground, &reader).await;
}

async fn assert_same_as_new(ground: &Ground, reader: &Reader) {
    assert_sound(&reader.rows);
    assert!(reader.rows == ground.rows().await, "a reader that read on has what a new one gets");
}

async fn everything_told(ground: &Ground, clouds: usize, runner: &mut TestRunner) {
    let mut reader = Reader::default();
    for number in 0..clouds {
        let looks = looks(true).new_tree(runner).unwrap().current();
        let lives = prop::collection::vec(told_life(looks.clone()), TOGETHER);
        let (lives, truths): (Vec<_>, Vec<_>) =
            lives.new_tree(runner).unwrap().current().into_iter().unzip();
        let cloud = Cloud { looks, lives };
        let name = format!("told-{number}");
        play(ground, &mut reader, &name, &cloud).await;
        let rows = rows_of(ground, &reader, &name).await;
        for (index, (life, truth)) in cloud.lives.iter().zip(&truths).enumerate() {
            let rows = rows.get(&index).cloned().unwrap_or_default();
            assert_same(&name, life, &cloud.looks, truth, &rows);
        }
    }
    assert_same_as_new(ground, &reader).await;
}

async fn histories(lives: usize) {
    let grounds = Ground::both().await;
    for ground in &grounds {
        // The same draws for both stores, and in every run.
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            proptest::test_runner::TestRng::deterministic_rng(Default::default()),
        );
        listings_alone(ground, lives / TOGETHER, &mut runner).await;
        everything_told(ground, lives / TOGETHER, &mut runner).await;
    }
    let [a, b] = &grounds;
    assert!(a.rows().await == b.rows().await, "both stores hold the same rows");
}

#[tokio::test]
async fn random_histories_are_billed_to_the_second() {
    histories(LIVES).await;
}

#[tokio::test]
#[ignore = "takes minutes: cargo test --release --test ledger_histories -- --ignored"]
async fn many_random_histories_are_billed_to_the_second() {
    histories(MANY_LIVES).await;
}

#[test]
fn the_oracle_itself_counts_the_case_of_2014() {
    let looks: Vec<_> =
        (0..=30).map(|day| Look { truth: START + day * 600, theirs: 0, ours: 0 }).collect();
    let shows = (0..=30).map(|day| Shows::There(4, day < 10 || (20..30).contains(&day))).collect();
    let life = Life { created: None, shows, owners: vec![], events: vec![] };
    let billed = billed_by_listings(&looks, &life);
    assert_eq!(billed.iter().filter(|vcpus| **vcpus > 0).count(), 20 * 600);
    assert_eq!(billed.iter().sum::<u32>(), 80 * 600);
}
