//! The cloud: what people do in it, what goes wrong, and what it tells. Every
//! fault here is one that a cloud was seen to make.

use std::collections::BTreeSet;

use weather_balloon::model::{
    Address, Departure, Details, Event, EventKind, Flavor, Instance, InstanceId, Label, Owner,
    OwnerRank, Shape, Sighting, Size,
};
use weather_balloon::providers::{Listing, Question, Skipped};

use super::Dice;
use super::truth::Stretch;

pub const INTERVAL: i64 = 600;
const OVERLAP: i64 = 300;

/// What is left of one that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Its record, with the time, in the list of changes; its actions later.
    Record,
    /// The cloud says that there is no such one, and no more.
    Denial,
    Nothing,
}

/// One instance as it truly is.
#[derive(Clone, Debug)]
pub struct Machine {
    pub id: InstanceId,
    number: u64,
    /// By the cloud's clock of that time.
    created_told: i64,
    pub created: i64,
    pub vcpus: u64,
    pub running: bool,
    pub ended: Option<i64>,
    trace: Trace,
    /// The cloud shows it in no list and says nothing, until then.
    hidden_until: i64,
    unreadable_until: i64,
    pub addressless_until: i64,
    /// Of the present stretch.
    began: i64,
    stretches: Vec<Stretch>,
    pub happened: Vec<Happened>,
}

#[derive(Clone, Copy, Debug)]
pub struct Happened {
    pub at: i64,
    /// By the cloud's clock of that time.
    told_at: i64,
    pub kind: EventKind,
}

impl Machine {
    /// When it truly ran, and how large.
    pub fn ran(&self, until: i64) -> Vec<Stretch> {
        let open = self.running.then_some(Stretch {
            from: self.began,
            to: until,
            vcpus: u32::try_from(self.vcpus).ok(),
        });
        let all = self.stretches.iter().copied().chain(open);
        let cut = all.map(|one| Stretch { to: one.to.min(until), ..one });
        cut.filter(|one| one.from < one.to).collect()
    }

    pub fn happened_within(&self, after: i64, until: i64) -> impl Iterator<Item = &Happened> {
        self.happened.iter().filter(move |one| one.at > after && one.at <= until)
    }

    fn close(&mut self, at: i64) {
        if self.running {
            let vcpus = u32::try_from(self.vcpus).ok();
            self.stretches.push(Stretch { from: self.began, to: at, vcpus });
        }
        self.began = at;
    }
}

pub struct Cloud {
    pub machines: Vec<Machine>,
    /// Seconds by which its clock is ahead of the true time.
    pub ahead: i64,
    /// It tells what happened and when.
    pub tells: bool,
}

/// How a listing spoke of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    None,
    /// A record that cannot be read.
    Garbled,
    Shown,
    /// With its time, or without.
    Departed(Option<i64>),
}

/// A listing, and what it tells of each machine.
pub struct Told {
    pub listing: Listing,
    pub words: Vec<Word>,
    /// From when on a machine's events are all there; absent: none are told.
    pub events_since: Vec<Option<i64>>,
}

impl Cloud {
    pub fn new(tells: bool) -> Self {
        Self { machines: Vec::new(), ahead: 0, tells }
    }

    /// By number in the ids.
    pub fn place(&self, id: &InstanceId) -> usize {
        id.as_str().strip_prefix("i-").unwrap().parse::<usize>().unwrap() - 1
    }

    fn boot(&mut self, at: i64, vcpus: u64) {
        let number = self.machines.len() as u64 + 1;
        let told_at = at + self.ahead;
        self.machines.push(Machine {
            id: InstanceId::parse(&format!("i-{number:05}")).unwrap(),
            number,
            created_told: told_at,
            created: at,
            vcpus,
            running: true,
            ended: None,
            trace: Trace::Record,
            hidden_until: 0,
            unreadable_until: 0,
            addressless_until: 0,
            began: at,
            stretches: Vec::new(),
            happened: vec![Happened { at, told_at, kind: EventKind::Started }],
        });
    }

    /// What people do in `(from, until]`.
    pub fn live(&mut self, from: i64, until: i64, dice: &mut Dice) {
        if self.machines.iter().filter(|one| one.ended.is_none()).count() < 12 {
            for _ in 0..dice.roll(4) {
                let at = dice.between(from + 1, until);
                let vcpus = 1 + dice.roll(4);
                self.boot(at, vcpus);
            }
        }
        let ahead = self.ahead;
        for machine in self.machines.iter_mut().filter(|one| one.ended.is_none()) {
            if !dice.one_in(8) {
                continue;
            }
            let mut at = from;
            for _ in 0..1 + dice.roll(3) {
                at = dice.between(at + 1, until.max(at + 1));
                if at > until || machine.happened.last().is_some_and(|last| at <= last.at) {
                    break;
                }
                let kind = match dice.roll(10) {
                    0..=1 => {
                        machine.trace = match dice.roll(4) {
                            0 => Trace::Nothing,
                            1 => Trace::Denial,
                            _ => Trace::Record,
                        };
                        machine.ended = Some(at);
                        EventKind::Deleted
                    }
                    2..=5 if machine.running => EventKind::Stopped,
                    2..=6 if !machine.running => EventKind::Started,
                    _ => EventKind::Resized,
                };
                machine.close(at);
                match kind {
                    EventKind::Deleted | EventKind::Stopped => machine.running = false,
                    EventKind::Started => machine.running = true,
                    EventKind::Resized => machine.vcpus = 1 + (machine.vcpus + dice.roll(3)) % 4,
                }
                machine.happened.push(Happened { at, told_at: at + ahead, kind });
                if machine.ended.is_some() {
                    break;
                }
            }
        }
    }

    /// A part of the fleet, or all of it, is not shown, not readable or without
    /// addresses, for one round or for some.
    pub fn trouble(&mut self, now: i64, dice: &mut Dice) {
        let living = |one: &&mut Machine| one.ended.is_none();
        if dice.one_in(25) {
            let share = 1 + dice.roll(4);
            let until = now + INTERVAL * dice.between(1, 6);
            for machine in self.machines.iter_mut().filter(living) {
                if machine.number.is_multiple_of(share) {
                    machine.hidden_until = until;
                }
            }
        }
        if dice.one_in(25) {
            let share = 1 + dice.roll(6);
            let until = now + INTERVAL * dice.between(1, 6);
            for machine in self.machines.iter_mut().filter(living) {
                if machine.number.is_multiple_of(share) {
                    machine.unreadable_until = until;
                }
            }
        }
        if dice.one_in(40) {
            let until = now + INTERVAL * dice.between(1, 4);
            self.machines.iter_mut().filter(living).for_each(|one| one.addressless_until = until);
        }
    }

    fn record(&self, machine: &Machine, now: i64) -> Instance {
        let flavor = Label::tame(&format!("m{}", machine.vcpus));
        let host = (machine.number / 250 % 250, 1 + machine.number % 250);
        let address = Address::parse(&format!("10.0.{}.{}", host.0, host.1)).unwrap();
        let has_address = machine.addressless_until <= now && machine.ended.is_none();
        let addresses = if has_address { vec![address] } else { Vec::new() };
        Instance {
            id: machine.id.clone(),
            created: Some(machine.created_told),
            owner: Owner::new(OwnerRank::Creator, "carol").unwrap(),
            details: Details::new("vm", "debian", "ACTIVE", addresses),
            shape: Shape {
                flavor: Flavor { key: flavor.clone(), name: flavor },
                size: Size::new(Some(machine.vcpus), None, None),
            },
            counted: machine.running,
        }
    }

    /// How it speaks of a machine now.
    fn word(&self, machine: &Machine, question: &Question, since: i64, now: i64) -> Word {
        if machine.hidden_until > now {
            return Word::None;
        }
        let Some(ended) = machine.ended else {
            return if machine.unreadable_until > now { Word::Garbled } else { Word::Shown };
        };
        let told_at = ended + self.ahead_at(machine);
        match machine.trace {
            Trace::Record if told_at >= since => Word::Departed(Some(told_at)),
            Trace::Nothing => Word::None,
            // Whoever knows of it and misses it asks for it.
            _ if question.living.contains(&machine.id) => Word::Departed(None),
            _ => Word::None,
        }
    }

    /// As its last event was told.
    fn ahead_at(&self, machine: &Machine) -> i64 {
        machine.happened.last().map_or(0, |last| last.told_at - last.at)
    }

    /// Whether it tells what was done to a machine, once it is asked.
    pub fn has_actions(&self, machine: &Machine) -> bool {
        self.tells && (machine.ended.is_none() || machine.trace == Trace::Record)
    }

    /// From when on a provider asks for a machine's actions, by the cloud's
    /// clock; absent: it does not.
    fn asks_since(
        &self,
        machine: &Machine,
        word: Word,
        question: &Question,
        since: i64,
    ) -> Option<i64> {
        if matches!(word, Word::None | Word::Garbled) {
            return None;
        }
        let has_actions = self.has_actions(machine);
        let unseen = question.unseen.get(&machine.id).map(|last| last - OVERLAP);
        let touched = matches!(word, Word::Shown | Word::Departed(Some(_)))
            && machine.happened.iter().any(|one| one.told_at >= since);
        if !has_actions || !touched && unseen.is_none() {
            return None;
        }
        let living = question.living.contains(&machine.id);
        Some(match (unseen, living) {
            _ if question.since.is_none() => since,
            (Some(unseen), _) => unseen.min(since),
            (None, true) => since,
            (None, false) => i64::MIN,
        })
    }

    /// One complete listing as this cloud gives it to whoever asks this.
    pub fn list(&self, question: &Question, now: i64, dice: &mut Dice) -> Told {
        let at = now + self.ahead;
        let since = question.since.map_or(at, |last| (last - OVERLAP).min(at));
        let (mut shown, mut gone, mut events, mut skipped) = (vec![], vec![], vec![], vec![]);
        let (mut words, mut events_since) = (vec![], vec![]);
        let mut named = BTreeSet::new();
        for machine in &self.machines {
            let word = self.word(machine, question, since, now);
            let asked = self.asks_since(machine, word, question, since);
            words.push(word);
            events_since.push(asked);
            match word {
                Word::None => continue,
                Word::Garbled => {
                    let reason = Label::tame("a broken record");
                    skipped.push(Skipped { id: machine.id.clone(), reason });
                }
                Word::Shown => shown.push(self.record(machine, now)),
                Word::Departed(at) => {
                    let record = at.map(|_| self.record(machine, now));
                    gone.push(Departure { id: machine.id.clone(), at, record });
                }
            }
            named.insert(machine.id.clone());
            let Some(from) = asked else { continue };
            // A page of actions reaches further back than was asked for.
            let known = question.living.contains(&machine.id);
            let from = if known && dice.one_in(2) { i64::MIN } else { from };
            let own = machine.happened.iter().filter(|one| one.told_at >= from);
            let own = own
                .filter(|one| one.kind != EventKind::Deleted || matches!(word, Word::Departed(_)));
            let event =
                |one: &Happened| Event { id: machine.id.clone(), at: one.told_at, kind: one.kind };
            events.extend(own.map(event));
        }
        if dice.one_in(50) {
            // A record that is on two pages.
            shown.extend(shown.last().cloned());
        }
        let sighting = Sighting::new("east", at, at, shown, gone, events).unwrap();
        Told { listing: Listing { sighting, skipped }, words, events_since }
    }
}
