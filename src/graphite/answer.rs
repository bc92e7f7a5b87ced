//! What the render API says, as series of one host.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::points;
use crate::model::{Datapoint, Series};

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) series: usize,
    pub(super) points: usize,
}

#[derive(Debug)]
pub(super) struct Answer {
    /// Sorted by name, each name once; times ascending.
    pub(super) series: Vec<Series>,
    /// How many series were not below `head`, and are left out.
    pub(super) foreign: usize,
}

#[derive(Debug)]
pub(super) enum Fault {
    TooManySeries,
    TooManyPoints,
    Malformed(serde_json::Error),
}

/// Reads a JSON answer. `head` is what the names of the host's series begin
/// with; they lose it.
pub(super) fn read(body: &[u8], head: &str, limits: Limits) -> Result<Answer, Fault> {
    match read_json(body, head, limits) {
        // Graphite before 1.0 writes bare NaN and Infinity, which JSON has not.
        Err(Fault::Malformed(fault)) => match without_bare_words(body) {
            Some(mended) => read_json(&mended, head, limits),
            None => Err(Fault::Malformed(fault)),
        },
        other => other,
    }
}

fn read_json(body: &[u8], head: &str, limits: Limits) -> Result<Answer, Fault> {
    let mut reader = Reader {
        head,
        limits,
        seen: 0,
        points: 0,
        reached: None,
        answer: Answer { series: Vec::new(), foreign: 0 },
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let outcome = reader.deserialize(&mut json).and_then(|()| json.end());
    match (outcome, reader.reached) {
        (Ok(()), _) => {
            let mut answer = reader.answer;
            put_in_order(&mut answer.series);
            Ok(answer)
        }
        (Err(_), Some(reached)) => Err(reached),
        (Err(fault), None) => Err(Fault::Malformed(fault)),
    }
}

struct Reader<'h> {
    head: &'h str,
    limits: Limits,
    seen: usize,
    points: usize,
    /// The limit that ended the reading.
    reached: Option<Fault>,
    answer: Answer,
}

#[derive(serde::Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    target: Cow<'a, str>,
    /// Proved to be JSON, not yet looked at.
    #[serde(borrow)]
    datapoints: &'a RawValue,
}

impl<'de> DeserializeSeed<'de> for &mut Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<Item>()? {
            if self.seen == self.limits.series {
                self.reached = Some(Fault::TooManySeries);
                return Err(A::Error::custom("too many series"));
            }
            self.seen += 1;
            let Some(name) = item.target.strip_prefix(self.head).filter(|name| !name.is_empty())
            else {
                self.answer.foreign += 1;
                continue;
            };
            let room = self.limits.points - self.points;
            let hint = self.answer.series.last().map_or(160, |series| series.points.len());
            let points = points::read(item.datapoints.get(), room, hint).map_err(|fault| {
                if fault == points::Fault::TooMany {
                    self.reached = Some(Fault::TooManyPoints);
                }
                A::Error::custom("datapoints are not pairs of a value and a time")
            })?;
            self.points += points.len();
            self.answer.series.push(Series { name: name.to_owned(), points });
        }
        Ok(())
    }
}

fn put_in_order(series: &mut Vec<Series>) {
    if series.is_sorted_by(|a, b| a.name < b.name) && series.iter().all(is_in_order) {
        return;
    }
    series.sort_by(|a, b| a.name.cmp(&b.name));
    series.dedup_by(|next, kept| {
        let same = next.name == kept.name;
        if same {
            kept.points.append(&mut next.points);
        }
        same
    });
    for one in series.iter_mut().filter(|one| !is_in_order(one)) {
        one.points.sort_by_key(|point| point.time);
        one.points.dedup_by(|next, kept| {
            let same = next.time == kept.time;
            if same && kept.value.is_none() {
                kept.value = next.value;
            }
            same
        });
    }
}

fn is_in_order(series: &Series) -> bool {
    series.points.is_sorted_by(|a: &Datapoint, b| a.time < b.time)
}

/// The text with `null` for every NaN and Infinity that stands outside of
/// strings; nothing where there is none.
fn without_bare_words(body: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut mended = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        if byte == b'"' {
            at = end_of_string(body, at);
            continue;
        }
        let word = WORDS.into_iter().find(|word| body[at..].starts_with(word));
        let Some(word) = word else {
            at += 1;
            continue;
        };
        mended.extend_from_slice(&body[copied..at]);
        mended.extend_from_slice(b"null");
        at += word.len();
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    mended.extend_from_slice(&body[copied..]);
    Some(mended)
}

fn end_of_string(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match body.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return body.len(),
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
