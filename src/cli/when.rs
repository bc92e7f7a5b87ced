//! Times as people type and read them. All are UTC.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

/// Reads "now", a span back from now ("24h"), a date, a date with a time, or
/// seconds since 1970.
pub fn parse(text: &str, now: SystemTime) -> anyhow::Result<i64> {
    let text = text.trim();
    if text == "now" {
        return seconds(now);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().with_context(|| format!("{text:?} is no time"));
    }
    if let Ok(span) = humantime::parse_duration(text.trim_start_matches('-')) {
        return seconds(now.checked_sub(span).context("that is before all time")?);
    }
    let whole =
        if text.len() == "2026-01-31".len() { format!("{text} 00:00:00") } else { text.to_owned() };
    match humantime::parse_rfc3339_weak(&whole) {
        Ok(time) => seconds(time),
        Err(_) => bail!(
            "{text:?} is no time; write 24h, 2026-01-31, \"2026-01-31 12:00:00\" (UTC), now, or seconds since 1970"
        ),
    }
}

fn seconds(time: SystemTime) -> anyhow::Result<i64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).context("that is before 1970")?;
    Ok(i64::try_from(since.as_secs())?)
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
