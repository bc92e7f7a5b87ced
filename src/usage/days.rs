use std::sync::Arc;

use super::chunk::Rows;
use super::columns::Columns;
use super::instances::Instances;
use super::query::{Group, Report, TooManyDays};
use super::scan::{Piece, Tally, scan};
use super::selection::{Counts, Rate, Selection};
use super::sums::{Sum, Sums};

const DAY: u64 = 86_400;

/// The use of each day of [start, end), in the order of time.
pub(super) fn by_day(
    columns: &Columns,
    selection: &Selection,
    start: i64,
    end: i64,
) -> Result<Vec<Group>, TooManyDays> {
    let start = columns.earliest().map_or(end, |earliest| earliest.max(start));
    if start >= end {
        return Ok(Vec::new());
    }
    let first_day = start.div_euclid(DAY.cast_signed());
    let days = (end - 1).div_euclid(DAY.cast_signed()).abs_diff(first_day) + 1;
    if days > Report::MAX_DAYS {
        return Err(TooManyDays { days });
    }
    let mut calendar = Calendar::new(columns, selection, first_day, days as usize);
    scan(columns, start, end, &mut calendar);
    let mut several = std::mem::take(&mut calendar.several);
    several.sort_unstable();
    for (first, last) in merged(several) {
        calendar.count(first, last);
    }
    Ok(calendar.groups())
}

/// Joins the days of each instance, sorted by it and then by time, so that no
/// day holds it twice.
fn merged(several: Vec<(i64, u32, u32)>) -> impl Iterator<Item = (u32, u32)> {
    let mut several = several.into_iter().peekable();
    std::iter::from_fn(move || {
        let (instance, from, mut to) = several.next()?;
        while let Some((.., more)) =
            several.next_if(|(other, next, _)| *other == instance && *next <= to)
        {
            to = to.max(more);
        }
        Some((from, to))
    })
}

/// A segment that covers many days costs no more than one that covers two:
/// its whole days are noted where they begin and where they end.
struct Calendar<'a> {
    selection: &'a Selection,
    instances: &'a Instances,
    first_day: i64,
    /// When the first day begins. It may wrap: pieces are less than
    /// [`Report::MAX_DAYS`] later, and so is the difference that wraps back.
    midnight: i64,
    /// Of days that segments cover in part.
    parts: Sums,
    /// What runs all day long, more or less than the day before.
    whole: Vec<Change>,
    /// Of instances with several segments: the days of each.
    several: Vec<(i64, u32, u32)>,
}

/// Each is at most a number of 32 bits for each segment, and memory holds no
/// more than 2^31 of those.
#[derive(Clone, Copy, Default)]
struct Change {
    running: i64,
    vcpus: i64,
    unknown: i64,
    instances: i64,
}

impl<'a> Calendar<'a> {
    fn new(columns: &'a Columns, selection: &'a Selection, first_day: i64, days: usize) -> Self {
        Self {
            selection,
            instances: columns.instances(),
            first_day,
            midnight: first_day.wrapping_mul(DAY.cast_signed()),
            parts: Sums::new(days),
            whole: vec![Change::default(); days + 1],
            several: Vec::new(),
        }
    }

    /// Adds the piece to its days: the first and the last, as places in the
    /// calendar.
    #[inline]
    fn add(&mut self, piece: &Piece, rate: Rate) -> (u32, u32) {
        let since = |time: i64| time.wrapping_sub(self.midnight).cast_unsigned();
        let (from, to) = (since(piece.from), since(piece.to));
        let (first, last) = ((from / DAY) as u32, ((to - 1) / DAY) as u32);
        if first == last {
            self.parts.add(first, (to - from) as u32, rate, false);
        } else {
            self.parts.add(first, (DAY - from % DAY) as u32, rate, false);
            self.parts.add(last, (to - u64::from(last) * DAY) as u32, rate, false);
            self.whole[first as usize + 1].change(1, rate);
            self.whole[last as usize].change(-1, rate);
        }
        (first, last)
    }

    /// One instance was up on each of these days.
    fn count(&mut self, first: u32, last: u32) {
        self.whole[first as usize].instances += 1;
        self.whole[last as usize + 1].instances -= 1;
    }

    fn groups(mut self) -> Vec<Group> {
        let mut all_day = Change::default();
        let mut groups = Vec::new();
        let days = self.whole.len() as u32 - 1;
        for (day, (at, change)) in (self.first_day..).zip((0..days).zip(&self.whole)) {
            let part = self.parts.take(at);
            all_day.running += change.running;
            all_day.vcpus += change.vcpus;
            all_day.unknown += change.unknown;
            all_day.instances += change.instances;
            let seconds = |all_day: i64| u128::from(all_day.unsigned_abs()) * u128::from(DAY);
            let sum = Sum {
                cpu: part.cpu + seconds(all_day.vcpus),
                uptime: part.uptime + seconds(all_day.running),
                unknown: part.unknown + seconds(all_day.unknown),
                instances: all_day.instances.unsigned_abs(),
            };
            if sum.uptime > 0 {
                groups.push(sum.group(Arc::from(date(day)), None));
            }
        }
        groups
    }
}

impl Tally for Calendar<'_> {
    fn rows(&mut self, rows: Rows<'_>, start: u32, end: u32) {
        for row in rows.rows {
            let (from, to) = (row.from.max(start), row.to.min(end));
            if from < to {
                self.piece(&Piece::of(row, from.into(), to.into()));
            }
        }
    }

    #[inline]
    fn piece(&mut self, piece: &Piece) {
        let rate = self.selection.rate(piece.user, piece.shape);
        if rate.counts == Counts::Not {
            return;
        }
        let (first, last) = self.add(piece, rate);
        if self.instances.is_alone(piece.instance) {
            self.count(first, last);
        } else {
            self.several.push((piece.instance, first, last));
        }
    }
}

impl Change {
    fn change(&mut self, by: i64, rate: Rate) {
        self.running += by;
        self.vcpus += by * i64::from(rate.vcpus);
        self.unknown += by * i64::from(rate.counts == Counts::Unknown);
    }
}

/// The Gregorian date of a day since 1970-01-01.
fn date(day: i64) -> String {
    // Years are counted from March, so that the leap day is their last.
    let since = day + 719_468;
    let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (day, written) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_454, "2026-01-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (-719_468, "0000-03-01"),
        ] {
            assert_eq!(date(day), written);
        }
    }
}
