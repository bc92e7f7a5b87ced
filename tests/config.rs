//! The configuration file: what is shipped, and what faults are told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use serde::de::DeserializeOwned;
use weather_balloon::cloud;
use weather_balloon::config::{Config, Error};
use weather_balloon::directory;
use weather_balloon::providers::{ec2, openstack};
use weather_balloon::{
    archive, carbon, graphite, hosts, listen, nagios, perfdata, rpc, state, store, telemetry,
};

const SHIPPED: &str = include_str!("../packaging/weather-balloon.toml");

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(Path::new("test.toml"), text)
}

#[test]
fn the_shipped_file_says_the_defaults() {
    assert_eq!(parse(SHIPPED).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

/// serde names every key it knows when it meets one that it does not.
fn known_keys<T: DeserializeOwned>() -> BTreeSet<String> {
    let Err(fault) = toml::from_str::<T>("no_such_key = 1") else {
        panic!("unknown keys are not refused");
    };
    let (_, expected) = fault.message().split_once("expected").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys of a section of the shipped file, commented ones too.
fn documented_keys(section: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut keys = BTreeSet::new();
    for line in SHIPPED.lines() {
        let line = line.trim_start_matches("# ");
        if line.starts_with('[') {
            inside = line == format!("[{section}]");
        } else if inside && let Some((key, _)) = line.split_once(" = ") {
            keys.insert(key.to_owned());
        }
    }
    keys
}

#[test]
fn the_shipped_file_documents_every_key() {
    let mut rpc = known_keys::<rpc::Config>();
    assert!(rpc.remove("tls"), "[rpc.tls] is a section of its own");
    assert_eq!(documented_keys("rpc"), rpc);
    assert_eq!(documented_keys("rpc.tls"), known_keys::<listen::TlsConfig>());
    let both =
        known_keys::<nagios::Config>().union(&known_keys::<hosts::Config>()).cloned().collect();
    assert_eq!(documented_keys("nagios"), both);
    assert_eq!(known_keys::<hosts::Config>(), hosts::Config::KEYS.map(str::to_owned).into());
    assert_eq!(documented_keys("brake"), known_keys::<hosts::BrakeConfig>());
    assert_eq!(documented_keys("graphite"), known_keys::<graphite::Config>());
    assert_eq!(documented_keys("perfdata"), known_keys::<perfdata::Config>());
    assert_eq!(documented_keys("carbon"), known_keys::<carbon::Config>());
    assert_eq!(documented_keys("archive"), known_keys::<archive::Config>());
    assert_eq!(documented_keys("state"), known_keys::<state::Config>());
    assert_eq!(documented_keys("store"), known_keys::<store::Config>());
    assert_eq!(documented_keys("log"), known_keys::<telemetry::Config>());
    assert_eq!(documented_keys("directory"), known_keys::<directory::Config>());
    let common = known_keys::<cloud::Config>();
    assert_eq!(common, cloud::Config::KEYS.map(str::to_owned).into());
    let known: BTreeSet<_> = [known_keys::<openstack::Config>(), known_keys::<ec2::Config>()]
        .into_iter()
        .flatten()
        .chain(common.iter().cloned())
        .collect();
    let documented = documented_keys("[cloud]");
    assert!(documented.is_superset(&common) && documented.is_subset(&known), "{documented:?}");
}

#[test]
fn every_fault_is_told_at_once() {
    let fault = parse(
        r#"
        colour = "red"
        [rpc]
        listen = ["0.0.0.0:8000"]
        max_mesage = "1MiB"
        [nagios]
        config = "nagios.cfg"
        max_hosts = "many"
        confirm_timeout = "soon"
        flavour = 1
        [brake]
        max_removed_percent = 101
        [log]
        level = "loud=very=so"
        [grafite]
        url = "x"
        "#,
    )
    .unwrap_err();
    let told = fault.to_string();
    for part in [
        "test.toml has",
        "[colour]: there is no such key",
        "[grafite]: there is no such section",
        "[rpc] max_mesage: unknown field `max_mesage`",
        "[nagios] max_hosts: invalid type",
        "[nagios] confirm_timeout: ",
        "[nagios] flavour: unknown field `flavour`",
        "[brake] max_removed_percent: 101 is more than 100 percent",
        "[log] level: ",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn faults_of_sense_are_told_at_once_too() {
    let told = parse(
        r#"
        [rpc]
        listen = ["0.0.0.0:8000"]
        [nagios]
        config = "nagios.cfg"
        min_restart_interval = "1ms"
        [graphite]
        url = "ftp://x"
        [archive]
        keep = "1h"
        [state]
        directory = "here"
        "#,
    )
    .unwrap_err()
    .to_string();
    for part in [
        "[rpc] listen: ",
        "[nagios] config: ",
        "[nagios] min_restart_interval: ",
        "[graphite] url: ",
        "[archive] keep: ",
        "[state] directory: ",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn what_a_reload_cannot_change_is_named() {
    let with = |text: &str| parse(text).unwrap();
    let plain = with("");
    assert!(plain.archive_is_on());
    assert_eq!(plain.needs_restart(&with("[archive]\nkeep = \"30d\"")), ["[archive]"]);
    assert_eq!(plain.needs_restart(&with("[graphite]\nprefix = \"x\"")), ["[archive]"]);
    // "auto" turns with the url.
    let graphite = with("[graphite]\nurl = \"http://127.0.0.1:8080\"");
    assert!(!graphite.archive_is_on());
    assert_eq!(plain.needs_restart(&graphite), ["[archive]"]);
    let both = with("[graphite]\nurl = \"http://127.0.0.1:8080\"\n[archive]\nenabled = true");
    assert!(both.archive_is_on());
    let other = with("[graphite]\nurl = \"http://127.0.0.1:81\"\n[archive]\nenabled = true");
    assert_eq!(both.needs_restart(&other), [""; 0]);
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    let told = parse("[rpc\nlisten = 1").unwrap_err().to_string();
    assert!(told.contains("is not TOML") && told.contains("line 1"), "{told}");
}

#[test]
fn the_state_and_the_ledger_lie_together() {
    let places = |text: &str| {
        let config = parse(text).unwrap();
        (config.state.directory.display().to_string(), config.store.url)
    };
    let place = |directory: &str, url: &str| (directory.to_owned(), url.to_owned());
    let state = "[state]\ndirectory = \"/srv/balloon\"\n";
    let ledger = "[store]\nurl = \"sqlite:/data/usage.db\"\n";
    assert_eq!(places(state), place("/srv/balloon", "sqlite:/srv/balloon/ledger.db"));
    assert_eq!(places(ledger), place("/data", "sqlite:/data/usage.db"));
    assert_eq!(places(&[state, ledger].concat()), place("/srv/balloon", "sqlite:/data/usage.db"));
    let elsewhere = "postgresql://u@h/d";
    let ledger = format!("[store]\nurl = \"{elsewhere}\"\n");
    assert_eq!(places(&ledger), place("/var/lib/weather-balloon", elsewhere));
    assert_eq!(places("[store]\nurl = \"\""), place("/var/lib/weather-balloon", ""));
    let told = parse("[store]\nurl = \"sqlite:x\"\ntls = \"maybe\"").unwrap_err().to_string();
    assert!(told.contains("[store] tls: "), "{told}");
    let told = parse("[store]\nurl = \"sqlite:x\"").unwrap_err().to_string();
    assert!(told.contains("[store] url: is not the absolute path of a file"), "{told}");
}

#[test]
fn every_fault_of_every_cloud_is_told_at_once() {
    let told = parse(
        r#"
        [[cloud]]
        kind = "openstack"
        colour = "red"
        [[cloud]]
        name = "a b"
        kind = "azure"
        interval = "soon"
        [[cloud]]
        name = "west"
        kind = "openstack"
        interval = "1ms"
        auth_url = 7
        [[cloud]]
        name = "aws"
        kind = "ec2"
        region = "us-east-1"
        [[cloud]]
        name = "aws"
        kind = "ec2"
        region = "us-east-1"
        "#,
    )
    .unwrap_err()
    .to_string();
    for part in [
        "[cloud number 1] name: \"\" is empty",
        "[cloud number 1] colour: unknown field `colour`",
        "[cloud \"a b\"] interval: ",
        "[cloud \"a b\"] kind: \"azure\" is none of openstack, ec2",
        "[cloud \"west\"] interval: must be at least 1s",
        "[cloud \"west\"] auth_url: invalid type",
        "[cloud \"aws\"] name: is the name of another cloud, too",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let sound = "[[cloud]]\nname = \"aws\"\nkind = \"ec2\"\nregion = \"us-east-1\"\n";
    let one = parse(sound).unwrap();
    assert_eq!(one.clouds[0].0.interval, std::time::Duration::from_secs(600));
    assert!(parse("cloud = 1").unwrap_err().to_string().contains("write [[cloud]]"));
}
