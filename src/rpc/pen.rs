//! Replies written by hand, straight into one buffer. Tests hold them to the
//! generated code, byte for byte.

use super::call::Method;
use super::detect::{BINARY_VERSION, COMPACT_ID, COMPACT_VERSION, Encoding};
use super::encode::{Addressee, set_frame_length};

const REPLY: u8 = 2;
/// Frame, head and end of a message, with room to spare.
pub(super) const AROUND: usize = 64;

/// The whole message, its frame's length included: a head, what `write` puts
/// behind it in the addressee's encoding, and an end. `most` is room for all.
pub(super) fn reply(
    to: Addressee,
    method: Method,
    most: usize,
    write: impl FnOnce(&mut Pen<'_>),
) -> Vec<u8> {
    let mut bytes = vec![0; most];
    let mut pen = Pen { rest: &mut bytes };
    if to.form.framed {
        pen.put([0; 4]);
    }
    match to.form.encoding {
        Encoding::Compact => {
            pen.put([COMPACT_ID, REPLY << 5 | COMPACT_VERSION]);
            pen.varint(u64::from(to.sequence.cast_unsigned()));
            pen.compact_text(method.name());
        }
        Encoding::Binary => {
            pen.put(BINARY_VERSION);
            pen.put([0, REPLY]);
            pen.binary_text(method.name());
            pen.put(to.sequence.to_be_bytes());
        }
        Encoding::OldBinary => {
            pen.binary_text(method.name());
            pen.put([REPLY]);
            pen.put(to.sequence.to_be_bytes());
        }
    }
    write(&mut pen);
    pen.put([0]);
    let unused = pen.rest.len();
    bytes.truncate(most - unused);
    if to.form.framed {
        set_frame_length(&mut bytes);
    }
    bytes
}

/// Writes into room that was measured before, so it never runs out.
pub(super) struct Pen<'a> {
    rest: &'a mut [u8],
}

impl Pen<'_> {
    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
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

    pub(super) fn binary_size(&mut self, size: usize) {
        self.put((size as u32).to_be_bytes());
    }

    pub(super) fn binary_text(&mut self, text: &str) {
        self.binary_size(text.len());
        self.text(text);
    }

    pub(super) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put([number as u8 | 0x80]);
            number >>= 7;
        }
        self.put([number as u8]);
    }

    pub(super) fn zigzag(&mut self, number: i64) {
        self.varint((number << 1 ^ number >> 63).cast_unsigned());
    }

    pub(super) fn compact_text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.text(text);
    }

    /// The head of a list of structs.
    pub(super) fn compact_structs(&mut self, count: usize) {
        match count {
            few @ 0..=14 => self.put([(few as u8) << 4 | 12]),
            many => {
                self.put([0xf0 | 12]);
                self.varint(many as u64);
            }
        }
    }
}
