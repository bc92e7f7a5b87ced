//! set_hosts end to end: the real program and a real Nagios.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use common::appliance::{Appliance, fleet, given};
use common::nagios::{Nagios, Settings};
use weather_balloon::model::SENTINEL_HOST;

const QUICK: &str = "min_restart_interval = \"1s\"";

fn watched(nagios: &Nagios) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = nagios.hosts().into_keys().collect();
    assert!(names.remove(SENTINEL_HOST), "the sentinel is gone");
    names
}

fn ids(hosts: &[weather_balloon::model::GivenHost]) -> BTreeSet<String> {
    hosts.iter().map(|host| host.id.clone()).collect()
}

#[test]
fn nagios_watches_what_was_set() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    for count in [1, 200, 0, 3] {
        let hosts = fleet(count);
        let generation = appliance.client().replace_hosts(hosts.clone(), false).unwrap();
        let status = appliance.wait_in_step();
        assert_eq!(status.live_generation, generation.number);
        assert_eq!(status.watched_count, Some(count as i32));
        assert_eq!(watched(&nagios), ids(&hosts));
    }
}

#[test]
fn the_same_set_twice_writes_nothing_and_restarts_nothing() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let first = appliance.client().replace_hosts(fleet(20), false).unwrap();
    let before = appliance.wait_in_step();
    let file = fs::metadata(nagios.hosts_file()).unwrap();
    let mut shuffled = fleet(20);
    shuffled.reverse();
    let second = appliance.client().replace_hosts(shuffled, false).unwrap();
    assert_eq!(second.number, first.number, "no new generation for an equal set");
    let after = appliance.status();
    assert_eq!((after.restarts, after.in_step), (before.restarts, Some(true)));
    let now = fs::metadata(nagios.hosts_file()).unwrap();
    assert_eq!((now.ino(), now.ctime_nsec()), (file.ino(), file.ctime_nsec()));
}

#[test]
fn every_fault_of_a_call_is_named_and_nothing_changes() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    appliance.client().replace_hosts(fleet(2), false).unwrap();
    let before = fs::read(nagios.hosts_file()).unwrap();
    let bad = vec![given("a b", "::1"), given("ok", "$(id)"), given("x", "::1"), given("x", "::2")];
    let fault = appliance.client().replace_hosts(bad, false).unwrap_err().to_string();
    for part in [
        "3 faults",
        "host 0: id \"a b\"",
        "host 1: address \"$(id)\"",
        "host 3: id \"x\" is there twice",
    ] {
        assert!(fault.contains(part), "{part:?} is not in {fault:?}");
    }
    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), before);
}
