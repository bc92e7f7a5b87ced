//! The reply of get_metrics and query_metrics, written straight into one
//! buffer. A test holds it to the generated code, byte for byte.

use crate::model::{Datapoint, Series};

use super::call::Method;
use super::detect::{BINARY_VERSION, COMPACT_ID, COMPACT_VERSION, Encoding};
use super::encode::{Addressee, set_frame_length};

const REPLY: u8 = 2;

/// Frame, head and end of a message, with room to spare.
const AROUND: usize = 64;

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
    let mut out = Vec::with_capacity(most_bytes(series));
    if to.form.framed {
        out.extend([0; 4]);
    }
    match to.form.encoding {
        Encoding::Compact => compact(&mut out, to.sequence, method.name(), series),
        Encoding::Binary => {
            out.extend(BINARY_VERSION);
            out.extend([0, REPLY]);
            binary_bytes(&mut out, method.name());
            binary(&mut out, to.sequence, series);
        }
        Encoding::OldBinary => {
            binary_bytes(&mut out, method.name());
            out.push(REPLY);
            binary(&mut out, to.sequence, series);
        }
    }
    if to.form.framed {
        set_frame_length(&mut out);
    }
    out
}

fn binary_size(out: &mut Vec<u8>, size: usize) {
    out.extend((size as u32).to_be_bytes());
}

fn binary_bytes(out: &mut Vec<u8>, text: &str) {
    binary_size(out, text.len());
    out.extend(text.as_bytes());
}

fn binary(out: &mut Vec<u8>, sequence: i32, series: &[Series]) {
    out.extend(sequence.to_be_bytes());
    // Field 0, a map of strings to lists.
    out.extend([13, 0, 0, 11, 15]);
    binary_size(out, series.len());
    for one in series {
        binary_bytes(out, &one.name);
        // Of structs.
        out.push(12);
        binary_size(out, one.points.len());
        for point in &one.points {
            binary_point(out, point);
        }
    }
    out.push(0);
}

/// Field 1, an i64; field 2, a double, if there is one; the end.
fn binary_point(out: &mut Vec<u8>, point: &Datapoint) {
    let time = point.time.to_be_bytes();
    match point.value {
        Some(value) => {
            let mut block = [0; 23];
            block[..3].copy_from_slice(&[10, 0, 1]);
            block[3..11].copy_from_slice(&time);
            block[11..14].copy_from_slice(&[4, 0, 2]);
            block[14..22].copy_from_slice(&value.to_be_bytes());
            out.extend_from_slice(&block);
        }
        None => {
            let mut block = [0; 12];
            block[..3].copy_from_slice(&[10, 0, 1]);
            block[3..11].copy_from_slice(&time);
            out.extend_from_slice(&block);
        }
    }
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn compact_bytes(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn compact(out: &mut Vec<u8>, sequence: i32, name: &str, series: &[Series]) {
    out.extend([COMPACT_ID, REPLY << 5 | COMPACT_VERSION]);
    varint(out, u64::from(sequence as u32));
    compact_bytes(out, name);
    // Field 0, a map; an empty one does not say of what.
    out.extend([11, 0]);
    varint(out, series.len() as u64);
    if !series.is_empty() {
        // Of strings to lists.
        out.push(8 << 4 | 9);
    }
    for one in series {
        compact_bytes(out, &one.name);
        // Of structs.
        match one.points.len() {
            few @ 0..=14 => out.push((few as u8) << 4 | 12),
            many => {
                out.push(0xf0 | 12);
                varint(out, many as u64);
            }
        }
        for point in &one.points {
            // Field 1, an i64.
            out.push(1 << 4 | 6);
            varint(out, (point.time << 1 ^ point.time >> 63) as u64);
            if let Some(value) = point.value {
                // Field 2, a double.
                let mut block = [1 << 4 | 7; 9];
                block[1..].copy_from_slice(&value.to_le_bytes());
                out.extend_from_slice(&block);
            }
            out.push(0);
        }
    }
    out.push(0);
}
