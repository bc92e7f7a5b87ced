//! Where a message ends. An unframed message says no length, and a decoder
//! that waits in the middle of one holds a thread; so the end is found first,
//! and every limit is applied on the way, before anything is allocated by a
//! count or a length that a peer merely claims.

use std::ops::Range;

use super::detect::{BINARY_VERSION, COMPACT_ID, COMPACT_VERSION, Encoding, Form};
use super::limits::{Limits, MAX_NAME_BYTES, Refusal};

/// A whole message's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) oneway: bool,
    pub(super) sequence: i32,
    /// Places in the message, its frame's length included.
    pub(super) name: Range<usize>,
    pub(super) arguments: usize,
}

/// A whole message: where it ends, and its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) end: usize,
}

/// How the end of a value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed(u8),
    Varint,
    Bytes,
    Struct,
    List,
    Map,
}

/// Something open, and what is still to come in it.
#[derive(Clone, Copy, Debug)]
enum Level {
    Struct,
    Elements {
        left: u32,
        kind: Kind,
    },
    /// `left` counts keys and values.
    Pairs {
        left: u64,
        key: Kind,
        value: Kind,
    },
}

/// A scan that goes on where it stopped when more bytes are there. Every step
/// is taken only once its bytes are complete, and each byte of a container is
/// passed once, so the work is linear however the bytes arrive.
#[derive(Debug)]
pub(super) struct Scan {
    form: Form,
    at: usize,
    frame_end: Option<usize>,
    header: Option<Header>,
    /// A value whose type is read and whose bytes are not.
    pending: Option<Kind>,
    level: Level,
    /// Allocated by nested values only.
    outer: Vec<Level>,
}

/// The next place, or None while the bytes are not there.
type Step<T> = Result<Option<T>, Refusal>;

impl Scan {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            at: 0,
            frame_end: None,
            header: None,
            pending: None,
            level: Level::Struct,
            outer: Vec::new(),
        }
    }

    /// `bytes` begins with the message and is at least as long as last time.
    pub(super) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Step<Found> {
        if self.form.framed && self.frame_end.is_none() {
            let Some(length) = be_u32(bytes, 0) else { return Ok(None) };
            match length {
                0 => return Err(Refusal::EmptyFrame),
                _ if length as usize > limits.message => {
                    return Err(Refusal::FrameTooLong(length));
                }
                _ => {}
            }
            self.frame_end = Some(4 + length as usize);
            self.at = 4;
        }
        // What lies behind a frame or behind the longest message is not ours.
        let last = self.frame_end.unwrap_or(limits.message);
        let whole = bytes.len() >= last;
        let found = self.body(&bytes[..bytes.len().min(last)], limits)?;
        match (found, self.frame_end) {
            (Some(found), Some(end)) if found.end != end => Err(Refusal::FrameMismatch),
            (None, Some(_)) if whole => Err(Refusal::FrameMismatch),
            (None, None) if whole => Err(Refusal::MessageTooLong),
            (found, _) => Ok(found),
        }
    }

    /// The bytes the message will take, if it says so.
    pub(super) fn claimed_end(&self) -> Option<usize> {
        self.frame_end
    }

    fn body(&mut self, bytes: &[u8], limits: &Limits) -> Step<Found> {
        if self.header.is_none() {
            let header = match self.form.encoding {
                Encoding::Binary => binary_header(bytes, self.at)?,
                Encoding::OldBinary => old_binary_header(bytes, self.at)?,
                Encoding::Compact => compact_header(bytes, self.at)?,
            };
            let Some(header) = header else { return Ok(None) };
            self.at = header.arguments;
            self.header = Some(header);
        }
        loop {
            if let Some(kind) = self.pending {
                match self.value(kind, bytes, limits)? {
                    true => self.pending = None,
                    false => return Ok(None),
                }
            }
            match &mut self.level {
                Level::Struct => match self.field(bytes)? {
                    None => return Ok(None),
                    Some((at, kind)) => {
                        self.at = at;
                        self.pending = kind;
                        if kind.is_none() && !self.close() {
                            break;
                        }
                    }
                },
                Level::Elements { left: 0, .. } | Level::Pairs { left: 0, .. } => {
                    self.close();
                }
                Level::Elements { left, kind: Kind::Fixed(size) } => {
                    let size = usize::from(*size);
                    let there = ((bytes.len() - self.at) / size).min(*left as usize);
                    self.at += there * size;
                    *left -= there as u32;
                    if *left > 0 {
                        return Ok(None);
                    }
                }
                Level::Elements { left, kind } => {
                    *left -= 1;
                    self.pending = Some(*kind);
                }
                Level::Pairs { left, key, value } => {
                    self.pending = Some(if left.is_multiple_of(2) { *key } else { *value });
                    *left -= 1;
                }
            }
        }
        let end = self.at;
        Ok(self.header.take().map(|header| Found { header, end }))
    }

    /// Passes a value of this kind, or opens it; false while bytes are missing.
    fn value(&mut self, kind: Kind, bytes: &[u8], limits: &Limits) -> Result<bool, Refusal> {
        let next = match kind {
            Kind::Fixed(size) => Some(self.at + usize::from(size)),
            Kind::Varint => varint(bytes, self.at, 10)?.map(|(_, at)| at),
            Kind::Bytes => match self.size(bytes, self.at)? {
                None => None,
                Some((size, _)) if size > limits.string as u64 => {
                    return Err(Refusal::StringTooLong(size));
                }
                Some((size, at)) => Some(at + size as usize),
            },
            Kind::Struct => return self.open(Level::Struct, self.at, limits),
            Kind::List | Kind::Map => {
                let opened = match self.form.encoding {
                    Encoding::Compact if kind == Kind::List => compact_list(bytes, self.at)?,
                    Encoding::Compact => compact_map(bytes, self.at)?,
                    _ if kind == Kind::List => binary_list(bytes, self.at)?,
                    _ => binary_map(bytes, self.at)?,
                };
                let Some((count, types, at)) = opened else { return Ok(false) };
                if count > u64::from(limits.container) {
                    return Err(Refusal::ContainerTooLarge(count));
                }
                if count == 0 {
                    self.at = at;
                    return Ok(true);
                }
                let element = |id| element_kind(self.form.encoding, id);
                let level = match types {
                    (of, None) => Level::Elements { left: count as u32, kind: element(of)? },
                    (key, Some(value)) => {
                        Level::Pairs { left: 2 * count, key: element(key)?, value: element(value)? }
                    }
                };
                return self.open(level, at, limits);
            }
        };
        match next {
            Some(next) if next <= bytes.len() => {
                self.at = next;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn open(&mut self, level: Level, at: usize, limits: &Limits) -> Result<bool, Refusal> {
        // The level that stands and the new one, on top of the outer ones.
        if self.outer.len() + 2 > limits.depth {
            return Err(Refusal::TooDeep);
        }
        self.outer.push(std::mem::replace(&mut self.level, level));
        self.at = at;
        Ok(true)
    }

    /// False: the outermost level, the arguments, was closed.
    fn close(&mut self) -> bool {
        match self.outer.pop() {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }

    /// The place after a field's head, and its value's kind; none at the end
    /// of the struct.
    fn field(&self, bytes: &[u8]) -> Step<(usize, Option<Kind>)> {
        let Some(&first) = bytes.get(self.at) else { return Ok(None) };
        let at = self.at + 1;
        if self.form.encoding == Encoding::Compact {
            if first & 0x0f == 0 {
                return Ok(Some((at, None)));
            }
            let kind = compact_kind(first & 0x0f, true)?;
            if first >> 4 != 0 {
                return Ok(Some((at, Some(kind))));
            }
            return Ok(varint(bytes, at, 10)?.map(|(_, at)| (at, Some(kind))));
        }
        if first == 0 {
            return Ok(Some((at, None)));
        }
        let kind = binary_kind(first)?;
        Ok((bytes.len() >= at + 2).then_some((at + 2, Some(kind))))
    }

    fn size(&self, bytes: &[u8], at: usize) -> Step<(u64, usize)> {
        match self.form.encoding {
            Encoding::Compact => varint(bytes, at, 5),
            _ => binary_size(bytes, at),
        }
    }
}

fn binary_header(bytes: &[u8], at: usize) -> Step<Header> {
    match bytes.get(at..at + 2) {
        None => return Ok(None),
        Some(version) if version != BINARY_VERSION => return Err(Refusal::BinaryVersion),
        Some(_) => {}
    }
    let Some(&message_type) = bytes.get(at + 3) else { return Ok(None) };
    let oneway = is_oneway(message_type)?;
    let Some((name, at)) = binary_name(bytes, at + 4)? else { return Ok(None) };
    Ok(be_u32(bytes, at).map(|sequence| Header {
        oneway,
        sequence: sequence as i32,
        name,
        arguments: at + 4,
    }))
}

fn old_binary_header(bytes: &[u8], at: usize) -> Step<Header> {
    let Some((name, at)) = binary_name(bytes, at)? else { return Ok(None) };
    let Some(&message_type) = bytes.get(at) else { return Ok(None) };
    let oneway = is_oneway(message_type)?;
    Ok(be_u32(bytes, at + 1).map(|sequence| Header {
        oneway,
        sequence: sequence as i32,
        name,
        arguments: at + 5,
    }))
}

fn compact_header(bytes: &[u8], at: usize) -> Step<Header> {
    match bytes.get(at) {
        None => return Ok(None),
        Some(&id) if id != COMPACT_ID => return Err(Refusal::CompactVersion),
        Some(_) => {}
    }
    let Some(&second) = bytes.get(at + 1) else { return Ok(None) };
    if second & 0x1f != COMPACT_VERSION {
        return Err(Refusal::CompactVersion);
    }
    let oneway = is_oneway(second >> 5)?;
    let Some((sequence, at)) = varint(bytes, at + 2, 5)? else { return Ok(None) };
    let Some((size, at)) = varint(bytes, at, 5)? else { return Ok(None) };
    Ok(name(bytes, size, at)?.map(|(name, at)| Header {
        oneway,
        // Written as the unsigned number of the same bits.
        sequence: sequence as u32 as i32,
        name,
        arguments: at,
    }))
}

fn binary_name(bytes: &[u8], at: usize) -> Step<(Range<usize>, usize)> {
    match binary_size(bytes, at)? {
        None => Ok(None),
        Some((size, at)) => name(bytes, size, at),
    }
}

fn name(bytes: &[u8], size: u64, at: usize) -> Step<(Range<usize>, usize)> {
    if size > MAX_NAME_BYTES as u64 {
        return Err(Refusal::NameTooLong(size));
    }
    let end = at + size as usize;
    Ok((end <= bytes.len()).then_some((at..end, end)))
}

fn is_oneway(message_type: u8) -> Result<bool, Refusal> {
    match message_type {
        1 => Ok(false),
        4 => Ok(true),
        other => Err(Refusal::NotACall(other)),
    }
}

/// Count, type or types of the elements, and the place of the first.
type Container = (u64, (u8, Option<u8>), usize);

fn binary_list(bytes: &[u8], at: usize) -> Step<Container> {
    let Some(&of) = bytes.get(at) else { return Ok(None) };
    Ok(binary_size(bytes, at + 1)?.map(|(count, at)| (count, (of, None), at)))
}

fn binary_map(bytes: &[u8], at: usize) -> Step<Container> {
    let Some(&[key, value]) = bytes.get(at..at + 2) else { return Ok(None) };
    Ok(binary_size(bytes, at + 2)?.map(|(count, at)| (count, (key, Some(value)), at)))
}

fn compact_list(bytes: &[u8], at: usize) -> Step<Container> {
    let Some(&first) = bytes.get(at) else { return Ok(None) };
    let of = first & 0x0f;
    if first >> 4 != 0x0f {
        return Ok(Some((u64::from(first >> 4), (of, None), at + 1)));
    }
    Ok(varint(bytes, at + 1, 5)?.map(|(count, at)| (count, (of, None), at)))
}

fn compact_map(bytes: &[u8], at: usize) -> Step<Container> {
    match varint(bytes, at, 5)? {
        None => Ok(None),
        Some((0, at)) => Ok(Some((0, (0, None), at))),
        Some((count, at)) => {
            Ok(bytes.get(at).map(|types| (count, (types >> 4, Some(types & 0x0f)), at + 1)))
        }
    }
}

fn element_kind(encoding: Encoding, id: u8) -> Result<Kind, Refusal> {
    match encoding {
        Encoding::Compact => compact_kind(id, false),
        _ => binary_kind(id),
    }
}

fn binary_kind(id: u8) -> Result<Kind, Refusal> {
    Ok(match id {
        2 | 3 => Kind::Fixed(1),
        6 => Kind::Fixed(2),
        8 => Kind::Fixed(4),
        4 | 10 => Kind::Fixed(8),
        11 => Kind::Bytes,
        12 => Kind::Struct,
        13 => Kind::Map,
        14 | 15 => Kind::List,
        16 => Kind::Fixed(16),
        other => return Err(Refusal::UnknownType(other)),
    })
}

fn compact_kind(id: u8, is_field: bool) -> Result<Kind, Refusal> {
    Ok(match id {
        // A field's type holds its value.
        1 | 2 => Kind::Fixed(if is_field { 0 } else { 1 }),
        3 => Kind::Fixed(1),
        4..=6 => Kind::Varint,
        7 => Kind::Fixed(8),
        8 => Kind::Bytes,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        13 => Kind::Fixed(16),
        other => return Err(Refusal::UnknownType(other)),
    })
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn binary_size(bytes: &[u8], at: usize) -> Step<(u64, usize)> {
    match be_u32(bytes, at) {
        None => Ok(None),
        Some(size) if size > i32::MAX as u32 => Err(Refusal::NegativeSize),
        Some(size) => Ok(Some((size.into(), at + 4))),
    }
}

/// A number of at most so many bytes, seven bits each.
fn varint(bytes: &[u8], at: usize, most: usize) -> Step<(u64, usize)> {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut number = 0;
    for (place, byte) in rest.iter().take(most).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + place + 1)));
        }
    }
    if rest.len() >= most { Err(Refusal::EndlessNumber) } else { Ok(None) }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
