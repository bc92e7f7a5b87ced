//! set_hosts while Nagios is down, deaf, broken or dying: the call answers, the
//! restart comes when it can, and Nagios is never led into its death.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::appliance::{Appliance, fleet, given};
use common::nagios::{BINARY, Nagios, Settings, wait_until};
use nix::libc::O_NONBLOCK;
use nix::sys::signal::Signal;
use weather_balloon::model::{GivenHost, SENTINEL_HOST};
use weather_balloon::rpc::client::{Error, Generation, GenerationState};

const QUICK: &str = "min_restart_interval = \"1s\"\nconfirm_timeout = \"5s\"";
/// For a call while Nagios is in trouble.
const BOUND: Duration = Duration::from_secs(5);

fn set(appliance: &Appliance, hosts: &[GivenHost]) {
    let began = Instant::now();
    appliance.client_of_2014().set_hosts(hosts).unwrap();
    assert!(began.elapsed() < BOUND, "the call took {:?}", began.elapsed());
}

fn watched(nagios: &Nagios) -> Vec<String> {
    nagios.hosts().into_keys().filter(|name| name != SENTINEL_HOST).collect()
}

fn ids(hosts: &[GivenHost]) -> Vec<String> {
    hosts.iter().map(|host| host.id.clone()).collect()
}

/// Nagios has read these hosts, and nobody called again for that.
fn wait_read(appliance: &Appliance, nagios: &Nagios, hosts: &[GivenHost]) {
    let status = appliance.wait_in_step();
    assert_eq!((status.restart_due, &status.trouble), (Some(false), &None));
    assert_eq!(watched(nagios), ids(hosts));
}

fn wait_due(appliance: &Appliance, words: &str) {
    let status = appliance.wait_trouble(words);
    assert_eq!((status.in_step, status.restart_due), (Some(false), Some(true)));
}

#[test]
fn a_stopped_nagios_reads_the_hosts_when_it_is_started() {
    let mut nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    nagios.stop();
    set(&appliance, &fleet(3));
    wait_due(&appliance, "Nagios is not running; start it");
    nagios.start();
    wait_read(&appliance, &nagios, &fleet(3));
}

#[test]
fn a_killed_nagios_reads_the_hosts_when_it_is_started() {
    let mut nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    set(&appliance, &fleet(1));
    appliance.wait_in_step();
    // Its status file stays, and for a while its FIFO takes commands.
    nagios.kill9();
    set(&appliance, &fleet(3));
    wait_due(&appliance, "Nagios is not running; start it");
    nagios.start();
    wait_read(&appliance, &nagios, &fleet(3));

    // Between the swap and the end of the restart.
    set(&appliance, &fleet(4));
    nagios.kill9();
    nagios.start();
    wait_read(&appliance, &nagios, &fleet(4));
    let history = appliance.client().get_history(0).unwrap();
    assert!(history.iter().all(|one| one.state != Some(GenerationState::REJECTED)), "{history:?}");
}

#[test]
fn a_hanging_nagios_restarts_when_it_goes_on() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    nagios.sigstop();
    set(&appliance, &fleet(3));
    wait_due(&appliance, "is it hanging?");

    let fifo = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(nagios.fifo());
    let (mut fifo, line) = (fifo.unwrap(), "[0] NOTHING\n");
    set(&appliance, &fleet(4));
    // Its command worker takes much, and then no more.
    wait_until("a restart that finds it full", || {
        while fifo.write(line.repeat(300).as_bytes()).is_ok() {}
        while fifo.write(line.as_bytes()).is_ok() {}
        let trouble = appliance.status().trouble.unwrap_or_default();
        trouble.contains("is full: Nagios is stopped or hangs").then_some(())
    });
    nagios.sigcont();
    wait_read(&appliance, &nagios, &fleet(4));
}

#[test]
fn a_fifo_that_is_none_is_told_and_never_written() {
    let mut nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    fs::remove_file(nagios.fifo()).unwrap();
    set(&appliance, &fleet(1));
    wait_due(&appliance, "there is no command FIFO at");
    assert!(!nagios.fifo().exists());

    fs::write(nagios.fifo(), "plain").unwrap();
    fs::set_permissions(nagios.fifo(), Permissions::from_mode(0o666)).unwrap();
    set(&appliance, &fleet(2));
    wait_due(&appliance, "is not a FIFO, so nothing was written to it");
    set(&appliance, &fleet(3));
    assert_eq!(fs::read_to_string(nagios.fifo()).unwrap(), "plain");

    nagios.restart();
    wait_read(&appliance, &nagios, &fleet(3));
}

/// The first error of `nagios -v` itself.
fn first_error(nagios: &Nagios) -> String {
    let said = Command::new(BINARY).arg("-v").arg(nagios.main_config()).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.lines().find(|line| line.starts_with("Error")).unwrap().trim().to_owned()
}

#[test]
fn a_broken_template_is_told_in_nagios_own_words_and_changes_nothing() {
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, QUICK, "");
    set(&appliance, &fleet(2));
    let before = appliance.wait_in_step();
    let live = fs::read(nagios.hosts_file()).unwrap();
    let (pid, started) = (nagios.pid(), nagios.program_start());

    let template = "etc/conf.d/weather-balloon/atmo-vms.cfg";
    let whole = fs::read_to_string(nagios.path(template)).unwrap();
    nagios.edit(template, |text| text.replace("max_check_attempts", "flavour"));
    let cause = first_error(&nagios);
    assert!(cause.contains("flavour"), "{cause}");

    let told = appliance.client_of_2014().set_hosts(&fleet(3)).unwrap_err();
    assert_eq!(told, format!("Nagios refuses the configuration: {cause}"));
    match appliance.client().replace_hosts(fleet(4), false) {
        Err(Error::RejectedByNagios(again)) => assert_eq!(again, told),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), live);
    let history = appliance.client().get_history(2).unwrap();
    for (one, hosts) in history.iter().zip([4, 3]) {
        assert_eq!((one.state, one.host_count), (Some(GenerationState::REJECTED), Some(hosts)));
        assert_eq!((one.reason.as_ref(), one.live_time), (Some(&told), None));
    }
    // What is live already needs no verify.
    set(&appliance, &fleet(2));

    appliance.stop();
    appliance.start();
    let status = appliance.status();
    assert_eq!((status.live_generation, status.in_step), (before.live_generation, Some(true)));
    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), live);
    assert_eq!((nagios.pid(), nagios.program_start()), (pid, started));

    fs::write(nagios.path(template), whole).unwrap();
    set(&appliance, &fleet(3));
    wait_read(&appliance, &nagios, &fleet(3));
    assert_eq!(nagios.pid(), pid);
}

#[test]
fn a_verify_that_cannot_be_made_is_no_verdict_on_the_hosts() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "binary = \"/no/such/nagios\"", "");
    match appliance.client().replace_hosts(fleet(1), false) {
        Err(Error::Unavailable(told)) => {
            assert!(told.contains("cannot run /no/such/nagios"), "{told}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!nagios.hosts_file().exists());
}

/// A verify that accepts everything, as Nagios's own does not.
fn yes_man(nagios: &Nagios) -> PathBuf {
    let path = nagios.path("yes");
    fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn newest(appliance: &Appliance) -> Generation {
    appliance.client().get_history(1).unwrap().remove(0)
}

#[test]
fn the_last_good_hosts_return_when_nagios_dies_and_the_guilty_stay_out() {
    let mut nagios = Nagios::start_new(Settings::default());
    let keys = format!("{QUICK}\nbinary = \"{}\"", yes_man(&nagios).display());
    let mut appliance = Appliance::start_new(&nagios, &keys, "");
    set(&appliance, &fleet(3));
    let good = appliance.wait_in_step();
    let good_file = fs::read(nagios.hosts_file()).unwrap();

    // A name that this Nagios, unlike ours, does not take.
    nagios.edit("etc/nagios.cfg", |text| {
        text.replace("illegal_object_name_chars=", "illegal_object_name_chars=@")
    });
    let mut guilty = fleet(3);
    guilty.push(given("a@b", "127.0.0.1"));
    set(&appliance, &guilty);
    assert_eq!(nagios.wait_ended().code(), Some(254));
    let status = appliance.wait_trouble("the last good hosts are back: start Nagios");
    assert!(status.trouble.unwrap().contains("a@b"));
    assert_eq!(status.live_generation, good.live_generation);
    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), good_file);
    let rejected = newest(&appliance);
    assert_eq!(rejected.state, Some(GenerationState::REJECTED));
    assert!(rejected.reason.unwrap().contains("a@b"));

    let told = appliance.client_of_2014().set_hosts(&guilty).unwrap_err();
    assert!(told.contains("in quarantine because Nagios died of it"), "{told}");
    nagios.start();
    wait_read(&appliance, &nagios, &fleet(3));

    // Neither a restart of ours nor a rollback brings it in.
    appliance.stop();
    appliance.start();
    assert_eq!(appliance.status().live_generation, good.live_generation);
    match appliance.client().rollback(rejected.number.unwrap(), false) {
        Err(Error::RejectedByNagios(told)) => assert!(told.contains("quarantine"), "{told}"),
        other => panic!("{other:?}"),
    }

    nagios.edit("etc/nagios.cfg", |text| text.replace("chars=@", "chars="));
    appliance.client().replace_hosts(guilty.clone(), true).unwrap();
    let mut read = ids(&guilty);
    read.sort();
    appliance.wait_in_step();
    assert_eq!(watched(&nagios), read);
}

#[test]
fn a_last_good_file_that_could_not_be_kept_is_kept_later() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let last_good = nagios.conf_d().join(".hosts.cfg.last-good");
    // Nothing takes the place of a directory.
    fs::create_dir(&last_good).unwrap();
    set(&appliance, &fleet(3));
    appliance.wait_in_step();
    appliance.wait_logged("was not kept as the last good one", 1);
    fs::remove_dir(&last_good).unwrap();
    let live = fs::read(nagios.hosts_file()).unwrap();
    wait_until("the file that was proved", || {
        fs::read(&last_good).is_ok_and(|kept| kept == live).then_some(())
    });
}

#[test]
fn a_first_set_that_nagios_dies_of_leaves_none() {
    let mut nagios = Nagios::start_new(Settings::default());
    let keys = format!(
        "{QUICK}\nbinary = \"{}\"\nhost_template = \"no_such\"",
        yes_man(&nagios).display()
    );
    let appliance = Appliance::start_new(&nagios, &keys, "");
    set(&appliance, &fleet(3));
    assert_eq!(nagios.wait_ended().code(), Some(254));
    appliance.wait_trouble("Template 'no_such' specified");
    assert!(!fs::read_to_string(nagios.hosts_file()).unwrap().contains("define"));
    assert_eq!(newest(&appliance).state, Some(GenerationState::REJECTED));
    nagios.start();
    wait_read(&appliance, &nagios, &[]);
}

/// Not a set but the configuration is guilty: nothing is in quarantine, and
/// the file that Nagios died of still must not come back.
#[test]
fn a_file_that_nagios_died_of_stays_away() {
    let mut nagios = Nagios::start_new(Settings::default());
    let keys = format!("{QUICK}\nbinary = \"{}\"", yes_man(&nagios).display());
    let appliance = Appliance::start_new(&nagios, &keys, "");
    set(&appliance, &fleet(3));
    appliance.wait_in_step();
    let good_file = fs::read(nagios.hosts_file()).unwrap();

    appliance.configure(&nagios, &format!("{keys}\nhost_template = \"no_such\""), "");
    appliance.signal(Signal::SIGHUP);
    assert_eq!(nagios.wait_ended().code(), Some(254));
    appliance.wait_trouble("Template 'no_such' specified");
    nagios.start();
    appliance.wait_in_step();
    appliance.signal(Signal::SIGHUP);
    appliance.wait_trouble("Nagios died of this very hosts file before");
    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), good_file);

    appliance.configure(&nagios, &keys, "");
    appliance.signal(Signal::SIGHUP);
    wait_until("the end of the trouble", || appliance.status().trouble.is_none().then_some(()));
    wait_read(&appliance, &nagios, &fleet(3));
}
