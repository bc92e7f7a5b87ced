//! What a check measured, on its way to the stores: a series' full path, a
//! time and a finite value.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::MetricNode;

/// The full name of a series: parts of A-Z a-z 0-9 _ - between dots, the
/// host's node among them. Only a [`PathBuffer`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricPath<'a>(&'a str);

impl<'a> MetricPath<'a> {
    /// Carbon makes a file of each part, and file systems end at 255.
    pub const MAX_PART_BYTES: usize = 128;
    pub const MAX_BYTES: usize = 1024;

    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for MetricPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    path: MetricPath<'a>,
    time: u32,
    value: f64,
}

impl<'a> Sample<'a> {
    /// None where the value is not finite (one inf spoils a whole answer of
    /// Graphite's) or the time is not within 1 to 2^32-1 (whisper keeps 32
    /// bits, and 0 stands for an empty slot).
    pub fn new(path: MetricPath<'a>, time: i64, value: f64) -> Option<Self> {
        let time = u32::try_from(time).ok().filter(|time| *time > 0)?;
        value.is_finite().then_some(Self { path, time, value })
    }

    pub fn path(&self) -> MetricPath<'a> {
        self.path
    }

    /// UTC seconds since 1970.
    pub fn time(&self) -> i64 {
        i64::from(self.time)
    }

    pub fn value(&self) -> f64 {
        self.value
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    #[error("the host's name is empty or longer than 128 bytes")]
    Host,
    #[error("a part of the name is longer than 128 bytes")]
    LongPart,
    #[error("the name is longer than 1,024 bytes")]
    TooLong,
}

/// Builds paths in one piece of memory that is used again: first the head that
/// the series of one check share, then label after label behind it.
#[derive(Debug, Default)]
pub struct PathBuffer {
    text: String,
    node: Range<usize>,
    /// 0 while there is none.
    head: usize,
}

impl PathBuffer {
    /// `prefix` and `postfix` may have several parts between dots; empty parts
    /// are left out.
    pub fn set_head(
        &mut self,
        prefix: &[u8],
        host: &[u8],
        postfix: &[u8],
    ) -> Result<(), PathFault> {
        self.text.clear();
        self.head = 0;
        self.push_dotted(prefix)?;
        let start = self.text.len();
        if !MetricNode::append(host, &mut self.text) {
            return Err(PathFault::Host);
        }
        self.node = start..self.text.len();
        self.text.push('.');
        self.push_dotted(postfix)?;
        self.head = self.text.len();
        Ok(())
    }

    /// The node of the host that the head is for; empty while there is none.
    pub fn node(&self) -> &str {
        if self.head == 0 { "" } else { &self.text[self.node.clone()] }
    }

    fn push_dotted(&mut self, name: &[u8]) -> Result<(), PathFault> {
        for part in name.split(|byte| *byte == b'.').filter(|part| !part.is_empty()) {
            let start = self.text.len();
            append_clean(part, &mut self.text);
            if self.text.len() - start > MetricPath::MAX_PART_BYTES {
                return Err(PathFault::LongPart);
            }
            self.text.push('.');
            if self.text.len() > MetricPath::MAX_BYTES {
                return Err(PathFault::TooLong);
            }
        }
        Ok(())
    }

    /// The path of one label. A label that is longer than a part may be, and
    /// one that is to be `distinct` from others which look the same when
    /// cleaned, ends in a digest of its raw text.
    pub fn label(&mut self, raw: &[u8], distinct: bool) -> Result<MetricPath<'_>, PathFault> {
        const DIGEST_BYTES: usize = 1 + 8;
        if self.head == 0 {
            return Err(PathFault::Host);
        }
        self.text.truncate(self.head);
        append_clean(raw, &mut self.text);
        if distinct || self.text.len() - self.head > MetricPath::MAX_PART_BYTES {
            self.text.truncate(self.head + MetricPath::MAX_PART_BYTES - DIGEST_BYTES);
            self.text.push('_');
            for byte in &Sha256::digest(raw)[..4] {
                for nibble in [byte >> 4, byte & 15] {
                    self.text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
                }
            }
        }
        if self.text.len() > MetricPath::MAX_BYTES {
            return Err(PathFault::TooLong);
        }
        Ok(MetricPath(&self.text))
    }
}

/// True where cleaning leaves the label as it is.
pub fn is_clean_label(raw: &[u8]) -> bool {
    raw.iter().all(|byte| is_part_byte(*byte))
}

/// Orders labels by what cleaning makes of them: equal where they would share
/// a series.
pub fn compare_labels(a: &[u8], b: &[u8]) -> Ordering {
    cleaned(a).cmp(cleaned(b))
}

/// One `_` for each character that is not of a part; bytes that are no UTF-8
/// are taken as they come.
fn cleaned(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut after_high = false;
    raw.iter().filter_map(move |byte| {
        let continues = after_high && byte & 0xC0 == 0x80;
        after_high = *byte >= 0x80;
        if continues { None } else { Some(if is_part_byte(*byte) { *byte } else { b'_' }) }
    })
}

fn append_clean(raw: &[u8], out: &mut String) {
    match std::str::from_utf8(raw) {
        Ok(text) if is_clean_label(raw) => out.push_str(text),
        _ => out.extend(cleaned(raw).map(char::from)),
    }
}

fn is_part_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl MetricNode {
    /// Appends the node of a host's name as Nagios has it, hosts that others
    /// defined included. False, and nothing appended, where the name is empty
    /// or longer than a part.
    fn append(name: &[u8], out: &mut String) -> bool {
        if name.is_empty() || name.len() > MetricPath::MAX_PART_BYTES {
            return false;
        }
        append_clean(name, out);
        true
    }

    /// The node of a host's name as Nagios has it.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let mut node = String::with_capacity(name.len());
        Self::append(name, &mut node).then(|| Self::new(node))
    }
}

/// So that a set of nodes can be asked with a borrowed name.
impl Borrow<str> for MetricNode {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostId;

    fn path(prefix: &str, host: &str, postfix: &str, label: &[u8]) -> String {
        let mut paths = PathBuffer::default();
        paths.set_head(prefix.as_bytes(), host.as_bytes(), postfix.as_bytes()).unwrap();
        paths.label(label, false).unwrap().to_string()
    }

    #[test]
    fn names_are_those_of_2014() {
        assert_eq!(path("nagios", "h1", "disk", b"/"), "nagios.h1.disk._");
        assert_eq!(path("nagios", "h1", "idle", b"last login"), "nagios.h1.idle.last_login");
        assert_eq!(path("", "h1", "ping", b"rta"), "h1.ping.rta");
        assert_eq!(path("a.b", "h1", "", b"x.y"), "a.b.h1.x_y");
        assert_eq!(path("a..b.", "i-0.a:b", "p q", "Größe".as_bytes()), "a.b.i-0_a_b.p_q.Gr__e");
        assert_eq!(path("n", "h", "p", b"\xff\xfe\x80"), "n.h.p.__");
    }

    #[test]
    fn node_of_a_name_is_the_node_of_the_id() {
        for name in ["i-0.a:b@c+d_e-f", "h1", "A.b"] {
            let id = HostId::parse(name).unwrap();
            assert_eq!(MetricNode::of_name(name.as_bytes()), Some(MetricNode::of(&id)));
        }
        assert_eq!(MetricNode::of_name(b""), None);
        assert_eq!(MetricNode::of_name(&[b'x'; 129]), None);
    }

    #[test]
    fn long_labels_stay_apart_and_within_a_part() {
        let long = |end: &str| path("n", "h", "p", format!("{}{end}", "x".repeat(140)).as_bytes());
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a").len(), "n.h.p.".len() + MetricPath::MAX_PART_BYTES);
        assert_eq!(long("a"), long("a"));
    }

    #[test]
    fn paths_are_bounded() {
        let mut paths = PathBuffer::default();
        let deep = vec!["x".repeat(100); 12].join(".");
        assert_eq!(paths.set_head(deep.as_bytes(), b"h", b""), Err(PathFault::TooLong));
        assert_eq!(paths.set_head("x".repeat(129).as_bytes(), b"h", b""), Err(PathFault::LongPart));
        assert_eq!(paths.set_head(b"n", b"", b""), Err(PathFault::Host));
        assert_eq!(paths.label(b"x", false), Err(PathFault::Host));
        paths.set_head(vec!["x".repeat(100); 9].join(".").as_bytes(), b"h", b"").unwrap();
        assert_eq!(paths.label(&[b'y'; 128], false), Err(PathFault::TooLong));
        assert!(paths.label(&[b'y'; 100], false).is_ok());
    }

    #[test]
    fn samples_are_finite_and_in_time() {
        let mut paths = PathBuffer::default();
        paths.set_head(b"n", b"h", b"p").unwrap();
        let path = paths.label(b"x", false).unwrap();
        assert!(Sample::new(path, 1, -0.5).is_some());
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Sample::new(path, 1, value).is_none());
        }
        for time in [0, -1, 1 << 32, i64::MAX, i64::MIN] {
            assert!(Sample::new(path, time, 1.0).is_none());
        }
    }
}
