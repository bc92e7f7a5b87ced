//! Times, spans and numbers as people read them.

use maud::{Markup, html};

use crate::model::{HostState, ServiceState};
use crate::settings::when;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// "2026-01-31 12:00:00 UTC".
pub(super) fn moment(at: i64) -> Markup {
    html! { time datetime=(stamp(at)) { (when::show(at)) " UTC" } }
}

/// For machines: "2026-01-31T12:00:00Z".
pub(super) fn stamp(at: i64) -> String {
    format!("{}Z", when::show(at).replace(' ', "T"))
}

/// The same, and how long ago.
pub(super) fn time(now: i64, at: i64) -> Markup {
    html! { (moment(at)) " " span.ago { (ago(now, at)) } }
}

pub(super) fn ago(now: i64, at: i64) -> String {
    let passed = now.saturating_sub(at);
    match passed {
        0..=4 => "just now".to_owned(),
        5.. => format!("{} ago", span(passed)),
        _ => format!("in {}", span(passed.saturating_neg())),
    }
}

/// Two units at most: "3 d 4 h".
pub(super) fn span(seconds: i64) -> String {
    let two = |size: i64, name: &str, smaller: i64, rest: &str| {
        let (whole, left) = (seconds / size, seconds % size / smaller);
        match left {
            0 => format!("{whole} {name}"),
            _ => format!("{whole} {name} {left} {rest}"),
        }
    };
    match seconds {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => two(MINUTE, "min", 1, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

/// With a comma before every three digits.
pub(super) fn count(number: impl TryInto<i64>) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        shown.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// "1 host", "2 hosts".
pub(super) fn several(number: impl TryInto<i64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    let end = if number == 1 { "" } else { "s" };
    format!("{} {one}{end}", count(number))
}

/// Seconds as hours with a decimal.
pub(super) fn hours(seconds: i64) -> String {
    let tenths = seconds / (HOUR / 10);
    format!("{}.{}", count(tenths / 10), (tenths % 10).abs())
}

pub(super) fn bytes(number: u64) -> String {
    bytesize::ByteSize::b(number).display().iec().to_string()
}

pub(super) fn host_state(state: HostState) -> Markup {
    let alarming = matches!(state, HostState::Down | HostState::Unreachable);
    html! { span.state.alarm[alarming] { (state.as_str()) } }
}

pub(super) fn service_state(state: ServiceState) -> Markup {
    let alarming = !matches!(state, ServiceState::Ok | ServiceState::Pending);
    let shown = if state == ServiceState::Ok { "OK" } else { state.as_str() };
    html! { span.state.alarm[alarming] { (shown) } }
}

/// Three or four digits and a prefix: 0.42, 1.5 k, 23 M.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    let (divisor, prefix) = match size {
        1e12.. => (1e12, " T"),
        1e9.. => (1e9, " G"),
        1e6.. => (1e6, " M"),
        1e4.. => (1e3, " k"),
        _ => (1.0, ""),
    };
    let scaled = value / divisor;
    if scaled != 0.0 && !(1e-3..1e6).contains(&scaled.abs()) {
        return format!("{value:.2e}");
    }
    let decimals = match scaled.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let shown = format!("{scaled:.decimals$}");
    let shown = match shown.contains('.') {
        true => shown.trim_end_matches('0').trim_end_matches('.'),
        false => &shown,
    };
    format!("{shown}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1000, 12_345_678].map(count));
        assert_eq!(count(-1234), "-1,234");
        assert_eq!(count(u64::MAX), count(i64::MAX));
        assert_eq!((hours(5400), hours(3_600_000)), ("1.5".into(), "1,000.0".into()));
        let figures = [0.0, 0.42, 1.0, 12.345, 1500.0, 23_456.0, 2e6, 1e300, 1e-9, -3.5];
        let shown = figures.map(figure);
        let wanted =
            ["0", "0.42", "1", "12.3", "1500", "23.5 k", "2 M", "1.00e300", "1.00e-9", "-3.5"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn spans_have_two_units() {
        let spans = [0, 59, 60, 61, 3600, 3661, 86_400, 100_000].map(span);
        let wanted = ["0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "1 d", "1 d 3 h"];
        assert_eq!(spans, wanted);
        assert_eq!(ago(100, 100), "just now");
        assert_eq!(ago(200, 100), "1 min 40 s ago");
        assert_eq!(ago(100, 160), "in 1 min");
        assert_eq!(ago(i64::MIN, i64::MAX), format!("in {}", span(i64::MAX)));
    }
}
