//! Random lives of instances, seen through listings and events, against an
//! oracle that knows nothing of segments: it says of each second by itself
//! whether it is billed and with how many vCPUs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::ledger::{Ground, INTERVAL, assert_sound, off, vm};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use weather_balloon::model::{
    Departure, Event, EventKind, Instance, InstanceId, Owner, OwnerRank, SegmentRow, Sighting,
};
use weather_balloon::store::Applied;

/// Lives in the normal run, and in the long one (`--ignored`), of each kind
/// and on each store.
const LIVES: usize = 300;
const MANY_LIVES: usize = 10_000;
/// Lives that one cloud's listings show together.
const TOGETHER: usize = 50;

const CONFIRM: i64 = 300;
const AHEAD: i64 = 300;
const DRIFT: i64 = 300;
const GAP: i64 = 3 * INTERVAL as i64;
const START: i64 = 1_000_000;
/// No history is longer.
const SPAN: i64 = 60_000;

/// One look at the cloud: the true time, and by how much the clocks are off.
#[derive(Clone, Copy, Debug)]
struct Look {
    truth: i64,
    theirs: i64,
    ours: i64,
}

/// What one listing shows of one life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shows {
    Nothing,
    /// vCPUs, in a state that counts or not.
    There(u32, bool),
    /// The cloud says it is gone, at this time or at no known one.
    Gone(Option<i64>),
}

#[derive(Clone, Debug)]
struct Cloud {
    looks: Vec<Look>,
    lives: Vec<Life>,
}

#[derive(Clone, Debug)]
struct Life {
    created: Option<i64>,
    shows: Vec<Shows>,
    owners: Vec<(OwnerRank, u8)>,
    events: Vec<Event>,
}

/// The ledger's time of each look, by the rules of the clocks, and whether a
/// clock was set before it.
fn ledger_times(looks: &[Look]) -> Vec<(i64, bool)> {
    let mut times: Vec<(i64, bool)> = Vec::new();
    for (index, look) in looks.iter().enumerate() {
        let (theirs, ours) = (look.truth + look.theirs, look.truth + look.ours);
        let mut at = theirs.min(ours + AHEAD);
        let mut stepped = false;
        if index > 0 {
            let before = looks[index - 1];
            let last = times[index - 1].0;
            at = at.max(last);
            let passed = ours - (before.truth + before.ours);
            stepped = theirs < last || ((at - last) - passed).abs() > DRIFT;
        }
        times.push((at, stepped));
    }
    times
}

/// The vCPUs billed in each second from the first look on; 0: none. Only for
/// lives without events.
fn billed_by_listings(looks: &[Look], life: &Life) -> Vec<u32> {
    let times = ledger_times(looks);
    let end = times.last().unwrap().0;
    let start = times[0].0;
    // What the ledger believes from each look until the next.
    let mut believed: Vec<Option<(u32, bool)>> = Vec::new();
    let mut missing: Option<(i64, i64, i64, usize)> = None;
    let mut state: Option<(u32, bool)> = None;
    let mut unbilled: Vec<(i64, i64)> = Vec::new();
    let mut births: Vec<(i64, i64, u32)> = Vec::new();
    let mut known = false;
    for (index, look) in looks.iter().enumerate() {
        let (at, stepped) = times[index];
        let ours = look.truth + look.ours;
        let last = (index > 0).then(|| times[index - 1].0);
        let gap = last.filter(|last| at - last > GAP);
        match life.shows[index] {
            Shows::There(vcpus, counted) => {
                missing = None;
                if let Some((_, true)) = state
                    && !counted
                    && let Some(gap) = gap
                {
                    unbilled.push((gap, at));
                }
                if !known
                    && let (Some(created), Some(last), true) = (life.created, last, counted)
                    && created > last
                {
                    births.push((created.min(at), at, vcpus));
                }
                known = true;
                state = Some((vcpus, counted));
            }
            Shows::Gone(_) => {
                if state.is_some() {
                    let from = missing.map_or(gap.unwrap_or(at), |missing| missing.2);
                    unbilled.push((from, at));
                }
                missing = None;
                state = None;
            }
            Shows::Nothing if state.is_some() => match &mut missing {
                None => missing = Some((at, ours, gap.unwrap_or(at), index)),
                Some((_, noticed, ..)) if ours < *noticed => *noticed = ours,
                Some((since, noticed, ends, _)) => {
                    let witness = !stepped && last < Some(at);
                    if witness && at - *since >= CONFIRM && ours - *noticed >= CONFIRM {
                        unbilled.push((*ends, at));
                        missing = None;
                        state = None;
                    }
                }
            },
            Shows::Nothing => (),
        }
        believed.push(state);
    }
    let mut seconds = vec![0; usize::try_from(end - start).unwrap()];
    for (index, pair) in times.windows(2).enumerate() {
        for second in pair[0].0..pair[1].0 {
            if let Some((vcpus, true)) = believed[index] {
                seconds[usize::try_from(second - start).unwrap()] = vcpus;
            }
        }
    }
    for (from, to, vcpus) in births {
        for second in from..to {
            seconds[usize::try_from(second - start).unwrap()] = vcpus;
        }
    }
    for (from, to) in unbilled {
        for second in from.max(start)..to {
            seconds[usize::try_from(second - start).unwrap()] = 0;
        }
    }
    seconds
}

fn looks(steady: bool) -> impl Strategy<Value = Vec<Look>> {
    let step = prop_oneof![8 => 500_i64..700, 2 => 100_i64..400, 1 => 1_801_i64..6_000];
    let shift = prop_oneof![
        10 => Just((0_i64, 0_i64)),
        1 => (-4_000_i64..4_000, Just(0_i64)),
        1 => (Just(0_i64), -4_000_i64..4_000),
    ];
    prop::collection::vec((step, shift), 3..12).prop_map(move |steps| {
        let (mut truth, mut theirs, mut ours) = (START, 0, 0);
        steps
            .into_iter()
            .map(|(step, (cloud, host))| {
                truth += step;
                if !steady {
                    theirs += cloud;
                    ours += host;
                }
                Look { truth, theirs, ours }
            })
            .collect()
    })
}

fn owners(count: usize) -> impl Strategy<Value = Vec<(OwnerRank, u8)>> {
    prop::collection::vec((prop::sample::select(OwnerRank::ALL.to_vec()), 0_u8..4), count)
}

/// A life that only listings show.
fn listed_life(looks: Vec<Look>) -> impl Strategy<Value = Life> {
    let shows = prop_oneof![
        3 => Just(Shows::Nothing),
        6 => (1_u32..5, prop::bool::weighted(0.7)).prop_map(|(vcpus, on)| Shows::There(vcpus, on)),
        1 => Just(Shows::Gone(None)),
    ];
    // Most things stay as they are from look to look.
    let drawn = prop::collection::vec((shows, prop::bool::weighted(0.5)), looks.len());
    let owners = owners(looks.len());
    (drawn, owners, prop::option::of(-2_000_i64..SPAN)).prop_map(move |(drawn, owners, created)| {
        let mut shows: Vec<Shows> = Vec::new();
        for (index, (one, same)) in drawn.into_iter().enumerate() {
            let before = index.checked_sub(1).map(|before| shows[before]);
            shows.push(before.filter(|_| same).unwrap_or(one));
        }
        Life { created: created.map(|after| START + after), shows, owners, events: Vec::new() }
    })
}

fn listed_cloud() -> impl Strategy<Value = Cloud> {
    looks(false).prop_flat_map(|looks| {
        prop::collection::vec(listed_life(looks.clone()), TOGETHER)
            .prop_map(move |lives| Cloud { looks: looks.clone(), lives })
    })
}

/// A life of which the cloud tells everything, and what it truly was: vCPUs in
/// each second from the first look on.
fn told_life(looks: Vec<Look>) -> impl Strategy<Value = (Life, Vec<u32>)> {
    let first = looks[0].truth;
    let last = looks[looks.len() - 1].truth;
    let acts = prop::collection::vec((1_i64..1_500, 0_u8..3), 0..30);
    let owners = owners(looks.len());
    (first + 1..last, acts, prop::option::of(1_i64..10_000), owners).prop_map(
        move |(born, acts, lifetime, owners)| {
            let id = InstanceId::parse("x").unwrap();
            let died = lifetime.map(|lifetime| born + lifetime).filter(|died| *died < last);
            let mut events = vec![Event { id: id.clone(), at: born, kind: EventKind::Started }];
            // Each state with the second from which on it holds. At most one
            // resize between two looks, and none before the first: the cloud
            // does not tell which shapes there were that no listing showed.
            let first_look = looks.iter().position(|look| look.truth >= born);
            let mut states = vec![(born, 2_u32, true)];
            let (mut now, mut resized_since) = (born, first_look);
            for (pause, act) in acts {
                now += pause;
                if died.is_some_and(|died| now >= died) || now >= last {
                    break;
                }
                let (_, vcpus, on) = states[states.len() - 1];
                let next_look = looks.iter().position(|look| look.truth >= now);
                let (kind, state) = match (act, on) {
                    (0, _) if resized_since != next_look => {
                        resized_since = next_look;
                        (EventKind::Resized, (now, vcpus % 7 + 1, on))
                    }
                    (_, true) => (EventKind::Stopped, (now, vcpus, false)),
                    (_, false) => (EventKind::Started, (now, vcpus, true)),
                };
                events.push(Event { id: id.clone(), at: now, kind });
                states.push(state);
            }
            let state_at = |time: i64| {
                let alive = time >= born && died.is_none_or(|died| time < died);
                states.iter().rfind(|state| state.0 <= time).filter(|_| alive).copied()
            };
            let shows = looks
                .iter()
                .map(|look| match (state_at(look.truth), died) {
                    (Some((_, vcpus, on)), _) => Shows::There(vcpus, on),
                    (None, Some(died)) if look.truth >= died => Shows::Gone(Some(died)),
                    (None, _) => Shows::Nothing,
                })
                .collect();
            let truth = (first..last)
                .map(|second| state_at(second).filter(|state| state.2).map_or(0, |state| state.1))
                .collect();
            (Life { created: Some(born), shows, owners, events }, truth)
        },
    )
}

/// The cloud's listings of all its lives at one look.
fn sighting(name: &str, cloud: &Cloud, index: usize) -> Sighting {
    let look = cloud.looks[index];
    let (mut instances, mut departed, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for (number, life) in cloud.lives.iter().enumerate() {
        let id = format!("i-{number}");
        let (rank, owner) = life.owners[index];
        let record = |vcpus: u32, on: bool| {
            let plain = vm(&id, "nobody", u64::from(vcpus));
            let mut record = if on { plain } else { off(plain) };
            record.created = life.created;
            record.owner = Owner::new(rank, &format!("{name}-user-{owner}")).unwrap();
            record
        };
        match life.shows[index] {
            Shows::Nothing => (),
            Shows::There(vcpus, on) => instances.push(record(vcpus, on)),
            Shows::Gone(at) => departed.push(Departure {
                id: InstanceId::parse(&id).unwrap(),
                at,
                record: at.map(|_| last_record(life, &record)),
            }),
        }
        // As a poll asks: from the last look on, with five minutes of overlap.
        let since = index.checked_sub(1).map_or(i64::MIN, |last| cloud.looks[last].truth - 300);
        events.extend(
            life.events
                .iter()
                .filter(|event| event.at >= since && event.at <= look.truth)
                .map(|event| Event { id: InstanceId::parse(&id).unwrap(), ..event.clone() }),
        );
    }
    let at = look.truth + look.theirs;
    Sighting::new(name, at, at, instances, departed, events).unwrap()
}

/// A deleted record has the last flavor, and no state that counts.
fn last_record(life: &Life, record: &impl Fn(u32, bool) -> Instance) -> Instance {
    let resizes = life.events.iter().filter(|event| event.kind == EventKind::Resized).count();
    let vcpus = (0..resizes).fold(2_u32, |vcpus, _| vcpus % 7 + 1);
    record(vcpus, false)
}

/// A reader that asks for what is newer, as the leaderboard does.
#[derive(Default)]
struct Reader {
    revision: i64,
    rows: BTreeMap<i64, SegmentRow>,
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

/// The best source that was seen first, of all looks that showed the life.
fn owner_of(life: &Life, name: &str) -> Option<String> {
    let mut best: Option<(OwnerRank, u8)> = None;
    for (shows, owner) in life.shows.iter().zip(&life.owners) {
        let told = matches!(shows, Shows::There(..) | Shows::Gone(Some(_)));
        if told && best.is_none_or(|best| owner.0 > best.0) {
            best = Some(*owner);
        }
    }
    best.map(|(_, owner)| format!("{name}-user-{owner}"))
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
