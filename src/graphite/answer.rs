//! What the render API says, as series of one host.
//!
//! Points are nearly all of an answer, and two of what is in them is no JSON
//! that serde_json takes for a number: graphite-web writes infinity as
//! `1e9999`, and before 1.0 it wrote a bare `NaN`. So lists and points are read
//! here, in one pass, and serde_json reads the rest.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::number;
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
    Malformed(Malformed),
}

/// Where an answer stops being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct Malformed {
    at: usize,
    expected: &'static str,
}

/// Reads a JSON answer. `head` is what the names of the host's series begin
/// with; they lose it.
pub(super) fn read(body: &[u8], head: &str, limits: Limits) -> Result<Answer, Fault> {
    let mut reader = Reader { body, at: 0 };
    let mut answer = Answer { series: Vec::new(), foreign: 0 };
    let mut kept_points = 0;
    reader.expect(b'[', "a list of series")?;
    reader.items(b']', |reader| {
        if answer.series.len() + answer.foreign == limits.series {
            return Err(Fault::TooManySeries);
        }
        let likely = answer.series.last().map(|series| series.points.len());
        let (target, points) = reader.series(limits.points - kept_points, likely)?;
        match target.strip_prefix(head).filter(|name| !name.is_empty()) {
            Some(name) => {
                kept_points += points.len();
                answer.series.push(Series { name: name.to_owned(), points });
            }
            None => answer.foreign += 1,
        }
        Ok(())
    })?;
    if reader.peek().is_some() {
        return Err(reader.malformed("the end"));
    }
    put_in_order(&mut answer.series);
    Ok(answer)
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn malformed(&self, expected: &'static str) -> Fault {
        Fault::Malformed(Malformed { at: self.at, expected })
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.body.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.malformed(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// What is left of a list or an object whose opening byte was read.
    #[inline]
    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.malformed("a comma or the end of a list")),
            }
        }
    }

    /// Any one value. Depth costs no stack where it is ignored.
    fn json<T: Deserialize<'a>>(&mut self, expected: &'static str) -> Result<T, Fault> {
        let mut values = serde_json::Deserializer::from_slice(self.rest()).into_iter();
        let Some(Ok(value)) = values.next() else {
            return Err(self.malformed(expected));
        };
        self.at += values.byte_offset();
        Ok(value)
    }

    /// Members come in any order; others than these two are passed over.
    fn series(
        &mut self,
        room: usize,
        likely: Option<usize>,
    ) -> Result<(Cow<'a, str>, Vec<Datapoint>), Fault> {
        let mut target = None;
        let mut points = None;
        self.expect(b'{', "a series")?;
        self.items(b'}', |reader| {
            let Text(member) = reader.json("the name of a member")?;
            reader.expect(b':', "a colon")?;
            match &*member {
                "target" if target.is_none() => {
                    let Text(name) = reader.json("the name of a series")?;
                    target = Some(name);
                }
                "datapoints" if points.is_none() => points = Some(reader.points(room, likely)?),
                "target" | "datapoints" => return Err(reader.malformed("each member once")),
                _ => drop(reader.json::<IgnoredAny>("a value")?),
            }
            Ok(())
        })?;
        target.zip(points).ok_or_else(|| self.malformed("a series with target and datapoints"))
    }

    fn points(&mut self, room: usize, likely: Option<usize>) -> Result<Vec<Datapoint>, Fault> {
        // graphite-web writes about 24 bytes a point, and that is what a
        // Datapoint takes: so memory follows the bytes received.
        let left = self.rest().len() / 24;
        let mut points = Vec::with_capacity(likely.unwrap_or(left).min(left));
        self.expect(b'[', "a list of points")?;
        self.items(b']', |reader| {
            if points.len() == room {
                return Err(Fault::TooManyPoints);
            }
            points.push(reader.point()?);
            Ok(())
        })?;
        if points.capacity() > 2 * points.len() + 64 {
            points.shrink_to_fit();
        }
        Ok(points)
    }

    #[inline]
    fn point(&mut self) -> Result<Datapoint, Fault> {
        self.expect(b'[', "a pair of a value and a time")?;
        self.peek();
        let (value, length) =
            number::value(self.rest()).ok_or_else(|| self.malformed("a value"))?;
        self.at += length;
        self.expect(b',', "a comma and a time")?;
        self.peek();
        let (time, length) = number::time(self.rest()).ok_or_else(|| self.malformed("a time"))?;
        self.at += length;
        self.expect(b']', "the end of a pair")?;
        Ok(Datapoint { time, value })
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

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
