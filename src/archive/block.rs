//! The points of one series in one day, or a part of it, as bytes.
//!
//! A tag (bits 0-1: how values are written, 2-3: how gaps are, 4-7: version),
//! the first slot and the number of slots up to the last (u16 each, little
//! endian), the gaps, the values. Values of few decimals are written as whole
//! numbers and a power of ten, which is what plugins print.

use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, ModeSpec};

/// Place in the day and value.
pub(super) type Point = (u16, f64);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

const RAW: u8 = 0;
const FLOATS: u8 = 1;
const DECIMALS: u8 = 2;

const NO_GAPS: u8 = 0;
/// A count and as many places after the first slot, a byte each.
const GAP_LIST: u8 = 1;
/// A bit a slot, set where there is a value.
const GAP_MAP: u8 = 2;

const HEAD_BYTES: usize = 5;
const MAX_SLOTS: usize = 8_640;

/// For a part of a day, which is soon written again. `points` are in order of
/// time, each slot once, and at least one.
pub(super) fn encode_part(points: &[Point]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + 18 + 8 * points.len() + 4);
    head(points, RAW, &mut out);
    raw(points, &mut out);
    out
}

/// For a day that is over.
pub(super) fn encode_day(points: &[Point]) -> Vec<u8> {
    let floats: Vec<f64> = points.iter().map(|point| point.1).collect();
    let mut out = Vec::with_capacity(256);
    let packed = if let Some((exponent, whole)) = decimals(&floats) {
        head(points, DECIMALS, &mut out);
        out.push(exponent);
        let classic = ChunkConfig::default().with_mode_spec(ModeSpec::Classic);
        pack(&whole, &classic.with_compression_level(4), &mut out)
    } else {
        head(points, FLOATS, &mut out);
        pack(&floats, &ChunkConfig::default(), &mut out)
    };
    if packed.is_err() || out.len() > HEAD_BYTES + 18 + 8 * points.len() {
        return encode_part(points);
    }
    out
}

fn head(points: &[Point], values: u8, out: &mut Vec<u8>) {
    let first = points.first().map_or(0, |point| point.0);
    let span = points.last().map_or(0, |point| usize::from(point.0 - first) + 1);
    let missing = span - points.len();
    let map_bytes = span.div_ceil(8);
    let gaps = match missing {
        0 => NO_GAPS,
        _ if span <= 256 && missing + 1 < map_bytes => GAP_LIST,
        _ => GAP_MAP,
    };
    out.push(values | gaps << 2);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&(span as u16).to_le_bytes());
    let mut map = vec![0_u8; map_bytes];
    for (place, _) in points {
        let at = usize::from(place - first);
        map[at / 8] |= 1 << (at % 8);
    }
    match gaps {
        GAP_LIST => {
            out.push(missing as u8);
            out.extend((0..span).filter(|at| map[at / 8] & 1 << (at % 8) == 0).map(|at| at as u8));
        }
        GAP_MAP => out.extend_from_slice(&map),
        _ => {}
    }
}

fn raw(points: &[Point], out: &mut Vec<u8>) {
    for (_, value) in points {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn pack<T: pco::data_types::Number>(
    numbers: &[T],
    config: &ChunkConfig,
    out: &mut Vec<u8>,
) -> pco::errors::PcoResult<()> {
    let file = FileCompressor::default();
    file.write_header(&mut *out)?;
    let mut chunk = file.chunk_compressor(numbers, config)?;
    chunk.write_meta(&mut *out)?;
    chunk.write_page(0, &mut *out)?;
    Ok(())
}

const POWERS: [f64; 7] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// The smallest exponent at which all values are whole numbers, proved bit for
/// bit by going back.
fn decimals(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    // Whole numbers up to here are exact in an f64.
    const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
    let mut whole = Vec::with_capacity(values.len());
    (0_u8..).zip(POWERS).find_map(|(exponent, power)| {
        whole.clear();
        for value in values {
            let scaled = (value * power).round();
            // -0 comes back as 0, and so is not one of these.
            let back = scaled as i64 as f64 / power;
            if scaled.abs() >= MAX_WHOLE || back.to_bits() != value.to_bits() {
                return None;
            }
            whole.push(scaled as i64);
        }
        Some((exponent, std::mem::take(&mut whole)))
    })
}

/// Reads blocks; holds the memory that reading one takes.
#[derive(Default)]
pub(super) struct Decoder {
    scratch: DecompressorScratch,
    places: Vec<u16>,
    floats: Vec<f64>,
    whole: Vec<i64>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

impl Decoder {
    /// In order of time. `bytes` are what was encoded: their checksum is
    /// proved before.
    pub fn read(&mut self, bytes: &[u8]) -> Result<impl Iterator<Item = Point> + '_, Malformed> {
        let (&tag, rest) = bytes.split_first().ok_or(Malformed)?;
        if tag >> 4 != 0 {
            return Err(Malformed);
        }
        let rest = self.read_places(tag >> 2 & 3, rest)?;
        match tag & 3 {
            RAW => self.read_raw(rest)?,
            FLOATS => {
                self.floats.resize(self.places.len(), 0.0);
                unpack(rest, &mut self.floats, &mut self.scratch)?;
            }
            DECIMALS => {
                let (&exponent, rest) = rest.split_first().ok_or(Malformed)?;
                let power = POWERS.get(usize::from(exponent)).ok_or(Malformed)?;
                self.whole.resize(self.places.len(), 0);
                unpack(rest, &mut self.whole, &mut self.scratch)?;
                self.floats.clear();
                self.floats.extend(self.whole.iter().map(|whole| *whole as f64 / power));
            }
            _ => return Err(Malformed),
        }
        Ok(self.places.iter().copied().zip(self.floats.iter().copied()))
    }

    fn read_places<'b>(&mut self, gaps: u8, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES - 1).ok_or(Malformed)?;
        let first = u16::from_le_bytes([head[0], head[1]]);
        let span = u16::from_le_bytes([head[2], head[3]]);
        let end = usize::from(first) + usize::from(span);
        if span == 0 || end > MAX_SLOTS {
            return Err(Malformed);
        }
        self.places.clear();
        match gaps {
            NO_GAPS => {
                self.places.extend(first..first + span);
                Ok(rest)
            }
            GAP_LIST => {
                let (&count, rest) = rest.split_first().ok_or(Malformed)?;
                let (list, rest) = rest.split_at_checked(usize::from(count)).ok_or(Malformed)?;
                let mut list = list.iter().map(|at| u16::from(*at)).peekable();
                self.places.extend(
                    (0..span).filter(|at| list.next_if_eq(at).is_none()).map(|at| first + at),
                );
                if list.next().is_some() { Err(Malformed) } else { Ok(rest) }
            }
            GAP_MAP => {
                let bytes = usize::from(span).div_ceil(8);
                let (map, rest) = rest.split_at_checked(bytes).ok_or(Malformed)?;
                let is_set = |at: &u16| map[usize::from(at / 8)] & 1 << (at % 8) != 0;
                self.places.extend((0..span).filter(is_set).map(|at| first + at));
                Ok(rest)
            }
            _ => Err(Malformed),
        }
    }

    fn read_raw(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let (values, rest) = bytes.as_chunks::<8>();
        if values.len() != self.places.len() || !rest.is_empty() {
            return Err(Malformed);
        }
        self.floats.clear();
        self.floats.extend(values.iter().map(|value| f64::from_le_bytes(*value)));
        Ok(())
    }
}

fn unpack<T: pco::data_types::Number>(
    bytes: &[u8],
    out: &mut [T],
    scratch: &mut DecompressorScratch,
) -> Result<(), Malformed> {
    let malformed = |_: pco::errors::PcoError| Malformed;
    let (file, bytes) = FileDecompressor::new(bytes).map_err(malformed)?;
    let (chunk, bytes) = file.chunk_decompressor::<T, _>(bytes).map_err(malformed)?;
    let mut page =
        chunk.page_decompressor_with_scratch(bytes, out.len(), scratch).map_err(malformed)?;
    let progress = page.read(out).map_err(malformed)?;
    if progress.n_processed == out.len() { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests;
