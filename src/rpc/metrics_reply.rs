//! The reply of get_metrics and query_metrics, written straight into one
//! buffer. A test holds it to the generated code, byte for byte.

use crate::model::{Datapoint, Series};

use super::call::Method;
use super::detect::{BINARY_VERSION, COMPACT_ID, COMPACT_VERSION, Encoding};
use super::encode::{Addressee, set_frame_length};

const REPLY: u8 = 2;

/// No encoding needs more bytes.
pub(super) fn most_bytes(series: &[Series]) -> usize {
    /// Frame, head and end of a message, with room to spare.
    const AROUND: usize = 64;
    const SERIES: usize = 12;
    const POINT: usize = 23;
    series
        .iter()
        .map(|one| SERIES + one.name.len() + POINT * one.points.len())
        .fold(AROUND, usize::saturating_add)
}

/// The whole message, its frame's length included.
pub(super) fn encode(to: Addressee, method: Method, series: &[Series]) -> Vec<u8> {
    let mut bytes = vec![0; most_bytes(series)];
    let whole = bytes.len();
    let mut pen = Pen { rest: &mut bytes };
    if to.form.framed {
        pen.put([0; 4]);
    }
    match to.form.encoding {
        Encoding::Compact => compact(&mut pen, to.sequence, method.name(), series),
        Encoding::Binary => {
            pen.put(BINARY_VERSION);
            pen.put([0, REPLY]);
            pen.binary_text(method.name());
            binary(&mut pen, to.sequence, series);
        }
        Encoding::OldBinary => {
            pen.binary_text(method.name());
            pen.put([REPLY]);
            binary(&mut pen, to.sequence, series);
        }
    }
    let unused = pen.rest.len();
    bytes.truncate(whole - unused);
    if to.form.framed {
        set_frame_length(&mut bytes);
    }
    bytes
}

/// Writes into room that `most_bytes` has measured, so it never runs out.
struct Pen<'a> {
    rest: &'a mut [u8],
}

impl Pen<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((place, rest)) = std::mem::take(&mut self.rest).split_first_chunk_mut() {
            *place = bytes;
            self.rest = rest;
        }
    }

    fn text(&mut self, text: &str) {
        let (place, rest) = std::mem::take(&mut self.rest).split_at_mut(text.len());
        place.copy_from_slice(text.as_bytes());
        self.rest = rest;
    }

    fn binary_size(&mut self, size: usize) {
        self.put((size as u32).to_be_bytes());
    }

    fn binary_text(&mut self, text: &str) {
        self.binary_size(text.len());
        self.text(text);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put([number as u8 | 0x80]);
            number >>= 7;
        }
        self.put([number as u8]);
    }

    fn compact_text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.text(text);
    }
}

fn binary(pen: &mut Pen<'_>, sequence: i32, series: &[Series]) {
    pen.put(sequence.to_be_bytes());
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
    pen.put([0]);
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

fn compact(pen: &mut Pen<'_>, sequence: i32, name: &str, series: &[Series]) {
    pen.put([COMPACT_ID, REPLY << 5 | COMPACT_VERSION]);
    pen.varint(u64::from(sequence as u32));
    pen.compact_text(name);
    // Field 0, a map; an empty one does not say of what.
    pen.put([11, 0]);
    pen.varint(series.len() as u64);
    if !series.is_empty() {
        // Of strings to lists.
        pen.put([8 << 4 | 9]);
    }
    for one in series {
        pen.compact_text(&one.name);
        // Of structs.
        match one.points.len() {
            few @ 0..=14 => pen.put([(few as u8) << 4 | 12]),
            many => {
                pen.put([0xf0 | 12]);
                pen.varint(many as u64);
            }
        }
        for point in &one.points {
            compact_point(pen, point);
        }
    }
    pen.put([0]);
}

fn compact_point(pen: &mut Pen<'_>, point: &Datapoint) {
    // Field 1, an i64.
    pen.put([1 << 4 | 6]);
    pen.varint((point.time << 1 ^ point.time >> 63) as u64);
    if let Some(value) = point.value {
        // Field 2, a double.
        pen.put([1 << 4 | 7]);
        pen.put(value.to_le_bytes());
    }
    pen.put([0]);
}
