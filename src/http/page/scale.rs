//! The axes of a chart: where a value and a time lie, and what is written
//! beside them.

use super::words::figure;
use crate::model::Window;
use crate::settings::when;

/// The picture, in its own units; the browser makes it fit.
pub(super) const WIDTH: f64 = 400.0;
pub(super) const HEIGHT: f64 = 150.0;
pub(super) const LEFT: f64 = 48.0;
pub(super) const RIGHT: f64 = 392.0;
pub(super) const TOP: f64 = 10.0;
pub(super) const BOTTOM: f64 = 128.0;

/// From zero to what there is, above and below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Absent where the values are too far apart or too near for one.
    step: Option<f64>,
}

impl Values {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (0f64, 0f64);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if high - low < f64::MIN_POSITIVE {
            high = 1.0;
        }
        let step = nice_step(high - low);
        if let Some(step) = step {
            low = (low / step).floor() * step;
            high = (high / step).ceil() * step;
        }
        Self { low, high, step }
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        // Halves, for the two may be further apart than a number can say.
        let part = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        BOTTOM - part.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }

    /// (height, label), from below.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let Some(step) = self.step else {
            return [self.low, self.high].map(|value| (self.y(value), figure(value))).to_vec();
        };
        let steps = ((self.high - self.low) / step).round() as u8;
        let values = (0..=steps).map(|nth| self.low + f64::from(nth) * step);
        // What is nearly zero for lack of digits is zero.
        let values = values.map(|value| if value.abs() < step / 1e6 { 0.0 } else { value });
        values.map(|value| (self.y(value), figure(value))).collect()
    }
}

/// For two to five ticks.
fn nice_step(span: f64) -> Option<f64> {
    let rough = span / 3.0;
    let size = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|nice| nice * size).into_iter().find(|&s| s >= rough)?;
    (step.is_normal() && (span / step).is_finite()).then_some(step)
}

pub(super) fn x(window: Window, time: i64) -> f64 {
    let from_start = time.saturating_sub(window.start()) as f64;
    let length = window.end().saturating_sub(window.start()) as f64;
    LEFT + (from_start / length).clamp(0.0, 1.0) * (RIGHT - LEFT)
}

const DAY: i64 = 86_400;
const STEPS: [i64; 11] = [
    600,
    3600,
    6 * 3600,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
    3650 * DAY,
];
const MAX_TICKS: i64 = 7;

/// (place, label) of whole hours, days and so on of UTC.
pub(super) fn times(window: Window) -> Vec<(f64, String)> {
    let length = window.end().saturating_sub(window.start());
    let Some(step) = STEPS.into_iter().find(|step| length / step <= MAX_TICKS) else {
        return Vec::new();
    };
    let first = window.start().div_euclid(step).saturating_add(1).saturating_mul(step);
    let ticks = (0..=MAX_TICKS).map(|nth| first.saturating_add(nth * step));
    ticks
        .filter(|&at| window.start() <= at && at <= window.end())
        .map(|at| (x(window, at), label(at, step)))
        .collect()
}

fn label(at: i64, step: i64) -> String {
    let shown = when::show(at);
    let part = match step {
        DAY.. => 5..10,
        _ => 11..16,
    };
    shown.get(part).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        let labels = |values: &[f64]| -> Vec<String> {
            let ticks = Values::of(values.iter().copied()).ticks();
            ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(&[0.2, 2.9]), ["0", "1", "2", "3"]);
        assert_eq!(labels(&[-0.5, 1.2]), ["-1", "0", "1", "2"]);
        assert_eq!(labels(&[]), ["0", "0.5", "1"]);
        assert_eq!(labels(&[f64::MAX, f64::MIN]), ["-1.80e308", "1.80e308"]);
        assert_eq!(labels(&[f64::NAN, 97.0]), ["0", "50", "100"]);
        assert_eq!(labels(&[5e-324]), ["0", "0.5", "1"]);
    }

    #[test]
    fn everything_lies_within_the_picture() {
        for values in [vec![0.0], vec![1e300, -1e300], vec![f64::MAX, f64::MIN], vec![3.0, 7.5]] {
            let scale = Values::of(values.iter().copied());
            for value in values {
                assert!((TOP..=BOTTOM).contains(&scale.y(value)), "{value} in {scale:?}");
            }
        }
        let window = Window::new(i64::MIN, i64::MAX).unwrap();
        assert!((LEFT..=RIGHT).contains(&x(window, 0)));
        assert_eq!(times(window), []);
    }

    #[test]
    fn hours_and_days_are_those_of_utc() {
        let labels = |start, end| -> Vec<String> {
            let ticks = times(Window::new(start, end).unwrap());
            ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(1000, 1000 + DAY), ["06:00", "12:00", "18:00", "00:00"]);
        assert_eq!(labels(1000, 1000 + 4 * DAY), ["01-02", "01-03", "01-04", "01-05"]);
    }
}
