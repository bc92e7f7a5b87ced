//! The command line against the real daemon on a real Nagios.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use common::appliance::{Appliance, BINARY, fleet, given};
use common::http::{Step, Upstream, json, page};
use common::nagios::{Nagios, Settings};
use nix::sys::signal::Signal;
use serde_json::Value;

const QUICK: &str = "min_restart_interval = \"1s\"";

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn done(output: Output) -> Output {
    assert_eq!(output.status.code(), Some(0), "{} {}", out(&output), err(&output));
    output
}

#[track_caller]
fn told(output: Output) -> Value {
    serde_json::from_str(&out(&done(output))).unwrap()
}

#[test]
fn hosts_are_set_shown_and_compared() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let nothing = done(appliance.cli(&["hosts", "list"]));
    assert_eq!(
        (out(&nothing).trim(), err(&nothing).trim()),
        ("ID  ADDRESS  NAME  SOURCE", "No hosts were set yet.")
    );

    let list = appliance.path("list");
    fs::write(&list, "id,address,display_name\na,127.0.0.1,\"x; y\"\nb,::1,plain\n").unwrap();
    let list = list.display().to_string();
    let set = done(appliance.cli(&["hosts", "set", &list, "--wait"]));
    assert_eq!(out(&set).trim(), "Generation 1 with 2 hosts is live.");
    assert_eq!(err(&set).trim(), "Generation 1, 2 hosts. Nagios has read it.");
    assert_eq!(nagios.hosts()["a"]["display_name"], "x； y");

    let shown = done(appliance.cli(&["hosts", "list"]));
    let rows: Vec<Vec<_>> = out(&shown)
        .lines()
        .map(|row| {
            row.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect();
    assert_eq!(
        rows,
        [
            ["ID", "ADDRESS", "NAME", "SOURCE"],
            ["a", "127.0.0.1", "x； y", "rpc"],
            ["b", "::1", "plain", "rpc"]
        ]
    );
    let shown = told(appliance.cli(&["hosts", "list", "--output", "json"]));
    assert_eq!(shown["status"]["in_step"], true);
    let first = serde_json::json!({
        "id": "a", "display_name": "x； y", "given_name": "x; y", "address": "127.0.0.1",
        "source": "rpc", "watched": true,
    });
    assert_eq!((&shown["hosts"][0], shown["hosts"].as_array().unwrap().len()), (&first, 2));

    let text =
        r#" [{"id": "b", "address": "::2"}, {"id": "c", "display_name": "C", "address": "::3"}]"#;
    let diff = done(appliance.cli_reading(&["hosts", "diff", "-"], text));
    assert_eq!(out(&diff), "+ c ::3 C\n- a 127.0.0.1 x； y\n~ b ::2 b\n");
    assert_eq!(err(&diff).trim(), "1 added, 1 removed, 1 changed, 0 unchanged.");
    let diff = told(appliance.cli_reading(&["--output", "json", "hosts", "diff", "-"], text));
    assert_eq!((&diff["removed"][0]["id"], &diff["unchanged"]), (&"a".into(), &0.into()));

    let unix = format!("unix:{}", appliance.path("rpc.sock").display());
    let set = told(appliance.cli_reading(
        &["--output", "json", "--address", &unix, "hosts", "set", "-", "--wait", "--timeout", "1m"],
        text,
    ));
    assert_eq!(
        (&set["generation"]["generation"], &set["status"]["in_step"]),
        (&2.into(), &true.into())
    );
    assert_eq!(nagios.hosts()["b"]["address"], "::2");

    let history = out(&done(appliance.cli(&["hosts", "history"])));
    let lines: Vec<_> = history.lines().collect();
    assert!(lines[0].starts_with("GENERATION  STATE"), "{history}");
    assert!(lines[1].starts_with("2") && lines[1].contains("live"), "{history}");
    assert!(lines[2].starts_with("1") && lines[2].contains("superseded"), "{history}");
    let history = told(appliance.cli(&["--output=json", "hosts", "history", "--limit", "1"]));
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert!(history[0]["proved"].as_i64() >= history[0]["live"].as_i64());

    // The same set once more is the same generation.
    let again = done(appliance.cli_reading(&["hosts", "set", "-"], text));
    assert_eq!(out(&again).trim(), "Generation 2 with 2 hosts is live.");
}

#[test]
fn what_is_wrong_is_said_and_told_by_the_exit_code() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "[archive]\nenabled = false");
    let bad = "id,address\na b,::1\nok,$(id)\nx,::1\nx,::2\n";
    for (words, input, code, parts) in [
        (
            &["hosts", "set", "-"][..],
            bad,
            1,
            &[
                "3 faults in the list of hosts",
                "host 0: id \"a b\"",
                "host 1: address",
                "host 3: id \"x\" is there twice",
            ][..],
        ),
        (&["hosts", "diff", "-"], bad, 1, &["3 faults in the list of hosts"]),
        (
            &["hosts", "set", "-"],
            "name\nx\n",
            1,
            &["standard input is no list of hosts", "names no column \"id\""],
        ),
        (&["hosts", "set", "/no/such/file"], "", 1, &["cannot read /no/such/file"]),
        (&["metrics", "a b"], "", 1, &["the host name \"a b\""]),
        (&["metrics", "a"], "", 75, &["[graphite] url"]),
        (&["metrics", "a", "--source", "archive"], "", 75, &["the archive is off"]),
        (&["metrics", "a", "--source", "graphite"], "", 75, &["set [graphite] url"]),
        (&["metrics", "prune", "--gone"], "", 75, &["the archive is off"]),
        (&["metrics", "prune"], "", 2, &["<HOST>"]),
        (&["metrics", "import-whisper", "/no/such"], "", 1, &["the archive is off"]),
        (&["metrics", "a", "--from", "yesterday"], "", 1, &["\"yesterday\" is no time"]),
        (&["--address", "nonsense", "hosts", "list"], "", 2, &["is no address of the daemon"]),
        (
            &["--address", "unix:/no/such/socket", "hosts", "list"],
            "",
            75,
            &["cannot reach the daemon"],
        ),
        (&["hosts", "set"], "", 2, &["<FILE>"]),
        (&["hosts", "rollback", "one"], "", 2, &["invalid value 'one'"]),
        (&["hosts", "set", "check", "--bogus"], "", 2, &["--bogus"]),
        (&["hosts", "set", "-", "--timeout", "5s"], "", 2, &["--wait"]),
        (&["usage", "top", "--from", "yesterday"], "", 1, &["\"yesterday\" is no time"]),
        (&["usage", "top", "--from", "now"], "", 1, &["it must begin before it ends"]),
        (&["usage", "top", "--staff", "--no-staff"], "", 2, &["--no-staff"]),
        (&["usage", "top", "--limit=-1"], "", 2, &["invalid value '-1'"]),
        (&["hosts", "list", "--output", "csv"], "", 2, &["csv goes with `usage` only"]),
        (&["launch"], "", 2, &["unrecognized subcommand 'launch'"]),
        (&[], "", 2, &["Usage: weather-balloon"]),
    ] {
        let output = appliance.cli_reading(words, input);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{words:?}");
        for part in parts {
            assert!(err(&output).contains(part), "{part:?} is not in {:?}", err(&output));
        }
    }
    assert_eq!(appliance.client().get_history(0).unwrap().len(), 0);
}

#[test]
fn a_reader_that_leaves_early_is_no_fault() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    appliance.client().replace_hosts(fleet(3000), false).unwrap();
    for words in [&["hosts", "list"][..], &["--output", "json", "hosts", "list"]] {
        let mut command = appliance.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", err(&ended));
        assert!(!err(&ended).contains("panicked"));
    }
}

#[test]
fn wait_tells_of_a_generation_that_was_put_back() {
    let mut nagios = Nagios::start_new(Settings::default());
    let yes = nagios.path("yes");
    fs::write(&yes, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&yes, Permissions::from_mode(0o755)).unwrap();
    let keys = format!("{QUICK}\nbinary = \"{}\"", yes.display());
    let appliance = Appliance::start_new(&nagios, &keys, "");
    appliance.client().replace_hosts(vec![given("good", "::1")], false).unwrap();
    appliance.wait_in_step();
    nagios.edit("etc/nagios.cfg", |text| {
        text.replace("illegal_object_name_chars=", "illegal_object_name_chars=@")
    });
    let failed = appliance.cli_reading(&["hosts", "set", "-", "--wait"], "id,address\na@b,::1\n");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(out(&failed), "");
    assert!(
        err(&failed).contains("generation 2 was live on disk and was put back: "),
        "{}",
        err(&failed)
    );
    assert!(err(&failed).contains("a@b"), "{}", err(&failed));
    nagios.wait_ended();
    let list = err(&done(appliance.cli(&["hosts", "list"])));
    assert!(list.contains("the last good hosts are back: start Nagios"), "{list}");

    // And of one that Nagios does not get to read in time.
    let words = ["hosts", "set", "-", "--wait", "--timeout", "2s"];
    let late = appliance.cli_reading(&words, "id,address\nc,::1\n");
    assert_eq!(late.status.code(), Some(1));
    assert!(
        err(&late).contains("generation 3 is live on disk, but Nagios has not read it within 2s"),
        "{}",
        err(&late)
    );
}

const ANSWER: &str = r#"[
    {"target": "nagios.h.load.load1", "datapoints": [[1.5, 1800000000], [null, 1800000600], [3, 1800001200]]},
    {"target": "nagios.h.ping.rta", "datapoints": [[0.25, 1800000000]]}
]"#;

#[test]
fn metrics_are_listed_and_drawn() {
    let nagios = Nagios::start_new(Settings::default());
    let upstream = Upstream::saying(vec![Step::Send(json(ANSWER))]);
    let graphite = format!("[graphite]\nurl = \"{}\"", upstream.url());
    let appliance = Appliance::start_new(&nagios, QUICK, &graphite);

    let table = out(&done(appliance.cli(&["metrics", "h"])));
    let rows: Vec<_> =
        table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        rows,
        [
            "METRIC TIME (UTC) VALUE",
            "load.load1 2027-01-15 08:00:00 1.5",
            "load.load1 2027-01-15 08:20:00 3",
            "ping.rta 2027-01-15 08:00:00 0.25",
        ]
    );
    let words = [
        "--output",
        "json",
        "metrics",
        "h",
        "*.*",
        "--from",
        "2027-01-15",
        "--until",
        "2027-01-16",
        "--points",
        "50",
    ];
    let series = told(appliance.cli(&words));
    assert_eq!(
        series,
        serde_json::json!([
            {"metric": "load.load1", "points": [[1_800_000_000, 1.5], [1_800_000_600, null], [1_800_001_200, 3.0]]},
            {"metric": "ping.rta", "points": [[1_800_000_000, 0.25]]},
        ])
    );
    let asked = &upstream.requests()[1].body;
    assert!(asked.ends_with("&from=1799971200&until=1800057600&maxDataPoints=50"), "{asked}");

    let plot = out(&done(appliance.cli(&["metrics", "h", "--plot"])));
    for part in [
        "load.load1  (newest 3)",
        "│▁▁█",
        "2027-01-15 08:00:00 to 2027-01-15 08:20:00 UTC",
        "ping.rta  (newest 0.25)",
    ] {
        assert!(plot.contains(part), "{part:?} is not in:\n{plot}");
    }
    assert!(plot.lines().all(|line| line.chars().count() <= 80), "{plot}");

    let empty = Upstream::saying(vec![Step::Send(json("[]"))]);
    let broken = Upstream::saying(vec![Step::Send(page("500 Oh", "text/plain", "no"))]);
    appliance.configure(&nagios, QUICK, &format!("[graphite]\nurl = \"{}\"", empty.url()));
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 1);
    let none = done(appliance.cli(&["metrics", "h", "no.such"]));
    assert_eq!(err(&none).trim(), "Nothing is known of h no.such.");
    appliance.configure(&nagios, QUICK, &format!("[graphite]\nurl = \"{}\"", broken.url()));
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 2);
    let failed = appliance.cli(&["metrics", "h"]);
    assert_eq!((failed.status.code(), out(&failed).as_str()), (Some(75), ""));
    assert!(err(&failed).contains("500"), "{}", err(&failed));
}

#[test]
fn every_command_explains_itself() {
    for words in [
        &[][..],
        &["serve"],
        &["check-config"],
        &["hosts"],
        &["hosts", "list"],
        &["hosts", "set"],
        &["hosts", "diff"],
        &["hosts", "history"],
        &["hosts", "rollback"],
        &["metrics"],
        &["usage"],
        &["usage", "top"],
        &["usage", "user"],
        &["metrics", "prune"],
        &["metrics", "import-whisper"],
        &["check"],
        &["doctor"],
        &["setup"],
        &["completions"],
        &["man"],
    ] {
        let output = std::process::Command::new(BINARY).args(words).arg("--help").output().unwrap();
        // To Nagios a plugin's help is no good news.
        let code = if words == ["check"] { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        let help = out(&output);
        let usage = [&["Usage: weather-balloon"], words].concat().join(" ");
        assert!(help.contains(&usage), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        // A command's own options come first, and none is without words.
        let (own, common) = help.split_once("\nCommon options:\n").unwrap();
        assert!(own.contains("-h, --help") && common.contains("--config <FILE>"), "{help}");
        let lines: Vec<_> = help.lines().collect();
        for pair in lines.windows(2) {
            let bare = pair[0].trim().starts_with("--") && !pair[0].trim().contains("  ");
            assert!(!bare || pair[1].starts_with("          "), "{:?} says nothing", pair[0]);
        }
    }
}
