//! T-B: the power goes in the middle of a recorded run, and whatever it may
//! leave on the disk is given to the program and to Nagios.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::common::faults::Plan;
use super::common::hosts_file::Whole;
use super::common::nagios::BINARY;
use super::common::row::Row;
use super::record;
use super::set_hosts::SetHosts;
use super::shipping::Shipping;
use super::sweep::Work;
use super::unsynced::{Disk, Left, owners, states};

/// So many of a list, the same way apart, the first and the last among them.
fn spread(states: Vec<Left>, most: usize) -> Vec<Left> {
    let count = states.len();
    let step = count.div_ceil(most).max(1);
    states
        .into_iter()
        .enumerate()
        .filter_map(|(at, left)| (at % step == 0 || at + 1 == count).then_some(left))
        .collect()
}

fn hosts_file(most: usize) {
    let mut work = SetHosts::new(false);
    work.begin(Plan::NONE, false);
    assert!(work.call(Plan::NONE));
    work.appliance.stop();
    work.check_stopped();
    let (state, conf) = (work.appliance.path("state"), work.nagios.conf_d());
    let roots = [state.as_path(), conf.as_path()];
    let before = Disk::of(&roots);
    let watch = work.begin(Plan::NONE, true);
    assert!(work.call(Plan::NONE));
    // What comes after the answer may only add to it.
    let acknowledged = fs::metadata(watch.record()).unwrap().len();
    work.appliance.kill9();
    let record = record::read(&watch.record(), &roots);
    let like = owners(&roots);
    let (states, cuts) = states(&before, &record);

    let mut row = Row::new("T-B", "set_hosts: states after a power cut");
    row.points = cuts;
    let live = work.nagios.hosts_file();
    let mut judged: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
    for left in &states {
        row.trial(&format!("the file itself after {}", left.of), || {
            let bytes = left.disk.file(&live).unwrap();
            Whole::read(bytes);
            if !judged.contains_key(bytes) {
                fs::write(&live, bytes).unwrap();
                let judge =
                    Command::new(BINARY).arg("-v").arg(work.nagios.main_config()).output().unwrap();
                judged.insert(bytes.to_vec(), judge.status.success());
            }
            assert!(judged[bytes], "Nagios does not take it");
        });
    }
    for left in spread(states, most) {
        row.trial(&format!("our start after {}", left.of), || {
            left.disk.lay_out(&roots, &like);
            work.expect(left.after >= acknowledged);
            work.appliance.start();
            work.check_running();
            work.appliance.kill9();
        });
        work.end();
    }
    row.end();
}

fn spool(most: usize) {
    let mut work = Shipping::new();
    work.run(Plan::NONE);
    work.check();
    let (state, spool): (PathBuf, PathBuf) = (work.appliance.path("state"), work.nagios.spool());
    let roots = [state.as_path(), spool.as_path()];
    work.put_files();
    let before = Disk::of(&roots);
    let watch = work.begin(Plan::NONE, true);
    work.wait_shipped();
    work.appliance.kill9();
    let record = record::read(&watch.record(), &roots);
    let like = owners(&roots);
    let (states, cuts) = states(&before, &record);

    let mut row = Row::new("T-B", "perfdata to the archive: states after a power cut");
    row.points = cuts;
    for left in spread(states, most) {
        row.trial(&format!("our start after {}", left.of), || {
            left.disk.lay_out(&roots, &like);
            work.appliance.start();
            work.check_running();
            work.appliance.kill9();
        });
        work.end();
    }
    row.end();
}

#[test]
#[ignore = "make prove-b"]
fn hosts_file_in_every_state() {
    hosts_file(1_000);
}

#[test]
#[ignore = "make prove-b"]
fn spool_in_every_state() {
    spool(700);
}

#[test]
fn a_power_cut_leaves_what_can_be_started_on() {
    hosts_file(8);
    spool(6);
}
