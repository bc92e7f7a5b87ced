//! The appliance as a Nagios plugin: what it says whatever happens. That it
//! says of each part's faults what doctor does is shown in tests/doctor*.rs.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use common::appliance::{Appliance, BINARY, fleet};
use common::nagios::{Account, Nagios, Settings, wait_until};
use common::verdicts::{PARTS, check, grammatical};
use nix::sys::signal::Signal;

const QUICK: &str = "min_restart_interval = \"1s\"";

#[test]
fn the_plugin_says_one_line_whatever_happens() {
    let mut nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, QUICK, "[archive]\nenabled = false");
    let (code, line) = check(&appliance, &["hosts"]);
    assert_eq!(
        (code, line.as_str()),
        (0, "WEATHER-BALLOON OK - no hosts were set yet | watched=0;;;0 unwatched=0;;;0")
    );
    appliance.client().replace_hosts(fleet(3), false).unwrap();
    appliance.wait_in_step();
    let watched = "3 hosts of generation 1 are watched";
    let hosts = "watched=3;;;0 unwatched=0;;;0";
    for (part, text, numbers) in [
        ("hosts", watched, hosts),
        ("sync", "Nagios has read the newest hosts", "out_of_step=0;;;0 restarts=1c"),
        ("brake", "no change is held", "held=0;;;0"),
    ] {
        let expected = format!("WEATHER-BALLOON OK - {text} | {numbers}");
        assert_eq!(check(&appliance, &[part]), (0, expected));
    }
    let (code, line) = check(&appliance, &["all"]);
    assert!(code == 0 && line.starts_with(&format!("WEATHER-BALLOON OK - {watched} | ")), "{line}");
    for part in PARTS {
        let (code, line) = check(&appliance, &[part]);
        assert!(code == 0, "{part}: {line}");
    }
    for (words, expected) in [
        (&["hosts", "-w", "2"][..], 1),
        (&["hosts", "-c", "2"], 2),
        (&["hosts", "-w", "3", "-c", "@1:2"], 0),
        (&["hosts", "-w", "4:", "-t", "5"], 1),
    ] {
        let (code, line) = check(&appliance, words);
        assert!(code == expected, "{words:?}: {line}");
    }
    for wrong in [
        &["--bogus"][..],
        &["nothing"],
        &["all", "all"],
        &["all", "-w", "1"],
        &["hosts", "-w", "x"],
        &["hosts", "-t", "0"],
        &["hosts", "-w", ":"],
        &["hosts", "-c", "9:1"],
        &["hosts", "-t", "601"],
        &["carbon", "-w", "1"],
        &["--output", "csv", "--bogus", "x"],
        &["--address", "nonsense"],
        &["--config"],
    ] {
        let (code, line) = check(&appliance, wrong);
        assert!(code == 3, "{wrong:?}: {line}");
    }
    nagios.stop();
    appliance.client().replace_hosts(fleet(4), false).unwrap();
    appliance.wait_trouble("start it");
    let (code, line) = check(&appliance, &[]);
    assert_eq!(code, 2);
    assert!(line.starts_with("WEATHER-BALLOON CRITICAL - nobody reads the command FIFO"), "{line}");
    assert_eq!(check(&appliance, &["hosts"]).0, 0);

    appliance.pause();
    let (code, line) = check(&appliance, &["-t", "2"]);
    assert_eq!((code, line.as_str()), (3, "WEATHER-BALLOON UNKNOWN - no answer within 2 s"));
    appliance.signal(Signal::SIGCONT);
    appliance.stop();
    let (code, line) = check(&appliance, &[]);
    assert!(code == 2 && line.contains("cannot reach the daemon"), "{line}");
    fs::write(appliance.config(), "[rpc\n").unwrap();
    let (code, line) = check(&appliance, &[]);
    assert!(code == 2 && line.contains("is not TOML"), "{line}");
}

#[test]
fn nagios_shows_what_its_own_check_of_us_says() {
    let dir = tempfile::Builder::new().prefix("wbc-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let script = dir.path().join("check-self");
    let nagios =
        Nagios::new(Settings { checks: true, check_self: script.clone(), ..Settings::default() });
    let appliance = Appliance::new(&nagios, QUICK, "");
    let config = appliance.config();
    fs::write(&script, format!("#!/bin/sh\nexec {BINARY} --config {} \"$@\"\n", config.display()))
        .unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let (mut nagios, mut appliance) = (nagios, appliance);
    nagios.start();
    appliance.start();
    let wait_shown = |key: &str, words: &str| {
        wait_until(&format!("{key} with {words:?} in Nagios"), || {
            let status = fs::read(nagios.status_file()).unwrap_or_default();
            let text = String::from_utf8_lossy(&status);
            let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(key));
            values.any(|value| value.contains(words)).then_some(())
        });
    };
    wait_shown("plugin_output=", "WEATHER-BALLOON OK - no hosts were set yet");
    wait_shown("performance_data=", "watched=0;;;0 unwatched=0;;;0");
    appliance.stop();
    wait_shown("plugin_output=", "WEATHER-BALLOON CRITICAL - cannot reach the daemon");
}

/// Where no thread can be started, tokio panics in the middle of the check.
#[test]
fn a_panic_is_unknown_and_not_critical() {
    let dir = tempfile::Builder::new().prefix("wbc-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let config = dir.path().join("weather-balloon.toml");
    fs::write(&config, "").unwrap();
    let mut command = Command::new("prlimit");
    command.args(["--nproc=0", BINARY, "--config"]).arg(&config).arg("check");
    // Root is not held to that limit.
    Account::of_nagios().apply(&mut command);
    let output = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{line}");
    assert!(grammatical(line.trim_end_matches('\n'), 3), "{line:?}");
    assert!(line.contains("the check itself could not go on"), "{line}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_cannot_be_asked_is_unknown_and_what_does_not_answer_critical() {
    let dir = tempfile::Builder::new().prefix("wbc-").tempdir_in("/tmp").unwrap();
    let config = dir.path().join("weather-balloon.toml");
    let checked = |text: &str| {
        fs::write(&config, text).unwrap();
        let output = Command::new(BINARY).arg("--config").arg(&config).arg("check").output();
        let output = output.unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        let code = output.status.code().unwrap();
        assert!(grammatical(line.trim_end_matches('\n'), code), "{line:?}");
        (code, line)
    };
    let (code, line) = checked("[rpc]\nlisten = [\"unix:/no/such/socket\"]\n");
    assert!(code == 2 && line.contains("is weather-balloon running?"), "{line}");
    let (code, line) = checked("[rpc]\nlisten = [\"unix:no|where\"]\n[nagios]\nmax_hosts = 0\n");
    assert!(code == 2 && line.contains("has 2 faults"), "{line}");
    let tls = "[rpc]\nlisten = [\"tls:127.0.0.1:1\"]\ntls = { cert_file = \"/c\", key_file = \"/k\", client_ca_file = \"/a\" }\n";
    let (code, line) = checked(tls);
    assert!(code == 3 && line.contains("no address that this command can use"), "{line}");
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    let output = Command::new(BINARY).arg("--config").arg(&config).arg("check").output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(3) && grammatical(line.trim_end(), 3), "{line:?}");
    for help in ["--help", "-h", "--version", "-V"] {
        let output = Command::new(BINARY).args(["check", help]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{help}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{help}");
    }
}
