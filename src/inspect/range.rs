//! Thresholds as the Monitoring Plugins write them.

use std::fmt;
use std::str::FromStr;

/// `10`, `10:`, `~:10`, `10:20` or `@10:20`: alert outside of the range, or
/// inside of it with an `@`. The ends belong to the range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    from: f64,
    to: f64,
    inside: bool,
}

impl Range {
    /// Alerts above this.
    pub const fn above(to: f64) -> Self {
        Self { from: 0.0, to, inside: false }
    }

    /// Alerts below this.
    pub const fn below(from: f64) -> Self {
        Self { from, to: f64::INFINITY, inside: false }
    }

    pub fn alerts(&self, value: f64) -> bool {
        let within = self.from <= value && value <= self.to;
        within == self.inside
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no range; write 10, 10:, ~:10, 10:20 or @10:20");
        let number = |text: &str| {
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b".-+".contains(&b));
            text.parse::<f64>().ok().filter(|_| plain).ok_or_else(fault)
        };
        let (inside, rest) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (from, to) = match rest.split_once(':') {
            None => (0.0, number(rest)?),
            Some((from, to)) => {
                let from = match from {
                    "~" => f64::NEG_INFINITY,
                    from => number(from)?,
                };
                let to = if to.is_empty() { f64::INFINITY } else { number(to)? };
                (from, to)
            }
        };
        if from > to { Err(fault()) } else { Ok(Self { from, to, inside }) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, inside } = *self;
        if inside {
            f.write_str("@")?;
        }
        if from == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if from != 0.0 || to == f64::INFINITY {
            write!(f, "{from}:")?;
        }
        if to == f64::INFINITY { Ok(()) } else { write!(f, "{to}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_alert_as_the_guidelines_say() {
        for (text, quiet, alerts) in [
            ("10", &[0.0, 10.0][..], &[-1.0, 10.5][..]),
            ("10:", &[10.0, 1e9], &[9.0, -1.0]),
            ("~:10", &[-1e9, 10.0], &[11.0]),
            ("10:20", &[10.0, 20.0], &[9.9, 20.1]),
            ("@10:20", &[9.9, 20.1], &[10.0, 20.0]),
            ("-2:2.5", &[-2.0, 2.5], &[-2.1, 3.0]),
        ] {
            let range: Range = text.parse().unwrap();
            assert!(quiet.iter().all(|value| !range.alerts(*value)), "{text}");
            assert!(alerts.iter().all(|value| range.alerts(*value)), "{text}");
            assert_eq!(range.to_string(), text);
        }
        for bad in ["", ":", "a", "10:5", "1:2:3", "@", "inf", "nan", "~", "1e3", "1 2"] {
            assert!(bad.parse::<Range>().is_err(), "{bad:?} was taken");
        }
        assert_eq!(Range::above(3.0).to_string(), "3");
        assert_eq!(Range::below(5.0).to_string(), "5:");
    }
}
