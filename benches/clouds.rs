//! What a poll of an OpenStack costs: CPU time and memory of our own. The
//! fake that answers runs in a process of its own and is not counted.
//!
//! `cargo bench --bench clouds`

#![allow(dead_code, reason = "a benchmark uses a part of the rig")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking"
)]

#[path = "../tests/common/http.rs"]
mod http;
#[path = "../tests/common/openstack/mod.rs"]
mod openstack;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use weather_balloon::providers::openstack::{Config, OpenStack};
use weather_balloon::providers::{Listing, Provider, Question};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "serve", servers] => serve(servers.parse().unwrap()),
        [_, "poll", servers] => poll(servers.parse().unwrap()),
        _ => {
            // A process each: a peak of memory is that of a whole process.
            for servers in ["5000", "100000"] {
                let own = std::env::current_exe().unwrap();
                assert!(Command::new(own).args(["poll", servers]).status().unwrap().success());
            }
        }
    }
}

/// Until standard input ends.
fn serve(servers: usize) {
    let cloud = openstack::OpenStack::start();
    {
        let mut state = cloud.state();
        let now = state.now();
        state.clock = Some(now);
        for n in 0..servers {
            state.boot(Some(&format!("user{}", n % 500)), n % 3);
        }
        // Nothing changed of late.
        state.pass(3600);
    }
    println!("{}", cloud.auth_url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn start(servers: usize) -> (Child, String) {
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new(own)
        .args(["serve", &servers.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
    (child, url.trim().to_owned())
}

fn poll(servers: usize) {
    let (mut child, auth_url) = start(servers);
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, openstack::PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = Config {
        auth_url,
        username: "weatherballoon".to_owned(),
        password_file: password,
        project: "admin".to_owned(),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cloud = OpenStack::new("bench", &config).unwrap();
    let base = memory("VmRSS");
    println!("{servers} running instances, pages of 1,000");
    let listing = measure(&runtime, &cloud, &Question::default(), "first", servers);
    println!("  MB of memory more at the peak {:>10.0}", (memory("VmHWM") - base) / 1e6);
    let living = listing.sighting.instances().iter().map(|one| one.id.clone()).collect();
    let question =
        Question { since: Some(listing.sighting.began()), living, ..Question::default() };
    for _ in 0..3 {
        measure(&runtime, &cloud, &question, "steady", servers);
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    cloud: &OpenStack,
    question: &Question,
    what: &str,
    servers: usize,
) -> Listing {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let listing = runtime.block_on(cloud.list(question)).unwrap();
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    assert_eq!(listing.sighting.instances().len(), servers);
    println!("  {what}: own CPU ms {:>10.0}, wall ms {:>10.0}", cpu * 1e3, wall * 1e3);
    listing
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

/// In bytes.
fn memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}
