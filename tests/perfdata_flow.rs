//! Perfdata end to end: a real Nagios measures through a real NRPE, the
//! appliance carries it to a real Carbon, and a real graphite-web reads it back.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its files need no durability"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::appliance::{Appliance, fleet};
use common::flow::{Points, missing, rotate, rotated, sections, slots, stored};
use common::graphite::{Graphite, STEP};
use common::keeper;
use common::nagios::{Nagios, Settings, wait_until};
use common::nrpe::Nrpe;
use nix::sys::signal::Signal;

/// Reads Nagios's files in the plainest way: good for the checks of this test
/// and for nothing else.
fn expected(spool: &Path) -> Points {
    let mut points = Points::new();
    for line in rotated(spool).iter().flat_map(|text| text.lines()) {
        let fields: BTreeMap<&str, &str> =
            line.split('\t').filter_map(|field| field.split_once("::")).collect();
        let perfdata =
            fields.get("SERVICEPERFDATA").or_else(|| fields.get("HOSTPERFDATA")).unwrap();
        let slot = fields["TIMET"].parse::<i64>().unwrap() / STEP * STEP;
        for metric in perfdata.replace("'last login'", "last_login").split_whitespace() {
            let (label, value) = metric.split_once('=').unwrap();
            let number: String = value
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == '-')
                .collect();
            let name = format!(
                "{}.{}.{}.{}",
                fields["GRAPHITEPREFIX"],
                fields["HOSTNAME"],
                fields["GRAPHITEPOSTFIX"],
                label.replace('/', "_")
            );
            points.insert((name, slot), number.parse().unwrap());
        }
    }
    points
}

#[test]
fn all_that_nagios_measured_is_read_back() {
    const HOSTS: usize = 50;
    const SERVICES: usize = 8;
    let nrpe = Nrpe::start();
    let graphite = Graphite::start();
    let nagios = Nagios::start_new(Settings {
        checks: true,
        nrpe_port: Some(nrpe.port),
        perfdata_interval: Some(2),
        ..Settings::default()
    });
    let appliance = Appliance::start_new(
        &nagios,
        "first_checks_per_second = 10",
        &sections(&nagios, &graphite, ""),
    );
    appliance.client().replace_hosts(fleet(HOSTS), false).unwrap();
    appliance.wait_in_step();
    // 17 series a host, but a busy machine times some checks out.
    wait_until("measurements of every host", || {
        (expected(&nagios.spool()).len() >= HOSTS * SERVICES * 2).then_some(())
    });
    // What comes after this look is not asked for.
    let wanted = expected(&nagios.spool());
    wait_until("every point in Graphite", || {
        // Later values of the same slot are as good.
        let wanted: Points = expected(&nagios.spool())
            .into_iter()
            .filter(|(key, _)| wanted.contains_key(key))
            .collect();
        let there = stored(&graphite, "nagios.*.*.*");
        (missing(&wanted, &there) == 0).then_some(())
    });
    let out = appliance.cli(&["--output", "json", "metrics", "h00007", "idle.*"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("\"idle.idle\"") && text.contains("12.5"), "{text}");
}

#[test]
fn a_carbon_that_dies_again_and_again_holds_everything_in_the_end() {
    let mut graphite = Graphite::start();
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, ""));
    let mut wanted = Points::new();
    let mut kills = 0;
    for (number, slot) in slots() {
        rotate(&nagios.spool(), number, slot, &mut wanted);
        match number % 15 {
            3 => {
                kills += 1;
                keeper::signal(graphite.carbon(), Signal::SIGKILL);
                graphite.stop_carbon();
            }
            9 => graphite.start_carbon(),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    graphite.start_carbon_if_down();
    assert_eq!(kills, 20);
    wait_until("every point in Graphite", || {
        (missing(&wanted, &stored(&graphite, "nagios.*.load.load1")) == 0).then_some(())
    });
    drop(appliance);
}

#[test]
fn killed_at_any_instant_it_loses_no_point() {
    let graphite = Graphite::start();
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance =
        Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, "replay_window = \"1s\""));
    let mut wanted = Points::new();
    let mut kills = 0;
    for (number, slot) in slots() {
        rotate(&nagios.spool(), number, slot, &mut wanted);
        if number % 3 != 0 {
            kills += 1;
            // Spread over the work on a file: reading, sending, noting.
            std::thread::sleep(Duration::from_millis(u64::try_from(number % 37).unwrap()));
            appliance.kill9();
            appliance.start();
        }
    }
    assert_eq!(kills, 200);
    wait_until("every point in Graphite", || {
        (missing(&wanted, &stored(&graphite, "nagios.*.load.load1")) == 0).then_some(())
    });
    wait_until("an empty spool", || rotated(&nagios.spool()).is_empty().then_some(()));
}
