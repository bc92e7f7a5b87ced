//! The archive of measurements: is it whole, does it grow, has it room?

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::archive::{Error, Stats};
use crate::metrics;
use crate::telemetry::sentence;

use super::nagios::seconds;
use super::{Finding, Number, Part, Subjects};

const PART: Part = Part::Archive;
/// Seconds without a new point: a check comes each 15 minutes, and its point
/// has the time of its slot.
const STILL: f64 = 3_600.0;
/// Seconds without a seal; one is due each two hours.
const UNSEALED: f64 = 6.0 * 3_600.0;

pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "file";
    let Some(running) = &subjects.running else { return Vec::new() };
    let flows = subjects.perfdata.is_on() && running.hosts.view().status.watched > 0;
    match running.metrics.archive_stats().await {
        Ok(stats) => judge(&stats, flows, now()),
        Err(metrics::Error::Archive(fault @ Error::Opening)) => {
            vec![Finding::ok(PART, HOP, sentence(&fault))]
        }
        Err(metrics::Error::Archive(fault)) => {
            vec![Finding::fail(PART, HOP, sentence(&fault)).fix(
                "mend what it names; it is tried again by itself, and points wait in the spool",
            )]
        }
        Err(_) => vec![Finding::ok(PART, HOP, "the archive is off")],
    }
}

/// `flows`: points are to be expected.
fn judge(stats: &Stats, flows: bool, now: i64) -> Vec<Finding> {
    vec![file(stats), room(stats), newest(stats, flows, now), seal(stats, now)]
}

fn file(stats: &Stats) -> Finding {
    const HOP: &str = "file";
    let found = match &stats.put_aside {
        Some(path) => Finding::warn(
            PART,
            HOP,
            format!("the archive was damaged and begun anew; what it had is {}", path.display()),
        )
        .fix(format!("look at the disk; remove {} when it is of no use", path.display())),
        None if stats.broken_rows > 0 => Finding::warn(
            PART,
            HOP,
            format!(
                "{} rows of the archive had a wrong checksum and were left out",
                stats.broken_rows
            ),
        )
        .fix("look at the disk; a restart of weather-balloon counts anew"),
        None => Finding::ok(PART, HOP, format!("the archive keeps {} series", stats.series)),
    };
    found
        .number(Number::new("archive", stats.bytes as f64, "B"))
        .number(Number::count("series", stats.series as u64))
        .number(Number::new("broken_rows", stats.broken_rows as f64, "c"))
}

fn room(stats: &Stats) -> Finding {
    const HOP: &str = "room";
    let found = match stats.refused_series {
        0 => Finding::ok(PART, HOP, "every series has its room"),
        refused => {
            Finding::warn(PART, HOP, format!("{refused} series have no room in the archive"))
                .fix("raise [archive] max_series or use `weather-balloon metrics prune --gone`")
        }
    };
    found.number(Number::new("refused", stats.refused_series as f64, "c"))
}

fn newest(stats: &Stats, flows: bool, now: i64) -> Finding {
    const HOP: &str = "newest point";
    let Some(time) = stats.newest else {
        return Finding::ok(PART, HOP, "it has no points yet");
    };
    let age = (now - time).max(0) as f64;
    let what = format!("the newest point in the archive is {} old", seconds(age));
    let number = Number::new("newest", age, "s");
    if flows && age >= STILL {
        Finding::warn(PART, HOP, what)
            .fix("the lines about nagios and perfdata say where measurements stop")
            .number(number)
    } else {
        Finding::ok(PART, HOP, what).number(number)
    }
}

fn seal(stats: &Stats, now: i64) -> Finding {
    const HOP: &str = "seal";
    let age = (now - stats.last_seal).max(0) as f64;
    let number = Number::new("sealed", age, "s");
    let found = if age >= UNSEALED && stats.head_points > 0 {
        let what =
            format!("the archive has not written out what it has in memory for {}", seconds(age));
        Finding::warn(PART, HOP, what)
            .fix("look at the room on the disk; journalctl -u weather-balloon says what failed")
    } else {
        Finding::ok(PART, HOP, format!("{} points wait to be written out", stats.head_points))
    };
    found.number(number)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Verdict;

    const NOW: i64 = 1_000_000;

    fn sound() -> Stats {
        Stats {
            bytes: 4_096,
            series: 17,
            head_points: 3,
            newest: Some(NOW - 600),
            last_seal: NOW - 7_200,
            ..Stats::default()
        }
    }

    #[test]
    fn each_fault_is_judged_alone() {
        let bad = |stats: &Stats, flows| {
            let found = judge(stats, flows, NOW).into_iter();
            let bad = found.filter(|one| one.overall() != Verdict::Ok);
            bad.map(|one| (one.hop, one.what, one.fix.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(bad(&sound(), true), []);
        assert_eq!(judge(&sound(), true, NOW)[0].numbers[0].label, "archive");
        for (fault, hop, word) in [
            (Stats { put_aside: Some("/x".into()), ..sound() }, "file", "/x"),
            (Stats { broken_rows: 1, ..sound() }, "file", "1 rows"),
            (Stats { refused_series: 5, ..sound() }, "room", "5 series"),
            (Stats { last_seal: 0, ..sound() }, "seal", "written out"),
            (Stats { newest: Some(0), ..sound() }, "newest point", "old"),
        ] {
            let found = bad(&fault, true);
            assert!(
                matches!(&found[..], [(at, what, true)] if at == hop && what.contains(word)),
                "{found:?}"
            );
        }
        // Where nobody is measured nothing is late.
        assert_eq!(bad(&Stats { newest: Some(0), ..sound() }, false), []);
        assert_eq!(bad(&Stats { last_seal: 0, head_points: 0, ..sound() }, true), []);
    }
}
