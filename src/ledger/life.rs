use super::time::Times;
use super::{KeptSegment, Rewritten, Tally};
use crate::model::{Event, EventKind, Moment, Segment, Shape};

/// The segments of one incarnation while a sighting is laid over them. At most
/// the last one is open.
pub(super) struct Life<'k> {
    kept: Option<&'k KeptSegment>,
    /// What is left of the kept one.
    last: Option<Segment>,
    /// What follows it.
    new: Vec<Segment>,
    /// No later than this may anything begin that is not there yet.
    after: i64,
    pub learned: bool,
}

/// What a listing shows of an instance, as far as it counts.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub shape: &'a Shape,
    pub counted: bool,
    pub created: Option<i64>,
}

impl<'k> Life<'k> {
    pub(super) fn new() -> Self {
        Self { kept: None, last: None, new: Vec::new(), after: i64::MIN, learned: false }
    }

    /// The life goes on from what is kept.
    pub(super) fn of(kept: Option<&'k KeptSegment>) -> Self {
        let last = kept.map(|kept| kept.segment.clone());
        Self { kept, last, ..Self::new() }
    }

    /// What this id did before ended here.
    pub(super) fn after(self, end: i64) -> Self {
        Self { after: self.after.max(end), ..self }
    }

    /// A beginning for an instance that has no open segment: where an event
    /// says, else at its creation, else where it was first seen.
    pub(super) fn begin(&mut self, events: &[Event], shown: Shown<'_>, times: &Times) {
        let created = times.created(shown.created).filter(|moment| moment.at >= self.after);
        let first = events
            .iter()
            .filter(|event| event.at > self.after && event.at <= times.ended)
            .find(|event| matches!(event.kind, EventKind::Started | EventKind::Stopped));
        let (from, counted) = match (first, created) {
            (Some(Event { kind: EventKind::Stopped, .. }), Some(created)) => (created, true),
            (Some(event), _) => (times.event(event.at), event.kind == EventKind::Started),
            (None, Some(created)) => (created, shown.counted),
            (None, None) => (times.appeared(), shown.counted),
        };
        let from = Moment { at: from.at.max(self.after), ..from };
        // Most lives have one segment.
        self.new.reserve_exact(1);
        self.new.push(Segment::open(shown.shape.clone(), counted, from));
    }

    /// Lays what was told and seen over an open segment. With `until` the
    /// instance is no more, and only what was told counts.
    pub(super) fn advance(
        &mut self,
        events: &[Event],
        shown: Option<Shown<'_>>,
        until: Option<Moment>,
        times: &Times,
        tally: &mut Tally,
    ) {
        let Some(open) = self.open() else { return };
        let from = open.from().at;
        let end = until.map_or(times.ended, |until| until.at.saturating_sub(1));
        let told: Vec<_> =
            events.iter().filter(|event| event.at > from && event.at <= end).collect();
        let resize = shown.and_then(|shown| self.resize(shown.shape));
        let last_resize = told.iter().rposition(|event| event.kind == EventKind::Resized);
        let mut told_state_at = None;
        for (index, event) in told.iter().enumerate() {
            let Some(open) = self.open() else { break };
            let (counted, shape) = (open.counted, open.shape.clone());
            match event.kind {
                EventKind::Started | EventKind::Stopped => {
                    let counts = event.kind == EventKind::Started;
                    told_state_at = Some(event.at);
                    if counts != counted {
                        self.cut(times.event(event.at), counts, shape, tally);
                    }
                }
                EventKind::Resized if Some(index) == last_resize => {
                    if let Some(shape) = &resize {
                        self.cut(times.event(event.at), counted, shape.clone(), tally);
                    }
                }
                EventKind::Resized | EventKind::Deleted => (),
            }
        }
        if let Some(until) = until {
            return self.end(until);
        }
        // What was told of the time of the listing itself knows better than
        // the listing, whose pages were written at different times.
        let told_later = told_state_at.is_some_and(|at| at >= times.at);
        if let (Some(shown), Some(open)) = (shown, self.open())
            && shown.counted != open.counted
            && !told_later
        {
            let shape = open.shape.clone();
            let moment = if shown.counted { times.appeared() } else { times.vanished() };
            self.cut(moment, shown.counted, shape, tally);
        }
        if let (Some(shape), None, Some(open)) = (resize, last_resize, self.open()) {
            let counted = open.counted;
            self.cut(times.appeared(), counted, shape, tally);
        }
    }

    /// Ends the open segment, or forgets it where nothing is left.
    pub(super) fn end(&mut self, until: Moment) {
        let until = Moment { at: until.at.max(self.after), ..until };
        match self.new.pop() {
            Some(open) => self.new.extend(open.ended(until)),
            None => self.last = self.last.take().and_then(|open| open.ended(until)),
        }
    }

    /// Moves the end of a life that was ended at a guess.
    pub(super) fn heal(&mut self, until: Moment) {
        self.last = self
            .last
            .take()
            .map(|ended| {
                let from = ended.from();
                Segment::open(ended.shape, ended.counted, from)
            })
            .and_then(|open| open.ended(until));
    }

    pub(super) fn finish(self) -> (Option<Rewritten>, Vec<Segment>) {
        let rewritten = self
            .kept
            .filter(|kept| self.last.as_ref() != Some(&kept.segment))
            .map(|kept| Rewritten { id: kept.id, segment: self.last });
        (rewritten, self.new)
    }

    pub(super) fn open(&self) -> Option<&Segment> {
        self.new.last().or(self.last.as_ref()).filter(|segment| segment.to().is_none())
    }

    /// The shape that the instance has now, if it is another one. What was not
    /// known of the same flavor before is learned in place.
    fn resize(&mut self, shown: &Shape) -> Option<Shape> {
        let open = self.new.last_mut().or(self.last.as_mut())?;
        if open.shape.flavor.key != shown.flavor.key {
            return Some(shown.clone());
        }
        let size = shown.size.or(open.shape.size);
        if open.shape.size.or(size) != size {
            return Some(Shape { size, ..shown.clone() });
        }
        self.learned = size != open.shape.size;
        open.shape.size = size;
        None
    }

    fn cut(&mut self, moment: Moment, counted: bool, shape: Shape, tally: &mut Tally) {
        let Some(open) = self.open().cloned() else { return };
        tally.resized += usize::from(shape != open.shape);
        tally.started += usize::from(counted && !open.counted);
        tally.stopped += usize::from(!counted && open.counted);
        let Some(ended) = open.clone().ended(moment) else {
            // Nothing would be left of the open one: it was the next all along.
            return self.replace_open(Segment::open(shape, counted, open.from()));
        };
        self.replace_open(ended);
        self.new.push(Segment::open(shape, counted, moment));
    }

    fn replace_open(&mut self, segment: Segment) {
        match self.new.last_mut() {
            Some(open) => *open = segment,
            None => self.last = Some(segment),
        }
    }
}
