//! Sockets that systemd holds for the doors (sd_listen_fds): callers wait
//! through a restart in place of being refused.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and read plain files"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::appliance::{Appliance, given};
use common::nagios::{Nagios, Settings};
use weather_balloon::rpc::client::Client;

const QUICK: &str = "min_restart_interval = \"1s\"";

fn held() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// What the page says, asked over a connection that was made earlier.
fn page(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The sockets of a process that programs which it runs would inherit.
fn inherited(pid: i32) -> Vec<String> {
    const CLOSED_BY_EXEC: u32 = 0o2_000_000;
    let mut open = Vec::new();
    for fd in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let target = fs::read_link(fd.path()).unwrap_or_default().display().to_string();
        let name = fd.file_name().into_string().unwrap();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{name}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("0");
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        if target.starts_with("socket:") && flags & CLOSED_BY_EXEC == 0 {
            open.push(format!("{name} -> {target}"));
        }
    }
    open
}

#[test]
fn callers_wait_for_a_daemon_that_starts_and_starts_again() {
    let nagios = Nagios::start_new(Settings::default());
    let (rpc, web) = (held(), held());
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let web_address = web.local_addr().unwrap();
    appliance.address = rpc.local_addr().unwrap().to_string();
    let http = format!("[http]\nlisten = [\"{web_address}\"]");
    appliance.configure(&nagios, QUICK, &http);

    // Both connect while nobody is there to answer.
    let early = TcpStream::connect(web_address).unwrap();
    let address = appliance.address.clone();
    let long = Duration::from_secs(30);
    let mut waiting = Client::connect(&address, long, long).unwrap();
    appliance.start_for(&rpc, &web);
    waiting.replace_hosts(vec![given("vm-1", "127.0.0.1")], false).unwrap();
    assert!(page(early).starts_with("HTTP/1.1 200"));
    assert_eq!(inherited(appliance.pid()), Vec::<String>::new());

    let (ended, _) = appliance.stop();
    assert!(ended.success());
    let mut between = Client::connect(&address, long, long).unwrap();
    appliance.start_for(&rpc, &web);
    assert_eq!(between.get_hosts().unwrap().hosts.unwrap().len(), 1);
    appliance.stop();
}

#[test]
fn a_socket_that_no_door_names_is_told_and_stops_nothing() {
    let nagios = Nagios::start_new(Settings::default());
    let (other, web) = (held(), held());
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    appliance.start_for(&other, &web);
    for socket in [&other, &web] {
        let address = socket.local_addr().unwrap();
        appliance.wait_logged(&format!("systemd listens on {address} for us"), 1);
    }
    appliance.client().replace_hosts(vec![given("vm-1", "127.0.0.1")], false).unwrap();
}
