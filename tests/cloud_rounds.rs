//! Simulated rounds of one cloud on a virtual clock: the pure engine against
//! an oracle that knows what truly is. Every fault here is one that a cloud or
//! a clock was seen to make; a seed replays its world exactly.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::rounds::Ledger;
use weather_balloon::cloud::{CloudName, Ground, Round, without_ledger};
use weather_balloon::hosts::BrakeConfig;
use weather_balloon::ledger::{Changes, Rhythm};
use weather_balloon::model::{
    Address, Departure, Details, Event, EventKind, HostId, HostSet, Instance, InstanceId, Label,
    Owner, OwnerRank, Shape, Sighting, Size,
};
use weather_balloon::providers::{Listing, Skipped};
use weather_balloon::state::Absence;

/// Rounds of the normal run, and of the long one (`--ignored`).
const ROUNDS: u64 = 20_000;
const MANY_ROUNDS: u64 = 1_000_000;
const ROUNDS_OF_A_WORLD: u64 = 200;
/// The first world's seed; put the seed of a failure here to replay it first.
const FIRST_SEED: u64 = 1;

const INTERVAL: i64 = 600;

/// xorshift64*, so that a seed means the same everywhere and always.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// What truly is.
#[derive(Clone, Debug)]
struct Machine {
    id: String,
    created: i64,
    vcpus: u64,
    running: bool,
    /// When it truly ended.
    ended: Option<i64>,
    /// The cloud shows it in no list and says nothing, until then.
    hidden_until: i64,
    /// The cloud lost all trace of it when it ended.
    traceless: bool,
    /// Running time that was truly had: from and to.
    ran: Vec<(i64, i64)>,
    began: i64,
    events: Vec<(i64, EventKind)>,
    number: u64,
    /// As a listing that took effect last showed it.
    shown_running: bool,
    /// A record of it could not be read, and what the cloud told with it is lost.
    unread: bool,
}

struct World {
    seed: u64,
    dice: Dice,
    now: i64,
    cloud_ahead: i64,
    host_ahead: i64,
    machines: Vec<Machine>,
    serial: u64,
    ledger: Ledger,
    watched: HostSet,
    absences: Vec<Absence>,
    /// The last complete listing that the ledger kept, in true time.
    last_kept: Option<i64>,
    told: Told,
    steady: bool,
}

/// What happened, so that no kind of fault goes untested unseen.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    failed: u64,
    ledgerless: u64,
    held: u64,
    released: u64,
    ended: u64,
    stepped: u64,
    gaps: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        let steady = dice.one_in(2);
        Self {
            seed,
            dice,
            now: 1_700_000_000,
            cloud_ahead: 0,
            host_ahead: 0,
            machines: Vec::new(),
            serial: 0,
            ledger: Ledger::new("east"),
            watched: HostSet::default(),
            absences: Vec::new(),
            last_kept: None,
            told: Told::default(),
            steady,
        }
    }

    fn boot(&mut self, at: i64) {
        self.serial += 1;
        self.machines.push(Machine {
            id: format!("i-{:05}", self.serial),
            created: at,
            vcpus: 1 + self.dice.roll(4),
            running: true,
            ended: None,
            hidden_until: 0,
            traceless: false,
            ran: Vec::new(),
            began: at,
            events: vec![(at, EventKind::Started)],
            number: self.serial,
            shown_running: true,
            unread: false,
        });
    }

    /// What people do between two rounds, at different seconds.
    fn live(&mut self, until: i64) {
        let from = self.now;
        let span = (until - from).max(1);
        if self.machines.iter().filter(|one| one.ended.is_none()).count() < 12 {
            for _ in 0..self.dice.roll(4) {
                let at = from + 1 + self.dice.roll(span as u64 - u64::from(span > 1)) as i64;
                self.boot(at.min(until));
            }
        }
        for place in 0..self.machines.len() {
            if self.machines[place].ended.is_some() || !self.dice.one_in(8) {
                continue;
            }
            let at = (from + 1 + self.dice.roll(span as u64) as i64).min(until);
            let what = self.dice.roll(10);
            let traceless = self.dice.one_in(2);
            let machine = &mut self.machines[place];
            if at <= machine.events.last().unwrap().0 {
                continue;
            }
            match what {
                0..=2 => {
                    if machine.running {
                        machine.ran.push((machine.began, at));
                    }
                    machine.running = false;
                    machine.ended = Some(at);
                    machine.traceless = traceless;
                    machine.events.push((at, EventKind::Deleted));
                }
                3..=5 if machine.running => {
                    machine.ran.push((machine.began, at));
                    machine.running = false;
                    machine.events.push((at, EventKind::Stopped));
                }
                3..=7 if !machine.running => {
                    (machine.running, machine.began) = (true, at);
                    machine.events.push((at, EventKind::Started));
                }
                _ => (),
            }
        }
    }

    /// Faults of the round: what the cloud keeps to itself, and what steps.
    fn trouble(&mut self) {
        if self.dice.one_in(25) {
            // A part of the fleet, or all of it, is not shown for some rounds.
            let share = 1 + self.dice.roll(4);
            let until = self.now + INTERVAL * (1 + self.dice.roll(6) as i64);
            for machine in self.machines.iter_mut().filter(|one| one.ended.is_none()) {
                if machine.number % share == 0 {
                    machine.hidden_until = until;
                }
            }
        }
        if !self.steady && self.dice.one_in(40) {
            let step = self.dice.roll(8_000) as i64 - 4_000;
            if self.dice.one_in(2) {
                self.cloud_ahead += step
            } else {
                self.host_ahead += step
            }
            self.told.stepped += 1;
        }
    }

    fn instance(&self, machine: &Machine) -> Instance {
        let flavor = Label::tame(&format!("m{}", machine.vcpus));
        let address = Address::parse(&format!(
            "10.0.{}.{}",
            machine.number / 250 % 250,
            1 + machine.number % 250
        ));
        Instance {
            id: InstanceId::parse(&machine.id).unwrap(),
            created: Some(machine.created + self.cloud_ahead),
            owner: Owner::new(OwnerRank::Creator, "carol").unwrap(),
            details: Details::new("vm", "debian", "ACTIVE", vec![address.unwrap()]),
            shape: Shape {
                flavor: weather_balloon::model::Flavor { key: flavor.clone(), name: flavor },
                size: Size::new(Some(machine.vcpus), None, None),
            },
            counted: machine.running,
        }
    }

    /// What the last listing showed has taken effect.
    fn shown(&mut self, sighting: &Sighting) {
        for instance in sighting.instances() {
            let id = instance.id.as_str();
            let machine = self.machines.iter_mut().find(|one| one.id == id).unwrap();
            machine.shown_running = instance.counted;
        }
    }

    /// One complete listing as this cloud gives it now.
    fn listing(&mut self) -> Listing {
        let (mut shown, mut gone, mut events, mut skipped) = (vec![], vec![], vec![], vec![]);
        let since = self.last_kept.map_or(i64::MIN, |last| last - 300);
        for place in 0..self.machines.len() {
            let machine = self.machines[place].clone();
            let id = InstanceId::parse(&machine.id).unwrap();
            if machine.hidden_until > self.now {
                continue;
            }
            if let Some(ended) = machine.ended {
                let told = !machine.traceless && ended >= since;
                if told {
                    let mut record = self.instance(&machine);
                    record.counted = false;
                    record.details = Details::default();
                    let at = Some(ended + self.cloud_ahead);
                    gone.push(Departure { id: id.clone(), at, record: Some(record) });
                } else {
                    continue;
                }
            } else if self.dice.one_in(300) {
                self.machines[place].unread = true;
                skipped.push(Skipped { id, reason: Label::tame("a broken record") });
                continue;
            } else {
                shown.push(self.instance(&machine));
            }
            // A cloud that was set tells its old events by the old clock.
            if self.steady {
                let own = machine.events.iter().filter(|(at, _)| *at >= since);
                events.extend(own.map(|(at, kind)| Event { id: id.clone(), at: *at, kind: *kind }));
            }
        }
        let at = self.now + self.cloud_ahead;
        let sighting = Sighting::new("east", at, at, shown, gone, events).unwrap();
        Listing { sighting, skipped }
    }

    fn round(&mut self) {
        let pause = match self.dice.roll(12) {
            0 => INTERVAL * (4 + self.dice.roll(20) as i64),
            1 => 60 + self.dice.roll(200) as i64,
            _ => INTERVAL + self.dice.roll(60) as i64 - 30,
        };
        let until = self.now + pause;
        self.live(until);
        self.now = until;
        self.trouble();
        let cloud = CloudName::parse("east").unwrap();
        if self.dice.one_in(12) {
            // An incomplete walk is an error: nothing at all happens.
            self.told.failed += 1;
            return;
        }
        let listing = self.listing();
        let before = self.watched.clone();
        if self.dice.one_in(15) {
            let (hosts, absences, _) =
                without_ledger(&cloud, &listing, &self.watched, &self.absences);
            (self.watched, self.absences) = (hosts, absences);
            self.shown(&listing.sighting);
            self.told.ledgerless += 1;
            self.judge_removals(&before);
            return;
        }
        self.record(cloud, listing, &before);
    }

    fn record(&mut self, cloud: CloudName, listing: Listing, before: &HostSet) {
        let now = self.now + self.host_ahead;
        let sighting = listing.sighting.clone();
        let view = self.ledger.view(&listing.sighting, &cloud, &self.watched);
        let ground = Ground {
            cloud: cloud.clone(),
            view,
            watched: self.watched.clone(),
            absences: self.absences.clone(),
            brake: BrakeConfig::default(),
        };
        let round = Round::new(ground, listing, now, Rhythm::of_seconds(INTERVAL as u32));
        // A hidden machine goes on answering Nagios; one that has ended does not.
        let living: BTreeMap<String, bool> = self
            .machines
            .iter()
            .map(|one| (format!("east_{}", one.id), one.ended.is_none() && one.running))
            .collect();
        let answers: HashMap<HostId, i64> = round
            .witnesses()
            .into_iter()
            .filter(|id| living.get(id.as_str()) == Some(&true))
            .map(|id| (id, now))
            .collect();
        let heard = !self.dice.one_in(20);
        let outcome = round.decide(heard.then_some(&answers));
        self.told.held += outcome.shown.newly_held as u64;
        self.told.ended += outcome.shown.ended as u64;
        self.told.gaps += u64::from(outcome.changes.gap.is_some());
        self.judge_ends(&outcome.changes);
        if self.dice.one_in(30) {
            // Killed between the ledger and Nagios, or before both.
            self.absences = outcome.absences_before;
            if self.dice.one_in(2) {
                self.ledger.apply(&outcome.changes);
                self.shown(&sighting);
                self.last_kept = Some(self.now);
            }
            return;
        }
        self.ledger.apply(&outcome.changes);
        self.shown(&sighting);
        self.last_kept = Some(self.now);
        self.watched = outcome.hosts;
        self.absences = outcome.absences;
        self.judge_removals(before);
        self.judge_presence();
        self.release();
    }

    /// An operator looks from time to time, and lets go what is truly gone.
    fn release(&mut self) {
        if !self.dice.one_in(10) {
            return;
        }
        let truly: BTreeSet<String> = self
            .machines
            .iter()
            .filter(|one| one.ended.is_some())
            .map(|one| one.id.clone())
            .collect();
        for one in &mut self.absences {
            if truly.contains(one.instance.as_str())
                && let Some(held) = &mut one.held
                && held.released.is_none()
            {
                held.released = Some(self.now);
                self.told.released += 1;
            }
        }
    }

    fn machine(&self, id: &str) -> &Machine {
        self.machines.iter().find(|one| one.id == id).unwrap()
    }

    fn fail(&self, what: &str) -> ! {
        panic!("seed {}: at {}: {what}", self.seed, self.now)
    }

    /// What Nagios lost had stopped or ended.
    fn judge_removals(&self, before: &HostSet) {
        for host in before.iter().filter(|host| self.watched.get(&host.id).is_none()) {
            let id = host.id.as_str().strip_prefix("east_").unwrap();
            let machine = self.machine(id);
            if machine.running && machine.ended.is_none() {
                self.fail(&format!("{id} runs and left Nagios: {machine:?}"));
            }
        }
    }

    /// What the ledger ends without a word of the cloud had ended, or was not
    /// shown to run: no witness speaks for what was stopped when last seen.
    fn judge_ends(&self, changes: &Changes) {
        for end in changes.unexplained() {
            let id = self.ledger.id_of(end.before.row);
            let machine = self.machine(&id);
            if machine.ended.is_none() && machine.running && machine.shown_running {
                self.fail(&format!("{id} runs and was ended: {machine:?}"));
            }
        }
    }

    /// What runs, is shown and has an address is watched.
    fn judge_presence(&self) {
        for machine in &self.machines {
            // A record that cannot be read stays as it was.
            let shown = machine.running && machine.ended.is_none() && machine.shown_running;
            if shown && machine.hidden_until <= self.now && machine.created <= self.now {
                let id = HostId::parse(&format!("east_{}", machine.id)).unwrap();
                let known = self.ledger.knows(&machine.id);
                if self.watched.get(&id).is_none() && known {
                    self.fail(&format!("{} runs and is not watched", machine.id));
                }
            }
        }
    }

    /// Never more than was had, but for what no listing could tell: from the
    /// last sight of it until it was missed, and what it did while hidden.
    fn judge_bill(&self) {
        self.ledger.assert_sound();
        for machine in &self.machines {
            let Some(billed) = self.ledger.billed(&machine.id, self.now) else { continue };
            let open = machine.running.then_some((machine.began, self.now));
            let had: i64 = machine.ran.iter().chain(&open).map(|(from, to)| to - from).sum();
            let known = !machine.traceless && machine.hidden_until == 0 && !machine.unread;
            if self.steady && known {
                let lag = self.now - self.last_kept.unwrap_or(self.now);
                if billed > had + lag || billed + lag < had {
                    self.fail(&format!("{} had {had} s and is billed {billed}", machine.id));
                }
            }
        }
    }
}

fn run(rounds: u64) {
    let mut told = Told::default();
    for seed in FIRST_SEED..FIRST_SEED + rounds / ROUNDS_OF_A_WORLD {
        let mut world = World::new(seed);
        for _ in 0..ROUNDS_OF_A_WORLD {
            world.round();
        }
        world.judge_bill();
        let Told { failed, ledgerless, held, released, ended, stepped, gaps } = world.told;
        told.failed += failed;
        told.ledgerless += ledgerless;
        told.held += held;
        told.released += released;
        told.ended += ended;
        told.stepped += stepped;
        told.gaps += gaps;
    }
    eprintln!("{rounds} rounds: {told:?}");
    for count in [
        told.failed,
        told.ledgerless,
        told.held,
        told.released,
        told.ended,
        told.stepped,
        told.gaps,
    ] {
        assert!(count > 0, "a kind of trouble never came: {told:?}");
    }
}

#[test]
fn no_round_ends_or_removes_what_runs() {
    run(ROUNDS);
}

#[test]
#[ignore = "takes minutes"]
fn no_round_of_a_million_does() {
    run(MANY_ROUNDS);
}
