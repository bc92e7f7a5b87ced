//! `doctor` on a real set-up: all is well, and each fault is named.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs;

use common::appliance::{Appliance, BINARY, given};
use common::carbon::Carbon;
use common::cloud::{age_absences, hide, start, sync, wait_clock, wait_polled};
use common::nagios::{Nagios, Settings};
use common::openstack::OpenStack;
use common::verdicts::{faults, names};

#[test]
fn each_fault_is_named_and_none_where_all_is_well() {
    let mut nagios =
        Nagios::start_new(Settings { perfdata_interval: Some(1), ..Settings::default() });
    let carbon = Carbon::start();
    let conf = tempfile::Builder::new().prefix("wbd-").tempdir().unwrap();
    fs::set_permissions(conf.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let limit = |value: &str| {
        fs::write(
            conf.path().join("carbon.conf"),
            format!("[cache]\nMAX_CREATES_PER_MINUTE = {value}\n"),
        )
        .unwrap()
    };
    limit("inf");
    fs::write(
        conf.path().join("storage-schemas.conf"),
        "[nagios]\npattern = ^nagios\\.\nretentions = 10m:90d\n",
    )
    .unwrap();
    fs::set_permissions(nagios.spool(), std::os::unix::fs::PermissionsExt::from_mode(0o2770))
        .unwrap();
    let sections = format!(
        "[perfdata]\nspool = \"{}\"\n[carbon]\naddress = \"127.0.0.1:{}\"\nconfig_directory = \"{}\"\n",
        nagios.spool().display(),
        carbon.pickle_port,
        conf.path().display()
    );
    let mut appliance = Appliance::start_new(&nagios, "min_restart_interval = \"1s\"", &sections);
    appliance.client().replace_hosts(vec![given("vm-1", "127.0.0.1")], false).unwrap();
    appliance.wait_in_step();
    assert_eq!(faults(&appliance), []);

    limit("50");
    names(&appliance, "carbon", "creation limit", "WARN");
    limit("inf");
    fs::write(
        conf.path().join("storage-schemas.conf"),
        "[all]\npattern = .*\nretentions = 60s:1d\n",
    )
    .unwrap();
    names(&appliance, "carbon", "retention", "WARN");
    let address = format!("127.0.0.1:{}", carbon.pickle_port);
    drop(carbon);
    names(&appliance, "carbon", &address, "FAIL");
    nagios.edit("etc/nagios.cfg", |text| {
        text.replace("process_performance_data=1", "process_performance_data=0")
    });
    names(&appliance, "perfdata", "settings", "FAIL");
    nagios.edit("etc/nagios.cfg", |text| text.replace("cfg_dir=", "#cfg_dir="));
    names(&appliance, "nagios", "configuration", "FAIL");
    nagios.edit("etc/nagios.cfg", |text| text.replace("#cfg_dir=", "cfg_dir="));
    nagios.stop();
    names(&appliance, "nagios", "command FIFO", "FAIL");
    let _ = fs::remove_file(nagios.status_file());
    names(&appliance, "nagios", "status file", "FAIL");
    fs::remove_dir_all(nagios.spool()).unwrap();
    names(&appliance, "perfdata", "spool", "FAIL");

    // A host is followed to the first hop that is broken.
    let traced = appliance.cli(&["doctor", "vm-1"]);
    assert_eq!(traced.status.code(), Some(1));
    let said = String::from_utf8(traced.stderr).unwrap();
    assert_eq!(said.trim(), "The first broken hop of vm-1: nagios.");
    let traced = appliance.cli(&["doctor", "vm-2"]);
    assert!(String::from_utf8(traced.stderr).unwrap().contains("vm-2: source."));
    assert_eq!(appliance.cli(&["doctor", "a b"]).status.code(), Some(1));

    // Without the daemon that is said first, and the rest is looked at.
    appliance.stop();
    let found = faults(&appliance);
    assert_eq!((found[0].0.as_str(), found[0].2.as_str()), ("daemon", "FAIL"));
    assert!(found.iter().any(|(part, hop, _)| part == "nagios" && hop == "command FIFO"));
}

#[test]
fn faults_of_archive_ledger_and_clouds_are_named() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let ids: Vec<String> = (0..3).map(|_| fake.state().boot(Some("carol"), 1)).collect();
    let appliance = start(&nagios, &[("east", &fake)], "[archive]\nenabled = true");
    wait_polled(&appliance, "east");
    appliance.wait_in_step();
    assert_eq!(faults(&appliance), []);

    // The first hop of a cloud's host is the cloud.
    let traced = appliance.cli(&["doctor", &format!("east_{}", ids[0])]);
    assert!(String::from_utf8(traced.stdout).unwrap().contains("east was seen"));

    fake.meddle(|_, _, _, _| {
        common::openstack::Answer::json("401 Unauthorized", &serde_json::json!({})).steps()
    });
    sync(&appliance, "east").unwrap_err();
    names(&appliance, "clouds", "east", "FAIL");
    fake.behave();
    sync(&appliance, "east").unwrap();
    assert_eq!(faults(&appliance), []);

    let hidden = hide(&fake);
    hidden.lock().unwrap().extend(ids);
    sync(&appliance, "east").unwrap();
    wait_clock();
    age_absences(&appliance);
    sync(&appliance, "east").unwrap();
    names(&appliance, "brake", "east", "WARN");

    fs::write(appliance.path("state/metrics.db.damaged-2026-01-01T000000Z"), "x").unwrap();
    names(&appliance, "archive", "file", "WARN");
}

#[test]
fn the_manual_names_every_command_and_key() {
    let print = |words: &[&str]| {
        let output = std::process::Command::new(BINARY).args(words).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        String::from_utf8(output.stdout).unwrap().replace("\\-", "-")
    };
    let manual = print(&["man"]);
    for command in [
        "serve",
        "check-config",
        "hosts set",
        "hosts rollback",
        "metrics",
        "check",
        "doctor",
        "setup",
        "completions",
        "man",
    ] {
        assert!(
            manual.contains(&format!(".SS \"weather-balloon {command}")),
            "{command} is not in the manual"
        );
    }
    let keys = print(&["man", "weather-balloon.toml"]);
    for line in include_str!("../packaging/weather-balloon.toml").lines() {
        let line = line.trim_start_matches("# ");
        if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            assert!(keys.contains(&format!("{key} = ")), "{key} is not in the manual");
        }
    }
    for shell in ["bash", "zsh", "fish"] {
        let made = print(&["completions", shell]);
        assert!(made.contains("check-config") && made.contains("doctor"), "{shell}");
    }
}
