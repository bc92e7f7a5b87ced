//! For how long no host is checked while sets come in a storm, ours and Nagios
//! are killed, and Nagios is stopped.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use weather_balloon::model::GivenHost;
use weather_balloon::rpc::client::{Client, Error};

use super::common::appliance::{Appliance, fleet, given};
use super::common::hosts_file::Whole;
use super::common::nagios::{Nagios, wait_until};
use super::common::rounds::Dice;
use super::common::row::Row;
use super::seen::{OURS, checks, gaps, nagios, steady, uptime};
use super::set_hosts::assert_composed;

/// The shortest time between two restarts, unless they take long, is
/// `min_restart_interval`, and a restart is to take a fifth of it at most: so
/// checks run between any two, and no pause is as long as the interval.
const BOUND: f64 = 10.0;
const CALLERS: usize = 4;
/// In every set.
const KEPT: usize = 300;
const HOSTILE: &str = "$(touch x)`id`;|\\\n}\ndefine host {";

fn set(number: usize) -> Vec<GivenHost> {
    let mut hosts = fleet(KEPT + number * 31 % 200);
    hosts.push(GivenHost {
        display_name: HOSTILE.into(),
        ..given(&format!("mark-{number}"), "::1")
    });
    hosts
}

/// What a storm was.
struct Storm {
    calls: usize,
    pause: Duration,
    troubles: &'static [Trouble],
    every: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    OurselvesKilled,
    NagiosStopped,
    NagiosKilled,
}

/// Each call is made until it is acknowledged.
fn call(address: &str, next: &AtomicUsize, storm: &Storm, seed: u64) {
    let connect = || {
        wait_until("an answer", || {
            Client::connect(address, Duration::from_secs(5), Duration::from_secs(120)).ok()
        })
    };
    let (mut client, mut dice) = (connect(), Dice::new(seed));
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= storm.calls {
            return;
        }
        loop {
            match client.replace_hosts(set(number), false) {
                Ok(_) => break,
                Err(Error::Lost(_) | Error::Unreachable { .. }) => client = connect(),
                Err(other) => panic!("{other}"),
            }
        }
        let pause = storm.pause.as_millis() as u64;
        std::thread::sleep(Duration::from_millis(dice.roll(pause * 2)));
    }
}

/// Returns the time that is excused: what was done to Nagios is not ours, but
/// its own start after that is.
fn meet(trouble: Trouble, nagios: &mut Nagios, appliance: &mut Appliance) -> Option<(f64, f64)> {
    let from = uptime();
    match trouble {
        Trouble::OurselvesKilled => {
            appliance.signal(Signal::SIGKILL);
            appliance.wait_ended();
            appliance.start();
            None
        }
        Trouble::NagiosStopped => {
            nagios.sigstop();
            std::thread::sleep(Duration::from_secs(8));
            let to = uptime();
            nagios.sigcont();
            Some((from, to))
        }
        Trouble::NagiosKilled => {
            nagios.kill9();
            std::thread::sleep(Duration::from_secs(4));
            let to = uptime();
            nagios.start();
            Some((from, to))
        }
    }
}

/// What was measured, and how many restarts there were.
fn storm(storm: &Storm) -> (String, usize) {
    let mut nagios = nagios();
    nagios.start();
    let mut appliance = Appliance::start_new(&nagios, "", "");
    appliance.client().replace_hosts(set(0), false).unwrap();
    appliance.wait_in_step();
    wait_until("a first check of all", || (checks(&nagios).len() > KEPT).then_some(()));

    let (from, began) = (uptime(), Instant::now());
    let (next, address) = (AtomicUsize::new(0), appliance.address.clone());
    let mut excused = Vec::new();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (next, address) = (&next, &address);
                scope.spawn(move || call(address, next, storm, 1 + caller as u64))
            })
            .collect();
        let mut due = began.checked_add(storm.every);
        let mut troubles = storm.troubles.iter().cycle();
        while callers.iter().any(|caller| !caller.is_finished()) {
            if let Some(trouble) =
                due.is_some_and(|due| Instant::now() >= due).then(|| troubles.next()).flatten()
            {
                eprintln!("{trouble:?}");
                excused.extend(meet(*trouble, &mut nagios, &mut appliance));
                due = Instant::now().checked_add(storm.every);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    appliance.wait_in_step();
    let to = uptime();

    // It is down only where the test has killed it.
    let log = nagios.log();
    let restarts = log.matches("EXTERNAL COMMAND: RESTART_PROGRAM").count();
    assert!(!log.contains("Bailing out"), "{log}");
    assert_composed(&appliance, 0);
    let file = Whole::at(&nagios.hosts_file()).unwrap().ids;
    assert!(file.iter().any(|id| id.starts_with("mark-")));
    let read: BTreeSet<_> = nagios.hosts().into_keys().collect();
    assert!(file.is_subset(&read), "Nagios watches others than the file tells");

    let checks = checks(&nagios);
    let all = gaps(&steady(&checks), (from, to), &excused);
    let longest = all.iter().copied().fold(0.0, f64::max);
    let without = all.iter().filter(|gap| **gap > 2.0).fold(0.0, |sum, gap| sum + gap);
    let ours = fleet(KEPT)
        .iter()
        .flat_map(|host| gaps(&checks[&host.id], (from, to), &excused))
        .fold(0.0, f64::max);
    let told = format!(
        "{} set_hosts in {:.0} s, {} pauses or kills of Nagios: {restarts} restarts, longest \
         {longest:.1} s without any check (bound {BOUND} s), {:.0} % of the time; a host of an \
         interval of {OURS} s at most {ours:.1} s",
        storm.calls,
        to - from,
        excused.len(),
        100.0 * without / (to - from)
    );
    eprintln!("{told}");
    assert!(restarts > 1, "no storm");
    assert!(longest < BOUND, "{longest:.1} s without a check");
    // A check whose turn comes while Nagios restarts is put anywhere within
    // its interval (init_timing_loop in Nagios 4.4's base/events.c).
    assert!(ours < 2.0 * OURS + BOUND, "{ours:.1} s without a check of a host");
    (told, restarts)
}

fn prove(wanted: &Storm) {
    let mut row = Row::new("T-G", "a storm of set_hosts");
    let mut told = None;
    row.trial("a storm", || told = Some(storm(wanted)));
    if let Some(told) = told {
        (row.what, row.points, row.trials) = (told.0, told.1 as u64, wanted.calls as u64);
    }
    row.end();
}

#[test]
#[ignore = "make prove-g"]
fn checks_go_on_in_a_long_storm() {
    prove(&Storm {
        calls: 1_000,
        pause: Duration::from_millis(700),
        troubles: &[Trouble::OurselvesKilled, Trouble::NagiosStopped, Trouble::NagiosKilled],
        every: Duration::from_secs(15),
    });
}

#[test]
fn checks_go_on_in_a_storm() {
    prove(&Storm {
        calls: 60,
        pause: Duration::from_millis(700),
        troubles: &[],
        every: Duration::MAX,
    });
}
