//! History, rollback, brake and max_hosts, by Thrift and by the command line.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeSet;

use common::appliance::{Appliance, fleet};
use common::nagios::{Nagios, Settings, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;
use weather_balloon::model::{GivenHost, SENTINEL_HOST};
use weather_balloon::rpc::client::{Error, GenerationState};

const QUICK: &str = "min_restart_interval = \"1s\"";
const BRAKE: &str = "[brake]\nrpc = true";

fn json(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn file_of(appliance: &Appliance, hosts: &[GivenHost]) -> String {
    let rows: Vec<_> = hosts
        .iter()
        .map(|host| {
            serde_json::json!({
                "id": host.id, "display_name": host.display_name, "address": host.address
            })
        })
        .collect();
    let path = appliance.path("hosts.json");
    #[allow(clippy::disallowed_methods, reason = "a file for one command")]
    std::fs::write(&path, Value::from(rows).to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn an_earlier_generation_comes_back() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, &format!("{QUICK}\nkeep_generations = 2"), "");
    let mut client = appliance.client();
    let numbers: Vec<i64> = [1, 2, 3]
        .map(|count| client.replace_hosts(fleet(count), false).unwrap().number.unwrap())
        .into();
    appliance.wait_in_step();

    let back = client.rollback(numbers[0], false).unwrap();
    assert_eq!((back.restores, back.host_count), (Some(numbers[0]), Some(1)));
    appliance.wait_in_step();
    assert_eq!(nagios.hosts().len(), 1 + 1);

    let told = json(&appliance.cli(&[
        "--output",
        "json",
        "hosts",
        "rollback",
        &numbers[1].to_string(),
        "--wait",
    ]));
    assert_eq!(told["generation"]["restores"], numbers[1]);
    assert_eq!(told["status"]["in_step"], true);
    assert_eq!(nagios.hosts().len(), 2 + 1);

    // What is live already is not made again.
    let live = told["generation"]["generation"].as_i64().unwrap();
    assert_eq!(client.rollback(live, false).unwrap().number, Some(live));

    let history = json(&appliance.cli(&["--output", "json", "hosts", "history"]));
    let states: Vec<_> =
        history.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["live", "superseded", "superseded", "superseded"]);
    assert!(client.get_history(0).unwrap()[0].proved_time.is_some());

    for gone in [numbers[0], 9999, 0, -1] {
        match client.rollback(gone, false) {
            Err(Error::BadQuestion(told)) => assert!(told.contains("is not kept"), "{told}"),
            other => panic!("{other:?}"),
        }
    }
    let failed = appliance.cli(&["hosts", "rollback", "9999"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("generation 9999 is not kept"), "{said}");
}

#[test]
fn the_brake_holds_the_rpc_where_it_is_told_to() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, BRAKE);
    let mut client = appliance.client();
    let live = client.replace_hosts(fleet(40), false).unwrap().number;
    // A fifth may go.
    client.replace_hosts(fleet(32), false).unwrap();
    client.replace_hosts(fleet(40), false).unwrap();
    match client.replace_hosts(fleet(31), false) {
        Err(Error::HeldByBrake { removed, current, message }) => {
            assert_eq!((removed, current), (9, 40));
            assert!(message.contains("9 of 40 hosts"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let told = appliance.client_of_2014().set_hosts(&fleet(31)).unwrap_err();
    assert!(told.starts_with("held by the brake: the change would remove 9 of 40"), "{told}");
    match client.rollback(live.unwrap(), false) {
        Ok(restored) => assert_eq!(restored.host_count, Some(40)),
        other => panic!("{other:?}"),
    }

    let file = file_of(&appliance, &fleet(31));
    let held = appliance.cli(&["hosts", "set", &file]);
    assert_eq!(held.status.code(), Some(4), "{held:?}");
    assert!(held.stdout.is_empty());
    assert!(String::from_utf8(held.stderr).unwrap().contains("hosts set --force"));
    let forced = appliance.cli(&["hosts", "set", &file, "--force"]);
    assert!(forced.status.success(), "{forced:?}");

    // Few may go, all may not.
    client.replace_hosts(fleet(1), true).unwrap();
    assert!(matches!(client.replace_hosts(vec![], false), Err(Error::HeldByBrake { .. })));
    assert!(appliance.client_of_2014().set_hosts(&[]).is_err());
    assert!(matches!(
        client.rollback(live.unwrap(), false),
        Ok(grown) if grown.host_count == Some(40)
    ));
    client.replace_hosts(vec![], true).unwrap();
    let history = client.get_history(0).unwrap();
    assert!(history[0].forced.unwrap() && history[0].host_count == Some(0));
    // Nothing that was held was kept.
    assert!(history.iter().all(|one| one.state != Some(GenerationState::REJECTED)), "{history:?}");

    // By default a caller of the RPC is believed.
    appliance.configure(&nagios, QUICK, "");
    client.replace_hosts(fleet(40), false).unwrap();
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 1);
    wait_until("the brake to be let go", || client.replace_hosts(vec![], false).ok());
}

/// Those in the file on disk.
fn watched(appliance: &Appliance) -> Vec<String> {
    let hosts = appliance.client().get_hosts().unwrap().hosts.unwrap();
    hosts.into_iter().filter(|one| one.watched.unwrap()).map(|one| one.id.unwrap()).collect()
}

fn read(nagios: &Nagios) -> BTreeSet<String> {
    nagios.hosts().into_keys().filter(|name| name != SENTINEL_HOST).collect()
}

#[test]
fn over_max_hosts_the_rest_is_recorded_and_the_watched_keep_their_places() {
    let nagios = Nagios::start_new(Settings::default());
    let keys = format!("{QUICK}\nmax_hosts = 3");
    let mut appliance = Appliance::start_new(&nagios, &keys, "");
    let all = fleet(6);
    let mut client = appliance.client();
    client.replace_hosts(all[3..].to_vec(), false).unwrap();
    let first = watched(&appliance);
    assert_eq!(first, ["h00003", "h00004", "h00005"]);

    client.replace_hosts(all.clone(), false).unwrap();
    let status = appliance.wait_in_step();
    assert_eq!((status.watched_count, status.unwatched_count), (Some(3), Some(3)));
    assert_eq!(watched(&appliance), first);
    assert_eq!(read(&nagios), first.iter().cloned().collect());
    let list = String::from_utf8(appliance.cli(&["hosts", "list"]).stdout).unwrap();
    assert_eq!(list.matches("(not watched)").count(), 3, "{list}");
    let check = appliance.cli(&["check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(String::from_utf8(check.stdout).unwrap().contains("3 hosts over max_hosts"));

    // Also over a start of ours, and with nothing to do for Nagios.
    appliance.stop();
    appliance.start();
    assert_eq!(watched(&appliance), first);
    assert_eq!(appliance.status().restarts, Some(0));

    // A place that becomes free goes to the next one.
    client = appliance.client();
    client.replace_hosts([&all[..4], &all[5..]].concat(), false).unwrap();
    assert_eq!(watched(&appliance), ["h00000", "h00003", "h00005"]);

    appliance.configure(&nagios, &format!("{QUICK}\nmax_hosts = 10"), "");
    appliance.signal(Signal::SIGHUP);
    wait_until("all hosts to be watched", || (watched(&appliance).len() == 5).then_some(()));
}
