//! Perfdata end to end: a real Nagios measures through a real NRPE, the
//! appliance carries it to a real Carbon, and a real graphite-web reads it back.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its files need no durability"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::appliance::{Appliance, fleet};
use common::graphite::{Graphite, STEP, last_step};
use common::keeper;
use common::nagios::{Nagios, Settings, wait_until};
use common::nrpe::Nrpe;
use nix::sys::signal::Signal;

/// What Graphite is to hold: series, slot, the value written last.
type Points = BTreeMap<(String, i64), f64>;

fn sections(nagios: &Nagios, graphite: &Graphite, more: &str) -> String {
    format!(
        "[perfdata]\nspool = \"{}\"\nscan_interval = \"1s\"\n[carbon]\naddress = \"127.0.0.1:{}\"\n\
         max_backoff = \"1s\"\n{more}\n[graphite]\nurl = \"{}\"\n",
        nagios.spool().display(),
        graphite.pickle_port,
        graphite.url()
    )
}

/// Rotated files, the oldest first.
fn rotated(spool: &Path) -> Vec<String> {
    let mut files: Vec<(u64, String)> = fs::read_dir(spool)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let number = path.extension()?.to_str()?.parse().ok()?;
            // The appliance removes empty files.
            Some((number, fs::read_to_string(path).ok()?))
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, text)| text).collect()
}

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

/// All points of these series that Graphite holds.
fn stored(graphite: &Graphite, pattern: &str) -> Points {
    let (status, body) = graphite
        .get(&format!("/render?format=json&noNullPoints=true&from=-60d&target={pattern}"))
        .unwrap();
    assert_eq!(status, 200, "{body}");
    let series: serde_json::Value = serde_json::from_str(&body).unwrap();
    let mut points = Points::new();
    for one in series.as_array().unwrap() {
        let name = one["target"].as_str().unwrap();
        for point in one["datapoints"].as_array().unwrap() {
            points
                .insert((name.to_owned(), point[1].as_i64().unwrap()), point[0].as_f64().unwrap());
        }
    }
    points
}

/// Of `wanted`, what is not there or has another value.
fn missing(wanted: &Points, there: &Points) -> usize {
    wanted
        .iter()
        .filter(|(key, value)| there.get(*key).is_none_or(|v| (v - *value).abs() > 1e-9))
        .count()
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

const SERIES: usize = 20;
const SLOTS: i64 = 300;

/// Writes spool files as Nagios's command would: whole, then named.
fn rotate(spool: &Path, number: i64, slot: i64, wanted: &mut Points) {
    let mut text = String::new();
    for series in 0..SERIES {
        let value = (slot * 31 + series as i64) as f64 / 8.0;
        text.push_str(&format!(
            "DATATYPE::SERVICEPERFDATA\tTIMET::{slot}\tHOSTNAME::vm{series}\tSERVICEDESC::x\tSERVICECHECKCOMMAND::c\t\
             HOSTSTATE::UP\tHOSTSTATETYPE::HARD\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::nagios\t\
             GRAPHITEPOSTFIX::load\tSERVICEPERFDATA::load1={value}\n"
        ));
        wanted.insert((format!("nagios.vm{series}.load.load1"), slot), value);
    }
    let draft = spool.join("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, spool.join(format!("service-perfdata.{number}"))).unwrap();
}

fn slots() -> impl Iterator<Item = (i64, i64)> {
    let last = last_step();
    (0..SLOTS).map(move |n| (1_700_000_000 + n, last - STEP * (SLOTS - n)))
}

#[test]
fn a_carbon_that_dies_again_and_again_holds_everything_in_the_end() {
    let mut graphite = Graphite::start();
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, ""));
    let mut wanted = Points::new();
    for (number, slot) in slots() {
        rotate(&nagios.spool(), number, slot, &mut wanted);
        match number % 15 {
            3 => {
                keeper::signal(graphite.carbon(), Signal::SIGKILL);
                graphite.stop_carbon();
            }
            9 => graphite.start_carbon(),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    graphite.start_carbon_if_down();
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
    for (number, slot) in slots() {
        rotate(&nagios.spool(), number, slot, &mut wanted);
        if number % 10 == 0 {
            // Spread over the work on a file: reading, sending, noting.
            std::thread::sleep(Duration::from_millis(u64::try_from(number % 37).unwrap()));
            appliance.kill9();
            appliance.start();
        }
    }
    wait_until("every point in Graphite", || {
        (missing(&wanted, &stored(&graphite, "nagios.*.load.load1")) == 0).then_some(())
    });
    wait_until("an empty spool", || rotated(&nagios.spool()).is_empty().then_some(()));
}
