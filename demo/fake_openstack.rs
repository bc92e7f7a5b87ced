//! A small OpenStack on loopback whose servers come, go, stop and grow, for
//! `make demo`: the fake of the tests, as a program.
//!
//! `fake-openstack PORT FLEET SECONDS [ADDRESS]`: about FLEET servers, a change
//! every SECONDS (0: never), each with the address ADDRESS. It ends when its
//! standard input does, or by a signal. Its user is "weatherballoon" of the
//! project "admin", its password is the second line that it prints.
//!
//! `fake-openstack hosts COUNT`: the demo's machines, for `hosts set`.

#![allow(dead_code, reason = "a program uses a part of the rig")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a demo fails by panicking")]

#[path = "data.rs"]
mod demo;
#[path = "../tests/common/http.rs"]
mod http;
#[path = "../tests/common/openstack/mod.rs"]
mod openstack;

use std::io::Read;
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (port, fleet, every, address) = match args.as_slice() {
        [word, count] if word == "hosts" => return hosts(count.parse().unwrap()),
        [port, fleet, every] => (port, fleet, every, None),
        [port, fleet, every, address] => (port, fleet, every, Some(address.clone())),
        _ => panic!("usage: fake-openstack PORT FLEET SECONDS [ADDRESS]"),
    };
    let (fleet, every) = (fleet.parse::<usize>().unwrap(), every.parse::<u64>().unwrap());
    let cloud = openstack::OpenStack::start_at(&format!("127.0.0.1:{port}"));
    cloud.state().address = address;
    for _ in 0..fleet {
        cloud.state().churn(fleet);
    }
    println!("{}\n{}", cloud.auth_url(), openstack::PASSWORD);
    std::thread::scope(|scope| {
        if every > 0 {
            scope.spawn(|| {
                loop {
                    std::thread::sleep(Duration::from_secs(every));
                    cloud.state().churn(fleet);
                }
            });
        }
        let mut rest = Vec::new();
        // However its input ends, it is over.
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
}

fn hosts(count: usize) {
    let host = |(id, display_name, address)| serde_json::json!({"id": id, "display_name": display_name, "address": address});
    let hosts: Vec<_> = (1..=count).map(|n| host(demo::machine(n))).collect();
    println!("{}", serde_json::to_string_pretty(&hosts).unwrap());
}
