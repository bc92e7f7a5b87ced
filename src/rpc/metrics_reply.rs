//! The reply of get_metrics and query_metrics.

use crate::model::{Datapoint, Series};

use super::call::Method;
use super::detect::Encoding;
use super::encode::Addressee;
use super::pen::{AROUND, Pen, reply};

/// No encoding needs more bytes.
pub(super) fn most_bytes(series: &[Series]) -> usize {
    const SERIES: usize = 12;
    const POINT: usize = 23;
    series
        .iter()
        .map(|one| SERIES + one.name.len() + POINT * one.points.len())
        .fold(AROUND, usize::saturating_add)
}

/// The whole message, its frame's length included.
pub(super) fn encode(to: Addressee, method: Method, series: &[Series]) -> Vec<u8> {
    reply(to, method, most_bytes(series), |pen| match to.form.encoding {
        Encoding::Compact => compact(pen, series),
        Encoding::Binary | Encoding::OldBinary => binary(pen, series),
    })
}

fn binary(pen: &mut Pen<'_>, series: &[Series]) {
    // Field 0, a map of strings to lists.
    pen.put([13, 0, 0, 11, 15]);
    pen.binary_size(series.len());
    for one in series {
        pen.binary_text(&one.name);
        // Of structs.
        pen.put([12]);
        pen.binary_size(one.points.len());
        for point in &one.points {
            binary_point(pen, point);
        }
    }
}

fn binary_point(pen: &mut Pen<'_>, point: &Datapoint) {
    // Field 1, an i64.
    pen.put([10, 0, 1]);
    pen.put(point.time.to_be_bytes());
    if let Some(value) = point.value {
        // Field 2, a double.
        pen.put([4, 0, 2]);
        pen.put(value.to_be_bytes());
    }
    pen.put([0]);
}

fn compact(pen: &mut Pen<'_>, series: &[Series]) {
    // Field 0, a map; an empty one does not say of what.
    pen.put([11, 0]);
    pen.varint(series.len() as u64);
    if !series.is_empty() {
        // Of strings to lists.
        pen.put([8 << 4 | 9]);
    }
    for one in series {
        pen.compact_text(&one.name);
        pen.compact_structs(one.points.len());
        for point in &one.points {
            compact_point(pen, point);
        }
    }
}

fn compact_point(pen: &mut Pen<'_>, point: &Datapoint) {
    // Field 1, an i64.
    pen.put([1 << 4 | 6]);
    pen.zigzag(point.time);
    if let Some(value) = point.value {
        // Field 2, a double.
        pen.put([1 << 4 | 7]);
        pen.put(value.to_le_bytes());
    }
    pen.put([0]);
}
