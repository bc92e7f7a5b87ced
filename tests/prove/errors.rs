//! T-C: at every call the kernel says no, or takes only half.

use nix::errno::Errno;

use super::backup::{Backup, Restore};
use super::common::faults::Fault;
use super::common::row::Row;
use super::poll::Poll;
use super::set_hosts::SetHosts;
use super::shipping::Shipping;
use super::sweep::{Points, Work, sweep};

const FAULTS: [Fault; 7] = [
    Fault::Refuse(Errno::ENOSPC),
    Fault::Refuse(Errno::EIO),
    Fault::Refuse(Errno::EROFS),
    Fault::Refuse(Errno::EDQUOT),
    Fault::Refuse(Errno::EAGAIN),
    Fault::Refuse(Errno::EINTR),
    Fault::CutShort,
];

/// Those of which each is handled in a way of its own; the others are refusals
/// like ENOSPC.
const KINDS: [Fault; 3] =
    [Fault::Refuse(Errno::ENOSPC), Fault::Refuse(Errno::EINTR), Fault::CutShort];

/// A start, a poll and a stop mostly wait, so that two processors do three.
const LANES: usize = 3;

fn refuse_every_call_of(
    what: &str,
    make: &(dyn Fn() -> Box<dyn Work> + Sync),
    faults: &'static [Fault],
) {
    let mut row = Row::new("T-C", format!("{what}: refused at every call"));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let lanes = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|_| {
                scope.spawn(|| {
                    let mut lane = Row::new("T-C", what);
                    while let Some(fault) =
                        faults.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                    {
                        sweep(&mut lane, make, *fault, Points::ALL);
                    }
                    lane
                })
            })
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    for lane in lanes {
        row.add(lane);
    }
    row.end();
}

#[test]
#[ignore = "make prove-c"]
fn set_hosts() {
    refuse_every_call_of("set_hosts", &|| Box::new(SetHosts::new(false)), &FAULTS);
}

#[test]
#[ignore = "make prove-c"]
fn set_hosts_to_a_running_nagios() {
    const FAULTS: [Fault; 2] = [Fault::Refuse(Errno::EIO), Fault::Refuse(Errno::EAGAIN)];
    let what = "set_hosts to a running Nagios (EIO, EAGAIN)";
    refuse_every_call_of(what, &|| Box::new(SetHosts::new(true)), &FAULTS);
}

#[test]
#[ignore = "make prove-c"]
fn shipping() {
    let what = "perfdata to archive and Carbon (ENOSPC, EINTR, cut short)";
    refuse_every_call_of(what, &|| Box::new(Shipping::new()), &KINDS);
}

#[test]
#[ignore = "make prove-c"]
fn poll() {
    let what = "a poll into ledger and hosts file (ENOSPC, EINTR, cut short)";
    refuse_every_call_of(what, &|| Box::new(Poll::new()), &KINDS);
}

#[test]
#[ignore = "make prove-c"]
fn backup() {
    refuse_every_call_of("backup", &|| Box::new(Backup::new()), &FAULTS);
}

#[test]
#[ignore = "make prove-c"]
fn restore() {
    refuse_every_call_of("restore", &|| Box::new(Restore::new()), &FAULTS);
}

/// Its staged files must stay then: the next start finishes with them.
#[test]
fn a_restore_refused_between_two_renames_is_finished_later() {
    let mut row = Row::new("T-C", "restore: refused between two renames");
    let points = Points { first: 36, stride: 2, most: 5 };
    sweep(&mut row, &|| Box::new(Restore::new()), Fault::Refuse(Errno::ENOSPC), points);
    row.end();
}

#[test]
fn refused_at_some_calls_nothing_is_lost() {
    let mut row = Row::new("T-C", "short form");
    for (at, fault) in KINDS.into_iter().enumerate() {
        let points = Points { first: 5 + 7 * at as u64, stride: 31, most: 2 };
        sweep(&mut row, &|| Box::new(SetHosts::new(false)), fault, points);
    }
    for (at, fault) in FAULTS.into_iter().enumerate() {
        let points = Points { first: 5 + 7 * at as u64, stride: 31, most: 3 };
        sweep(&mut row, &|| Box::new(Backup::new()), fault, points);
    }
    row.end();
}
