//! The daemon as a process: one at a time, signals, a changed configuration,
//! exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, start threads and write plain files"
)]

mod common;

use std::fs;
use std::process::Output;
use std::time::Duration;

use common::appliance::{Appliance, fleet};
use common::http::{Step, Upstream, json};
use common::nagios::{Nagios, Settings, wait_until};
use nix::sys::signal::Signal;
use weather_balloon::rpc::client::Error;

const QUICK: &str = "min_restart_interval = \"1s\"\nconfirm_timeout = \"5s\"";
/// What the service supervisor and its user expect of a stop.
const STOP: Duration = Duration::from_secs(5);

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_second_appliance_on_the_same_state_refuses_to_start() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    appliance.client_of_2014().set_hosts(&fleet(2)).unwrap();
    let before = appliance.log().len();
    let second = appliance.start_second();
    assert_eq!(second.status.code(), Some(1));
    let log = appliance.log();
    let told = format!(
        "another process owns {}: is weather-balloon running already?",
        appliance.path("state").display()
    );
    assert!(log[before..].contains(&told), "{}", &log[before..]);
    assert_eq!(appliance.status().watched_count, Some(2));
}

fn stops_cleanly(appliance: &mut Appliance) {
    let (status, took) = appliance.stop();
    assert_eq!(status.code(), Some(0), "{}", appliance.log());
    assert!(took < STOP, "it took {took:?}");
}

#[test]
fn a_stop_is_quick_and_clean_under_load() {
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, QUICK, "");
    nagios.sigstop();
    let idle: Vec<_> = (0..50).map(|_| appliance.client()).collect();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let mut client = appliance.client();
                scope.spawn(move || {
                    for call in 0.. {
                        match client.replace_hosts(fleet(200 + caller * 10 + call % 10), false) {
                            Ok(_) => {}
                            Err(Error::Unavailable(told)) => {
                                assert!(told.contains("stopping"), "{told}");
                            }
                            Err(Error::Lost(_)) => return call,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        wait_until("work to do", || {
            appliance.status().live_generation.is_some_and(|number| number > 20).then_some(())
        });
        stops_cleanly(&mut appliance);
        callers.into_iter().for_each(|caller| assert!(caller.join().unwrap() > 0));
    });
    drop(idle);
    nagios.sigcont();
}

#[test]
fn a_stop_does_not_wait_for_a_verify() {
    let nagios = Nagios::start_new(Settings::default());
    let slow = nagios.path("slow");
    fs::write(&slow, "#!/bin/sh\necho $$ > var/verifies\nexec sleep 60\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&slow, mode).unwrap();
    let mut appliance =
        Appliance::start_new(&nagios, &format!("{QUICK}\nbinary = \"{}\"", slow.display()), "");
    let pid_file = appliance.path("state/verify/var/verifies");
    let mut client = appliance.client();
    let caller = std::thread::spawn(move || client.replace_hosts(fleet(3), false));
    let pid = wait_until("a verify under way", || {
        fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
    });
    stops_cleanly(&mut appliance);
    match caller.join().unwrap() {
        Err(Error::Unavailable(told)) => assert!(told.contains("stopping"), "{told}"),
        Err(Error::Lost(_)) => {}
        other => panic!("{other:?}"),
    }
    wait_until("the end of the verify", || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).err()
    });

    // The set was accepted; a start with a Nagios that answers takes it up.
    appliance.configure(&nagios, QUICK, "");
    appliance.start();
    assert_eq!(appliance.wait_in_step_with(3).watched_count, Some(3));
}

#[test]
fn a_sighup_takes_a_changed_configuration_over() {
    let nagios = Nagios::start_new(Settings::default());
    let template = "etc/conf.d/weather-balloon/atmo-vms.cfg";
    nagios.edit(template, |text| {
        let second = text.replace("atmo_vm\n", "atmo_vm2\n").replace("atmo-vms", "other-vms");
        format!("{text}\n{second}")
    });
    let mut appliance = Appliance::start_new(&nagios, QUICK, "");
    // At the first instant it may come.
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 1);
    appliance.client_of_2014().set_hosts(&fleet(2)).unwrap();
    appliance.wait_in_step();

    let upstream = Upstream::saying(vec![Step::Send(json("[]"))]);
    let graphite = format!("[graphite]\nurl = \"{}\"", upstream.url());
    let others = format!("{QUICK}\nhost_template = \"atmo_vm2\"\nhostgroup = \"other-vms\"");
    appliance.configure(&nagios, &others, &graphite);
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration was reloaded", 2);
    wait_until("the other template in the file", || {
        let live = fs::read_to_string(nagios.hosts_file()).unwrap();
        (live.matches("atmo_vm2").count() == 2).then_some(live.contains("other-vms"))
    });
    appliance.wait_in_step();
    assert_eq!(nagios.hosts()["h00000"]["host_name"], "h00000");
    assert!(appliance.cli(&["metrics", "h00000"]).status.success());
    assert_eq!(upstream.requests().len(), 1);

    // A broken file changes nothing and is told with all its faults.
    let sound = fs::read_to_string(appliance.config()).unwrap();
    let broken = sound.replace("atmo_vm2", "a;b") + "\n[brake]\nmax_removed_percent = 900\n";
    fs::write(appliance.config(), broken).unwrap();
    appliance.signal(Signal::SIGHUP);
    appliance.wait_logged("the configuration stays as it was", 1);
    for part in ["[nagios] host_template", "[brake] max_removed_percent: 900"] {
        assert!(appliance.log().contains(part), "{part}: {}", appliance.log());
    }
    appliance.client_of_2014().set_hosts(&fleet(3)).unwrap();

    // What only a restart takes over is named, every time.
    let fixed = sound
        .replace("level = \"info,weather_balloon=debug\"", "level = \"warn\"")
        .replace("[rpc]\n", "[rpc]\nmax_calls = 7\n");
    fs::write(appliance.config(), fixed).unwrap();
    for times in [1, 2] {
        appliance.signal(Signal::SIGHUP);
        appliance.wait_logged("the configuration was reloaded", 2 + times);
        for part in ["[rpc]", "[log]"] {
            let told = format!("{part} has changed; that takes a restart of weather-balloon");
            appliance.wait_logged(&told, times);
        }
    }
    assert_eq!(appliance.log().matches("[state] has changed").count(), 0);
    stops_cleanly(&mut appliance);
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let nagios = Nagios::new(Settings::default());
    let appliance = Appliance::new(&nagios, QUICK, "");
    let sound = appliance.cli(&["check-config"]);
    assert_eq!(sound.status.code(), Some(0));
    assert!(String::from_utf8(sound.stdout).unwrap().contains("is sound"));
    for command in [&["hosts", "list"][..], &["hosts", "rollback", "1"], &["metrics", "h"]] {
        let none = appliance.cli(command);
        assert_eq!(none.status.code(), Some(75), "{command:?}");
        assert!(said(&none).contains("is weather-balloon running?"), "{}", said(&none));
        assert!(none.stdout.is_empty());
    }

    appliance.configure(&nagios, "flavour = 1\nmax_hosts = 0", "[grafite]\nurl = 1");
    for command in ["check-config", "serve"] {
        let bad = appliance.cli(&[command]);
        assert_eq!(bad.status.code(), Some(78), "{command}");
        for part in ["[grafite]", "[nagios] flavour"] {
            assert!(said(&bad).contains(part), "{part}: {}", said(&bad));
        }
    }
    fs::remove_file(appliance.config()).unwrap();
    for command in ["check-config", "serve"] {
        let missing = appliance.cli(&[command]);
        assert_eq!(missing.status.code(), Some(78), "{command}");
        assert!(said(&missing).contains("cannot read the configuration"), "{}", said(&missing));
    }
}
