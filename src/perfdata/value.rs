//! The value of a metric: a number and its unit.

/// What stands between `=` and the first `;`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// Finite.
    Number(f64),
    /// `U`: the plugin says that it could not measure.
    Unknown,
    Bad,
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl Value {
    /// A number with a point or a decimal comma, an exponent perhaps, and a
    /// unit, which by the plugin guidelines has no digits: so `0x1F`, `1.2.3`
    /// and `1,234.5` are no values rather than wrong ones.
    pub(super) fn parse(text: &[u8], scale_units: bool) -> Self {
        let text = text.strip_suffix(b",").unwrap_or(text);
        if let Some(unit) = text.strip_prefix(b"U") {
            return if is_unit(unit) { Self::Unknown } else { Self::Bad };
        }
        let Some((number, unit)) = Number::split(text) else { return Self::Bad };
        if !is_unit(unit) || (number.text == b"0" && matches!(unit, [b'x' | b'X', ..])) {
            return Self::Bad;
        }
        let Some(value) = number.value() else { return Self::Bad };
        let value = if scale_units { value * factor(unit) } else { value };
        if value.is_finite() { Self::Number(value) } else { Self::Bad }
    }
}

/// A number as it was read over, not yet a double.
struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    mantissa: u64,
    /// Mantissa and fraction are exact: no digit was left out.
    short: bool,
    fraction_digits: usize,
    comma: bool,
    exponent: bool,
}

impl<'a> Number<'a> {
    fn split(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
        let mut number = Self {
            text,
            negative: text.first() == Some(&b'-'),
            mantissa: 0,
            short: true,
            fraction_digits: 0,
            comma: false,
            exponent: false,
        };
        let whole_end = number.take_digits(text, sign);
        let mut end = whole_end;
        if let Some(point @ (b'.' | b',')) = text.get(end) {
            let fraction_end = number.take_digits(text, end + 1);
            number.fraction_digits = fraction_end - end - 1;
            // "5." is a number; in "5,x" the comma belongs to what follows.
            if number.fraction_digits > 0 || (*point == b'.' && whole_end > sign) {
                number.comma = *point == b',';
                end = fraction_end;
            }
        }
        if whole_end == sign && number.fraction_digits == 0 {
            return None;
        }
        if let Some(exponent_end) = exponent_end(text, end) {
            number.exponent = true;
            end = exponent_end;
        }
        number.text = &text[..end];
        Some((number, &text[end..]))
    }

    fn take_digits(&mut self, text: &[u8], start: usize) -> usize {
        let mut at = start;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            // Below this, one more digit fits in 64 bits.
            if self.mantissa < 1 << 59 {
                self.mantissa = self.mantissa * 10 + u64::from(digit - b'0');
            } else {
                self.short = false;
            }
            at += 1;
        }
        at
    }

    /// Rounded correctly: a quotient of two exact doubles is, and the rest is
    /// left to the standard library.
    #[expect(clippy::cast_precision_loss, reason = "the mantissa is below 2^53 where it is cast")]
    fn value(&self) -> Option<f64> {
        if self.short
            && !self.exponent
            && self.mantissa < 1 << 53
            && let Some(power) = POWERS.get(self.fraction_digits)
        {
            let value = self.mantissa as f64 / power;
            return Some(if self.negative { -value } else { value });
        }
        let text = std::str::from_utf8(self.text).ok()?;
        if self.comma { text.replacen(',', ".", 1).parse().ok() } else { text.parse().ok() }
    }
}

/// `e` is an exponent only where digits follow: `5EB` are exabytes.
fn exponent_end(text: &[u8], start: usize) -> Option<usize> {
    if !matches!(text.get(start), Some(b'e' | b'E')) {
        return None;
    }
    let digits = start + 1 + usize::from(matches!(text.get(start + 1), Some(b'-' | b'+')));
    let count = text[digits.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    (count > 0).then_some(digits + count)
}

fn is_unit(text: &[u8]) -> bool {
    !text.iter().any(|byte| byte.is_ascii_digit() || b"+-.,:='\"".contains(byte))
}

/// To seconds and bytes. Plugins count their sizes in steps of 1024.
fn factor(unit: &[u8]) -> f64 {
    const KIB: f64 = 1024.0;
    match unit {
        b"ms" => 1e-3,
        // The micro sign and the Greek letter.
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1e-6,
        b"ns" => 1e-9,
        b"KB" | b"kB" | b"KiB" => KIB,
        b"MB" | b"MiB" => KIB * KIB,
        b"GB" | b"GiB" => KIB * KIB * KIB,
        b"TB" | b"TiB" => KIB * KIB * KIB * KIB,
        b"PB" | b"PiB" => KIB * KIB * KIB * KIB * KIB,
        b"EB" | b"EiB" => KIB * KIB * KIB * KIB * KIB * KIB,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn number(text: &str, expected: f64) {
        assert_eq!(Value::parse(text.as_bytes(), false), Value::Number(expected), "{text}");
    }

    #[test]
    fn numbers() {
        number("0", 0.0);
        number("-5", -5.0);
        number("+3", 3.0);
        number(".5", 0.5);
        number("-.25s", -0.25);
        number("5.", 5.0);
        number("1,5s", 1.5);
        number("1e9", 1e9);
        number("1.5e-3s", 0.0015);
        number("2E+2", 200.0);
        number("1,5e2", 150.0);
        number("5EB", 5.0);
        number("12.5%", 12.5);
        number("21997027328B", 21_997_027_328.0);
        number("9223372036854775807c", 9_223_372_036_854_775_807.0);
        number("18446744073709551615", 18_446_744_073_709_551_615.0);
        number("0.1000000000000000055511151231257827", 0.1);
        number("0.376000ms", 0.376);
        number("3µs", 3.0);
        number("20°C", 20.0);
        number("7,", 7.0);
        number("0.00000000000000000000000001", 1e-26);
    }

    #[test]
    fn what_is_no_number_is_bad_and_never_wrong() {
        for text in [
            "",
            "-",
            ".",
            ",",
            "s",
            "x1",
            "0x1F",
            "0xFF",
            "0Xff",
            "1.5-3",
            "1.2.3",
            "1,234.5",
            "1.234,5",
            "12:30",
            "1=2",
            "2024-01-01",
            "1_000",
            "1d2h",
            "--1",
            "+-1",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "1e400",
            "-1e999",
            "@10:20",
            "~:5",
            "'1'",
            "\"1\"",
            "U1",
            "e5",
            "1,,2",
        ] {
            assert_eq!(Value::parse(text.as_bytes(), false), Value::Bad, "{text}");
        }
        assert_eq!(Value::parse(b"1\xff", false), Value::Number(1.0));
    }

    #[test]
    fn unknown_is_not_bad() {
        assert_eq!(Value::parse(b"U", false), Value::Unknown);
        assert_eq!(Value::parse(b"Us", false), Value::Unknown);
    }

    #[test]
    fn units_scale_when_asked() {
        for (text, expected) in [
            ("5ms", 0.005),
            ("5us", 5.0 * 1e-6),
            ("5µs", 5.0 * 1e-6),
            ("2KB", 2048.0),
            ("1.5MB", 1_572_864.0),
            ("1GB", 1_073_741_824.0),
            ("7%", 7.0),
            ("7c", 7.0),
            ("7s", 7.0),
            ("7B", 7.0),
        ] {
            assert_eq!(Value::parse(text.as_bytes(), true), Value::Number(expected), "{text}");
        }
        assert_eq!(Value::parse(b"1e308EB", true), Value::Bad);
    }

    proptest! {
        #[test]
        fn equals_the_standard_parser(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            for text in [format!("{value}"), format!("{value:e}"), format!("{value:?}")] {
                prop_assert_eq!(Value::parse(text.as_bytes(), false), Value::Number(value));
            }
        }

        #[test]
        fn short_decimals_equal_the_standard_parser(text in "-?[0-9]{1,20}\\.[0-9]{1,24}") {
            let expected = text.parse::<f64>().unwrap();
            prop_assert_eq!(Value::parse(text.as_bytes(), false), Value::Number(expected));
        }
    }
}
