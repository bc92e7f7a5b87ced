//! The rows of one instance, made into stretches that do not overlap. Pure.

use super::report::{Imported, Wrong};

/// A row of `weather_balloon_instance` with what it refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub id: i64,
    /// Absent: it is infinite.
    pub created: Option<i64>,
    pub ended: Ended,
    /// The row was made no earlier and no later: ids were given in the order
    /// of the polls, and other rows of its cloud have times.
    pub made: (Option<i64>, Option<i64>),
    pub user: i64,
    pub flavor: String,
    pub vcpus: Option<i64>,
    pub memory: Option<i64>,
    pub disk: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    #[default]
    Open,
    At(i64),
    /// It is infinite.
    Never,
}

/// Time that counts, with the record it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub record: usize,
    pub from: i64,
    /// Absent: it went on at the last sign of life.
    pub to: Option<i64>,
}

/// When the tables were read, and written for the last time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub now: i64,
    /// The last sign of life of the cloud's poll.
    pub last: i64,
}

/// `records`: in the order of their ids.
pub(super) fn untangle(records: &[Record], clock: Clock, told: &mut Imported) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    // Until here the records so far say something; absent: one is open.
    let mut covered: Option<i64> = Some(i64::MIN);
    for (index, record) in records.iter().enumerate() {
        let Some((created, ended)) = times(record, clock, told) else { continue };
        let Some(until) = covered else {
            told.note(Wrong::OpenTwice, record.id, ended.unwrap_or(clock.last) - created);
            continue;
        };
        let mut from = created;
        if created < until {
            let again = ended.unwrap_or(clock.last).min(until) - created;
            told.note(Wrong::DoubleCount, record.id, again.max(0));
            let (early, late) = returned(record, until, clock);
            if late > early {
                told.note(Wrong::UnknownReturn, record.id, late - early);
            }
            from = late;
        }
        if ended.is_some_and(|ended| ended <= from) {
            continue;
        }
        stretches.push(Stretch { record: index, from, to: ended });
        covered = ended.map(|ended| ended.max(until));
    }
    stretches
}

/// Beginning and end as far as they can be; absent where nothing is left.
fn times(record: &Record, clock: Clock, told: &mut Imported) -> Option<(i64, Option<i64>)> {
    let (Some(created), false) =
        (record.created.filter(|at| *at >= 0), record.ended == Ended::Never)
    else {
        told.note(Wrong::NoTime, record.id, 0);
        return None;
    };
    if created > clock.now {
        told.note(Wrong::Future, record.id, 0);
        return None;
    }
    let Ended::At(mut ended) = record.ended else { return Some((created, None)) };
    if ended > clock.now {
        told.note(Wrong::Future, record.id, ended - clock.now);
        ended = clock.now;
    }
    if ended < created {
        told.note(Wrong::EndsBeforeItBegins, record.id, created - ended);
        return None;
    }
    if ended == created {
        told.note(Wrong::Empty, record.id, 0);
        return None;
    }
    Some((created, Some(ended)))
}

/// Between which times an instance came back whose last row ended at `until`.
fn returned(record: &Record, until: i64, clock: Clock) -> (i64, i64) {
    let (low, high) = record.made;
    let early = low.unwrap_or(until).max(until);
    // A bound that cannot be is of a clock that was set; none is left then but
    // the row's own end.
    let own = if let Ended::At(ended) = record.ended { ended } else { clock.last };
    let late = high.filter(|high| *high >= until).unwrap_or(own).min(clock.now).max(until);
    (early.min(late), late)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const CLOCK: Clock = Clock { now: 100 * DAY, last: 90 * DAY };

    fn row(id: i64, created: i64, ended: Option<i64>) -> Record {
        Record {
            id,
            created: Some(created * DAY),
            ended: ended.map_or(Ended::Open, |day| Ended::At(day * DAY)),
            ..Record::default()
        }
    }

    /// Beginning and end of each stretch.
    type Days = Vec<(i64, Option<i64>)>;

    fn days(records: &[Record]) -> (Days, Vec<(Wrong, i128)>) {
        let mut told = Imported::default();
        let found = untangle(records, CLOCK, &mut told);
        let wrongs =
            told.findings.iter().map(|(wrong, one)| (*wrong, one.seconds / i128::from(DAY)));
        (
            found.iter().map(|one| (one.from / DAY, one.to.map(|to| to / DAY))).collect(),
            wrongs.collect(),
        )
    }

    #[test]
    fn a_return_is_counted_once_and_from_when_it_is_certain() {
        let rows = |made| [row(1, 0, Some(10)), Record { made, ..row(2, 0, Some(30)) }];
        // Other rows say that it was made between day 20 and day 21.
        let (found, wrongs) = days(&rows((Some(20 * DAY), Some(21 * DAY))));
        assert_eq!(found, [(0, Some(10)), (21, Some(30))]);
        assert_eq!(wrongs, [(Wrong::DoubleCount, 10), (Wrong::UnknownReturn, 1)]);
        // Nothing is known but its own end.
        let (found, wrongs) = days(&rows((None, Some(30 * DAY))));
        assert_eq!(found, [(0, Some(10))]);
        assert_eq!(wrongs, [(Wrong::DoubleCount, 10), (Wrong::UnknownReturn, 20)]);
        // A clock that was set makes nothing certain.
        let (found, _) = days(&rows((None, Some(3 * DAY))));
        assert_eq!(found, [(0, Some(10))]);
    }

    #[test]
    fn open_ones_stay_open_and_are_one() {
        assert_eq!(days(&[row(1, 5, None)]), (vec![(5, None)], vec![]));
        let (found, wrongs) = days(&[row(1, 5, None), row(2, 5, None), row(3, 5, Some(8))]);
        assert_eq!(found, [(5, None)]);
        assert_eq!(wrongs, [(Wrong::OpenTwice, 85 + 3)]);
        let back = Record { made: (Some(20 * DAY), None), ..row(2, 5, None) };
        let (found, _) = days(&[row(1, 5, Some(8)), back]);
        assert_eq!(found, [(5, Some(8)), (90, None)]);
    }

    #[test]
    fn times_that_cannot_be_are_told() {
        let never = Record { ended: Ended::Never, ..row(1, 1, None) };
        let unborn = Record { created: None, ..row(1, 1, None) };
        for (record, left, wrong) in [
            (row(1, 9, Some(3)), vec![], (Wrong::EndsBeforeItBegins, 6)),
            (row(1, 9, Some(9)), vec![], (Wrong::Empty, 0)),
            (row(1, 101, None), vec![], (Wrong::Future, 0)),
            (row(1, 99, Some(103)), vec![(99, Some(100))], (Wrong::Future, 3)),
            (row(1, -3, Some(3)), vec![], (Wrong::NoTime, 0)),
            (never, vec![], (Wrong::NoTime, 0)),
            (unborn, vec![], (Wrong::NoTime, 0)),
        ] {
            assert_eq!(days(&[record]), (left, vec![wrong]));
        }
    }
}
