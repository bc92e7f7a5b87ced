//! Samples as Carbon reads them.
//!
//! Its pickle receiver takes frames: a length in 4 bytes, big end first, then
//! a pickle of `[(path, (time, value)), ...]`, at most 1 MiB (Carbon closes the
//! connection without a word above that). Its line receiver takes
//! `path value time` a line.

use std::io::Write;

use crate::model::Sample;

use super::Protocol;

const MAX_FRAME_POINTS: usize = 1_000;
/// Of the pickle. Carbon's own limit is 1,048,576.
const MAX_FRAME_BYTES: usize = 900_000;

/// The opcodes that are used, by the names of Python's pickletools.
mod op {
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const MARK: u8 = b'(';
    pub(super) const LIST: u8 = b'l';
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const BININT: u8 = b'J';
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const TUPLE2: u8 = 0x86;
    pub(super) const STOP: u8 = b'.';
}

const LENGTH_BYTES: usize = 4;
const TAIL: [u8; 2] = [op::LIST, op::STOP];

/// What goes through one connection.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub bytes: &'a [u8],
    pub points: usize,
}

/// Makes batches in one piece of memory that is used again.
#[derive(Debug)]
pub struct Framer {
    protocol: Protocol,
    bytes: Vec<u8>,
    points: usize,
    /// Where the open frame begins, and its points.
    frame: Option<(usize, usize)>,
}

impl Framer {
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, bytes: Vec::new(), points: 0, frame: None }
    }

    /// Points since the last [`clear`](Self::clear).
    pub fn points(&self) -> usize {
        self.points
    }

    pub fn push(&mut self, sample: &Sample<'_>) {
        self.points += 1;
        match self.protocol {
            Protocol::Pickle => self.push_pickle(sample),
            Protocol::Plaintext => {
                let (path, value, time) = (sample.path(), sample.value(), sample.time());
                // Shortest digits that read back as the same double. Writing
                // to memory does not fail.
                let _ = writeln!(self.bytes, "{path} {value:?} {time}");
            }
        }
    }

    fn push_pickle(&mut self, sample: &Sample<'_>) {
        let path = sample.path().as_str().as_bytes();
        // More than any time needs.
        const ITEM_BYTES: usize = 5 + 7 + 9 + 2;
        if let Some((start, points)) = self.frame {
            let bytes = self.bytes.len() - start - LENGTH_BYTES;
            if points == MAX_FRAME_POINTS
                || bytes + path.len() + ITEM_BYTES + TAIL.len() > MAX_FRAME_BYTES
            {
                self.close();
            }
        }
        let (_, points) = self.frame.get_or_insert_with(|| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
            self.bytes.extend_from_slice(&[op::PROTO, 2, op::MARK]);
            (start, 0)
        });
        *points += 1;
        self.bytes.push(op::BINUNICODE);
        self.bytes.extend_from_slice(&length(path.len()).to_le_bytes());
        self.bytes.extend_from_slice(path);
        push_time(sample.time(), &mut self.bytes);
        self.bytes.push(op::BINFLOAT);
        self.bytes.extend_from_slice(&sample.value().to_be_bytes());
        self.bytes.extend_from_slice(&[op::TUPLE2, op::TUPLE2]);
    }

    fn close(&mut self) {
        if let Some((start, _)) = self.frame.take() {
            self.bytes.extend_from_slice(&TAIL);
            let pickle = length(self.bytes.len() - start - LENGTH_BYTES);
            self.bytes[start..start + LENGTH_BYTES].copy_from_slice(&pickle.to_be_bytes());
        }
    }

    /// What was pushed since the last [`clear`](Self::clear), in whole frames.
    pub fn batch(&mut self) -> Batch<'_> {
        self.close();
        Batch { bytes: &self.bytes, points: self.points }
    }

    /// Begins the next batch.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.points = 0;
        self.frame = None;
    }
}

/// As a signed 32-bit number until 2038, as a long of 5 bytes from then on.
fn push_time(time: i64, out: &mut Vec<u8>) {
    match i32::try_from(time) {
        Ok(time) => {
            out.push(op::BININT);
            out.extend_from_slice(&time.to_le_bytes());
        }
        Err(_) => {
            // A sample's time has 32 bits; the fifth byte keeps it positive.
            out.extend_from_slice(&[op::LONG1, 5]);
            out.extend_from_slice(&time.to_le_bytes()[..5]);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "frames and paths are far below 4 GiB")]
fn length(bytes: usize) -> u32 {
    bytes as u32
}

#[cfg(test)]
mod tests;
