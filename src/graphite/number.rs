//! Numbers as graphite-web writes them. Each function takes text that begins
//! with a number and gives it with its length, or nothing where there is none.

/// A measured value. `Some(None)`: nothing was measured, or nothing that a
/// finite number can tell.
#[inline]
pub(super) fn value(text: &[u8]) -> Option<(Option<f64>, usize)> {
    match decimal(text) {
        Some((number, length)) => Some((Some(number), length)),
        None => other_value(text),
    }
}

/// UTC seconds since 1970.
#[inline]
pub(super) fn time(text: &[u8]) -> Option<(i64, usize)> {
    let (whole, length) = digits(0, text);
    // 18 digits are below 2^63.
    if (1..=18).contains(&length) && !text.get(length).is_some_and(|byte| is_of_token(*byte)) {
        return Some((i64::try_from(whole).ok()?, length));
    }
    other_time(text)
}

/// Plain decimals of few digits, without the cost of the general parser. Both
/// the digits and the power of ten are exact in an f64, so their quotient is
/// rounded once and is the nearest f64 (Clinger 1990).
#[inline]
fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let sign = usize::from(text.first() == Some(&b'-'));
    let (mut mantissa, whole) = digits(0, text.get(sign..)?);
    let mut length = sign + whole;
    let mut decimals = 0;
    if text.get(length) == Some(&b'.') {
        (mantissa, decimals) = digits(mantissa, &text[length + 1..]);
        length += 1 + decimals;
    }
    // 15 digits stay below 2^53.
    let short = whole > 0 && whole + decimals <= 15;
    if !short || text.get(length).is_some_and(|byte| is_of_token(*byte)) {
        return None;
    }
    let number = mantissa as f64 / POWERS.get(decimals)?;
    Some((if sign == 1 { -number } else { number }, length))
}

/// `start` continued by the digits that the text begins with, and how many
/// these are. More than 19 of them overflow, unnoticed.
#[inline]
fn digits(start: u64, text: &[u8]) -> (u64, usize) {
    let mut number = start;
    let mut rest = text;
    while let [byte @ b'0'..=b'9', tail @ ..] = rest {
        number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        rest = tail;
    }
    (number, text.len() - rest.len())
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cold]
fn other_value(text: &[u8]) -> Option<(Option<f64>, usize)> {
    let token = token(text)?;
    let value = match token {
        "null" | "NaN" | "Infinity" | "-Infinity" => None,
        _ => Some(float(token)?).filter(|number| number.is_finite()),
    };
    Some((value, token.len()))
}

#[cold]
fn other_time(text: &[u8]) -> Option<(i64, usize)> {
    let token = token(text)?;
    if let Ok(time) = token.parse() {
        return Some((time, token.len()));
    }
    let time = float(token)?;
    // 2^53: all integers up to here are exact.
    let exact = time.fract() == 0.0 && time.abs() <= 9_007_199_254_740_992.0;
    exact.then_some((time as i64, token.len()))
}

/// Not the words that Rust takes for numbers, such as "inf" and "nan".
fn float(token: &str) -> Option<f64> {
    let begins_well = token.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    if begins_well { token.parse().ok() } else { None }
}

fn token(text: &[u8]) -> Option<&str> {
    let length = text.iter().position(|byte| !is_of_token(*byte)).unwrap_or(text.len());
    // Of ASCII only, so this cannot fail; an empty token is none.
    std::str::from_utf8(&text[..length]).ok().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values() {
        for (text, number, length) in [
            ("12.5, 600]", Some(12.5), 4),
            ("0,", Some(0.0), 1),
            ("-3 ", Some(-3.0), 2),
            ("1e-05,", Some(1e-5), 5),
            ("1.5E+20,", Some(1.5e20), 7),
            ("0.30000000000000004]", Some(0.300_000_000_000_000_04), 19),
            ("123456789012345678901234567890", Some(1.234_567_890_123_456_8e29), 30),
            ("null,", None, 4),
            ("NaN,", None, 3),
            ("Infinity,", None, 8),
            ("-Infinity,", None, 9),
            ("1e9999,", None, 6),
            ("-1e9999,", None, 7),
        ] {
            assert_eq!(value(text.as_bytes()), Some((number, length)), "{text}");
        }
        assert!(value(b"-0.0").unwrap().0.unwrap().is_sign_negative());
        let none = ["", ",", "-", "--1", ".5", "+1", "inf", "nan", "nul", "nulls", "true"];
        for text in none.into_iter().chain(["\"1\"", "[", "1.2.3", "1e", "1x", "é", "1.5null"]) {
            assert_eq!(value(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, seconds, length) in [
            ("600]", 600, 3),
            ("-600]", -600, 4),
            ("1800.0 ", 1800, 6),
            ("1e3]", 1000, 3),
            ("9223372036854775807]", i64::MAX, 19),
            ("-9223372036854775808]", i64::MIN, 20),
        ] {
            assert_eq!(time(text.as_bytes()), Some((seconds, length)), "{text}");
        }
        for text in ["", "]", "1.5", "null", "NaN", "1e300", "9223372036854775808", "\"2\"", "--1"]
        {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn short_decimals_are_exact(text in "-?[0-9]{1,12}(\\.[0-9]{0,12})?") {
            if let Some((number, length)) = decimal(text.as_bytes()) {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits());
                prop_assert_eq!(length, text.len());
            }
        }

        #[test]
        fn any_number_comes_back(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let text = format!("{number:?}, ");
            let (read, length) = value(text.as_bytes()).unwrap();
            prop_assert_eq!(read.unwrap().to_bits(), number.to_bits());
            prop_assert_eq!(length, text.len() - 2);
        }

        #[test]
        fn any_time_comes_back(seconds: i64) {
            let text = seconds.to_string();
            prop_assert_eq!(time(text.as_bytes()), Some((seconds, text.len())));
        }
    }
}
