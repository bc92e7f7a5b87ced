//! The appliance as a Nagios plugin: one line, exit 0, 1, 2 or 3 and nothing
//! else. Conventions: the Monitoring Plugins Development Guidelines.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::rpc::client::{ArchiveStatus, HostsStatus, PerfdataStatus, SinkStatus};

use super::args::{CheckArgs, CheckPart, Cli};
use super::{check_archive, connect_within, output};

const WAIT: Duration = Duration::from_secs(5);
/// Seconds that perfdata may wait: a Carbon that restarts is no news, one that
/// is gone for an hour has outlasted what it is asked again for.
const LATE_WARNING: i64 = 900;
const LATE_CRITICAL: i64 = 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Verdict {
    fn told(self) -> (&'static str, u8) {
        match self {
            Verdict::Ok => ("OK", 0),
            Verdict::Warning => ("WARNING", 1),
            Verdict::Critical => ("CRITICAL", 2),
            Verdict::Unknown => ("UNKNOWN", 3),
        }
    }
}

pub fn run(cli: &Cli, args: &CheckArgs) -> ExitCode {
    let asked = connect_within(cli, WAIT, WAIT).and_then(|mut client| {
        let (hosts, perfdata) = (client.get_status()?, client.get_perfdata_status()?);
        Ok(Asked { hosts, perfdata, archive: client.get_archive_status()? })
    });
    match asked {
        Ok(asked) => {
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let found = judge(&asked, i64::try_from(now).unwrap_or(i64::MAX), args.part);
            report(found.verdict, &found.text, &found.perfdata)
        }
        Err(fault) => report(Verdict::Critical, &format!("{fault:#}"), ""),
    }
}

/// For what is wrong with the question itself.
pub fn unknown(text: &str) -> ExitCode {
    report(Verdict::Unknown, text, "")
}

/// What the daemon says.
#[derive(Debug)]
struct Asked {
    hosts: HostsStatus,
    perfdata: PerfdataStatus,
    archive: ArchiveStatus,
}

/// What one part says of itself.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) text: String,
    pub(super) perfdata: String,
}

/// The worst of the asked parts speaks for all; each gives its perfdata.
fn judge(asked: &Asked, now: i64, part: CheckPart) -> Finding {
    let Asked { hosts, perfdata, archive } = asked;
    // Somebody is measured.
    let flows = perfdata.enabled.unwrap_or_default() && hosts.watched_count.unwrap_or_default() > 0;
    match part {
        CheckPart::Hosts => judge_hosts(hosts),
        CheckPart::Sync => judge_sync(hosts),
        CheckPart::Perfdata => judge_perfdata(perfdata, now),
        CheckPart::Archive => check_archive::judge(archive, flows, now),
        CheckPart::All => {
            let parts = [
                judge_hosts(hosts),
                judge_sync(hosts),
                judge_perfdata(perfdata, now),
                check_archive::judge(archive, flows, now),
            ];
            let numbers = parts.iter().map(|part| part.perfdata.clone());
            let numbers: Vec<_> = numbers.filter(|numbers| !numbers.is_empty()).collect();
            let mut worst = None::<Finding>;
            for part in parts {
                if worst.as_ref().is_none_or(|worst| part.verdict > worst.verdict) {
                    worst = Some(part);
                }
            }
            let (verdict, text) =
                worst.map_or((Verdict::Unknown, String::new()), |w| (w.verdict, w.text));
            Finding { verdict, text, perfdata: numbers.join(" ") }
        }
    }
}

fn judge_hosts(status: &HostsStatus) -> Finding {
    let (watched, over) =
        (status.watched_count.unwrap_or_default(), status.unwatched_count.unwrap_or_default());
    let trouble = status.trouble.as_deref().filter(|_| {
        // While a restart is due the trouble is that of the part "sync".
        status.in_step.unwrap_or_default() || status.live_generation.is_none()
    });
    let (verdict, text) = match (trouble, status.live_generation) {
        (Some(trouble), _) => (Verdict::Critical, trouble.to_owned()),
        (None, None) => (Verdict::Ok, "no hosts were set yet".to_owned()),
        (None, Some(_)) if over > 0 => {
            (Verdict::Warning, format!("{over} hosts over max_hosts are not watched"))
        }
        (None, Some(generation)) => {
            (Verdict::Ok, format!("{watched} hosts of generation {generation} are watched"))
        }
    };
    Finding { verdict, text, perfdata: format!("watched={watched};;;0 unwatched={over};;;0") }
}

fn judge_sync(status: &HostsStatus) -> Finding {
    let perfdata = format!("restarts={}c", status.restarts.unwrap_or_default());
    let in_step = status.in_step.unwrap_or_default() || status.live_generation.is_none();
    let (verdict, text) = match (in_step, status.trouble.as_deref()) {
        (true, _) => (Verdict::Ok, "Nagios has read the newest hosts".to_owned()),
        (false, Some(trouble)) => (Verdict::Critical, trouble.to_owned()),
        (false, None) => (Verdict::Ok, "Nagios is about to read the newest hosts".to_owned()),
    };
    Finding { verdict, text, perfdata }
}

fn judge_perfdata(status: &PerfdataStatus, now: i64) -> Finding {
    if !status.enabled.unwrap_or_default() {
        let text = "performance data is not read: [perfdata] spool is empty".to_owned();
        return Finding { verdict: Verdict::Ok, text, perfdata: String::new() };
    }
    let age = status.oldest_time.map_or(0, |oldest| (now - oldest).max(0));
    let sinks = status.sinks.as_deref().unwrap_or_default();
    let stuck = sinks.iter().find_map(|sink| sink.trouble.as_deref());
    let trouble = status.trouble.as_deref().or(stuck);
    let unseen = status.read_back_trouble.as_deref();
    let (verdict, text) = match trouble {
        Some(trouble) if status.trouble.is_some() || age >= LATE_CRITICAL => {
            (Verdict::Critical, trouble.to_owned())
        }
        Some(trouble) => (Verdict::Warning, trouble.to_owned()),
        None if age >= LATE_WARNING => (Verdict::Warning, format!("perfdata waits since {age} s")),
        None => match unseen {
            Some(unseen) => (Verdict::Warning, unseen.to_owned()),
            None => {
                let sinks = output::plural(sinks.len(), "sink");
                (Verdict::Ok, format!("perfdata flows to {sinks}"))
            }
        },
    };
    let sum = |of: fn(&SinkStatus) -> Option<i64>| sinks.iter().filter_map(of).sum::<i64>();
    let perfdata = format!(
        "spool={}B;;;0 oldest={age}s;{LATE_WARNING};{LATE_CRITICAL};0 lost={}c samples={}c resent={}c bad_lines={}c",
        status.bytes.unwrap_or_default(),
        status.lost_files.unwrap_or_default(),
        sum(|sink| sink.samples),
        sum(|sink| sink.resent),
        sum(|sink| sink.bad_lines),
    );
    Finding { verdict, text, perfdata }
}

fn report(verdict: Verdict, text: &str, perfdata: &str) -> ExitCode {
    let (word, code) = verdict.told();
    // A bar in the text would begin the perfdata.
    let text = output::printable(text).replace('|', "/");
    let tail = if perfdata.is_empty() { String::new() } else { format!(" | {perfdata}") };
    // The exit code tells the verdict to a reader that is gone, too.
    let _ = output::print(format_args!("WEATHER-BALLOON {word} - {text}{tail}"));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The generated defaults are zeros and empty texts, not absences.
    fn no_hosts() -> HostsStatus {
        HostsStatus::new(None, None, None, None, None, None, None, None, None)
    }

    fn no_sink() -> SinkStatus {
        SinkStatus::new(None, None, None, None, None, None, None, None)
    }

    fn off() -> PerfdataStatus {
        PerfdataStatus::new(None, None, None, None, None, None, None, None, None)
    }

    fn status() -> HostsStatus {
        HostsStatus {
            live_generation: Some(7),
            watched_count: Some(3),
            unwatched_count: Some(0),
            in_step: Some(true),
            ..no_hosts()
        }
    }

    const NOW: i64 = 100_000;

    fn found(hosts: &HostsStatus, part: CheckPart) -> (Verdict, String) {
        let archive = check_archive::tests::off();
        let asked = Asked { hosts: hosts.clone(), perfdata: flowing(), archive };
        let found = judge(&asked, NOW, part);
        (found.verdict, found.text)
    }

    fn flowing() -> PerfdataStatus {
        PerfdataStatus {
            enabled: Some(true),
            sinks: Some(vec![SinkStatus { samples: Some(7), ..no_sink() }]),
            ..off()
        }
    }

    #[test]
    fn each_fault_of_the_hosts_is_judged() {
        let all = |status: &HostsStatus| found(status, CheckPart::All).0;
        assert_eq!(all(&status()), Verdict::Ok);
        assert_eq!(all(&no_hosts()), Verdict::Ok);
        assert_eq!(all(&HostsStatus { unwatched_count: Some(1), ..status() }), Verdict::Warning);
        let late = HostsStatus { in_step: Some(false), ..status() };
        assert_eq!(all(&late), Verdict::Ok);
        let stuck = HostsStatus { trouble: Some("no FIFO".into()), ..late };
        assert_eq!(found(&stuck, CheckPart::Sync), (Verdict::Critical, "no FIFO".into()));
        assert_eq!(found(&stuck, CheckPart::All), (Verdict::Critical, "no FIFO".into()));
        assert_eq!(found(&stuck, CheckPart::Hosts).0, Verdict::Ok);
        let spoiled = HostsStatus { trouble: Some("broken".into()), ..status() };
        assert_eq!(found(&spoiled, CheckPart::Hosts), (Verdict::Critical, "broken".into()));
    }

    #[test]
    fn each_fault_of_the_perfdata_is_judged() {
        let verdict = |status: &PerfdataStatus| judge_perfdata(status, NOW).verdict;
        assert_eq!(verdict(&off()), Verdict::Ok);
        assert_eq!(verdict(&flowing()), Verdict::Ok);
        let refused = SinkStatus { trouble: Some("refused".into()), ..no_sink() };
        let down = PerfdataStatus { sinks: Some(vec![refused]), ..flowing() };
        assert_eq!(verdict(&down), Verdict::Warning);
        let long = PerfdataStatus { oldest_time: Some(NOW - LATE_CRITICAL), ..down };
        assert_eq!(verdict(&long), Verdict::Critical);
        let behind = PerfdataStatus { oldest_time: Some(NOW - LATE_WARNING), ..flowing() };
        assert_eq!(verdict(&behind), Verdict::Warning);
        let unseen = PerfdataStatus { read_back_trouble: Some("unseen".into()), ..flowing() };
        assert_eq!(verdict(&unseen), Verdict::Warning);
        let unreadable = PerfdataStatus { trouble: Some("no spool".into()), ..flowing() };
        assert_eq!(verdict(&unreadable), Verdict::Critical);
    }
}
