//! The points of one series: a JSON array of `[value, time]`. It is read by
//! hand because it is nearly all of an answer, and because graphite-web writes
//! infinity as `1e9999`, which is JSON but no number that serde_json takes.

use crate::model::Datapoint;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The JSON is sound but holds something else than points.
    Shape,
    TooMany,
}

/// Takes text that has been proved to be one JSON value. `room` is how many
/// points may come; `hint` how many are likely to.
pub(super) fn read(text: &str, room: usize, hint: usize) -> Result<Vec<Datapoint>, Fault> {
    let mut reader = Reader { text, at: 0 };
    // Allocation follows the bytes received: the shortest point, "[1,1],", has
    // six of them.
    let mut points = Vec::with_capacity(hint.min(text.len() / 6));
    reader.expect(b'[')?;
    if reader.peek() == Some(b']') {
        return Ok(points);
    }
    loop {
        if points.len() == room {
            return Err(Fault::TooMany);
        }
        reader.expect(b'[')?;
        let value = value(reader.scalar());
        reader.expect(b',')?;
        let time = time(reader.scalar());
        reader.expect(b']')?;
        let (Some(value), Some(time)) = (value, time) else {
            return Err(Fault::Shape);
        };
        points.push(Datapoint { time, value });
        if reader.peek() == Some(b']') {
            return Ok(points);
        }
        reader.expect(b',')?;
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(Fault::Shape);
        }
        self.at += 1;
        Ok(())
    }

    /// Up to the next delimiter. Of a value that is no scalar it is a piece
    /// that no number looks like.
    fn scalar(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b']' | b' ' | b'\n' | b'\t' | b'\r'))
            .unwrap_or(rest.len());
        self.at = start + length;
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// The outer `None`: not a value. The inner: nothing was measured, or nothing
/// that a number can tell.
fn value(token: &str) -> Option<Option<f64>> {
    if token == "null" {
        return Some(None);
    }
    let number = match decimal(token) {
        Some(number) => number,
        None => token.parse().ok()?,
    };
    Some(number.is_finite().then_some(number))
}

fn time(token: &str) -> Option<i64> {
    if let Ok(time) = token.parse() {
        return Some(time);
    }
    let time: f64 = token.parse().ok()?;
    // 2^53: all integers up to here are exact.
    (time.fract() == 0.0 && time.abs() <= 9_007_199_254_740_992.0).then_some(time as i64)
}

/// Plain decimals of few digits, without the cost of the general parser. Both
/// the digits and the power of ten are exact in an f64, so their quotient is
/// rounded once and is the nearest f64 (Clinger 1990).
fn decimal(token: &str) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match token.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 15 digits stay below 2^53.
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let mut mantissa: u64 = 0;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |at| digits.len() - 1 - at);
    let count = digits.len() - usize::from(point.is_some());
    if count > 15 || count == 0 {
        return None;
    }
    let number = mantissa as f64 / POWERS.get(decimals)?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(text: &str) -> Result<Vec<(i64, Option<f64>)>, Fault> {
        read(text, 5, 2).map(|points| points.iter().map(|p| (p.time, p.value)).collect())
    }

    #[test]
    fn reads_points() {
        assert_eq!(points("[]"), Ok(vec![]));
        assert_eq!(points(" [ ] "), Ok(vec![]));
        assert_eq!(
            points("[[null, 600], [12.5,1200]\n,\t[ -3 , 1800.0 ]]"),
            Ok(vec![(600, None), (1200, Some(12.5)), (1800, Some(-3.0))])
        );
        for no_number in ["1e9999", "-1e9999", "1e309"] {
            assert_eq!(points(&format!("[[{no_number}, 1]]")), Ok(vec![(1, None)]));
        }
    }

    #[test]
    fn refuses_what_are_no_points() {
        for text in [
            "null",
            "{}",
            "7",
            "\"x\"",
            "[1]",
            "[[]]",
            "[[1]]",
            "[[1,2,3]]",
            "[[1,2],3]",
            "[[1,null]]",
            "[[1,1.5]]",
            "[[1,1e300]]",
            "[[1,\"2\"]]",
            "[[true,2]]",
            "[[\"1\",2]]",
            "[[[1],2]]",
            "[[{},2]]",
            "[[\"a,b\",2]]",
            "[[\"é\",2]]",
        ] {
            assert_eq!(points(text), Err(Fault::Shape), "{text}");
        }
    }

    #[test]
    fn stops_at_the_cap() {
        assert!(points("[[1,1],[1,1],[1,1],[1,1],[1,1]]").is_ok());
        assert_eq!(points("[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1]]"), Err(Fault::TooMany));
        assert!(read("[[1,1]]", 10, usize::MAX).unwrap().capacity() < 10);
    }

    proptest! {
        #[test]
        fn short_decimals_are_exact(whole in 0_u64..10_000_000_000, digits in 0_usize..12, negative: bool) {
            let sign = if negative { "-" } else { "" };
            let mut text = format!("{sign}{whole}");
            if digits > 0 {
                text.insert(text.len().saturating_sub(digits).max(sign.len()), '.');
            }
            if let Some(number) = decimal(&text) {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
            }
        }

        #[test]
        fn any_number_comes_back(number: f64) {
            prop_assume!(number.is_finite());
            let text = format!("[[{number:?},0]]");
            prop_assert_eq!(points(&text).unwrap()[0].1.unwrap().to_bits(), number.to_bits());
        }

        #[test]
        fn any_text_is_survived(text in "[\\[\\],0-9eE.nul \"-]{0,40}") {
            let _ = points(&text);
        }
    }
}
