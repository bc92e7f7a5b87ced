//! Times as people type and read them. All are UTC.

use std::time::{Duration, SystemTime};

/// A text that names no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeFault {
    #[error(
        "{0:?} is no time; write 24h, 2026-01-31, \"2026-01-31 12:00:00\" (UTC), now, or seconds since 1970"
    )]
    NoTime(String),
    #[error("{0:?} is before 1970")]
    TooEarly(String),
}

/// Reads "now", a span back from now ("24h"), a date, a date with a time, or
/// seconds since 1970.
pub fn parse(text: &str, now: SystemTime) -> Result<i64, TimeFault> {
    let given = text.trim();
    let no_time = || TimeFault::NoTime(given.chars().take(64).collect());
    let seconds = |time: Option<SystemTime>| {
        let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.ok_or_else(|| TimeFault::TooEarly(given.to_owned()))?;
        i64::try_from(since.as_secs()).map_err(|_| no_time())
    };
    if given == "now" {
        return seconds(Some(now));
    }
    if given.bytes().all(|b| b.is_ascii_digit()) {
        return given.parse().map_err(|_| no_time());
    }
    if let Ok(span) = humantime::parse_duration(given.trim_start_matches('-')) {
        return seconds(now.checked_sub(span));
    }
    let whole = if given.len() == "2026-01-31".len() {
        format!("{given} 00:00:00")
    } else {
        given.to_owned()
    };
    let time = humantime::parse_rfc3339_weak(&whole).map_err(|_| no_time())?;
    seconds(Some(time))
}

/// "2026-01-31 12:00:00", UTC.
pub fn show(seconds: i64) -> String {
    let time = u64::try_from(seconds)
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    match time {
        Some(time) => {
            humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', "")
        }
        None => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (text, wanted) in [
            ("now", 1_000_000),
            ("1h", 996_400),
            ("-1h 30m", 994_600),
            ("12345", 12_345),
            ("1970-01-02", 86_400),
            ("1970-01-02 00:00:01", 86_401),
            ("1970-01-02T00:00:01Z", 86_401),
        ] {
            assert_eq!(parse(text, now).unwrap(), wanted, "{text}");
        }
        for bad in ["", "tomorrow", "2026-13-01", "99999999999999999999", "1000y"] {
            assert!(parse(bad, now).is_err(), "{bad:?} was taken for a time");
        }
        assert_eq!(show(86_401), "1970-01-02 00:00:01");
    }
}
