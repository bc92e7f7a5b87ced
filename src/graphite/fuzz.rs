//! For fuzzing only: the reader of answers, given any bytes.

use super::answer::{Limits, read};

/// An answer of Graphite's to a question for a host.
pub fn answer(bytes: &[u8]) {
    const SERIES: usize = 50;
    const POINTS: usize = 5_000;
    let limits = Limits { series: SERIES, points: POINTS };
    let Ok(answer) = read(bytes, "nagios.h1.", limits) else { return };
    assert!(answer.series.len() + answer.foreign <= SERIES);
    let points: usize = answer.series.iter().map(|series| series.points.len()).sum();
    assert!(points <= POINTS && points <= bytes.len());
    assert!(answer.series.is_sorted_by(|one, next| one.name < next.name));
    for series in &answer.series {
        assert!(series.points.is_sorted_by_key(|point| point.time));
        assert!(series.points.iter().all(|point| point.value.is_none_or(f64::is_finite)));
    }
}
