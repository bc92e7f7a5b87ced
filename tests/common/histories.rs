//! Random lives of instances, seen through listings and events, and an oracle
//! that knows nothing of segments: it says of each second by itself whether it
//! is billed and with how many vCPUs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a rig fails the test by panicking")]

use proptest::prelude::*;
use weather_balloon::model::{
    Departure, Event, EventKind, Instance, InstanceId, Owner, OwnerRank, Sighting,
};

use super::ledger::{INTERVAL, off, vm};

/// Lives that one cloud's listings show together.
pub const TOGETHER: usize = 50;

const CONFIRM: i64 = 300;
const AHEAD: i64 = 300;
const DRIFT: i64 = 300;
const GAP: i64 = 3 * INTERVAL as i64;
pub const START: i64 = 1_000_000;
/// No history is longer.
const SPAN: i64 = 60_000;

/// One look at the cloud: the true time, and by how much the clocks are off.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub truth: i64,
    pub theirs: i64,
    pub ours: i64,
}

/// What one listing shows of one life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shows {
    Nothing,
    /// vCPUs, in a state that counts or not.
    There(u32, bool),
    /// The cloud says it is gone, at this time or at no known one.
    Gone(Option<i64>),
}

#[derive(Clone, Debug)]
pub struct Cloud {
    pub looks: Vec<Look>,
    pub lives: Vec<Life>,
}

#[derive(Clone, Debug)]
pub struct Life {
    pub created: Option<i64>,
    pub shows: Vec<Shows>,
    pub owners: Vec<(OwnerRank, u8)>,
    pub events: Vec<Event>,
}

/// The ledger's time of each look, by the rules of the clocks, and whether a
/// clock was set before it.
pub fn ledger_times(looks: &[Look]) -> Vec<(i64, bool)> {
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
pub fn billed_by_listings(looks: &[Look], life: &Life) -> Vec<u32> {
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

pub fn looks(steady: bool) -> impl Strategy<Value = Vec<Look>> {
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

pub fn owners(count: usize) -> impl Strategy<Value = Vec<(OwnerRank, u8)>> {
    prop::collection::vec((prop::sample::select(OwnerRank::ALL.to_vec()), 0_u8..4), count)
}

/// A life that only listings show.
pub fn listed_life(looks: Vec<Look>) -> impl Strategy<Value = Life> {
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

pub fn listed_cloud() -> impl Strategy<Value = Cloud> {
    looks(false).prop_flat_map(|looks| {
        prop::collection::vec(listed_life(looks.clone()), TOGETHER)
            .prop_map(move |lives| Cloud { looks: looks.clone(), lives })
    })
}

/// A life of which the cloud tells everything, and what it truly was: vCPUs in
/// each second from the first look on.
pub fn told_life(looks: Vec<Look>) -> impl Strategy<Value = (Life, Vec<u32>)> {
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
pub fn sighting(name: &str, cloud: &Cloud, index: usize) -> Sighting {
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
pub fn last_record(life: &Life, record: &impl Fn(u32, bool) -> Instance) -> Instance {
    let resizes = life.events.iter().filter(|event| event.kind == EventKind::Resized).count();
    let vcpus = (0..resizes).fold(2_u32, |vcpus, _| vcpus % 7 + 1);
    record(vcpus, false)
}

/// The best source that was seen first, of all looks that showed the life.
pub fn owner_of(life: &Life, name: &str) -> Option<String> {
    let mut best: Option<(OwnerRank, u8)> = None;
    for (shows, owner) in life.shows.iter().zip(&life.owners) {
        let told = matches!(shows, Shows::There(..) | Shows::Gone(Some(_)));
        if told && best.is_none_or(|best| owner.0 > best.0) {
            best = Some(*owner);
        }
    }
    best.map(|(_, owner)| format!("{name}-user-{owner}"))
}
