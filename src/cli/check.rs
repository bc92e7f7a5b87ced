//! The appliance as a Nagios plugin: one line, exit 0, 1, 2 or 3 and nothing
//! else. Conventions: the Monitoring Plugins Development Guidelines.

use std::process::ExitCode;
use std::time::Duration;

use crate::rpc::client::HostsStatus;

use super::args::{CheckArgs, CheckPart, Cli};
use super::{connect_within, output};

const WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
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
    let told = connect_within(cli, WAIT, WAIT).and_then(|mut client| Ok(client.get_status()?));
    match told {
        Ok(status) => {
            let (verdict, text) = judge(&status, args.part);
            report(verdict, &text, &perfdata(&status))
        }
        Err(fault) => report(Verdict::Critical, &format!("{fault:#}"), ""),
    }
}

/// For what is wrong with the question itself.
pub fn unknown(text: &str) -> ExitCode {
    report(Verdict::Unknown, text, "")
}

fn judge(status: &HostsStatus, part: CheckPart) -> (Verdict, String) {
    let trouble = status.trouble.as_deref();
    let Some(generation) = status.live_generation else {
        let text = trouble.unwrap_or("no hosts were set yet");
        return (if trouble.is_some() { Verdict::Critical } else { Verdict::Ok }, text.to_owned());
    };
    let watched = status.watched_count.unwrap_or_default();
    let over = status.unwatched_count.unwrap_or_default();
    let in_step = status.in_step.unwrap_or_default();
    let hosts = match (in_step, trouble) {
        (true, Some(trouble)) => Some((Verdict::Critical, trouble.to_owned())),
        _ if over > 0 => {
            Some((Verdict::Warning, format!("{over} hosts over max_hosts are not watched")))
        }
        _ => None,
    };
    let sync = match (in_step, trouble) {
        (true, _) => None,
        (false, Some(trouble)) => Some((Verdict::Critical, trouble.to_owned())),
        (false, None) => Some((Verdict::Ok, "Nagios is about to read the newest hosts".to_owned())),
    };
    let found = match part {
        CheckPart::All => hosts.into_iter().chain(sync).max_by_key(|(verdict, _)| *verdict),
        CheckPart::Hosts => hosts,
        CheckPart::Sync => sync,
    };
    found.unwrap_or_else(|| {
        (Verdict::Ok, format!("{watched} hosts of generation {generation} are watched"))
    })
}

fn perfdata(status: &HostsStatus) -> String {
    format!(
        "watched={};;;0 unwatched={};;;0 restarts={}c",
        status.watched_count.unwrap_or_default(),
        status.unwatched_count.unwrap_or_default(),
        status.restarts.unwrap_or_default()
    )
}

fn report(verdict: Verdict, text: &str, perfdata: &str) -> ExitCode {
    let (word, code) = verdict.told();
    // A bar in the text would begin the perfdata.
    let text = output::printable(text).replace('|', "/");
    let tail = if perfdata.is_empty() { String::new() } else { format!(" | {perfdata}") };
    println!("WEATHER-BALLOON {word} - {text}{tail}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> HostsStatus {
        HostsStatus {
            live_generation: Some(7),
            watched_count: Some(3),
            unwatched_count: Some(0),
            in_step: Some(true),
            ..HostsStatus::default()
        }
    }

    fn verdict(status: &HostsStatus) -> Verdict {
        judge(status, CheckPart::All).0
    }

    #[test]
    fn each_fault_is_judged() {
        assert_eq!(verdict(&status()), Verdict::Ok);
        assert_eq!(verdict(&HostsStatus::default()), Verdict::Ok);
        assert_eq!(
            verdict(&HostsStatus { unwatched_count: Some(1), ..status() }),
            Verdict::Warning
        );
        let late = HostsStatus { in_step: Some(false), ..status() };
        assert_eq!(verdict(&late), Verdict::Ok);
        let stuck = HostsStatus { trouble: Some("no FIFO".into()), ..late };
        assert_eq!(judge(&stuck, CheckPart::Sync), (Verdict::Critical, "no FIFO".into()));
        assert_eq!(judge(&stuck, CheckPart::Hosts).0, Verdict::Ok);
        let spoiled = HostsStatus { trouble: Some("broken".into()), ..status() };
        assert_eq!(judge(&spoiled, CheckPart::Hosts), (Verdict::Critical, "broken".into()));
    }
}
