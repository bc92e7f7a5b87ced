//! What doctor and check say of an appliance, and that they agree.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use serde_json::Value;

use super::appliance::Appliance;
use super::nagios::wait_until;

pub const PARTS: [&str; 13] = [
    "nagios",
    "hosts",
    "sync",
    "brake",
    "perfdata",
    "carbon",
    "graphite",
    "archive",
    "store",
    "clouds",
    "directory",
    "clock",
    "disk",
];

/// One line of doctor.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub part: String,
    pub hop: String,
    pub state: String,
    pub what: String,
    pub fix: String,
}

impl Told {
    fn code(&self) -> i32 {
        ["OK", "WARN", "FAIL"].iter().position(|state| *state == self.state).unwrap() as i32
    }
}

/// Every line, and whether it exits 0. A line that is not OK has its fix.
pub fn doctor(appliance: &Appliance) -> (Vec<Told>, bool) {
    let output = appliance.cli(&["doctor", "--output", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let lines = told["findings"].as_array().unwrap().iter().map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let (part, hop, state) = (text("part"), text("hop"), text("state"));
        let line = Told { part, hop, state, what: text("what"), fix: text("fix") };
        assert_eq!(line.fix.is_empty(), line.state == "OK", "{line:?}");
        line
    });
    let lines: Vec<_> = lines.collect();
    let sound = output.status.success();
    assert_eq!(sound, lines.iter().all(|line| line.state != "FAIL"));
    (lines, sound)
}

/// What is not OK, as part, hop and state.
pub fn faults(appliance: &Appliance) -> Vec<(String, String, String)> {
    let bad = doctor(appliance).0.into_iter().filter(|line| line.state != "OK");
    bad.map(|line| (line.part, line.hop, line.state)).collect()
}

/// The plugin's one line and its code.
#[track_caller]
pub fn check(appliance: &Appliance, words: &[&str]) -> (i32, String) {
    let output = appliance.cli(&[&["check"], words].concat());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    let (code, line) = (output.status.code().unwrap(), line.trim_end().to_owned());
    assert!(grammatical(&line, code), "{code}: {line}");
    (code, line)
}

/// `WEATHER-BALLOON STATE - text[ | label=value[unit];warn;crit;min;max ...]`
pub fn grammatical(line: &str, code: i32) -> bool {
    let Some(rest) = line.strip_prefix("WEATHER-BALLOON ") else { return false };
    let Some((state, rest)) = rest.split_once(" - ") else { return false };
    let (text, perfdata) = rest.split_once(" | ").unwrap_or((rest, ""));
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
        plain && text.parse::<f64>().is_ok()
    };
    let range = |text: &str| {
        let text = text.strip_prefix('@').unwrap_or(text);
        let (from, to) = text.split_once(':').map_or((None, text), |(from, to)| (Some(from), to));
        from.is_none_or(|from| from == "~" || number(from))
            && (number(to) || to.is_empty() && from.is_some())
    };
    let figure = |figure: &str| {
        let Some((label, rest)) = figure.split_once('=') else { return false };
        let mut fields = rest.split(';');
        let value = fields.next().unwrap_or_default();
        let bare = value.strip_suffix(['s', 'B', '%', 'c']).unwrap_or(value);
        let limits: Vec<_> = fields.collect();
        label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
            && !label.is_empty()
            && (value == "U" || number(bare))
            && limits.len() <= 4
            && limits.iter().take(2).all(|limit| limit.is_empty() || range(limit))
            && limits.iter().skip(2).all(|limit| limit.is_empty() || number(limit))
    };
    ["OK", "WARNING", "CRITICAL", "UNKNOWN"].iter().position(|one| *one == state)
        == usize::try_from(code).ok()
        && !text.trim().is_empty()
        && !text.contains(['|', '"', '`'])
        && !line.contains(|c: char| c.is_control())
        && line.len() < 4096
        && (perfdata.is_empty() || perfdata.split(' ').all(figure))
}

/// Doctor's line about the hop is in this state; check says of each part what
/// doctor does, in one line.
#[track_caller]
pub fn names(appliance: &Appliance, part: &str, hop: &str, state: &str) -> Told {
    let found = wait_until(&format!("{part}, {hop}: {state}"), || {
        let (lines, _) = doctor(appliance);
        lines.into_iter().find(|line| {
            (line.part.as_str(), line.hop.as_str(), line.state.as_str()) == (part, hop, state)
        })
    });
    let (code, _) = check(appliance, &[part]);
    assert!(code >= found.code(), "check {part} says {code} where doctor says {found:?}");
    // What is looked at twice may have changed in between.
    wait_until("doctor and check to agree about every part", || {
        let (lines, _) = doctor(appliance);
        let agrees = |part: &str| {
            let of_part = lines.iter().filter(|line| line.part == part);
            check(appliance, &[part]).0 == of_part.map(Told::code).max().unwrap_or(0)
        };
        PARTS.into_iter().all(agrees).then_some(())
    });
    let worst = doctor(appliance).0.iter().map(Told::code).max().unwrap();
    assert!(check(appliance, &["all"]).0 >= worst.min(1));
    found
}

/// The same, with these words in what is wrong and in what to do.
#[track_caller]
pub fn says(appliance: &Appliance, line: [&str; 3], what: &str, fix: &str) {
    let found = names(appliance, line[0], line[1], line[2]);
    assert!(found.what.contains(what), "{what:?} is not in {found:?}");
    assert!(found.fix.contains(fix), "{fix:?} is not in {found:?}");
}
