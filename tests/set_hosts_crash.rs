//! The appliance killed, stopped and started again at any instant: the live
//! hosts file is whole at all times, and what was acknowledged stays.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, start threads and write plain files"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::appliance::{Appliance, fleet, given};
use common::hosts_file::Whole;
use common::nagios::{Nagios, Settings, wait_until};
use weather_balloon::model::GivenHost;
use weather_balloon::rpc::client::{Error, GenerationState};

const QUICK: &str = "min_restart_interval = \"1s\"";

/// xorshift64*: the same instants for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }
}

const CALLERS: usize = 4;

/// Which call a set came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    round: usize,
    caller: usize,
    call: usize,
}

impl Mark {
    fn set(self) -> Vec<GivenHost> {
        let Self { round, caller, call } = self;
        let mut hosts = fleet((caller * 97 + call * 31) % 300);
        hosts.push(given(&format!("mark-{round}-{caller}-{call}"), "127.0.0.1"));
        hosts
    }

    fn of(ids: &BTreeSet<String>) -> Self {
        let marks: Vec<_> = ids.iter().filter_map(|id| id.strip_prefix("mark-")).collect();
        let [mark] = marks[..] else { panic!("{marks:?} are not one set's") };
        let parts: Vec<usize> = mark.split('-').map(|part| part.parse().unwrap()).collect();
        let [round, caller, call] = parts[..] else { panic!("{mark}") };
        let mark = Self { round, caller, call };
        assert_eq!(ids.len(), mark.set().len(), "a part of a set");
        mark
    }
}

/// What was acknowledged: the newest generation, and each caller's last call.
#[derive(Default)]
struct Acknowledged {
    newest: i64,
    last: [Option<Mark>; CALLERS],
    calls: usize,
}

/// Calls until the appliance goes away.
fn call_on(appliance: &Appliance, round: usize, caller: usize, told: &Mutex<Acknowledged>) {
    // The kill may come before the first call.
    let Some(mut client) = appliance.try_client() else { return };
    for call in 0.. {
        let mark = Mark { round, caller, call };
        match client.replace_hosts(mark.set(), false) {
            Ok(generation) => {
                let mut told = told.lock().unwrap();
                told.newest = told.newest.max(generation.number.unwrap());
                told.last[caller] = Some(mark);
                told.calls += 1;
            }
            Err(Error::Lost(_)) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

/// After the start that follows a kill.
fn check(appliance: &Appliance, nagios: &Nagios, told: &Acknowledged) {
    let mut client = appliance.client();
    let history = wait_until("a settled history", || {
        let history = client.get_history(0).unwrap();
        let pending = |one: &_| matches!(one, Some(GenerationState::PENDING));
        (!history.iter().any(|one| pending(&one.state))).then_some(history)
    });
    let live: Vec<_> =
        history.iter().filter(|one| one.state == Some(GenerationState::LIVE)).collect();
    let Some(file) = Whole::at(&nagios.hosts_file()) else {
        assert!(live.is_empty() && told.newest == 0);
        return;
    };
    assert_eq!(live.len(), 1);
    let number = live[0].number.unwrap();
    assert_eq!(file.generation, number);
    assert!(number >= told.newest, "{} was acknowledged, {number} is live", told.newest);
    let view = wait_until("the view of what is settled", || {
        let view = client.get_hosts().unwrap();
        (view.status.as_ref().unwrap().live_generation == Some(number)).then_some(view)
    });
    let known: BTreeSet<_> = view.hosts.unwrap().into_iter().map(|one| one.id.unwrap()).collect();
    assert_eq!(file.ids, known);
    let mark = Mark::of(&file.ids);
    let last_round = told.last.iter().flatten().map(|last| last.round).max().unwrap_or_default();
    assert!(mark.round >= last_round, "{mark:?} came before an acknowledged call");
    if let Some(last) = told.last[mark.caller] {
        assert!(mark >= last, "{mark:?} came before {last:?}, which was acknowledged");
    }
}

/// Lets the reader end also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn kill_in_a_storm(kills: usize, seed: u64) {
    let mut nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, "min_restart_interval = \"2s\"", "");
    let pid = nagios.pid();
    let told = Mutex::new(Acknowledged::default());
    let (stop, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut dice = Dice(seed);
    let began = Instant::now();
    let live = nagios.hosts_file();
    std::thread::scope(|scope| {
        let reading = Stop(&stop);
        let reader = scope.spawn(|| {
            let mut newest = 0;
            while !stop.load(Ordering::SeqCst) {
                if let Some(whole) = Whole::at(&live) {
                    assert!(whole.generation >= newest, "{newest} went back");
                    newest = whole.generation;
                    looks.fetch_add(1, Ordering::SeqCst);
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        for round in 0..kills {
            // Some die before they have taken up what the last one left.
            if round % 4 == 3 {
                appliance.kill9();
                appliance.begin_start();
                std::thread::sleep(Duration::from_micros(dice.below(60_000)));
            } else {
                let appliance = &appliance;
                let delay = Duration::from_micros(dice.below(400_000));
                let calls = told.lock().unwrap().calls;
                std::thread::scope(|storm| {
                    let told = &told;
                    for caller in 0..CALLERS {
                        storm.spawn(move || call_on(appliance, round, caller, told));
                    }
                    // A busy machine may need longer for a call than that.
                    if round % 2 == 0 {
                        wait_until("an acknowledged call", || {
                            (told.lock().unwrap().calls > calls).then_some(())
                        });
                    }
                    std::thread::sleep(delay);
                    appliance.signal(nix::sys::signal::Signal::SIGKILL);
                });
            }
            appliance.kill9();
            appliance.start();
            check(&appliance, &nagios, &told.lock().unwrap());
        }
        drop(reading);
        reader.join().unwrap();
    });
    appliance.wait_in_step();
    let mut read: BTreeSet<_> = nagios.hosts().into_keys().collect();
    assert!(read.remove(weather_balloon::model::SENTINEL_HOST));
    assert_eq!(read, Whole::at(&live).unwrap().ids);
    assert_eq!(nagios.pid(), pid);
    nagios.stop();
    let told = told.lock().unwrap();
    assert!(told.calls >= kills / 2, "a storm needs calls, these were {}", told.calls);
    eprintln!(
        "{kills} kills, {} calls acknowledged, the file read {} times, {:?}",
        told.calls,
        looks.load(Ordering::SeqCst),
        began.elapsed()
    );
}

// Two hundred instants, in two halves that run side by side.

#[test]
fn killed_at_a_hundred_instants_it_loses_nothing() {
    kill_in_a_storm(100, 0x5EED_0001);
}

#[test]
fn killed_at_a_hundred_other_instants_it_loses_nothing() {
    kill_in_a_storm(100, 0x5EED_0002);
}

#[test]
fn a_restart_that_is_due_survives_ours() {
    let mut nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, QUICK, "");
    nagios.stop();
    appliance.client_of_2014().set_hosts(&fleet(3)).unwrap();
    appliance.kill9();
    appliance.start();
    let status = appliance.wait_trouble("start it");
    assert_eq!((status.in_step, status.restart_due), (Some(false), Some(true)));
    nagios.start();
    assert_eq!(appliance.wait_in_step().watched_count, Some(3));
    let started = nagios.program_start();

    // Once it is proved, a start of ours leaves Nagios alone.
    appliance.stop();
    appliance.start();
    let status = appliance.status();
    assert_eq!((status.in_step, status.restart_due), (Some(true), Some(false)));
    assert_eq!((status.restarts, nagios.program_start()), (Some(0), started));
}

#[test]
fn a_spoiled_hosts_file_is_healed_by_the_next_equal_set() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, QUICK, "");
    let mut client = appliance.client_of_2014();
    client.set_hosts(&fleet(3)).unwrap();
    let mut restarts = appliance.wait_in_step().restarts.unwrap();
    let whole = fs::read(nagios.hosts_file()).unwrap();
    let half = &whole[..whole.len() / 2];
    let added = [&whole[..], b"define host {\n host_name extra\n}\n"].concat();
    for spoil in [None, Some(half), Some(&added[..]), Some(b"")] {
        match spoil {
            None => fs::remove_file(nagios.hosts_file()).unwrap(),
            Some(bytes) => fs::write(nagios.hosts_file(), bytes).unwrap(),
        }
        client.set_hosts(&fleet(3)).unwrap();
        assert_eq!(fs::read(nagios.hosts_file()).unwrap(), whole);
        // Nagios may have read what was there before.
        let after = appliance.wait_in_step().restarts.unwrap();
        assert_eq!(after, restarts + 1);
        restarts = after;
    }
    assert_eq!(appliance.client().get_history(0).unwrap().len(), 1);
}

#[test]
fn a_hosts_file_that_went_while_we_were_down_is_healed_at_start() {
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, QUICK, "");
    appliance.client_of_2014().set_hosts(&fleet(3)).unwrap();
    appliance.wait_in_step();
    let whole = fs::read(nagios.hosts_file()).unwrap();
    appliance.stop();
    fs::remove_file(nagios.hosts_file()).unwrap();
    appliance.start();
    wait_until("the hosts file", || nagios.hosts_file().exists().then_some(()));
    assert_eq!(fs::read(nagios.hosts_file()).unwrap(), whole);
    wait_until("a proof of the healed file", || {
        let status = appliance.status();
        (status.restarts == Some(1) && status.in_step == Some(true)).then_some(())
    });
}
