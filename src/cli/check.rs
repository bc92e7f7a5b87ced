//! The appliance as a Nagios plugin: one line, exit 0, 1, 2 or 3 and nothing
//! else. Conventions: the Monitoring Plugins Development Guidelines.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use crate::inspect::{Finding, Number, Verdict};

use super::args::{CheckArgs, Cli};
use super::{connect_within, output};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl State {
    fn told(self) -> (&'static str, u8) {
        match self {
            State::Ok => ("OK", 0),
            State::Warning => ("WARNING", 1),
            State::Critical => ("CRITICAL", 2),
            State::Unknown => ("UNKNOWN", 3),
        }
    }
}

impl From<Verdict> for State {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => State::Ok,
            Verdict::Warn => State::Warning,
            Verdict::Fail => State::Critical,
        }
    }
}

const ALL: &str = "all";

/// Takes the process over: a panic must not reach Nagios as CRITICAL.
pub fn run(cli: Cli, args: CheckArgs) -> ExitCode {
    // Its text would be a second line, on stderr.
    std::panic::set_hook(Box::new(|_| {}));
    if args.part == ALL && (args.warning.is_some() || args.critical.is_some()) {
        return unknown("-w and -c are about the first figure of one part: name the part");
    }
    let part = args.part.clone();
    match ask(cli, part, Duration::from_secs(args.timeout)) {
        Asked::Answered(findings) => {
            let (state, text, perfdata) = judge(findings, &args);
            report(state, &text, &perfdata)
        }
        Asked::Failed(fault) => report(State::Critical, &format!("{fault:#}"), ""),
        Asked::TooLate => unknown(&format!("no answer within {} s", args.timeout)),
        Asked::Panicked => unknown("the check itself failed: this is a bug of weather-balloon"),
    }
}

/// For what is wrong with the question itself.
pub fn unknown(text: &str) -> ExitCode {
    report(State::Unknown, text, "")
}

enum Asked {
    Answered(Vec<Finding>),
    Failed(anyhow::Error),
    TooLate,
    Panicked,
}

/// The calls block: they run aside, so that one clock bounds them all. What
/// is still blocked ends with the process.
fn ask(cli: Cli, part: String, limit: Duration) -> Asked {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return Asked::Panicked;
    };
    let outcome = runtime.block_on(async {
        let asked = tokio::task::spawn_blocking(move || {
            let part = if part == ALL { "" } else { &part };
            let mut client = connect_within(&cli, limit, limit)?;
            anyhow::Ok(client.inspect(part)?)
        });
        match tokio::time::timeout(limit, asked).await {
            Err(_) => Asked::TooLate,
            Ok(Err(_)) => Asked::Panicked,
            Ok(Ok(Ok(findings))) => Asked::Answered(findings),
            Ok(Ok(Err(fault))) => Asked::Failed(fault),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// The worst finding speaks for all; each gives its perfdata.
fn judge(mut findings: Vec<Finding>, args: &CheckArgs) -> (State, String, String) {
    if let Some(number) = findings.iter_mut().flat_map(|found| &mut found.numbers).next() {
        number.warn = args.warning.or(number.warn);
        number.fail = args.critical.or(number.fail);
    } else if args.warning.is_some() || args.critical.is_some() {
        let text = format!("{} has no figure for -w and -c now", args.part);
        return (State::Unknown, text, String::new());
    }
    let worst = findings.iter().map(Finding::overall).max();
    let Some(worst) = worst else {
        return (State::Ok, format!("{} is not part of this appliance", args.part), String::new());
    };
    let bad: Vec<_> = findings.iter().filter(|found| found.overall() == worst).collect();
    // When all is well, the hosts are what there is to tell.
    let speaker =
        bad.iter().find(|found| worst == Verdict::Ok && found.part == "hosts").or(bad.first());
    let mut text = speaker.map_or_else(String::new, |found| told(found));
    if worst > Verdict::Ok && bad.len() > 1 {
        text.push_str(&format!(" (and {} more: weather-balloon doctor)", bad.len() - 1));
    }
    (worst.into(), text, perfdata(&findings))
}

/// A figure out of its range is named where the words do not.
fn told(found: &Finding) -> String {
    let out = found.numbers.iter().filter(|number| number.verdict() > found.verdict);
    let figures: Vec<_> =
        out.map(|number| format!("{} is {}{}", number.label, number.value, number.unit)).collect();
    if figures.is_empty() {
        found.what.clone()
    } else {
        format!("{} ({})", found.what, figures.join(", "))
    }
}

fn perfdata(findings: &[Finding]) -> String {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut all = Vec::new();
    for number in findings.iter().flat_map(|found| &found.numbers) {
        let label: String =
            number.label.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let times = seen.entry(label.clone()).or_default();
        *times += 1;
        let label = if *times == 1 { label } else { format!("{label}_{times}") };
        all.push(figure(&label, number));
    }
    all.join(" ")
}

/// `label=value[unit];warn;crit;min`
fn figure(label: &str, number: &Number) -> String {
    let Number { value, unit, warn, fail, .. } = number;
    if unit == "c" {
        return format!("{label}={value}c");
    }
    let range =
        |range: &Option<crate::inspect::Range>| range.map(|r| r.to_string()).unwrap_or_default();
    let max = if unit == "%" { ";100" } else { "" };
    format!("{label}={value}{unit};{};{};0{max}", range(warn), range(fail))
}

fn report(state: State, text: &str, perfdata: &str) -> ExitCode {
    let (word, code) = state.told();
    // A bar in the text would begin the perfdata.
    let text = output::printable(text).replace('|', "/");
    let tail = if perfdata.is_empty() { String::new() } else { format!(" | {perfdata}") };
    // The exit code tells the verdict to a reader that is gone, too.
    let _ = output::print(format_args!("WEATHER-BALLOON {word} - {}{tail}", text.trim()));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Part, Range};

    fn args(part: &str, warning: Option<&str>, critical: Option<&str>) -> CheckArgs {
        let range = |text: Option<&str>| text.map(|text| text.parse::<Range>().unwrap());
        CheckArgs {
            part: part.to_owned(),
            warning: range(warning),
            critical: range(critical),
            timeout: 1,
        }
    }

    fn old(seconds: f64) -> Finding {
        Finding::ok(Part::Perfdata, "flow", "it flows")
            .number(
                Number::new("oldest", seconds, "s")
                    .limits(Range::above(900.0), Range::above(3600.0)),
            )
            .number(Number::new("lost", 3.0, "c"))
    }

    #[test]
    fn the_worst_speaks_and_all_are_counted() {
        let findings = vec![
            Finding::ok(Part::Nagios, "x", "fine").number(Number::new("time", 0.25, "s")),
            Finding::warn(Part::Hosts, "x", "so so").number(Number::count("watched", 3)),
            Finding::fail(Part::Carbon, "a", "refused").number(Number::new("time", 1.0, "s")),
            Finding::fail(Part::Disk, "b", "full").number(
                Number::new("free", 2.0, "%").limits(Range::below(10.0), Range::below(3.0)),
            ),
        ];
        let (state, text, perfdata) = judge(findings, &args(ALL, None, None));
        assert_eq!(state, State::Critical);
        assert_eq!(text, "refused (and 1 more: weather-balloon doctor)");
        assert_eq!(perfdata, "time=0.25s;;;0 watched=3;;;0 time_2=1s;;;0 free=2%;10:;3:;0;100");
    }

    #[test]
    fn thresholds_are_those_of_the_caller() {
        let judged = |seconds, warning, critical| {
            let (state, text, _) = judge(vec![old(seconds)], &args("perfdata", warning, critical));
            (state, text)
        };
        assert_eq!(judged(10.0, None, None), (State::Ok, "it flows".to_owned()));
        assert_eq!(judged(901.0, None, None).0, State::Warning);
        assert_eq!(
            judged(3601.0, None, None),
            (State::Critical, "it flows (oldest is 3601s)".to_owned())
        );
        assert_eq!(judged(10.0, Some("5"), None).0, State::Warning);
        assert_eq!(judged(10.0, Some("5"), Some("9")).0, State::Critical);
        assert_eq!(judged(9999.0, Some("~:"), Some("~:")).0, State::Ok);
        let (state, _, perfdata) = judge(vec![old(1.0)], &args("perfdata", Some("@0:5"), None));
        assert_eq!((state, perfdata.as_str()), (State::Warning, "oldest=1s;@5;3600;0 lost=3c"));
        let none =
            judge(vec![Finding::ok(Part::Carbon, "x", "off")], &args("carbon", Some("1"), None));
        assert_eq!(none.0, State::Unknown);
    }

    #[test]
    fn a_part_that_is_not_there_is_no_fault() {
        let (state, text, _) = judge(Vec::new(), &args("clouds", None, None));
        assert_eq!((state, text.as_str()), (State::Ok, "clouds is not part of this appliance"));
    }
}
