//! set_hosts end to end: the real program and a real Nagios.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use common::appliance::{Appliance, fleet, given};
use common::nagios::{Nagios, Settings, wait_until};
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

#[test]
fn an_empty_set_leaves_nagios_alive_even_as_the_first_call() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let mut client = appliance.client_of_2014();
    let (pid, started) = (nagios.pid(), nagios.program_start().unwrap());
    for hosts in [fleet(0), fleet(3), fleet(0)] {
        client.set_hosts(&hosts).unwrap();
        let status = appliance.wait_in_step();
        assert_eq!(status.watched_count, Some(hosts.len() as i32));
        assert_eq!(watched(&nagios), ids(&hosts));
    }
    assert_eq!(nagios.pid(), pid);
    assert!(nagios.program_start().unwrap() > started);
}

#[test]
fn ten_thousand_hosts_are_read_as_they_were_given() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "", "");
    let hosts = fleet(10_000);
    appliance.client_of_2014().set_hosts(&hosts).unwrap();
    let status = appliance.wait_in_step();
    assert_eq!((status.watched_count, status.unwatched_count), (Some(10_000), Some(0)));
    let read = nagios.hosts();
    assert_eq!(read.len(), hosts.len() + 1);
    for host in &hosts {
        let found = &read[&host.id];
        let told = ["alias", "display_name", "address"].map(|key| found[key].as_str());
        assert_eq!(told, [&host.id, &host.display_name, &host.address].map(String::as_str));
    }
}

/// When Nagios was told to restart, UTC seconds.
fn restarts_in(log: &str) -> Vec<i64> {
    let asked = log.lines().filter(|line| line.contains("EXTERNAL COMMAND: RESTART_PROGRAM"));
    asked.filter_map(|line| line.strip_prefix('[')?.split_once(']')?.0.parse().ok()).collect()
}

#[test]
fn a_storm_of_calls_ends_in_the_last_one_and_in_two_restarts() {
    const CALLERS: usize = 100;
    const CALLS: usize = 10;
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "min_restart_interval = \"10s\"", "");
    let set = |caller: usize, call: usize| {
        let mut hosts = fleet(20);
        hosts.push(given(&format!("s-{caller}-{call}"), "127.0.0.1"));
        hosts
    };
    let began = Instant::now();
    let newest = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let mut client = appliance.client();
                scope.spawn(move || {
                    let mut numbers = (0..CALLS).map(|call| {
                        client.replace_hosts(set(caller, call), false).unwrap().number.unwrap()
                    });
                    let first = numbers.next().unwrap();
                    numbers.fold(first, |before, number| {
                        assert!(number > before, "{number} answers a call after {before}");
                        number
                    })
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).max().unwrap()
    });
    let took = began.elapsed();
    eprintln!("{} calls took {took:?}", CALLERS * CALLS);

    let status = appliance.wait_in_step();
    assert_eq!(status.live_generation, Some(newest));
    let asked = restarts_in(&nagios.log());
    assert_eq!(asked.len() as i64, status.restarts.unwrap());
    for pair in asked.windows(2) {
        assert!(pair[1] - pair[0] >= 9, "closer than the interval: asked at {pair:?}");
    }
    // A busy machine makes the storm itself longer than the interval.
    let most = 2 + took.as_secs() / 10;
    assert!(asked.len() as u64 <= most, "more than {most} restarts: {status:?}");
    let watched = watched(&nagios);
    let last: Vec<_> = watched.iter().filter(|id| id.starts_with("s-")).collect();
    assert_eq!((watched.len(), last.len()), (21, 1));
    assert!(last[0].ends_with(&format!("-{}", CALLS - 1)), "{} was not its caller's last", last[0]);

    // In order on one connection, the last one wins.
    let mut client = appliance.client_of_2014();
    for call in 0..5 {
        client.set_hosts(&set(0, call)).unwrap();
    }
    let live = fs::read_to_string(nagios.hosts_file()).unwrap();
    assert!(live.contains("    s-0-4\n") && !live.contains("s-0-3\n"));
}

#[test]
fn new_hosts_are_checked_soon_and_known_ones_not_again() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let asked = || -> Vec<String> {
        let log = nagios.log();
        let commands = log.lines().filter_map(|line| {
            line.split_once("EXTERNAL COMMAND: SCHEDULE_HOST_SVC_CHECKS;")?.1.split(';').next()
        });
        commands.map(str::to_owned).collect()
    };
    let wait_asked = |expected: &[String]| {
        wait_until("first checks", || (asked().len() >= expected.len()).then_some(()));
        assert_eq!(asked(), expected);
    };
    let ids = |range: std::ops::Range<usize>| -> Vec<String> {
        fleet(range.end)[range].iter().map(|host| host.id.clone()).collect()
    };
    appliance.client().replace_hosts(fleet(30), false).unwrap();
    appliance.wait_in_step();
    wait_asked(&ids(0..30));
    appliance.client().replace_hosts(fleet(35), false).unwrap();
    appliance.wait_in_step();
    wait_asked(&ids(0..35));
}
