//! Performance data from files like Nagios's to Graphite, and what is expected
//! to be there in the end.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use weather_balloon::rpc::client::{MetricsQuestion, MetricsSource};

use super::appliance::Appliance;
use super::graphite::{Graphite, STEP, last_step};
use super::nagios::Nagios;

/// What Graphite is to hold: series, slot, the value written last.
pub type Points = BTreeMap<(String, i64), f64>;

pub fn sections(nagios: &Nagios, graphite: &Graphite, more: &str) -> String {
    format!(
        "[perfdata]\nspool = \"{}\"\nscan_interval = \"1s\"\n[carbon]\naddress = \"127.0.0.1:{}\"\n\
         max_backoff = \"1s\"\n{more}\n[graphite]\nurl = \"{}\"\n",
        nagios.spool().display(),
        graphite.pickle_port,
        graphite.url()
    )
}

/// Perfdata to the archive, and to nothing else unless `more` says so.
pub fn archive_sections(nagios: &Nagios, more: &str) -> String {
    format!(
        "[perfdata]\nspool = \"{}\"\nscan_interval = \"1s\"\n[archive]\nenabled = true\n{more}\n",
        nagios.spool().display()
    )
}

/// What the archive has of the series that `rotate` makes.
pub fn archived(appliance: &Appliance) -> Points {
    let Some(mut client) = appliance.try_client() else { return Points::new() };
    let mut points = Points::new();
    for host in 0..SERIES {
        let question = MetricsQuestion {
            host_name: Some(format!("vm{host}")),
            key: None,
            start_time: Some(last_step() - 60 * 86_400),
            end_time: None,
            max_points: None,
            source: Some(MetricsSource::ARCHIVE),
        };
        // It may still be opening, or have no room.
        let Ok(series) = client.query_metrics(&question) else { return Points::new() };
        for one in series {
            let name = format!("nagios.vm{host}.{}", one.name);
            let known = one.points.iter().filter_map(|point| Some((point.time, point.value?)));
            points.extend(known.map(|(time, value)| ((name.clone(), time), value)));
        }
    }
    points
}

/// Rotated files, the oldest first.
pub fn rotated(spool: &Path) -> Vec<String> {
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

/// All points of these series that Graphite holds.
pub fn stored(graphite: &Graphite, pattern: &str) -> Points {
    let (status, body) = graphite
        .get(&format!("/render?format=json&noNullPoints=true&from=-60d&target={pattern}"))
        .unwrap();
    // A busy graphite-web gives up on a wide question after six seconds.
    if status != 200 {
        return Points::new();
    }
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
pub fn missing(wanted: &Points, there: &Points) -> usize {
    wanted
        .iter()
        .filter(|(key, value)| there.get(*key).is_none_or(|v| (v - *value).abs() > 1e-9))
        .count()
}

pub const SERIES: usize = 20;
pub const SLOTS: i64 = 300;

/// Whole, then named, as Nagios's command does it.
pub fn put(spool: &Path, name: &str, text: &str) {
    let draft = spool.join("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, spool.join(name)).unwrap();
}

/// One file with a point of each series in this slot.
pub fn rotate(spool: &Path, number: i64, slot: i64, wanted: &mut Points) {
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
    put(spool, &format!("service-perfdata.{number}"), &text);
}

pub fn slots() -> impl Iterator<Item = (i64, i64)> {
    let last = last_step();
    (0..SLOTS).map(move |n| (1_700_000_000 + n, last - STEP * (SLOTS - n)))
}
