//! Which points a window has, and how many become one: as graphite-web 1.1.8
//! with whisper 1.1.4 does, of one retention.

use super::grid::Grid;
use crate::model::{Datapoint, Window};

/// Slots from `first` up to, not with, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub first: u32,
    pub end: u32,
}

impl Slots {
    pub fn len(self) -> usize {
        (self.end - self.first) as usize
    }
}

const DEFAULT_WINDOW: i64 = 86_400;

/// None where nothing of the window is kept or everything is to come.
///
/// The first point lies after the window's start, the last one at its end or
/// before. A window within one step has the point after it (whisper's "always
/// include the next point").
pub(super) fn slots(window: Option<Window>, grid: Grid, keep: i64, now: i64) -> Option<Slots> {
    let (start, end) = match window {
        Some(window) => (window.start(), window.end()),
        None => (now.saturating_sub(DEFAULT_WINDOW), now),
    };
    let oldest = now.saturating_sub(keep);
    if start > now || end < oldest {
        return None;
    }
    let first = grid.slot(start.max(oldest).max(0))? + 1;
    let end = grid.slot(end.min(now))? + 1;
    Some(Slots { first, end: if end <= first { first + 1 } else { end } })
}

/// How an answer is thinned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bands {
    /// Values that go before the first band.
    skip: usize,
    /// The first point's time, in slots.
    first: u32,
    /// Values a band.
    width: u32,
    /// Bands at most.
    count: usize,
}

/// `max_points` of 0 counts as absent. graphite-web lets bands begin at
/// multiples of their width, so that they stay in place when a window moves,
/// and begins them one value early.
pub(super) fn bands(slots: Slots, max_points: Option<u32>) -> Bands {
    let whole = Bands { skip: 0, first: slots.first, width: 1, count: slots.len() };
    let Slots { first, end } = slots;
    match max_points {
        None | Some(0) => whole,
        Some(1) => Bands { width: end - first, count: 1, ..whole },
        Some(max) if max >= end - first => whole,
        Some(max) => {
            let width = (end - first).div_ceil(max);
            let shift = width - first % width;
            let first = first + shift;
            // Times go up to and with the end.
            let count = if first > end { 0 } else { ((end - first) / width + 1) as usize };
            Bands { skip: shift as usize - 1, first, width, count }
        }
    }
}

impl Bands {
    pub fn count(&self) -> usize {
        self.count
    }

    /// One value a slot, NaN where there is none.
    pub fn average(&self, values: &[f64], grid: Grid) -> Vec<Datapoint> {
        let bands = values.get(self.skip..).unwrap_or_default().chunks(self.width as usize);
        let times = (self.first..).step_by(self.width as usize).map(|slot| grid.time(slot));
        times
            .zip(bands)
            .take(self.count)
            .map(|(time, band)| Datapoint { time, value: mean(band) })
            .collect()
    }
}

fn mean(band: &[f64]) -> Option<f64> {
    let known = band.iter().filter(|value| !value.is_nan());
    let (sum, count) = known.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    // A lone value is itself: adding 0 would lose the sign of -0.
    match (count, band) {
        (0, _) => None,
        (1, [value]) => Some(*value),
        _ => Some(sum / f64::from(count)).filter(|mean| mean.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { step: 600 };
    const KEEP: i64 = 90 * 86_400;
    /// A multiple of 600.
    const NOW: i64 = 1_800_000_000;

    fn times(start: i64, end: i64) -> Option<(i64, i64)> {
        let window = Window::new(start, end).unwrap();
        let slots = slots(Some(window), GRID, KEEP, NOW)?;
        Some((GRID.time(slots.first), GRID.time(slots.end - 1)))
    }

    #[test]
    fn edges() {
        let t = NOW - 6_000;
        for (start, end, expected) in [
            (t, t + 1_200, Some((t + 600, t + 1_200))),
            (t - 1, t + 1_199, Some((t, t + 600))),
            (t + 1, t + 1_201, Some((t + 600, t + 1_200))),
            // Within a step: the next point.
            (t + 1, t + 599, Some((t + 600, t + 600))),
            (t, t + 599, Some((t + 600, t + 600))),
            // The future and the past are cut off.
            (t, NOW + 86_400, Some((t + 600, NOW))),
            (0, t, Some((NOW - KEEP + 600, t))),
            (i64::MIN, i64::MAX, Some((NOW - KEEP + 600, NOW))),
            (NOW, NOW + 1, Some((NOW + 600, NOW + 600))),
            (NOW + 1, NOW + 600, None),
            (0, NOW - KEEP - 1, None),
            (0, NOW - KEEP, Some((NOW - KEEP + 600, NOW - KEEP + 600))),
        ] {
            assert_eq!(times(start, end), expected, "{start} {end}");
        }
    }

    #[test]
    fn the_default_is_a_day() {
        let day = slots(None, GRID, KEEP, NOW + 17).unwrap();
        assert_eq!((day.len(), GRID.time(day.first)), (144, NOW - 86_400 + 600));
        let all = slots(Some(Window::new(0, NOW).unwrap()), GRID, KEEP, NOW + 17).unwrap();
        assert_eq!(all.len(), 12_960);
    }

    fn averages(first: u32, values: &[f64], max_points: u32) -> Vec<(i64, Option<f64>)> {
        let slots = Slots { first, end: first + values.len() as u32 };
        let bands = bands(slots, Some(max_points));
        let points = bands.average(values, Grid { step: 10 });
        assert!(points.len() <= bands.count());
        points.iter().map(|point| (point.time, point.value)).collect()
    }

    // What graphite-web's own code gives for these, worked out by hand.
    #[test]
    fn fewer_points_are_averages() {
        let values = [1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0];
        let all = [1.0, 2.0, 4.0, 5.0, 6.0];
        assert_eq!(averages(100, &values, 1), [(1_000, Some(all.iter().sum::<f64>() / 5.0))]);
        let whole = averages(100, &values, 6);
        assert_eq!((whole.len(), whole[2]), (6, (1_020, None)));
        assert_eq!(averages(100, &values, 0), whole);
        // Width 2; 100 is a multiple of it, so bands begin at 102 with the
        // value of 101.
        assert_eq!(
            averages(100, &values, 3),
            [(1_020, Some(2.0)), (1_040, Some(4.5)), (1_060, Some(6.0))]
        );
        // 101 is none, so bands begin at 102 with the value of 101.
        assert_eq!(
            averages(101, &values, 3),
            [(1_020, Some(1.5)), (1_040, Some(4.0)), (1_060, Some(5.5))]
        );
    }

    #[test]
    fn a_sum_that_no_number_holds_is_no_value() {
        assert_eq!(mean(&[f64::MAX, f64::MAX]), None);
        assert_eq!(mean(&[f64::NAN, f64::NAN]), None);
        assert_eq!(mean(&[-0.0]).map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }
}
