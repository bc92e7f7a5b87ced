//! `doctor HOST`: each hop of a host's way is broken once, and is the first
//! that is named.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs;

use common::appliance::{Appliance, given};
use common::cloud::{QUICK, start, sync, wait_polled};
use common::flow::archive_sections;
use common::http::{Step, Upstream, json};
use common::nagios::{Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use nix::sys::signal::Signal;
use serde_json::Value;

/// None where all is well; else the hop, and what is said of it.
fn broken(appliance: &Appliance, host: &str) -> Option<(String, String)> {
    let output = appliance.cli(&["doctor", host, "--output", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["findings"].as_array().unwrap();
    let first = found.iter().find(|line| line["state"] == "FAIL");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(first.is_some())), "{told}");
    let Some(first) = first else {
        assert_eq!(said, "");
        return None;
    };
    let hop = first["hop"].as_str().unwrap();
    assert_eq!(said.trim(), format!("The first broken hop of {host}: {hop}."));
    // What lies behind it follows from it, and is not told.
    assert_eq!(found.last(), Some(first), "{told}");
    assert!(first["fix"].is_string(), "{first} has no fix");
    Some((hop.to_owned(), first["what"].as_str().unwrap().to_owned()))
}

#[track_caller]
fn breaks_at(appliance: &Appliance, host: &str, hop: &str, what: &str) {
    let mut last = None;
    wait_until(&format!("{host} to break at {hop:?} by {what:?}"), || {
        let found = broken(appliance, host);
        let there = found.as_ref().is_some_and(|(at, told)| at == hop && told.contains(what));
        if found != last {
            eprintln!("{host}: {found:?}");
            last = found;
        }
        there.then_some(())
    });
}

/// As NSCA hands in what somebody else has checked.
fn result(nagios: &Nagios, host: &str, output: &str) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let line = format!("[{now}] PROCESS_SERVICE_CHECK_RESULT;{host};Check Load;0;{output}\n");
    fs::write(nagios.fifo(), line).unwrap();
}

#[test]
fn every_hop_from_the_source_to_the_measurement_is_named_when_it_breaks() {
    let nagios = Nagios::start_new(Settings {
        perfdata_interval: Some(1),
        status_update_interval: 1,
        ..Settings::default()
    });
    let archive = archive_sections(&nagios, "");
    let appliance = Appliance::start_new(&nagios, QUICK, &archive);
    appliance.client().replace_hosts(vec![given("vm-1", "127.0.0.1")], false).unwrap();
    appliance.wait_in_step();

    breaks_at(&appliance, "vm-2", "source", "no source names it");
    breaks_at(&appliance, "vm-1", "checks", "was checked yet");
    result(&nagios, "vm-1", "OK");
    breaks_at(&appliance, "vm-1", "performance data", "gave performance data");

    let empty = Upstream::saying(vec![Step::Send(json("[]"))]);
    let graphite = format!("{archive}[graphite]\nurl = \"{}\"", empty.url());
    appliance.configure(&nagios, QUICK, &graphite);
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 1);
    result(&nagios, "vm-1", "OK | load1=0.5;;;0");
    breaks_at(&appliance, "vm-1", "measurement", "Graphite has nothing of it");
    appliance.configure(&nagios, QUICK, &archive);
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 2);
    wait_until("nothing to be broken", || broken(&appliance, "vm-1").is_none().then_some(()));

    // Nagios's own configuration does not hold any more: nothing new gets in.
    let base = nagios.path("etc/objects/base.cfg");
    let sound = fs::read_to_string(&base).unwrap();
    fs::write(&base, format!("{sound}\ndefine nonsense {{\n}}\n")).unwrap();
    let both = vec![given("vm-1", "127.0.0.1"), given("vm-3", "127.0.0.3")];
    appliance.client().replace_hosts(both, false).unwrap_err();
    breaks_at(&appliance, "vm-3", "generation", "was rejected");
    assert_eq!(broken(&appliance, "vm-1"), None);
    fs::write(&base, sound).unwrap();

    let hosts_file = fs::read_to_string(nagios.hosts_file()).unwrap();
    fs::write(nagios.hosts_file(), hosts_file.replace("vm-1", "vm-9")).unwrap();
    breaks_at(&appliance, "vm-1", "hosts file", "does not define it");
    fs::write(nagios.hosts_file(), hosts_file).unwrap();

    nagios.sigstop();
    fs::remove_file(nagios.status_file()).unwrap();
    breaks_at(&appliance, "vm-1", "nagios", "status");
    nagios.sigcont();
}

#[test]
fn an_instance_that_its_cloud_spoils_breaks_at_the_cloud() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let ids: Vec<String> = (0..2).map(|_| fake.state().boot(Some("carol"), 1)).collect();
    let spoiled = ids[0].clone();
    fake.meddle(move |_, request, _, mut answer| {
        if request.line.contains("/servers/detail") {
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
            for server in body["servers"].as_array_mut().unwrap() {
                if server["id"] == spoiled.as_str() {
                    server["created"] = "the day before".into();
                }
            }
            answer.body = body.to_string().into_bytes();
        }
        answer.steps()
    });
    let appliance = start(&nagios, &[("east", &fake)], "");
    wait_polled(&appliance, "east");
    appliance.wait_in_step();
    breaks_at(&appliance, &format!("east_{}", ids[0]), "cloud", "cannot be watched");
    // The other one's way goes on as far as Nagios has come.
    breaks_at(&appliance, &format!("east_{}", ids[1]), "checks", "was checked yet");
    fake.behave();
    sync(&appliance, "east").unwrap();
    breaks_at(&appliance, &format!("east_{}", ids[0]), "checks", "was checked yet");
}
