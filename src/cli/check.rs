//! The appliance as a Nagios plugin: one line, exit 0, 1, 2 or 3 and nothing
//! else. Conventions: the Monitoring Plugins Development Guidelines.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use crate::config;
use crate::inspect::{Finding, Number, Range, Verdict};
use crate::rpc::client;

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
            State::Unknown => ("UNKNOWN", UNKNOWN),
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

/// What Nagios is told.
struct Line {
    state: State,
    text: String,
    perfdata: String,
}

const ALL: &str = "all";
/// Nothing is known: the question itself is wrong.
pub const UNKNOWN: u8 = 3;
/// Nagios keeps 8 KiB of a plugin's output, and the figures are to be in it.
const MAX_TEXT: usize = 1000;
/// So that one clock alone says that it is too late.
const LENIENCE: u32 = 2;

impl Line {
    fn unknown(text: impl Into<String>) -> Self {
        Self { state: State::Unknown, text: text.into(), perfdata: String::new() }
    }

    /// `WEATHER-BALLOON STATE - text[ | figures]`
    fn told(&self) -> String {
        let tail = match self.perfdata.as_str() {
            "" => String::new(),
            figures => format!(" | {figures}"),
        };
        format!("WEATHER-BALLOON {} - {}{tail}", self.state.told().0, plain(&self.text))
    }

    fn report(&self) -> ExitCode {
        // The exit code tells the verdict to a reader that is gone, too.
        let _ = output::print(self.told());
        ExitCode::from(self.state.told().1)
    }
}

/// A bar in the text would begin the figures, and who is notified gets the text
/// by way of a shell.
fn plain(text: &str) -> String {
    let shown = output::printable(text).replace('|', "/").replace(['"', '`'], "'");
    let shown = shown.trim();
    match shown.char_indices().nth(MAX_TEXT) {
        None => shown.to_owned(),
        Some((end, _)) => format!("{}...", &shown[..end]),
    }
}

/// Takes the process over.
pub fn run(cli: Cli, args: CheckArgs) -> ExitCode {
    // The words of a panic would be a second line, on stderr.
    std::panic::set_hook(Box::new(|_| {}));
    guarded(|| answer(cli, &args)).report()
}

/// For what is wrong with the question itself.
pub fn unknown(text: &str) -> ExitCode {
    Line::unknown(text).report()
}

/// A panic must not reach Nagios: to it the exit code of one is CRITICAL.
fn guarded(work: impl FnOnce() -> Line) -> Line {
    // All that the work has touched ends with it.
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| panicked())
}

fn panicked() -> Line {
    Line::unknown(
        "the check itself could not go on: this is a bug of weather-balloon, or this user may start no more threads",
    )
}

fn answer(cli: Cli, args: &CheckArgs) -> Line {
    if args.part == ALL && (args.warning.is_some() || args.critical.is_some()) {
        return Line::unknown("-w and -c are about the first figure of one part: name the part");
    }
    match ask(cli, args.part.clone(), Duration::from_secs(args.timeout)) {
        Asked::Answered(findings) => judge(findings, args),
        Asked::Failed(fault) => {
            Line { state: weight(&fault), text: format!("{fault:#}"), perfdata: String::new() }
        }
        Asked::TooLate => Line::unknown(format!("no answer within {} s", args.timeout)),
        Asked::Panicked => panicked(),
    }
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
            let mut client = connect_within(&cli, limit * LENIENCE, limit * LENIENCE)?;
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

/// A daemon that does not answer and a file that it could not start with are
/// CRITICAL. A question that cannot be put tells nothing of the appliance.
fn weight(fault: &anyhow::Error) -> State {
    match (fault.downcast_ref(), fault.downcast_ref()) {
        (Some(client::Error::Address(_) | client::Error::BadQuestion(_)), _)
        | (_, Some(config::Error::Read { .. }))
        | (None, None) => State::Unknown,
        (Some(_), _) | (_, Some(_)) => State::Critical,
    }
}

/// The worst finding speaks for all; each gives its perfdata.
fn judge(mut findings: Vec<Finding>, args: &CheckArgs) -> Line {
    if let Some(number) = findings.iter_mut().flat_map(|found| &mut found.numbers).next() {
        number.warn = args.warning.or(number.warn);
        number.fail = args.critical.or(number.fail);
    } else if args.warning.is_some() || args.critical.is_some() {
        return Line::unknown(format!("{} has no figure for -w and -c now", args.part));
    }
    let Some(worst) = findings.iter().map(Finding::overall).max() else {
        let text = format!("{} is not part of this appliance", args.part);
        return Line { state: State::Ok, text, perfdata: String::new() };
    };
    let bad: Vec<_> = findings.iter().filter(|found| found.overall() == worst).collect();
    // When all is well, the hosts are what there is to tell.
    let speaker =
        bad.iter().find(|found| worst == Verdict::Ok && found.part == "hosts").or(bad.first());
    let mut text = speaker.map_or_else(String::new, |found| told(found));
    if worst > Verdict::Ok && bad.len() > 1 {
        text.push_str(&format!(" (and {} more: weather-balloon doctor)", bad.len() - 1));
    }
    Line { state: worst.into(), text, perfdata: perfdata(&findings) }
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

/// `label=value[unit];warn;crit;min;max`. A value that cannot be told is `U`.
fn figure(label: &str, number: &Number) -> String {
    let Number { value, unit, warn, fail, .. } = number;
    let value = if value.is_finite() { format!("{value}{unit}") } else { "U".to_owned() };
    if unit == "c" {
        return format!("{label}={value}");
    }
    let range = |range: &Option<Range>| range.map(|r| r.to_string()).unwrap_or_default();
    let max = if unit == "%" { ";100" } else { "" };
    format!("{label}={value};{};{};0{max}", range(warn), range(fail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Part;

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
        assert_eq!(
            judge(findings, &args(ALL, None, None)).told(),
            "WEATHER-BALLOON CRITICAL - refused (and 1 more: weather-balloon doctor) | \
             time=0.25s;;;0 watched=3;;;0 time_2=1s;;;0 free=2%;10:;3:;0;100"
        );
    }

    #[test]
    fn thresholds_are_those_of_the_caller() {
        let judged = |seconds, warning, critical| {
            let line = judge(vec![old(seconds)], &args("perfdata", warning, critical));
            (line.state, line.text)
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
        let line = judge(vec![old(1.0)], &args("perfdata", Some("@0:5"), None));
        assert_eq!(
            (line.state, line.perfdata.as_str()),
            (State::Warning, "oldest=1s;@5;3600;0 lost=3c")
        );
        let none =
            judge(vec![Finding::ok(Part::Carbon, "x", "off")], &args("carbon", Some("1"), None));
        assert_eq!(none.state, State::Unknown);
    }

    #[test]
    fn a_part_that_is_not_there_is_no_fault() {
        let line = judge(Vec::new(), &args("clouds", None, None));
        assert_eq!(line.told(), "WEATHER-BALLOON OK - clouds is not part of this appliance");
    }

    #[test]
    fn a_panic_is_unknown() {
        let line = guarded(|| panic!("in the middle of it"));
        assert_eq!(line.state, State::Unknown);
        assert!(line.told().starts_with("WEATHER-BALLOON UNKNOWN - the check itself could not"));
        let nan = vec![old(f64::NAN)];
        assert!(guarded(|| judge(nan, &args("perfdata", None, None))).told().contains("oldest=U;"));
    }

    /// Whatever a finding says, of each part: one line, four states, and no
    /// character that Nagios or a shell takes for more than text.
    #[test]
    fn every_part_with_every_fault_is_one_line() {
        let long = "x".repeat(20_000);
        let texts = ["plain", "a|b\nc", "\"quoted\" `run` \u{1b}[2J", "  ends \r\n", &long];
        let values = [0.0, -3.0, 1e21, 0.1, f64::NAN, f64::INFINITY];
        let makes: [fn(Part, &str, String) -> Finding; 3] =
            [Finding::ok, Finding::warn, Finding::fail];
        let states = ["OK", "WARNING", "CRITICAL"];
        for part in Part::ALL {
            for (make, state) in makes.iter().zip(states) {
                for (text, value) in texts.iter().flat_map(|t| values.map(|v| (t, v))) {
                    let found = make(part, "hop", (*text).to_owned())
                        .number(Number::new("a b|c", value, "s"));
                    let line = guarded(|| judge(vec![found], &args(part.name(), None, None)));
                    let told = line.told();
                    let head = format!("WEATHER-BALLOON {state} - ");
                    assert!(told.starts_with(&head), "{told}");
                    let (text, figures) = told[head.len()..].split_once(" | ").unwrap();
                    assert!(!text.is_empty() && !text.contains(['|', '"', '`']), "{text}");
                    assert!(!told.contains(|c: char| c.is_control()), "{told}");
                    assert!(figures.starts_with("abc=") && !figures.contains([' ', '|']));
                    assert!(told.len() < 2048, "Nagios would cut the figures off");
                }
            }
        }
    }
}
