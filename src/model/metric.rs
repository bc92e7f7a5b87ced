//! Names of metrics as Graphite's tree has them, and what is stored there.

use std::fmt;
use std::sync::Arc;

use super::HostId;

/// One point of a series. `value` is absent where nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Datapoint {
    /// UTC seconds since 1970.
    pub time: i64,
    pub value: Option<f64>,
}

/// A series of one host: its name without the `nagios.<host>.` head.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub points: Vec<Datapoint>,
}

/// The node that holds a host's series: the id with every character that
/// Graphite treats specially replaced by `_`. The shipper of performance data
/// and the reader of metrics both take it from here, so they cannot disagree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricNode(Arc<str>);

impl MetricNode {
    pub fn of(id: &HostId) -> Self {
        if id.as_str().chars().all(is_node_char) {
            return Self(id.shared());
        }
        let node =
            id.as_str().chars().map(|c| if is_node_char(c) { c } else { '_' }).collect::<String>();
        Self::new(node)
    }

    /// For text that is made of node characters only.
    pub(super) fn new(node: String) -> Self {
        Self(node.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetricNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One part of a question's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricPart {
    Any,
    Named(Box<str>),
}

/// What of a host is asked for: one to eight parts, each a name or `*`.
/// Nothing else is a key, because Graphite reads a target as a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricKey(Vec<MetricPart>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("the key has {0} parts; at most {max} are allowed", max = MetricKey::MAX_PARTS)]
    TooDeep(usize),
    #[error(
        "part {number} of the key is {part:?}; each part between the dots is \"*\" or 1 to 128 of A-Z a-z 0-9 _ -"
    )]
    BadPart { number: usize, part: String },
}

impl MetricKey {
    const MAX_PARTS: usize = 8;
    const MAX_PART_BYTES: usize = 128;

    /// An empty key means `*.*`, as a caller with one argument expects.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        if text.is_empty() {
            return Ok(Self(vec![MetricPart::Any, MetricPart::Any]));
        }
        let count = text.split('.').count();
        if count > Self::MAX_PARTS {
            return Err(KeyFault::TooDeep(count));
        }
        text.split('.')
            .enumerate()
            .map(|(at, part)| Self::parse_part(at + 1, part))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn parse_part(number: usize, part: &str) -> Result<MetricPart, KeyFault> {
        if part == "*" {
            return Ok(MetricPart::Any);
        }
        if part.is_empty() || part.len() > Self::MAX_PART_BYTES || !part.chars().all(is_node_char) {
            let part = part.chars().take(64).collect();
            return Err(KeyFault::BadPart { number, part });
        }
        Ok(MetricPart::Named(part.into()))
    }

    pub fn parts(&self) -> &[MetricPart] {
        &self.0
    }
}

impl fmt::Display for MetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            match part {
                MetricPart::Any => f.write_str("*")?,
                MetricPart::Named(name) => f.write_str(name)?,
            }
        }
        Ok(())
    }
}

fn is_node_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_names_and_stars_only() {
        for good in ["*", "*.*", "load.load1", "a-b_c.*.x"] {
            assert_eq!(MetricKey::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(MetricKey::parse("").unwrap().to_string(), "*.*");
        for bad in [
            ".",
            "a.",
            ".a",
            "a b",
            "a|b",
            "a*",
            "**",
            "{a,b}",
            "[1]",
            "a;b",
            "a&b",
            "load,x",
            "é",
            "a\n",
            "load)",
            "a.b.c.d.e.f.g.h.i",
        ] {
            assert!(MetricKey::parse(bad).is_err(), "{bad:?} was taken for a key");
        }
        assert!(MetricKey::parse(&"x".repeat(129)).is_err());
    }

    #[test]
    fn node_replaces_what_graphite_reads() {
        let id = HostId::parse("i-0.a:b@c+d_e-f").unwrap();
        assert_eq!(MetricNode::of(&id).as_str(), "i-0_a_b_c_d_e-f");
    }
}
