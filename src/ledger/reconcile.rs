use super::life::{Life, Shown};
use super::time::Times;
use super::{Changes, Known, NewInstance, Presence, Rhythm, Tally, Touched, View};
use crate::model::{
    Departure, Details, Event, EventKind, Instance, InstanceId, Moment, Sighting, TimeSource,
};

/// Lays a complete listing over what is known of its cloud. `now` is this
/// host's clock, in UTC seconds.
pub fn reconcile(view: &View, sighting: &Sighting, now: i64, rhythm: Rhythm) -> Changes {
    let times = Times::of(sighting, view.last, now, rhythm);
    let mut round = Round { view, sighting, now, times, changes: blank(view, &times, now) };
    for record in sighting.instances() {
        round.listed(record);
    }
    for departure in sighting.departed() {
        round.departed(departure);
    }
    let mut absent: Vec<_> = view.live.iter().filter(|(id, _)| !round.names(id)).collect();
    absent.sort_unstable_by_key(|(_, known)| known.row);
    for (id, known) in absent {
        round.absent(id, known, sighting.events_of(id));
    }
    round.changes
}

fn blank(view: &View, times: &Times, now: i64) -> Changes {
    Changes {
        cloud: view.cloud.clone(),
        listing: view.listing,
        at: times.at,
        now,
        gap: times.gap,
        skew: times.skew,
        stepped: times.stepped,
        new: Vec::new(),
        touched: Vec::new(),
        tally: Tally { before: view.live.len(), ..Tally::default() },
    }
}

struct Round<'a> {
    view: &'a View,
    sighting: &'a Sighting,
    now: i64,
    times: Times,
    changes: Changes,
}

impl<'a> Round<'a> {
    fn times_of(&self, id: &InstanceId) -> Times {
        match self.view.unseen.get(id) {
            Some(last) => self.times.since(Some(*last)),
            None => self.times,
        }
    }

    fn names(&self, id: &InstanceId) -> bool {
        self.sighting.instance(id).is_some() || self.sighting.is_departed(id)
    }

    fn listed(&mut self, record: &Instance) {
        self.changes.tally.listed += 1;
        let events = self.sighting.events_of(&record.id);
        let live = self.view.live.get(&record.id);
        if let Some(known) = live.filter(|known| same_life(known, record.created)) {
            return self.goes_on(known, record, events);
        }
        let end = live.map_or(i64::MIN, |known| self.replaced(known, record));
        match self.gone_life(record) {
            Some(known) => self.returns(known, record, events, end),
            None => self.appears(record, events, end),
        }
    }

    fn goes_on(&mut self, known: &Known, record: &Instance, events: &[Event]) {
        let mut life = Life::of(known.segment.as_ref());
        let times = self.times_of(&record.id);
        life.advance(events, Some(shown(record)), None, &times, &mut self.changes.tally);
        if known.presence != Presence::Here {
            self.changes.tally.returned += 1;
        }
        self.keep(known, Some(record), Presence::Here, life);
    }

    fn returns(&mut self, known: &Known, record: &Instance, events: &[Event], end: i64) {
        let gone = match known.presence {
            Presence::Gone { at, .. } => at,
            Presence::Here | Presence::Missing { .. } => i64::MIN,
        };
        let mut life = Life::of(known.segment.as_ref()).after(gone).after(end);
        // Its creation is history: the time in which the cloud denied it is
        // not billed.
        let shown = Shown { created: None, ..shown(record) };
        life.begin(events, shown, &self.times);
        life.advance(events, Some(shown), None, &self.times, &mut self.changes.tally);
        self.changes.tally.returned += 1;
        self.keep(known, Some(record), Presence::Here, life);
    }

    fn appears(&mut self, record: &Instance, events: &[Event], end: i64) {
        let mut life = Life::new().after(end);
        let times = self.times_of(&record.id);
        life.begin(events, shown(record), &times);
        // A new one is counted as new, not as started or stopped.
        let mut tally = Tally::default();
        life.advance(events, Some(shown(record)), None, &times, &mut tally);
        self.add(record, Presence::Here, life);
    }

    /// Another incarnation has its id. Returns when this one ended.
    fn replaced(&mut self, known: &Known, record: &Instance) -> i64 {
        let times = self.times_of(&record.id);
        let until = times.created(record.created).unwrap_or_else(|| vanished(known, &times));
        self.ends(known, None, &[], until)
    }

    fn departed(&mut self, departure: &Departure) {
        let Departure { id, at, record } = departure;
        let events = self.sighting.events_of(id);
        let created = record.as_ref().and_then(|record| record.created);
        let told = at.or_else(|| deleted_at(events)).map(|at| self.times.event(at));
        if let Some(known) = self.view.live.get(id) {
            if !same_life(known, created) {
                return self.absent(id, known, &[]);
            }
            let until = told.unwrap_or_else(|| vanished(known, &self.times_of(id)));
            self.ends(known, record.as_ref(), events, until);
            return;
        }
        let Some(record) = record else {
            return;
        };
        match self.gone_life(record) {
            Some(known) => self.heals(known, record, told),
            None => self.lived_between(record, events, told),
        }
    }

    /// The cloud tells of something that ended before: when that was, if it was
    /// a guess, and whose it was, if it knows that better than it did.
    fn heals(&mut self, known: &Known, record: &Instance, told: Option<Moment>) {
        let mut life = Life::of(known.segment.as_ref());
        let presence = match (known.presence, told) {
            (Presence::Gone { at, explained: false }, Some(told)) => {
                let guessed = known.segment.as_ref().filter(|kept| {
                    kept.segment.to().is_some_and(|to| to.at == at && to.by != TimeSource::Event)
                });
                let at = guessed.map_or(at, |kept| {
                    life.heal(told);
                    told.at.max(kept.segment.from().at)
                });
                Presence::Gone { at, explained: true }
            }
            (presence, _) => presence,
        };
        self.keep(known, better_owned(known, record), presence, life);
    }

    /// The last listing did not show it, and it ended before this one. Without
    /// the cloud's word it began since then, or nobody knows when.
    fn lived_between(&mut self, record: &Instance, events: &[Event], told: Option<Moment>) {
        let times = self.times_of(&record.id);
        let until = told.unwrap_or(times.appeared());
        let mut life = Life::new();
        let ran = Shown { counted: true, ..shown(record) };
        life.begin(events, ran, &times);
        let began = life.open().map(|open| open.from());
        let known_beginning = began.zip(times.last).is_some_and(|(began, last)| {
            let told = match began.by {
                TimeSource::Event => until.at > last,
                TimeSource::Estimate => began.at > last,
                TimeSource::Listing => false,
            };
            told && began.at < until.at
        });
        if known_beginning {
            life.advance(events, None, Some(until), &times, &mut Tally::default());
            self.changes.tally.gone_explained += 1;
            self.add(record, Presence::Gone { at: until.at, explained: true }, life);
        }
    }

    fn absent(&mut self, id: &InstanceId, known: &Known, events: &[Event]) {
        if let Some(at) = deleted_at(events) {
            self.ends(known, None, events, self.times.event(at));
            return;
        }
        let Times { at, last, stepped, .. } = self.times;
        // A listing that is told again is no second witness.
        let witness = !stepped && last < Some(at);
        let presence = match known.presence {
            Presence::Missing { since, noticed, ends } if self.now < noticed => {
                Presence::Missing { since, noticed: self.now, ends }
            }
            Presence::Missing { since, noticed, ends }
                if witness && Rhythm::confirms(since, noticed, at, self.now) =>
            {
                let mut life = Life::of(known.segment.as_ref());
                let by = if ends < since { TimeSource::Estimate } else { TimeSource::Listing };
                life.end(Moment { at: ends, by });
                self.changes.tally.gone_unexplained += 1;
                let gone = Presence::Gone { at: not_before(known, ends), explained: false };
                return self.keep(known, None, gone, life);
            }
            Presence::Missing { .. } => known.presence,
            Presence::Here | Presence::Gone { .. } => {
                let ends = self.times_of(id).vanished().at;
                Presence::Missing { since: at, noticed: self.now, ends }
            }
        };
        self.changes.tally.missing += 1;
        self.keep(known, None, presence, Life::of(known.segment.as_ref()));
    }

    /// Returns when it ended, which is not before its last segment began.
    fn ends(
        &mut self,
        known: &Known,
        record: Option<&Instance>,
        events: &[Event],
        until: Moment,
    ) -> i64 {
        let mut life = Life::of(known.segment.as_ref());
        // Its record's shape counts where an event says when it took it.
        let last = record.map(shown);
        life.advance(events, last, Some(until), &self.times, &mut self.changes.tally);
        self.changes.tally.gone_explained += 1;
        let at = not_before(known, until.at);
        let gone = Presence::Gone { at, explained: true };
        let record = record.and_then(|record| better_owned(known, record));
        self.keep(known, record, gone, life);
        at
    }

    /// The gone incarnation that a record belongs to.
    fn gone_life(&self, record: &Instance) -> Option<&'a Known> {
        let view: &'a View = self.view;
        let lives = view.gone.get(&record.id)?;
        lives
            .iter()
            .filter(|known| same_life(known, record.created))
            .max_by_key(|known| (known.created == record.created, known.incarnation))
    }

    fn add(&mut self, record: &Instance, presence: Presence, life: Life<'_>) {
        let earlier = self.view.gone.get(&record.id).into_iter().flatten();
        let incarnation = earlier
            .chain(self.view.live.get(&record.id))
            .map(|known| known.incarnation)
            .max()
            .map_or(1, |last| last + 1);
        let (_, segments) = life.finish();
        self.changes.tally.new += 1;
        self.changes.new.push(NewInstance {
            instance: record.clone(),
            incarnation,
            presence,
            segments,
        });
    }

    fn keep(
        &mut self,
        known: &Known,
        record: Option<&Instance>,
        presence: Presence,
        life: Life<'_>,
    ) {
        let learned = life.learned;
        let (rewritten, opened) = life.finish();
        let better = record.filter(|record| record.owner.rank() > known.owner.rank());
        let details = record.filter(|_| presence == Presence::Here).map(|record| &record.details);
        let created = known.created.or(record.and_then(|record| record.created));
        let unchanged = rewritten.is_none()
            && opened.is_empty()
            && presence == known.presence
            && better.is_none()
            && created == known.created
            && details.is_none_or(|details| *details == known.details);
        if unchanged {
            return;
        }
        let details: &Details = details.unwrap_or(&known.details);
        let after = Known {
            owner: better.map_or_else(|| known.owner.clone(), |record| record.owner.clone()),
            details: details.clone(),
            presence,
            created,
            ..known.clone()
        };
        let touched = Touched { before: known.clone(), after, rewritten, opened, learned };
        self.changes.tally.owner_replaced += usize::from(touched.owner_replaced());
        self.changes.touched.push(touched);
    }
}

/// A record of something deleted has lost its metadata and its address; only a
/// better owner is taken from it.
fn better_owned<'r>(known: &Known, record: &'r Instance) -> Option<&'r Instance> {
    Some(record).filter(|record| record.owner.rank() > known.owner.rank())
}

fn shown(record: &Instance) -> Shown<'_> {
    Shown { shape: &record.shape, counted: record.counted, created: record.created }
}

/// Where one side does not know the creation, the id alone tells.
fn same_life(known: &Known, created: Option<i64>) -> bool {
    known.created.is_none() || created.is_none() || known.created == created
}

fn not_before(known: &Known, end: i64) -> i64 {
    known.segment.as_ref().map_or(end, |kept| end.max(kept.segment.from().at))
}

/// When a known one went, without the cloud's word for the time.
fn vanished(known: &Known, times: &Times) -> Moment {
    match known.presence {
        Presence::Missing { ends, .. } => Moment { at: ends, by: TimeSource::Listing },
        Presence::Here | Presence::Gone { .. } => times.vanished(),
    }
}

fn deleted_at(events: &[Event]) -> Option<i64> {
    events.iter().rev().find(|event| event.kind == EventKind::Deleted).map(|event| event.at)
}
