//! T-I: fifty times the usual load, with faults at random, for as long as
//! PROVE_SOAK says in seconds: descriptors, threads, memory and disk are flat.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::carbon::Lines;
use super::common::appliance::Appliance;
use super::common::cloud::{section_every, write_password};
use super::common::flow::{Points, archive_sections, rotate};
use super::common::graphite::{STEP, last_step};
use super::common::nagios::{Nagios, Settings};
use super::common::openstack::{Answer, OpenStack};
use super::common::rounds::Dice;
use super::common::row::Row;
use super::set_hosts::hosts_of;

/// What the process holds at a moment.
#[derive(Clone, Copy, Debug)]
struct Held {
    at: Duration,
    descriptors: usize,
    threads: usize,
    resident_kib: u64,
    disk_kib: u64,
}

fn held(pid: i32, state: &Path, at: Duration) -> Held {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    Held {
        at,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        threads: number("Threads:") as usize,
        resident_kib: number("VmRSS:"),
        disk_kib: size_of(state) / 1024,
    }
}

fn size_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some(if meta.is_dir() { size_of(&entry.path()) } else { meta.len() })
        })
        .sum()
}

fn descriptors(one: &Held) -> usize {
    one.descriptors
}

fn threads(one: &Held) -> usize {
    one.threads
}

/// KiB an hour, by least squares.
fn slope(held: &[Held], of: impl Fn(&Held) -> f64) -> f64 {
    let count = held.len() as f64;
    let hours = |one: &Held| one.at.as_secs_f64() / 3600.0;
    let (mean_x, mean_y) =
        (held.iter().map(hours).sum::<f64>() / count, held.iter().map(&of).sum::<f64>() / count);
    let above: f64 = held.iter().map(|one| (hours(one) - mean_x) * (of(one) - mean_y)).sum();
    let below: f64 = held.iter().map(|one| (hours(one) - mean_x).powi(2)).sum();
    above / below
}

/// One fault of those that a machine has without anybody's doing.
fn trouble(dice: &mut Dice, nagios: &Nagios, fake: &OpenStack, address: &str) {
    match dice.roll(6) {
        0 => nagios.sigstop(),
        1 => nagios.sigcont(),
        2 => fake.meddle(|_, _, _, _| {
            Answer::json("503 Service Unavailable", &serde_json::json!({})).steps()
        }),
        3 => fake.behave(),
        4 => {
            // A peer that says half of something and goes.
            if let Ok(mut stream) = TcpStream::connect(address) {
                let _ = stream.write_all(b"\x80\x01\x00\x01\x00\x00\x00\x09set_h");
            }
        }
        _ => {
            if let Ok(mut stream) = TcpStream::connect(address) {
                let _ = stream.write_all(b"POST / HTTP/1.1\r\n\r\n");
            }
        }
    }
}

#[test]
#[ignore = "make prove-i"]
fn nothing_grows_under_load_and_faults() {
    let seconds = std::env::var("PROVE_SOAK").map_or(1_200, |text| text.parse().unwrap());
    let long = Duration::from_secs(seconds);
    let nagios = Nagios::start_new(Settings::default());
    let (carbon, fake) = (Lines::start(), OpenStack::start());
    let mut appliance = Appliance::new(&nagios, "", "");
    let password = write_password(&appliance);
    let more = format!(
        "[carbon]\naddress = \"127.0.0.1:{}\"\nprotocol = \"plaintext\"\nreplay_window = \"10s\"\n{}",
        carbon.port,
        section_every("east", &fake, &password, "10s")
    );
    let sections = archive_sections(&nagios, &more);
    appliance.configure(&nagios, "min_restart_interval = \"1s\"", &sections);
    appliance.start();
    let (pid, state) = (appliance.pid(), appliance.path("state"));
    let (began, mut dice, mut row) =
        (Instant::now(), Dice::new(0x5EED), Row::new("T-I", format!("soak of {seconds} s")));
    let (mut samples, mut calls, mut files, mut faults) = (Vec::new(), 0_usize, 0_i64, 0);
    row.trial("a soak", || {
        let mut client = appliance.client();
        while began.elapsed() < long {
            // Usual are a call in ten minutes and 7 lines a second: here a
            // call in 12 seconds and 400 lines a second.
            for _ in 0..20 {
                files += 1;
                let slot = last_step() - STEP * (files % 1_000);
                rotate(&nagios.spool(), 1_700_000_000 + files, slot, &mut Points::new());
            }
            if began.elapsed().as_secs() / 12 >= calls as u64 {
                calls += 1;
                if client.replace_hosts(hosts_of(calls), false).is_err() {
                    client = appliance.client();
                }
                let mut cloud = fake.state();
                cloud.churn(200);
            }
            for _ in 0..5 {
                if let Some(mut other) = appliance.try_client() {
                    drop(other.get_status());
                }
            }
            if dice.roll(5) == 0 {
                faults += 1;
                trouble(&mut dice, &nagios, &fake, &appliance.address);
            }
            samples.push(held(pid, &state, began.elapsed()));
            std::thread::sleep(Duration::from_secs(1));
        }
        nagios.sigcont();
        // The first third is what it needs to be warm.
        let warm = &samples[samples.len() / 3..];
        let half = warm.len() / 2;
        let most = |held: &[Held], of: fn(&Held) -> usize| held.iter().map(of).max().unwrap();
        for of in [descriptors as fn(&Held) -> usize, threads] {
            let (early, late) = (most(&warm[..half], of), most(&warm[half..], of));
            assert!(late <= early + 8, "{early} and then {late}");
        }
        let memory = slope(warm, |one| one.resident_kib as f64);
        let disk = slope(warm, |one| one.disk_kib as f64);
        let last = warm.last().unwrap();
        eprintln!(
            "{calls} calls, {files} files, {faults} faults; {last:?}; memory {memory:.0} KiB/h, \
             disk {disk:.0} KiB/h; at a fiftieth of this load 30 days would add {:.0} MiB of \
             memory (an extrapolation)",
            memory * 24.0 * 30.0 / 50.0 / 1024.0
        );
        assert!(memory < 0.25 * last.resident_kib as f64 * 3600.0 / long.as_secs_f64(), "{memory}");
    });
    row.points = samples.len() as u64;
    row.end();
}
