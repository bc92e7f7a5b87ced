//! What was truly had, how much of it a ledger can know by what it was told,
//! and whether it says so.
//!
//! Where a cloud tells every event, the ledger must equal the truth to the
//! second. What was not told lies between the last listing that spoke of a
//! machine and the next one: there, and only there, it may differ, and by no
//! more than that time.

use std::collections::BTreeSet;

use weather_balloon::ledger::Presence;
use weather_balloon::model::EventKind;

use super::cloud::{Machine, Word};

/// A time in which a machine ran with one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: i64,
    pub to: i64,
    pub vcpus: Option<u32>,
}

impl Stretch {
    fn seconds(&self) -> i64 {
        self.to - self.from
    }
}

/// From and to.
type Span = (i64, i64);

const FOR_EVER: i64 = i64::MAX;

/// What stands when a listing comes.
#[derive(Clone, Copy)]
pub struct Before {
    pub presence: Option<Presence>,
    /// When the machine was last seen or known to be absent.
    pub last: Option<i64>,
}

/// What could be known of one machine by everything that was told so far.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Up to here it was told how it was.
    through: Option<i64>,
    /// The cloud spoke of its end.
    pub over: bool,
    /// A listing that was kept has shown it.
    pub shown: bool,
    /// Whether it ran cannot be known.
    dark: Vec<Span>,
    /// Its size cannot.
    fog: Vec<Span>,
    /// The ledger had ended it without a word: nothing may be billed that was
    /// not had.
    denied: Vec<Span>,
}

impl Knowledge {
    /// Of a listing that was kept, taken at `now`. `told_since`: from when on
    /// its events came with it.
    pub fn hear(
        &mut self,
        machine: &Machine,
        word: Word,
        told_since: Option<i64>,
        before: Before,
        now: i64,
    ) {
        match word {
            Word::None | Word::Garbled => return,
            _ if self.over => return,
            Word::Shown => {
                self.shown = true;
                self.hear_of_life(machine, told_since, before, now);
            }
            Word::Departed(at) => {
                self.over = true;
                self.hear_of_end(machine, at.is_some(), told_since, before, now);
            }
        }
        self.through = Some(now);
    }

    fn hear_of_life(
        &mut self,
        machine: &Machine,
        told_since: Option<i64>,
        before: Before,
        now: i64,
    ) {
        let through = self.through.unwrap_or(machine.created);
        match before.presence {
            None => self.hear_first(machine, told_since, before, now),
            Some(Presence::Gone { at, .. }) => {
                self.dark.push((through, now));
                self.denied.push((at, now));
            }
            Some(Presence::Here | Presence::Missing { .. }) => {
                let silent = machine.happened_within(through, now).next().is_none();
                if told_since.is_some_and(|since| since <= through) {
                    self.blur(machine, through, now, 2);
                } else if !silent {
                    self.dark.push((through, now));
                }
            }
        }
    }

    /// It was not known: its creation is what a ledger can hold on to.
    fn hear_first(&mut self, machine: &Machine, told: Option<i64>, before: Before, now: i64) {
        let created = machine.created;
        let until = machine.ended.map_or(now, |ended| ended - 1).min(now);
        let silent = machine.happened_within(created, until).next().is_none();
        let is_new = before.last.is_some_and(|last| created > last);
        if told.is_some_and(|since| since <= created) || silent && is_new {
            // The size that it is first seen with is all that is known.
            self.blur(machine, created, now, 1);
        } else {
            self.dark.push((created, machine.ended.unwrap_or(now)));
        }
    }

    fn hear_of_end(
        &mut self,
        machine: &Machine,
        has_record: bool,
        told_since: Option<i64>,
        before: Before,
        now: i64,
    ) {
        let ended = machine.ended.unwrap();
        let through = self.through.unwrap_or(machine.created);
        match before.presence {
            None if has_record && before.last.is_some_and(|last| ended > last) => {
                self.hear_first(machine, told_since, before, now);
            }
            None => self.dark.push((machine.created, ended)),
            Some(Presence::Gone { at, .. }) => self.dark.push((through, ended.max(at))),
            Some(Presence::Here | Presence::Missing { .. }) => {
                let all_told = told_since.is_some_and(|since| since <= through);
                let silent = machine.happened_within(through, ended - 1).next().is_none();
                if !has_record && told_since.is_none_or(|since| since > ended) {
                    self.dark.push((through, now));
                } else if all_told && has_record {
                    self.blur(machine, through, ended, 2);
                } else if all_told {
                    self.blur(machine, through, ended, 0);
                } else if !silent {
                    self.dark.push((through, ended));
                }
            }
        }
    }

    /// Of several sizes between two sightings only the last is shown. `known`:
    /// 2, the first and the last; 1, the last; 0, the first.
    fn blur(&mut self, machine: &Machine, after: i64, until: i64, known: u8) {
        let resized = machine.happened_within(after, until);
        let times: Vec<_> =
            resized.filter(|one| one.kind == EventKind::Resized).map(|one| one.at).collect();
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            self.fog.push(match known {
                2 => (*first, *last),
                1 => (after, *last),
                _ => (*first, until),
            });
        }
    }

    /// With what is open at `now`: not a word since it was last told of.
    fn at_present(&self, machine: &Machine, presence: Option<Presence>, now: i64) -> Self {
        let mut all = self.clone();
        let through = self.through.unwrap_or(machine.created);
        match presence {
            _ if self.over => (),
            Some(Presence::Gone { at, .. }) => {
                all.dark.push((through, FOR_EVER));
                all.denied.push((at, FOR_EVER));
            }
            Some(_) if machine.happened_within(through, now).next().is_none() => (),
            _ => all.dark.push((through, FOR_EVER)),
        }
        all
    }

    /// What is wrong with what is billed up to `now`.
    pub fn fault(
        &self,
        machine: &Machine,
        presence: Option<Presence>,
        billed: &[Stretch],
        now: i64,
    ) -> Option<String> {
        if self.shown && presence.is_none() {
            return Some("a listing showed it and the ledger does not know it".to_owned());
        }
        let all = self.at_present(machine, presence, now);
        let had = machine.ran(now);
        let mut cuts = BTreeSet::new();
        for one in billed.iter().chain(&had) {
            cuts.extend([one.from, one.to]);
        }
        for (from, to) in all.dark.iter().chain(&all.fog).chain(&all.denied) {
            cuts.extend([*from, *to]);
        }
        let cuts: Vec<i64> = cuts.into_iter().collect();
        for pair in cuts.windows(2) {
            let at = pair[0];
            let within = |spans: &[Span]| spans.iter().any(|(from, to)| *from <= at && at < *to);
            let of =
                |all: &[Stretch]| all.iter().find(|one| one.from <= at && at < one.to).copied();
            let (bill, truth) = (of(billed), of(&had));
            let wrong = if within(&all.dark) {
                within(&all.denied) && bill.is_some() && truth.is_none()
            } else {
                bill.is_some() != truth.is_some()
                    || !within(&all.fog) && bill.map(|one| one.vcpus) != truth.map(|one| one.vcpus)
            };
            if wrong {
                return Some(format!(
                    "from {at} to {}: had {truth:?}, billed {bill:?}\n{machine:#?}\n{all:#?}\n{billed:#?}",
                    pair[1]
                ));
            }
        }
        None
    }

    /// The same where clocks step: each end of what is billed may be off by
    /// `off` seconds.
    pub fn gross_fault(
        &self,
        machine: &Machine,
        presence: Option<Presence>,
        billed: &[Stretch],
        off: i64,
        now: i64,
    ) -> Option<String> {
        let all = self.at_present(machine, presence, now);
        let dark: i64 = all.dark.iter().map(|(from, to)| (to.min(&now) - from).max(0)).sum();
        let had = machine.ran(now);
        let ends = i64::try_from(2 * (billed.len() + had.len() + 1)).unwrap();
        let sum = |all: &[Stretch]| all.iter().map(Stretch::seconds).sum::<i64>();
        let error = (sum(billed) - sum(&had)).abs();
        let most = dark + ends * off;
        (error > most)
            .then(|| format!("off by {error} s, at most {most}: {machine:#?}\n{billed:#?}"))
    }

    /// Seconds of which nobody can know whether it ran.
    pub fn dark_seconds(&self) -> i64 {
        self.dark.iter().map(|(from, to)| to - from).sum()
    }
}
