//! A line of Nagios's perfdata file and the samples in it.

use crate::model::{PathBuffer, PathFault, Sample, compare_labels, is_clean_label};

use super::fields::Fields;
use super::tokens::{Token, Tokens};
use super::value::Value;
use super::{Config, UnknownHosts};

/// Longer lines are passed over. Nagios itself keeps plugin output below 8 KiB
/// unless it was built otherwise.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// More of one check are not taken: each would be a file of Carbon's.
const MAX_METRICS: usize = 1024;

/// What a line gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    pub samples: u32,
    /// Metrics that the plugin could not measure (`U`).
    pub unknown: u32,
    /// Metrics that could not be read.
    pub bad_values: u32,
    /// Earlier values of a label that comes more than once: the last counts,
    /// as it did for Carbon in 2014.
    pub repeated: u32,
    /// Labels that got a digest so as not to share another one's series.
    pub renamed: u32,
}

/// Why nothing was taken from a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    #[error("longer than 64 KiB")]
    TooLong,
    #[error("cut short: the file ends without a line end")]
    Torn,
    #[error("has a field without KEY::")]
    NoKey,
    #[error("has a field with an unknown key")]
    UnknownKey,
    #[error("has a key twice")]
    RepeatedKey,
    #[error("lacks a key, or has it behind the perfdata")]
    MissingKey,
    #[error("DATATYPE is neither SERVICEPERFDATA nor HOSTPERFDATA")]
    DataType,
    #[error("GRAPHITEPREFIX behind the perfdata has more than one part; put the perfdata last")]
    DeepPrefix,
    #[error("has another line run into it")]
    Joined,
    #[error("TIMET is not a time")]
    Time,
    #[error("its metric name is no good: {0}")]
    Name(PathFault),
    #[error("the host is not in the live set")]
    NotLive,
}

/// Reads lines; its memory is used again from line to line.
#[derive(Debug)]
pub struct Parser {
    scale_units: bool,
    unknown_hosts: UnknownHosts,
    paths: PathBuffer,
    labels: Vec<u8>,
    metrics: Vec<Metric>,
    order: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Metric {
    /// Where its label stands in `labels`.
    start: u32,
    end: u32,
    value: f64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Plain,
    /// Another label of the line looks the same when cleaned.
    Distinct,
    /// The same label comes again later.
    Repeated,
}

impl Metric {
    fn label<'a>(&self, labels: &'a [u8]) -> &'a [u8] {
        &labels[self.start as usize..self.end as usize]
    }
}

impl Parser {
    pub fn new(config: &Config) -> Self {
        Self {
            scale_units: config.scale_units,
            unknown_hosts: config.unknown_hosts,
            paths: PathBuffer::default(),
            labels: Vec::new(),
            metrics: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Hands each sample of a line (without its line end) to `take`, in the
    /// line's order. `is_live` is asked with the host's metric node.
    pub fn line(
        &mut self,
        line: &[u8],
        is_live: impl Fn(&str) -> bool,
        mut take: impl FnMut(Sample<'_>),
    ) -> Result<LineCounts, Dropped> {
        let mut counts = LineCounts::default();
        if line.len() > MAX_LINE_BYTES {
            return Err(Dropped::TooLong);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(counts);
        }
        let fields = Fields::read(line)?;
        let time = parse_time(fields.time).ok_or(Dropped::Time)?;
        self.paths.set_head(fields.prefix, fields.host, fields.postfix).map_err(Dropped::Name)?;
        if self.unknown_hosts == UnknownHosts::Drop && !is_live(self.paths.node()) {
            return Err(Dropped::NotLive);
        }
        self.read_metrics(fields.perfdata, &mut counts);
        self.settle_names(&mut counts);
        for metric in self.metrics.iter().filter(|metric| metric.fate != Fate::Repeated) {
            let label = metric.label(&self.labels);
            let path = self.paths.label(label, metric.fate == Fate::Distinct);
            match path.ok().and_then(|path| Sample::new(path, time, metric.value)) {
                Some(sample) => {
                    take(sample);
                    counts.samples += 1;
                }
                None => counts.bad_values += 1,
            }
        }
        Ok(counts)
    }

    fn read_metrics(&mut self, perfdata: &[u8], counts: &mut LineCounts) {
        self.labels.clear();
        self.metrics.clear();
        for token in Tokens::new(perfdata) {
            let (label, doubled_quotes, value) = match token {
                Token::Metric { label, doubled_quotes, value } => (label, doubled_quotes, value),
                Token::Text => continue,
                Token::Broken => {
                    counts.bad_values += 1;
                    continue;
                }
            };
            match Value::parse(value, self.scale_units) {
                Value::Number(value) if self.metrics.len() < MAX_METRICS => {
                    let start = self.labels.len();
                    if doubled_quotes {
                        push_undoubled(label, &mut self.labels);
                    } else {
                        self.labels.extend_from_slice(label);
                    }
                    self.metrics.push(Metric {
                        start: position(start),
                        end: position(self.labels.len()),
                        value,
                        fate: Fate::Plain,
                    });
                }
                Value::Number(_) | Value::Bad => counts.bad_values += 1,
                Value::Unknown => counts.unknown += 1,
            }
        }
    }

    /// Sees to it that different labels never share a series. Which label
    /// gets which name depends on the texts alone, not on their order: of the
    /// labels that look alike when cleaned, one that is clean as it stands
    /// keeps its name, and every other one gets a digest of its text.
    fn settle_names(&mut self, counts: &mut LineCounts) {
        let (metrics, labels) = (&mut self.metrics, &self.labels);
        self.order.clear();
        self.order.extend(0..position(metrics.len()));
        self.order.sort_unstable_by(|a, b| {
            let (left, right) =
                (metrics[*a as usize].label(labels), metrics[*b as usize].label(labels));
            compare_labels(left, right).then_with(|| left.cmp(right)).then(a.cmp(b))
        });
        let look_alikes = self.order.chunk_by(|a, b| {
            compare_labels(metrics[*a as usize].label(labels), metrics[*b as usize].label(labels))
                .is_eq()
        });
        let mut fates = Vec::new();
        for group in look_alikes.filter(|group| group.len() > 1) {
            let label_of = |at: &u32| metrics[*at as usize].label(labels);
            let alone = label_of(&group[0]) == label_of(&group[group.len() - 1]);
            for (place, at) in group.iter().enumerate() {
                let comes_again =
                    group.get(place + 1).is_some_and(|next| label_of(next) == label_of(at));
                let fate = if comes_again {
                    counts.repeated += 1;
                    Fate::Repeated
                } else if alone || is_clean_label(label_of(at)) {
                    Fate::Plain
                } else {
                    counts.renamed += 1;
                    Fate::Distinct
                };
                fates.push((*at as usize, fate));
            }
        }
        for (at, fate) in fates {
            metrics[at].fate = fate;
        }
    }
}

fn push_undoubled(label: &[u8], out: &mut Vec<u8>) {
    let mut after_quote = false;
    for byte in label {
        let second = after_quote && *byte == b'\'';
        if !second {
            out.push(*byte);
        }
        after_quote = *byte == b'\'' && !second;
    }
}

fn parse_time(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let time = text.iter().fold(0, |time, digit| time * 10 + i64::from(digit - b'0'));
    (1..=i64::from(u32::MAX)).contains(&time).then_some(time)
}

/// Positions within a line's labels: below [`MAX_LINE_BYTES`].
#[expect(clippy::cast_possible_truncation, reason = "a line has at most 64 KiB")]
fn position(at: usize) -> u32 {
    at as u32
}

#[cfg(test)]
mod tests;
