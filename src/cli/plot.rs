//! A series as a drawing of characters.

use crate::model::{Datapoint, Series};

const ROWS: usize = 6;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the series `width` columns wide: a column is the average of the
/// points that fall into it, a blank one had none.
pub fn draw(series: &Series, width: usize) -> String {
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
        return format!("{}: no points\n", series.name);
    };
    let labels = width.min(12);
    let columns = columns(
        &bridged(&series.points),
        first.time,
        last.time,
        width.saturating_sub(labels + 3).max(10),
    );
    let known = || columns.iter().flatten().copied();
    let Some(newest) = known().next_back() else {
        return format!("{}: nothing measured in this window\n", series.name);
    };
    let (low, high) =
        known().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    // A constant is drawn as a line above zero, a varying value between its bounds.
    let floor = if low == high { low.min(0.0) } else { low };
    let span = if high > floor { high - floor } else { 1.0 };

    let mut drawing = format!("{}  (newest {})\n", series.name, number(newest));
    for row in (0..ROWS).rev() {
        let label = match row {
            0 => number(floor),
            row if row == ROWS - 1 => number(high),
            _ => String::new(),
        };
        drawing.push_str(&format!("{label:>labels$} │"));
        let line: String = columns.iter().map(|value| block(*value, floor, span, row)).collect();
        drawing.push_str(line.trim_end());
        drawing.push('\n');
    }
    drawing.push_str(&format!(
        "{:>labels$} └{}\n{:>labels$}  {} to {} UTC\n",
        "",
        "─".repeat(columns.len()),
        "",
        super::when::show(first.time),
        super::when::show(last.time)
    ));
    drawing
}

/// The points with each lone empty one filled from the one before: a check each
/// 15 minutes leaves every third slot of 10 minutes empty.
fn bridged(points: &[Datapoint]) -> Vec<Datapoint> {
    let value = |at: usize| points.get(at).and_then(|point| point.value);
    let fill = |(at, point): (usize, &Datapoint)| {
        let before = at.checked_sub(1).and_then(value).filter(|_| value(at + 1).is_some());
        Datapoint { value: point.value.or(before), ..*point }
    };
    points.iter().enumerate().map(fill).collect()
}

fn columns(points: &[Datapoint], first: i64, last: i64, width: usize) -> Vec<Option<f64>> {
    let count = width.min(points.len());
    let span = (last - first).max(1) as f64;
    let mut sums = vec![(0.0, 0_u32); count];
    for point in points {
        let Some(value) = point.value else { continue };
        let place = ((point.time - first) as f64 / span * count as f64) as usize;
        let (sum, seen) = &mut sums[place.min(count - 1)];
        *sum += value;
        *seen += 1;
    }
    sums.into_iter().map(|(sum, seen)| (seen > 0).then(|| sum / f64::from(seen))).collect()
}

fn block(value: Option<f64>, floor: f64, span: f64, row: usize) -> char {
    let Some(value) = value else { return ' ' };
    let eighths = ((value - floor) / span * (ROWS * 8) as f64).round() as usize;
    // The lowest value keeps a mark, so that it differs from no value.
    let eighths = eighths.max(1);
    BLOCKS[eighths.saturating_sub(row * 8).min(8)]
}

fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(0.001..1e9).contains(&size) {
        format!("{value:.3e}")
    } else if size >= 1000.0 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[Option<f64>]) -> Series {
        let points = values
            .iter()
            .enumerate()
            .map(|(at, value)| Datapoint { time: 600 * at as i64, value: *value })
            .collect();
        Series { name: "load.load1".into(), points }
    }

    #[test]
    fn a_rising_series_rises() {
        let drawing = draw(&series(&[Some(0.0), Some(1.0), None, None, Some(3.0)]), 40);
        let lines: Vec<_> = drawing.lines().collect();
        assert_eq!(lines[0], "load.load1  (newest 3)");
        assert_eq!(lines[1], "           3 │    █");
        assert_eq!(lines[5], "             │ █  █");
        assert_eq!(lines[6], "           0 │▁█  █");
        assert!(lines[8].ends_with("1970-01-01 00:00:00 to 1970-01-01 00:40:00 UTC"));
    }

    #[test]
    fn one_empty_slot_is_drawn_across() {
        let values = |given: &[Option<f64>]| -> Vec<_> {
            bridged(&series(given).points).iter().map(|point| point.value).collect()
        };
        let (a, b) = (Some(1.0), Some(2.0));
        assert_eq!(values(&[a, None, b, b, None, a]), [a, a, b, b, b, a]);
        assert_eq!(values(&[None, a, None, None, b, None]), [None, a, None, None, b, None]);
        let drawing = draw(&series(&[b, b, None, b, b, None, b]), 40);
        assert!(drawing.contains("│███████\n"), "{drawing}");
    }

    #[test]
    fn nothing_is_said_plainly() {
        assert_eq!(draw(&series(&[]), 40), "load.load1: no points\n");
        assert_eq!(
            draw(&series(&[None, None]), 40),
            "load.load1: nothing measured in this window\n"
        );
    }

    #[test]
    fn odd_values_and_widths_draw() {
        for values in
            [vec![Some(5.0); 3], vec![Some(-1e300), Some(1e300)], vec![Some(f64::MIN_POSITIVE)]]
        {
            for width in [0, 1, 20, 500] {
                assert!(draw(&series(&values), width).lines().count() > ROWS);
            }
        }
    }
}
