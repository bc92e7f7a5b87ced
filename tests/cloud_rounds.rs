//! Simulated rounds of one cloud on a virtual clock: the pure engine against
//! an oracle that knows what truly is. A seed replays its world exactly:
//! `ROUNDS_SEED=17 cargo test --test cloud_rounds`; with `ROUNDS=200000` many
//! worlds follow from there on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use common::rounds::Dice;
use common::rounds::cloud::{Cloud, INTERVAL, Machine, Told, Word};
use common::rounds::ledger::Ledger;
use common::rounds::truth::{Before, Knowledge};
use common::row::Row;
use weather_balloon::cloud::{CloudName, Ground, Round, untold, without_ledger};
use weather_balloon::hosts::BrakeConfig;
use weather_balloon::ledger::{Changes, Presence, Rhythm, View};
use weather_balloon::model::{HostId, HostSet, InstanceId};
use weather_balloon::providers::{Listing, Question};
use weather_balloon::state::Absence;

/// Rounds of the normal run, and of the long one (`--ignored`).
const ROUNDS: u64 = 20_000;
const MANY_ROUNDS: u64 = 1_000_000;
const ROUNDS_OF_A_WORLD: u64 = 200;
/// The bill is looked at so often.
const ROUNDS_OF_A_BILL: u64 = 20;
/// Two listings this far apart deny what ends without a word.
const DENIALS_APART: i64 = 300;
/// A cloud's clock may be ahead of the host's by this much before the ledger
/// doubts it.
const MAX_AHEAD: i64 = 300;

struct World {
    seed: u64,
    dice: Dice,
    now: i64,
    cloud: Cloud,
    name: CloudName,
    host_ahead: i64,
    ledger: Ledger,
    watched: HostSet,
    absences: Vec<Absence>,
    /// In order of the machines.
    knowledge: Vec<Knowledge>,
    /// Since when the listings that were kept do not name it.
    denied_since: HashMap<InstanceId, i64>,
    /// The last listing that was kept, in true time.
    last_kept: Option<i64>,
    /// Which one last showed what the later ones did not, as far as a poller
    /// can have remembered it: what happened since then is owed.
    last_shown: HashMap<InstanceId, i64>,
    /// Machines of which the bill was looked at for good.
    settled: BTreeSet<usize>,
    steady: bool,
    /// By how much a clock was ever wrong.
    most_ahead: i64,
    told: Count,
}

/// What happened, so that no kind of trouble goes untested unseen.
#[derive(Clone, Debug, Default)]
struct Count(BTreeMap<&'static str, i64>);

impl Count {
    const KINDS: [&str; 13] = [
        "walks that failed",
        "rounds without a ledger",
        "kills",
        "held",
        "released",
        "ended",
        "steps of a clock",
        "gaps",
        "garbled records",
        "resizes",
        "returned",
        "lived between two listings",
        "exact bills",
    ];

    fn add(&mut self, what: &'static str, count: usize) {
        *self.0.entry(what).or_default() += i64::try_from(count).unwrap();
    }

    fn join(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let steady = !dice.one_in(3);
        let tells = !dice.one_in(3);
        Self {
            seed,
            dice,
            now: 1_700_000_000,
            cloud: Cloud::new(tells),
            name: CloudName::parse("east").unwrap(),
            host_ahead: 0,
            ledger: Ledger::new("east"),
            watched: HostSet::default(),
            absences: Vec::new(),
            knowledge: Vec::new(),
            denied_since: HashMap::new(),
            last_kept: None,
            last_shown: HashMap::new(),
            settled: BTreeSet::new(),
            steady,
            most_ahead: 0,
            told: Count::default(),
        }
    }

    fn round(&mut self) {
        let pause = match self.dice.roll(12) {
            0 => INTERVAL * self.dice.between(4, 23),
            1 => self.dice.between(60, 259),
            _ => INTERVAL + self.dice.between(-30, 30),
        };
        let from = self.now;
        self.now += pause;
        self.cloud.live(from, self.now, &mut self.dice);
        self.knowledge.resize_with(self.cloud.machines.len(), Knowledge::default);
        self.cloud.trouble(self.now, &mut self.dice);
        self.step_clocks();
        if self.dice.one_in(12) {
            // An incomplete walk is an error: nothing at all happens.
            self.told.add("walks that failed", 1);
            return;
        }
        let told = self.cloud.list(&self.question(), self.now, &mut self.dice);
        self.told.add("garbled records", told.listing.skipped.len());
        if self.dice.one_in(15) {
            self.pass_on(&told);
        } else {
            self.record(told);
        }
    }

    fn step_clocks(&mut self) {
        if self.steady || !self.dice.one_in(40) {
            return;
        }
        let step = self.dice.between(-4_000, 4_000);
        if self.dice.one_in(2) {
            self.cloud.ahead += step;
        } else {
            self.host_ahead += step;
        }
        let most = self.cloud.ahead.abs() + self.host_ahead.abs();
        self.most_ahead = self.most_ahead.max(most);
        self.told.add("steps of a clock", 1);
    }

    /// As a poller asks it.
    fn question(&self) -> Question {
        let roster = self.ledger.roster();
        let watched = self.watched.iter().map(|host| instance_of(&host.id));
        Question {
            since: roster.last.map(|last| last.at),
            unseen: untold(&roster, &self.ledger.living().unseen, Self::rhythm()),
            living: roster.living.into_iter().chain(watched).collect(),
        }
    }

    fn rhythm() -> Rhythm {
        Rhythm::of_seconds(u32::try_from(INTERVAL).unwrap())
    }

    fn pass_on(&mut self, told: &Told) {
        self.told.add("rounds without a ledger", 1);
        let before = self.watched.clone();
        let (hosts, absences, _) =
            without_ledger(&self.name, &told.listing, &self.watched, &self.absences);
        (self.watched, self.absences) = (hosts, absences);
        self.judge_watched(&before, told, &self.ledger.living());
    }

    fn record(&mut self, told: Told) {
        let now = self.now + self.host_ahead;
        let view = self.ledger.view(&told.listing.sighting, &self.name, &self.watched);
        let ground = Ground {
            cloud: self.name.clone(),
            view: view.clone(),
            watched: self.watched.clone(),
            absences: self.absences.clone(),
            brake: BrakeConfig::default(),
        };
        let round = Round::new(ground, told.listing.clone(), now, Self::rhythm());
        let answers = self.answers(&round, now);
        let heard = !self.dice.one_in(20);
        let outcome = round.decide(heard.then_some(&answers));
        self.judge_ends(&outcome.changes, &told.listing);
        self.count(&outcome.changes);
        self.told.add("held", outcome.shown.newly_held);
        self.told.add("ended", outcome.shown.ended);
        let killed = self.dice.one_in(30);
        if killed && self.dice.one_in(2) {
            // Before the ledger has it.
            self.told.add("kills", 1);
            self.absences = outcome.absences_before;
            self.ledger.forget_unseen();
            self.last_shown.clear();
            return;
        }
        self.hear(&told, &view);
        self.ledger.apply(&outcome.changes, outcome.unseen);
        self.last_kept = Some(self.now);
        if killed {
            // Between the ledger and Nagios.
            self.told.add("kills", 1);
            self.absences = outcome.absences_before;
            self.ledger.forget_unseen();
            self.last_shown.clear();
            return;
        }
        let before = std::mem::replace(&mut self.watched, outcome.hosts);
        self.absences = outcome.absences;
        self.judge_watched(&before, &told, &view);
        self.release();
    }

    /// A hidden machine goes on answering Nagios; one that has ended does not.
    fn answers(&self, round: &Round, now: i64) -> HashMap<HostId, i64> {
        let runs = |id: &HostId| self.machine(&instance_of(id)).running;
        round.witnesses().into_iter().filter(runs).map(|id| (id, now)).collect()
    }

    fn count(&mut self, changes: &Changes) {
        self.told.add("gaps", usize::from(changes.gap.is_some()));
        self.told.add("resizes", changes.tally.resized);
        self.told.add("returned", changes.tally.returned);
        let gone = |presence| matches!(presence, Presence::Gone { .. });
        let brief = changes.new.iter().filter(|new| gone(new.presence));
        self.told.add("lived between two listings", brief.count());
    }

    /// What the oracle learns from a listing that is kept.
    fn hear(&mut self, told: &Told, view: &View) {
        for (place, machine) in self.cloud.machines.iter().enumerate() {
            let id = &machine.id;
            let gone = || view.gone.get(id)?.last();
            let known = view.live.get(id).or_else(gone);
            let presence = known.map(|known| known.presence);
            let last_shown = self.last_shown.get(id).copied();
            let before = Before { presence, last: last_shown.or(self.last_kept) };
            let owed = last_shown.filter(|_| self.cloud.has_actions(machine));
            let since = [told.events_since[place], owed].into_iter().flatten().min();
            // Where clocks step nothing that is told is taken for exact.
            let since = since.filter(|_| self.steady);
            let word = told.words[place];
            self.knowledge[place].hear(machine, word, since, before, self.now);
            let lives = matches!(presence, Some(Presence::Here | Presence::Missing { .. }));
            match word {
                Word::Garbled | Word::None if word == Word::Garbled || lives => {
                    let last = self.last_kept.unwrap_or(self.now);
                    self.last_shown.entry(id.clone()).or_insert(last);
                }
                _ => drop(self.last_shown.remove(id)),
            }
            if word == Word::None {
                self.denied_since.entry(id.clone()).or_insert(self.now);
            } else {
                self.denied_since.remove(id);
            }
        }
    }

    /// An operator looks from time to time, and lets go what is truly gone.
    fn release(&mut self) {
        if !self.dice.one_in(10) {
            return;
        }
        let mut absences = std::mem::take(&mut self.absences);
        for one in &mut absences {
            if self.machine(&one.instance).ended.is_some()
                && let Some(held) = &mut one.held
                && held.released.is_none()
            {
                held.released = Some(self.now);
                self.told.add("released", 1);
            }
        }
        self.absences = absences;
    }

    fn machine(&self, id: &InstanceId) -> &Machine {
        &self.cloud.machines[self.cloud.place(id)]
    }

    fn fail(&self, what: &str) -> ! {
        panic!("ROUNDS_SEED={}: at {}: {what}", self.seed, self.now)
    }

    /// Nagios watches what the listing shows to run, nothing that the cloud
    /// says has stopped or gone, and of the rest what it watched before. What
    /// leaves without a word does not run.
    fn judge_watched(&self, before: &HostSet, told: &Told, view: &View) {
        for (machine, word) in self.cloud.machines.iter().zip(&told.words) {
            let host = HostId::parse(&format!("east_{}", machine.id)).unwrap();
            let was = before.get(&host).is_some();
            let is = self.watched.get(&host).is_some();
            let has_address = machine.addressless_until <= self.now;
            let ran = view.live.get(&machine.id).and_then(|known| known.segment.as_ref());
            let ran = ran.is_some_and(|kept| kept.segment.counted);
            let right = match word {
                Word::Departed(_) => !is,
                Word::Shown if !machine.running => !is,
                Word::Shown if has_address => is,
                // By the ledger it may come back after a kill.
                _ if is && !was => ran,
                // What ended before a kill leaves after it: `judge_ends` saw it.
                _ if was && !is => !machine.running || view.gone.contains_key(&machine.id),
                _ => true,
            };
            if !right {
                self.fail(&format!("was watched: {was}, is: {is}, {word:?}: {machine:#?}"));
            }
        }
    }

    /// What ends without a word was denied by two listings, and does not run;
    /// else its checks would have spoken for it. Only what has no checks may
    /// run unknown: it had stopped, or had no address, when it was last seen.
    /// What that costs is in the bill.
    fn judge_ends(&self, changes: &Changes, listing: &Listing) {
        for end in changes.unexplained() {
            let id = self.ledger.id_of(end.before.row);
            let machine = self.machine(id);
            let ran = end.before.segment.as_ref().is_some_and(|kept| kept.segment.counted);
            let has_address = !end.before.details.addresses().is_empty();
            let host = HostId::parse(&format!("east_{id}")).unwrap();
            if machine.running && (self.watched.get(&host).is_some() || ran && has_address) {
                self.fail(&format!("it runs and was ended: {machine:#?}"));
            }
            let named = listing.sighting.instance(id).is_some();
            let denied = self
                .denied_since
                .get(id)
                .is_some_and(|since| !self.steady || self.now - since >= DENIALS_APART);
            if named || !denied {
                self.fail(&format!("it was ended too early: {machine:#?}"));
            }
        }
    }

    /// See `truth`.
    fn judge_bill(&mut self) {
        let Some(last) = self.last_kept else { return };
        self.ledger.assert_sound();
        for place in 0..self.cloud.machines.len() {
            let machine = &self.cloud.machines[place];
            if machine.created > last || self.settled.contains(&place) {
                continue;
            }
            let knowledge = &self.knowledge[place];
            let presence = self.ledger.presence(&machine.id);
            let fault = if self.steady {
                let billed = self.ledger.billed(&machine.id, last);
                knowledge.fault(machine, presence, &billed, last)
            } else {
                let off = 2 * self.most_ahead + MAX_AHEAD;
                let until = self.ledger.living().last.unwrap().at;
                let billed = self.ledger.billed(&machine.id, until);
                knowledge.gross_fault(machine, presence, &billed, off, last)
            };
            if let Some(fault) = fault {
                self.fail(&fault);
            }
            if self.steady && knowledge.dark_seconds() == 0 {
                self.told.add("exact bills", 1);
            }
            if knowledge.over && machine.ended.is_some_and(|ended| ended + 3_600 < last) {
                self.settled.insert(place);
            }
        }
    }
}

fn instance_of(host: &HostId) -> InstanceId {
    InstanceId::parse(host.as_str().strip_prefix("east_").unwrap()).unwrap()
}

fn run_world(seed: u64) -> Count {
    let mut world = World::new(seed);
    for round in 1..=ROUNDS_OF_A_WORLD {
        world.round();
        if round % ROUNDS_OF_A_BILL == 0 {
            world.judge_bill();
        }
    }
    world.told
}

fn run(first_seed: u64, rounds: u64) -> Count {
    let mut all = Count::default();
    for seed in first_seed..first_seed + rounds.div_ceil(ROUNDS_OF_A_WORLD) {
        all.join(run_world(seed));
    }
    eprintln!("{rounds} rounds from seed {first_seed}: {all:#?}");
    all
}

/// On every processor, each of them taking the next seed.
fn run_on_all(seeds: Range<u64>, row: &mut Row) -> Count {
    let next = AtomicU64::new(seeds.start);
    let lane = || {
        let (mut row, mut all) = (Row::new("T-E", "one processor's"), Count::default());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return (row, all);
            }
            row.trial(&format!("ROUNDS_SEED={seed}"), || all.join(run_world(seed)));
        }
    };
    let mut all = Count::default();
    std::thread::scope(|scope| {
        let lanes = std::thread::available_parallelism().unwrap().get();
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            let (lane_row, count) = lane.join().unwrap();
            row.add(lane_row);
            all.join(count);
        }
    });
    all
}

/// A number of the environment.
#[expect(clippy::disallowed_methods, reason = "how a failure is replayed")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn assert_everything_came(count: &Count) {
    for kind in Count::KINDS {
        assert!(count.0.get(kind).is_some_and(|count| *count > 0), "no {kind}: {count:?}");
    }
}

#[test]
fn the_ledger_and_nagios_are_as_right_as_can_be_known() {
    match (asked("ROUNDS_SEED"), asked("ROUNDS")) {
        (Some(seed), rounds) => drop(run(seed, rounds.unwrap_or(ROUNDS_OF_A_WORLD))),
        (None, rounds) => assert_everything_came(&run(1, rounds.unwrap_or(ROUNDS))),
    }
}

#[test]
#[ignore = "make prove-e; ROUNDS=10000000 for more than a million"]
fn a_million_rounds() {
    let (first, rounds) =
        (asked("ROUNDS_SEED").unwrap_or(1), asked("ROUNDS").unwrap_or(MANY_ROUNDS));
    let worlds = rounds.div_ceil(ROUNDS_OF_A_WORLD);
    let what = format!("rounds of {worlds} simulated clouds, seeds from {first}");
    let mut row = Row::new("T-E", what);
    let count = run_on_all(first..first + worlds, &mut row);
    row.points = worlds * ROUNDS_OF_A_WORLD;
    eprintln!("{count:#?}");
    row.end();
    assert_everything_came(&count);
}
