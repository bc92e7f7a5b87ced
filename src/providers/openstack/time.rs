use std::time::UNIX_EPOCH;

/// OpenStack's times, in UTC seconds: whole or with a fraction, with `Z`, with
/// `+00:00` or without any zone, which is UTC too.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.strip_suffix("+00:00").unwrap_or(text);
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// As `changes-since` takes them.
pub(super) fn show(seconds: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // A sighting's time, which humantime can show up to the year 9999.
    let last = std::time::Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for text in [
            "2026-11-22T14:15:20Z",
            "2026-11-22T14:15:20.000000Z",
            "2026-11-22T14:15:20.999999",
            "2026-11-22T14:15:20",
            "2026-11-22T14:15:20+00:00",
        ] {
            assert_eq!(parse(text), Some(1_795_356_920), "{text}");
        }
        for bad in ["", "yesterday", "2026-13-40T00:00:00Z", "2026-11-22T14:15:20+02:00"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(show(1_795_356_920), "2026-11-22T14:15:20Z");
        assert_eq!(show(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(show(-5), "1970-01-01T00:00:00Z");
    }
}
