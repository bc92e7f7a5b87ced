//! One series as a line. Where nothing was measured there is a gap; one slot
//! that lacks its value is drawn across.

use std::fmt::Write;

use maud::{Markup, html};

use super::scale::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, Values, WIDTH, times, x};
use super::words::figure;
use crate::model::{Series, Window};

pub(super) struct Line<'a> {
    name: &'a str,
    window: Window,
    /// What was measured in the window, ascending in time.
    points: Vec<(i64, f64)>,
    /// Seconds between two slots.
    slot: i64,
    scale: Values,
}

impl<'a> Line<'a> {
    pub(super) fn new(series: &'a Series, window: Window) -> Self {
        let within = |time: i64| window.start() <= time && time <= window.end();
        let slots = series.points.windows(2).map(|two| two[1].time.saturating_sub(two[0].time));
        let slot = slots.filter(|&slot| slot > 0).min().unwrap_or(i64::MAX);
        let measured = series.points.iter().filter(|point| within(point.time));
        let points: Vec<(i64, f64)> = measured
            .filter_map(|point| Some((point.time, point.value.filter(|value| value.is_finite())?)))
            .collect();
        let scale = Values::of(points.iter().map(|point| point.1));
        Self { name: &series.name, window, points, slot, scale }
    }

    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// Newest, lowest, mean and highest; absent where nothing was measured.
    pub(super) fn figures(&self) -> Option<[String; 4]> {
        let values = || self.points.iter().map(|point| point.1);
        let newest = values().next_back()?;
        // Divided first: a sum may be more than a number can say.
        let many = self.points.len() as f64;
        let mean: f64 = values().map(|value| value / many).sum();
        let (lowest, highest) = (values().fold(newest, f64::min), values().fold(newest, f64::max));
        Some([newest, lowest, mean, highest].map(figure))
    }

    fn path(&self) -> String {
        let mut path = String::with_capacity(self.points.len() * 12);
        let mut before: Option<i64> = None;
        for (at, &(time, value)) in self.points.iter().enumerate() {
            let joined = before
                .is_some_and(|before| time.saturating_sub(before) <= self.slot.saturating_mul(2));
            let next = self.points.get(at + 1).map(|next| next.0);
            let joins =
                next.is_some_and(|next| next.saturating_sub(time) <= self.slot.saturating_mul(2));
            let letter = if joined { 'L' } else { 'M' };
            let (x, y) = (x(self.window, time), self.scale.y(value));
            // A String takes all that is written.
            let _ = write!(path, "{letter}{x:.1} {y:.1}");
            if !joined && !joins {
                // A lone point shows by the round ends of a line of no length.
                path.push_str("h0");
            }
            before = Some(time);
        }
        path
    }

    /// `[[time, value], ...]`, for the script.
    fn data(&self) -> String {
        serde_json::to_string(&self.points).unwrap_or_default()
    }

    fn told(&self) -> String {
        match self.figures() {
            Some([newest, lowest, mean, highest]) => format!(
                "{}: newest {newest}, lowest {lowest}, mean {mean}, highest {highest}",
                self.name
            ),
            None => format!("{}: nothing was measured", self.name),
        }
    }

    pub(super) fn markup(&self) -> Markup {
        let newest = self.figures().map(|[newest, ..]| newest);
        html! {
            figure.chart {
                figcaption {
                    span.metric { (self.name) }
                    @if let Some(unit) = unit(self.name) { " " span.unit { (unit) } }
                    output.reading { (newest.as_deref().unwrap_or("no value")) }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.told())
                    data-points=(self.data())
                    data-start=(self.window.start()) data-end=(self.window.end())
                    data-low=(self.scale.low) data-high=(self.scale.high)
                    data-left=(LEFT) data-right=(RIGHT) data-top=(TOP) data-bottom=(BOTTOM) {
                    (axes(&self.scale, self.window))
                    path.line d=(self.path()) {}
                    line.cursor x1="0" x2="0" y1=(TOP) y2=(BOTTOM) visibility="hidden" {}
                    circle.dot r="3.5" visibility="hidden" {}
                }
            }
        }
    }
}

/// Lines and labels of both axes.
pub(super) fn axes(scale: &Values, window: Window) -> Markup {
    html! {
        @for (y, label) in scale.ticks() {
            line.grid x1=(LEFT) x2=(RIGHT) y1=(round(y)) y2=(round(y)) {}
            text.tick x=(LEFT - 6.0) y=(round(y + 3.5)) text-anchor="end" { (label) }
        }
        @for (x, label) in times(window) {
            line.notch x1=(round(x)) x2=(round(x)) y1=(BOTTOM) y2=(BOTTOM + 4.0) {}
            text.tick x=(round(x)) y=(BOTTOM + 16.0) text-anchor="middle" { (label) }
        }
    }
}

pub(super) fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// Of the services in `nagios-templates`; others measure in units of their own.
fn unit(name: &str) -> Option<&'static str> {
    let (service, label) = name.split_once('.')?;
    Some(match (service, label) {
        ("ping", "rta") => "ms",
        ("ping", "pl") | ("idle", _) => "%",
        ("disk", _) => "MiB",
        ("load", _) => "runnable processes",
        ("connections", _) => "connections",
        ("procs" | "zombie_procs", _) => "processes",
        ("users", _) => "users",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Datapoint;

    fn line(values: &[Option<f64>]) -> String {
        let points = (1..).zip(values).map(|(n, &value)| Datapoint { time: n * 60, value });
        let series = Series { name: "load.load1".to_owned(), points: points.collect() };
        Line::new(&series, Window::new(0, 1000).unwrap()).path()
    }

    #[test]
    fn one_empty_slot_is_drawn_across_and_two_are_a_gap() {
        let strokes = |values: &[Option<f64>]| line(values).matches('M').count();
        assert_eq!(strokes(&[Some(1.0), None, Some(1.0), Some(2.0)]), 1);
        assert_eq!(strokes(&[Some(1.0), Some(1.0), None, None, Some(2.0), Some(1.0)]), 2);
        assert_eq!(line(&[None, None]), "");
        assert!(line(&[Some(1.0), None, None, None]).ends_with("h0"));
    }

    #[test]
    fn values_that_are_no_numbers_are_gaps() {
        let odd = line(&[Some(1.0), Some(f64::NAN), Some(f64::INFINITY), Some(1.0)]);
        assert_eq!(odd.matches('M').count(), 2);
        assert!(!odd.contains("NaN") && !odd.contains("inf"), "{odd}");
    }
}
