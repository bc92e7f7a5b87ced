//! T-A: killed at every call that changes something outside of the process.

use super::backup::{Backup, Restore};
use super::common::faults::Fault;
use super::common::row::Row;
use super::poll::Poll;
use super::schema::Schema;
use super::set_hosts::SetHosts;
use super::shipping::Shipping;
use super::sweep::{Points, Work, sweep};

type Make = fn() -> Box<dyn Work>;

const WORKS: [(&str, Make); 6] = [
    ("set_hosts", || Box::new(SetHosts::new(true))),
    ("perfdata to archive and Carbon", || Box::new(Shipping::new())),
    ("a poll into ledger and hosts file", || Box::new(Poll::new())),
    ("backup", || Box::new(Backup::new())),
    ("restore", || Box::new(Restore::new())),
    ("migration of state.db", || Box::new(Schema::new())),
];

/// Each round has the state that the last one left: a different one.
const ROUNDS: usize = 3;

fn kill_at_every_call_of(name: &str) {
    let (what, make) = WORKS.into_iter().find(|(what, _)| *what == name).unwrap();
    let mut row = Row::new("T-A", format!("{what}: killed at every call"));
    let rounds = std::thread::scope(|scope| {
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                scope.spawn(|| {
                    let mut round = Row::new("T-A", what);
                    sweep(&mut round, &make, Fault::Kill, Points::ALL);
                    round
                })
            })
            .collect();
        rounds.into_iter().map(|round| round.join().unwrap()).collect::<Vec<_>>()
    });
    for round in rounds {
        row.add(round);
    }
    row.end();
}

#[test]
#[ignore = "make prove-a"]
fn set_hosts() {
    kill_at_every_call_of("set_hosts");
}

#[test]
#[ignore = "make prove-a"]
fn shipping() {
    kill_at_every_call_of("perfdata to archive and Carbon");
}

#[test]
#[ignore = "make prove-a"]
fn poll() {
    kill_at_every_call_of("a poll into ledger and hosts file");
}

#[test]
#[ignore = "make prove-a"]
fn backup() {
    kill_at_every_call_of("backup");
}

#[test]
#[ignore = "make prove-a"]
fn restore() {
    kill_at_every_call_of("restore");
}

#[test]
#[ignore = "make prove-a"]
fn migration() {
    kill_at_every_call_of("migration of state.db");
}

/// A few calls of each, far apart; more of the first, so that some find a set
/// that was recorded and is not live.
#[test]
fn killed_at_some_calls_nothing_is_lost() {
    let mut row = Row::new("T-A", "short form");
    for (at, (what, make)) in WORKS.into_iter().enumerate() {
        let mut one = Row::new("T-A", what);
        let first = 3 + at as u64;
        let (stride, most) = if at == 0 { (20, 6) } else { (29, 2) };
        sweep(&mut one, &make, Fault::Kill, Points { first, stride, most });
        row.add(one);
    }
    row.end();
}
