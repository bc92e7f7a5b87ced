//! What `check` says of the archive.

use crate::rpc::client::ArchiveStatus;

use super::check::{Finding, Verdict};
use super::output;

/// Seconds without a new point: a check comes each 15 minutes, and its point
/// has the time of its slot.
const STILL_WARNING: i64 = 3_600;
/// Seconds without a seal; one is due each two hours.
const UNSEALED_WARNING: i64 = 6 * 3_600;

/// `flows`: points are to be expected.
pub(super) fn judge(status: &ArchiveStatus, flows: bool, now: i64) -> Finding {
    if !status.enabled.unwrap_or_default() {
        let text = "the archive is off".to_owned();
        return Finding { verdict: Verdict::Ok, text, perfdata: String::new() };
    }
    if let Some(trouble) = &status.trouble {
        // For seconds after a start.
        let starting = status.starting.unwrap_or_default();
        let verdict = if starting { Verdict::Ok } else { Verdict::Critical };
        return Finding { verdict, text: trouble.clone(), perfdata: String::new() };
    }
    let age = |time: Option<i64>| time.map(|time| (now - time).max(0));
    let (newest, sealed) = (age(status.newest_time), age(status.last_seal_time));
    let (series, refused) =
        (status.series_count.unwrap_or_default(), status.refused_series.unwrap_or_default());
    let unsealed =
        sealed.filter(|age| *age >= UNSEALED_WARNING && status.head_points.unwrap_or_default() > 0);
    let still = newest.filter(|age| flows && *age >= STILL_WARNING);
    let broken = status.broken_rows.unwrap_or_default();
    let told = if let Some(path) = &status.put_aside {
        Some(format!(
            "the archive was damaged and begun anew; what it had is {path}; remove that file when it is of no use"
        ))
    } else if broken > 0 {
        Some(format!(
            "{} of the archive had a wrong checksum and were left out; look at the disk",
            output::plural(usize::try_from(broken).unwrap_or(usize::MAX), "row")
        ))
    } else if refused > 0 {
        Some(format!(
            "{refused} series have no room in the archive; raise [archive] max_series or use metrics prune"
        ))
    } else if let Some(age) = unsealed {
        Some(format!("the archive has not written out what it has in memory for {age} s"))
    } else {
        still.map(|age| format!("the newest point in the archive is {age} s old"))
    };
    let verdict = if told.is_some() { Verdict::Warning } else { Verdict::Ok };
    let text = told.unwrap_or_else(|| format!("the archive keeps {series} series"));
    let seconds = |label: &str, age: Option<i64>, warning: i64| {
        age.map_or(String::new(), |age| format!(" {label}={age}s;{warning};;0"))
    };
    let perfdata = format!(
        "archive={}B;;;0 series={series};;;0 refused={refused}c{}{}",
        status.bytes.unwrap_or_default(),
        seconds("newest", newest, STILL_WARNING),
        seconds("sealed", sealed, UNSEALED_WARNING),
    );
    Finding { verdict, text, perfdata }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    // The generated default is zeros and empty texts, not absences.
    pub(in crate::cli) fn off() -> ArchiveStatus {
        ArchiveStatus {
            enabled: Some(false),
            path: None,
            bytes: None,
            series_count: None,
            host_count: None,
            head_points: None,
            newest_time: None,
            last_seal_time: None,
            refused_series: None,
            refused_points: None,
            untimely_points: None,
            broken_rows: None,
            put_aside: None,
            trouble: None,
            starting: None,
            step: None,
            prefix: None,
        }
    }

    const NOW: i64 = 1_000_000;

    fn on() -> ArchiveStatus {
        ArchiveStatus {
            enabled: Some(true),
            series_count: Some(17),
            bytes: Some(4_096),
            head_points: Some(3),
            newest_time: Some(NOW - 600),
            last_seal_time: Some(NOW - 7_200),
            refused_series: Some(0),
            broken_rows: Some(0),
            ..off()
        }
    }

    #[test]
    fn each_fault_is_judged() {
        let verdict = |status: &ArchiveStatus| judge(status, true, NOW).verdict;
        assert_eq!(verdict(&off()), Verdict::Ok);
        let sound = judge(&on(), true, NOW);
        assert_eq!(
            (sound.verdict, sound.text.as_str()),
            (Verdict::Ok, "the archive keeps 17 series")
        );
        assert_eq!(
            sound.perfdata,
            "archive=4096B;;;0 series=17;;;0 refused=0c newest=600s;3600;;0 sealed=7200s;21600;;0"
        );
        let trouble = ArchiveStatus { trouble: Some("no room".into()), ..on() };
        assert_eq!(verdict(&trouble), Verdict::Critical);
        assert_eq!(verdict(&ArchiveStatus { starting: Some(true), ..trouble }), Verdict::Ok);
        for (fault, word) in [
            (ArchiveStatus { put_aside: Some("/x".into()), ..on() }, "/x"),
            (ArchiveStatus { broken_rows: Some(1), ..on() }, "1 row of"),
            (ArchiveStatus { refused_series: Some(5), ..on() }, "5 series"),
            (ArchiveStatus { last_seal_time: Some(0), ..on() }, "written out"),
            (ArchiveStatus { newest_time: Some(0), ..on() }, "newest point"),
        ] {
            let found = judge(&fault, true, NOW);
            assert!(found.verdict == Verdict::Warning && found.text.contains(word), "{found:?}");
        }
        // Where nobody is measured nothing is late.
        let still = ArchiveStatus { newest_time: Some(0), ..on() };
        assert_eq!(judge(&still, false, NOW).verdict, Verdict::Ok);
    }
}
