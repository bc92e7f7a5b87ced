//! What a poll of an OpenStack costs the whole appliance: from the question to
//! the ledger and on to Nagios. The fake that answers runs in a process of its
//! own and is not counted.
//!
//! `cargo bench --bench clouds`

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::appliance::Appliance;
use common::cloud::{QUICK, status, sync, wait_clock, write_password};
use common::nagios::{Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use common::process::{cpu_seconds, memory};
use common::results::Results;

/// What Nagios gets of a larger cloud: it would need minutes for 50,000.
const WATCHED: usize = 5_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, "serve", servers] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return serve(servers.parse().unwrap());
    }
    let small = poll(5_000);
    let large = poll(100_000);
    let mut results = Results::begin("A poll of a cloud");
    let mut row = |what: &str, unit: &str, limit: f64, found: f64| {
        let (target, found_in) = (format!("under {limit} {unit}"), format!("{found:.0} {unit}"));
        results.judge(what, &target, &found_in, "", found < limit);
    };
    row("a steady poll of 5,000, own CPU", "ms", 150.0, small.steady);
    row("the first poll of 100,000 and the start, own CPU", "ms", 3_000.0, large.first);
    row("a steady poll of 100,000, own CPU", "ms", 3_000.0, large.steady);
    row("memory at the peak, 100,000", "MB", 250.0, large.peak);
    results.publish();
}

/// Milliseconds of CPU, and MB.
struct Cost {
    first: f64,
    steady: f64,
    peak: f64,
}

/// Until standard input ends.
fn serve(servers: usize) {
    let cloud = OpenStack::start();
    {
        let mut state = cloud.state();
        // Nothing changed of late.
        state.clock = Some(state.now() - 7_200);
        for n in 0..servers {
            state.boot(Some(&format!("user{}", n % 500)), n % 3);
        }
        state.clock = None;
    }
    println!("{}", cloud.auth_url());
    // An error ends it as the end of the input does.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn start(servers: usize) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", &servers.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
    (child, url.trim().to_owned())
}

fn poll(servers: usize) -> Cost {
    let (mut fake, auth_url) = start(servers);
    let nagios = Nagios::start_new(Settings::default());
    let keys = format!("{QUICK}\nmax_hosts = {WATCHED}");
    let mut appliance = Appliance::new(&nagios, &keys, "");
    let password = write_password(&appliance);
    let section = format!(
        "[[cloud]]\nname = 'east'\nkind = 'openstack'\ninterval = '1h'\ntimeout = '5m'\n\
         auth_url = '{auth_url}'\nusername = 'weatherballoon'\npassword_file = '{}'\n\
         project = 'admin'\n",
        password.display()
    );
    appliance.configure(&nagios, &keys, &format!("[archive]\nenabled = false\n{section}"));
    appliance.start();
    let pid = appliance.pid().cast_unsigned();
    println!("{servers} running instances, pages of 1,000, of which Nagios gets {WATCHED}");
    wait_until("the first poll", || {
        let told = status(&appliance, "east");
        (told.last_success_time.is_some() || told.error.is_some()).then_some(told)
    });
    let told = appliance.wait_in_step();
    assert_eq!(told.watched_count.unwrap(), i32::try_from(servers.min(WATCHED)).unwrap());
    // The start is in it, too.
    let first = cpu_seconds(pid) * 1e3;
    let mut peak = memory(pid, "VmHWM") / 1e6;
    println!("  first: own CPU {first:.0} ms, memory at the peak {peak:.0} MB");
    // From here on the peak is counted anew (proc(5), clear_refs).
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let mut steady: Vec<f64> = (0..7)
        .map(|_| {
            wait_clock();
            let (before, began) = (cpu_seconds(pid), Instant::now());
            let found = sync(&appliance, "east").unwrap();
            let cost = (cpu_seconds(pid) - before) * 1e3;
            assert_eq!(found.error, None);
            println!(
                "  steady: own CPU {cost:.0} ms, wall {:.0} ms",
                began.elapsed().as_secs_f64() * 1e3
            );
            cost
        })
        .collect();
    steady.sort_by(f64::total_cmp);
    let now = appliance.wait_in_step();
    assert_eq!((now.live_generation, now.restarts), (told.live_generation, told.restarts));
    let steadily = memory(pid, "VmHWM") / 1e6;
    println!("  memory at the peak of the steady polls {steadily:.0} MB");
    peak = peak.max(steadily);
    drop(fake.stdin.take());
    fake.wait().unwrap();
    Cost { first, steady: steady[steady.len() / 2], peak }
}
