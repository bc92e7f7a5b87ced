//! The Thrift door over real sockets, without an appliance behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::thrift::{
    Encoding, OpenDoor, PATIENCE, call, client, config, frame, get_metrics, hosts, raw_call,
    read_bytes, read_to_close, series, tcp_client,
};
use thrift::ApplicationErrorKind;
use weather_balloon::listen::{self, ListenError};
use weather_balloon::model::{Datapoint, GivenHost, Series};
use weather_balloon::rpc::client::{Client, Error as ClientError, MetricsQuestion};
use weather_balloon::rpc::wire::cloud::{CloudSyncClient, TCloudSyncClient};
use weather_balloon::rpc::wire::hosts::THostsSyncClient;
use weather_balloon::rpc::{Config, Door, Error};
use weather_balloon::settings::ByteSize;

const ENCODINGS: [Encoding; 3] = [Encoding::Binary, Encoding::OldBinary, Encoding::Compact];

/// The reply to `get_metrics` of the same form, as long as every such reply.
fn metrics_reply(door: &OpenDoor, encoding: Encoding, framed: bool) -> Vec<u8> {
    let mut stream = door.connect();
    stream.write_all(&get_metrics(encoding, framed)).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    read_to_close(&stream)
}

#[test]
fn every_form_is_answered_in_kind() {
    let door = OpenDoor::new(&Config { non_strict: true, ..config() });
    for encoding in ENCODINGS {
        let plain = metrics_reply(&door, encoding, false);
        assert_eq!(metrics_reply(&door, encoding, true), frame(&plain));
        let begin: &[u8] = match encoding {
            Encoding::Binary => b"\x80\x01\x00\x02\x00\x00\x00\x0bget_metrics",
            Encoding::OldBinary => b"\x00\x00\x00\x0bget_metrics\x02",
            Encoding::Compact => b"\x82\x41\x01\x0bget_metrics",
        };
        assert!(plain.starts_with(begin), "{encoding:?}");
        assert!(plain.len() > 3 * 144 * 12);
    }
}

#[test]
fn metrics_arrive_with_their_values_and_gaps() {
    let door = OpenDoor::new(&config());
    let found = tcp_client(door.tcp()).get_metrics("vm-1".into(), "load.*".into()).unwrap();
    let expected: BTreeMap<_, _> = series().into_iter().map(|one| (one.name, one.points)).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, points) in found {
        for (got, want) in points.iter().zip(&expected[&name]) {
            assert_eq!(got.time, Some(want.time));
            assert_eq!(got.value.unwrap().0, want.value.unwrap_or_default());
        }
    }
    let mut daemon = Client::connect(&door.tcp().to_string(), PATIENCE, PATIENCE).unwrap();
    let question = MetricsQuestion {
        host_name: Some("vm-1".to_owned()),
        key: None,
        start_time: Some(1),
        end_time: None,
        max_points: None,
        source: None,
    };
    assert_eq!(daemon.query_metrics(&question).unwrap(), series());
}

#[test]
fn an_absent_key_is_an_empty_one() {
    let door = OpenDoor::new(&config());
    let whole = metrics_reply(&door, Encoding::Binary, false);
    for arguments in [&b"\x0b\0\x01\0\0\0\x01x\0"[..], b"\x0b\0\x01\0\0\0\x01x\x0b\0\x02\0\0\0\0\0"]
    {
        let mut stream = door.connect();
        stream.write_all(&raw_call("get_metrics", arguments)).unwrap();
        let head = read_bytes(&stream, 23);
        assert_eq!((&head[..4], &head[8..19]), (&b"\x80\x01\0\x02"[..], &b"get_metrics"[..]));
        assert_eq!(read_bytes(&stream, whole.len() - 23), whole[23..]);
    }
}

#[test]
fn the_wrong_question_is_an_exception_and_the_connection_lives_on() {
    let door = OpenDoor::new(&config());
    let mut client = tcp_client(door.tcp());
    for (host, key, words) in [
        ("", "", "the host name \"\" is empty"),
        ("a\n}", "", "has a character other than"),
        ("vm-1", "alias(*,1)", "part 1 of the key is \"alias(*,1)\""),
    ] {
        match client.get_metrics(host.into(), key.into()) {
            Err(thrift::Error::Application(fault)) => {
                assert_eq!(fault.kind, ApplicationErrorKind::InternalError);
                assert!(fault.message.contains(words), "{}", fault.message);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.get_metrics("vm-1".into(), String::new()).unwrap().len(), 3);
}

#[test]
fn hosts_are_checked_at_the_door() {
    let door = OpenDoor::new(&config());
    let mut client = tcp_client(door.tcp());
    let mut bad = hosts(2);
    bad[1].id = Some("a}\n".to_owned());
    bad[1].address = None;
    match client.set_hosts(bad.clone()) {
        Err(thrift::Error::Application(fault)) => {
            assert_eq!(fault.kind, ApplicationErrorKind::InternalError);
            assert!(
                fault.message.starts_with("2 faults in the list of hosts"),
                "{}",
                fault.message
            );
        }
        other => panic!("{other:?}"),
    }
    let mut daemon = Client::connect(&door.tcp().to_string(), PATIENCE, PATIENCE).unwrap();
    let given = GivenHost { id: "x y".into(), display_name: "x".into(), address: "::1".into() };
    match daemon.replace_hosts(vec![given.clone()], false) {
        Err(ClientError::InvalidHosts { faults, .. }) => assert_eq!(faults.len(), 1),
        other => panic!("{other:?}"),
    }
    assert!(matches!(daemon.diff_hosts(vec![given]), Err(ClientError::InvalidHosts { .. })));
    // 10,000 hosts with one fault: named all the same, by the blocking path.
    let mut many = hosts(10_000);
    many[9_999].address = Some("$(id)".to_owned());
    match client.set_hosts(many) {
        Err(thrift::Error::Application(fault)) => {
            assert!(fault.message.contains("host 9999: address"), "{}", fault.message);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_methods_and_unreadable_arguments_leave_the_connection_usable() {
    let door = OpenDoor::new(&config());
    for (name, arguments, words) in [
        ("launch", &b"\x0c\0\x01\x08\0\x05\0\0\0\x01\0\0"[..], "unknown method \"launch\""),
        ("Hosts:launch", b"\0", "unknown method \"Hosts:launch\""),
        ("Cloud:set_hosts", b"\0", "unknown method \"Cloud:set_hosts\""),
        ("get_metrics", b"\x0a\0\x01\0\0\0\0\0\0\0\x01\0", "cannot be read"),
        ("get_metrics", b"\x0b\0\x01\0\0\0\x02\xff\xfe\0", "cannot be read"),
        ("set_hosts", b"\0", "cannot be read"),
        ("set_hosts", b"\x0a\0\x01\0\0\0\0\0\0\0\x01\0", "cannot be read"),
        ("rollback", b"\0", "cannot be read"),
    ] {
        let mut stream = door.connect();
        stream.write_all(&raw_call(name, arguments)).unwrap();
        stream.write_all(&get_metrics(Encoding::Binary, false)).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let said = read_to_close(&stream);
        assert_eq!(said[..4], *b"\x80\x01\x00\x03", "{name}");
        let plain = name.rsplit(':').next().unwrap();
        assert_eq!(said[8..8 + plain.len()], *plain.as_bytes());
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains(words), "{name}: {text}");
        assert!(text.contains("load.load2"), "{name}: nothing came after the exception");
    }
}

#[test]
fn both_services_answer_plain_and_multiplexed() {
    let door = OpenDoor::new(&config());
    // From 0 to 1, of x.
    let asked = b"\x08\0\x01\0\0\0\0\x08\0\x02\0\0\0\x01\x0b\0\x03\0\0\0\x01x\0";
    for name in ["get_leaderboard", "Cloud:get_leaderboard", "Cloud:get_user_stats"] {
        let mut stream = door.connect();
        stream.write_all(&raw_call(name, asked)).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let text = String::from_utf8_lossy(&read_to_close(&stream)).into_owned();
        assert!(text.contains("this appliance keeps no usage"), "{text}");
    }
    let stream = door.connect();
    let mut cloud = CloudSyncClient::new(
        thrift::protocol::TBinaryInputProtocol::new(stream.try_clone().unwrap(), true),
        thrift::protocol::TBinaryOutputProtocol::new(stream, true),
    );
    match cloud.get_leaderboard(0, 1) {
        Err(thrift::Error::Application(fault)) => {
            assert!(fault.message.contains("set [store] url"), "{fault:?}")
        }
        other => panic!("{other:?}"),
    }

    let mut stream = door.connect();
    stream.write_all(&raw_call("Hosts:get_metrics", b"\x0b\0\x01\0\0\0\x01x\0")).unwrap();
    assert_eq!(read_bytes(&stream, 19)[..19], *b"\x80\x01\0\x02\0\0\0\x0bget_metrics");
}

#[test]
fn pipelined_calls_are_answered_in_order() {
    let door = OpenDoor::new(&Config { non_strict: true, ..config() });
    for encoding in ENCODINGS {
        for framed in [false, true] {
            let one = metrics_reply(&door, encoding, framed);
            let request = get_metrics(encoding, framed);
            let large = call(encoding, framed, |c| drop(c.set_hosts(hosts(3_000))));
            let mut stream = door.connect();
            let sender = stream.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let mut sender = sender;
                    for _ in 0..500 {
                        sender.write_all(&request).unwrap();
                    }
                    sender.write_all(&large).unwrap();
                    sender.write_all(&request).unwrap();
                    sender.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut said = Vec::new();
                stream.read_to_end(&mut said).unwrap();
                for at in 0..500 {
                    assert!(said[at * one.len()..].starts_with(&one), "{encoding:?} {at}");
                }
                let last = &said[500 * one.len()..];
                assert!(last.ends_with(&one), "{encoding:?}");
                assert!(String::from_utf8_lossy(last).contains("set_hosts"));
            });
        }
    }
}

#[test]
fn a_oneway_call_gets_no_reply() {
    let door = OpenDoor::new(&config());
    for name in ["get_metrics", "nothing", "set_hosts"] {
        let mut oneway = raw_call(name, b"\0");
        oneway[3] = 4;
        let mut stream = door.connect();
        stream.write_all(&oneway).unwrap();
        stream.write_all(&raw_call("after", b"\0")).unwrap();
        assert_eq!(read_bytes(&stream, 13)[8..], *b"after");
    }
}

#[test]
fn a_slow_writer_is_answered() {
    let door = OpenDoor::new(&config());
    for framed in [false, true] {
        let mut stream = door.connect();
        for byte in get_metrics(Encoding::Compact, framed) {
            stream.write_all(&[byte]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(read_bytes(&stream, 1).len(), 1);
    }
}

#[test]
fn a_message_that_stops_is_closed_after_its_time() {
    let door = OpenDoor::new(&Config { message_timeout: Duration::from_millis(300), ..config() });
    let whole = call(Encoding::Binary, false, |c| drop(c.set_hosts(hosts(5_000))));
    for cut in [1, 3, 30, 200_000] {
        let mut stream = door.connect();
        stream.write_all(&whole[..cut]).unwrap();
        let began = Instant::now();
        assert_eq!(read_to_close(&stream), b"");
        assert!(began.elapsed() >= Duration::from_millis(250), "{cut}: closed too soon");
    }
}

#[test]
fn an_idle_connection_ends_after_its_time_and_not_before() {
    let door = OpenDoor::new(&Config { idle_timeout: Duration::from_millis(400), ..config() });
    let idle = door.connect();
    let mut used = tcp_client(door.tcp());
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        used.get_metrics("vm-1".into(), String::new()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(read_to_close(&idle), b"");
    used.get_metrics("vm-1".into(), String::new()).unwrap();
}

#[test]
fn who_never_reads_is_cut_off() {
    let points = (0..200_000).map(|n| Datapoint { time: n, value: Some(1.0) }).collect();
    let large = vec![Series { name: "x".to_owned(), points }];
    let timeout = Duration::from_millis(500);
    let config = Config { write_timeout: timeout, ..config() };
    let door = OpenDoor::answering(&config, large);
    let mut stream = door.connect();
    for _ in 0..10 {
        stream.write_all(&get_metrics(Encoding::Binary, false)).unwrap();
    }
    // Once it has given up, what it could not send is lost.
    std::thread::sleep(3 * timeout);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(said.len() < 10 * 200_000 * 23, "it went on for {} bytes", said.len());
}

#[test]
fn a_reply_has_a_longest_length() {
    let config = Config { max_reply: ByteSize::kib(5), ..config() };
    let door = OpenDoor::new(&config);
    let mut client = tcp_client(door.tcp());
    let fault = client.get_metrics("vm-1".into(), String::new()).unwrap_err();
    match fault {
        thrift::Error::Application(fault) => {
            assert!(fault.message.contains("[rpc] max_reply"), "{}", fault.message);
        }
        other => panic!("{other:?}"),
    }
    assert!(client.get_hosts().is_ok());
}

#[test]
fn at_the_cap_the_oldest_idle_connection_goes() {
    let door = OpenDoor::new(&Config { max_connections: 3, ..config() });
    let mut three: Vec<_> = (0..3).map(|_| tcp_client(door.tcp())).collect();
    for client in &mut three {
        client.get_status().unwrap();
        // The order of rest is told in milliseconds.
        std::thread::sleep(Duration::from_millis(5));
    }
    three[0].get_status().unwrap();
    let mut fourth = tcp_client(door.tcp());
    fourth.get_status().unwrap();
    three[0].get_status().unwrap();
    assert!(three[1].get_status().is_err(), "the oldest idle one was kept");
    three[2].get_status().unwrap();
    fourth.get_status().unwrap();
}

#[test]
fn a_full_house_of_busy_connections_refuses() {
    let door = OpenDoor::new(&Config { max_connections: 2, ..config() });
    let mut busy: Vec<_> = (0..2).map(|_| door.connect()).collect();
    let message = get_metrics(Encoding::Binary, false);
    let reply = message.len();
    for stream in &mut busy {
        stream.write_all(&message).unwrap();
        read_bytes(stream, reply);
        stream.write_all(&message[..10]).unwrap();
    }
    // The door has seen the halves when it refuses; until then it makes room.
    let began = Instant::now();
    loop {
        let mut third = door.connect();
        let sent = third.write_all(&message);
        let mut one = [0];
        match sent.and_then(|()| third.read(&mut one)) {
            Ok(0) | Err(_) => break,
            Ok(_) => assert!(began.elapsed() < PATIENCE, "it was never full"),
        }
    }
}

#[test]
fn hostile_bytes_are_closed_without_a_word() {
    let door = OpenDoor::new(&config());
    let list = |count: &[u8; 4]| raw_call("set_hosts", &[b"\x0f\0\x01\x0c", &count[..]].concat());
    let claimed = [list(b"\x05\x5d\x4a\x80"), vec![0; 4]].concat();
    assert_eq!(claimed.len(), 33);
    let mut reply = raw_call("set_hosts", b"\0");
    reply[3] = 2;
    for (what, bytes) in [
        ("a list of 2^31-1", list(b"\x7f\xff\xff\xff")),
        ("a list of 90 million", claimed),
        ("a list of -1", list(b"\xff\xff\xff\xff")),
        (
            "a list of 2,000,000 empty structs",
            [list(b"\x00\x1e\x84\x80"), vec![0; 2_000_000]].concat(),
        ),
        ("a string of 2^31-1", raw_call("get_metrics", b"\x0b\0\x01\x7f\xff\xff\xff")),
        ("a string of 100 MiB", raw_call("get_metrics", b"\x0b\0\x01\x06\x40\0\0")),
        ("a string of -1", raw_call("get_metrics", b"\x0b\0\x01\xff\xff\xff\xff")),
        ("a name of 2^31-1", b"\x80\x01\0\x01\x7f\xff\xff\xff".to_vec()),
        ("nested structs", raw_call("x", &b"\x0c\0\x09".repeat(100_000))),
        (
            "nested lists",
            raw_call("x", &[&b"\x0f\0\x09"[..], &b"\x0f\0\0\0\x01".repeat(100_000)].concat()),
        ),
        ("a frame of 2^31-1", b"\x7f\xff\xff\xff\x80\x01\0\x01".to_vec()),
        ("HTTP", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("HTTP with a call in it", [b"POST / HTTP/1.1\r\n\r\n", &reply[..]].concat()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00".to_vec()),
        ("THeader", b"\0\0\0\x20\x0f\xff\0\0".to_vec()),
        ("a reply", reply),
        ("the old protocol", get_metrics(Encoding::OldBinary, false)),
        ("the old protocol, framed", get_metrics(Encoding::OldBinary, true)),
        ("random bytes", (0..64_u8).map(|n| n.wrapping_mul(151).wrapping_add(99)).collect()),
    ] {
        let mut stream = door.connect();
        // It may be closed before all of it is sent.
        let _ = stream.write_all(&bytes);
        assert_eq!(read_to_close(&stream), b"", "{what}");
    }
    // A frame that is claimed and does not come waits for its time.
    let mut stream = door.connect();
    stream.write_all(b"\x00\xff\xff\xff\x80\x01\0\x01").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let waits = stream.read(&mut [0]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    tcp_client(door.tcp()).get_status().unwrap();
}

/// Whatever a browser, a TLS or another client begins with: no call follows.
#[test]
fn wrong_first_bytes_reach_no_handler() {
    let door = OpenDoor::new(&config());
    let whole = raw_call("get_status", b"\0");
    let mut tried = 0;
    for first in 0..=255_u8 {
        let every = matches!(first, 0x00 | 0x16 | 0x47 | 0x50 | 0x80 | 0x81 | 0x82);
        for second in (0..=255_u8).step_by(if every { 1 } else { 7 }) {
            // A strict binary call, and compact ones, with a nameless method.
            if matches!((first, second), (0x80, 0x01) | (0x82, 0x21 | 0x81)) {
                continue;
            }
            let mut bytes = whole.clone();
            bytes[..2].copy_from_slice(&[first, second]);
            let mut stream = door.connect();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(read_to_close(&stream), b"", "{first:02x} {second:02x}");
            tried += 1;
        }
    }
    assert!(tried > 9_000, "{tried}");
}

#[test]
fn a_unix_socket_is_for_its_owner_and_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let address = format!("unix:{}", path.display());
    let config = Config { listen: vec!["127.0.0.1:0".to_owned(), address.clone()], ..config() };
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

    let door = OpenDoor::new(&config);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    let stream = UnixStream::connect(&path).unwrap();
    let mut one = client(stream.try_clone().unwrap(), stream);
    assert_eq!(one.get_metrics("vm-1".into(), String::new()).unwrap().len(), 3);
    let mut daemon = Client::connect(&address, PATIENCE, PATIENCE).unwrap();
    daemon.get_hosts().unwrap();
    tcp_client(door.tcp()).get_status().unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let second = runtime.block_on(Door::bind(&config)).err();
    assert!(
        matches!(second, Some(Error::Listen(listen::Error::Listen(ListenError::InUse(_))))),
        "{second:?}"
    );
    assert!(path.exists());
    drop(door);
    assert!(!path.exists(), "the socket was left behind");

    std::fs::File::create(&path).unwrap();
    let refused = runtime.block_on(Door::bind(&config)).err();
    assert!(
        matches!(refused, Some(Error::Listen(listen::Error::Listen(ListenError::NotASocket(_))))),
        "{refused:?}"
    );
    assert!(path.exists());
}

#[test]
fn a_door_closes_soon_whatever_its_guests_do() {
    let mut door = OpenDoor::new(&config());
    let idle: Vec<_> = (0..50).map(|_| door.connect()).collect();
    let mut used = tcp_client(door.tcp());
    used.get_status().unwrap();
    let mut half = door.connect();
    half.write_all(&get_metrics(Encoding::Binary, false)[..20]).unwrap();
    let address = door.tcp();
    door.close();
    for stream in &idle {
        assert_eq!(read_to_close(stream), b"");
    }
    assert!(used.get_status().is_err());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn an_address_of_others_needs_tls() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "tls:127.0.0.1:0"] {
        let config = Config { listen: vec![listen.to_owned()], ..config() };
        let fault = runtime.block_on(Door::bind(&config)).err().expect("it is open to all");
        assert!(fault.to_string().contains("needs [rpc.tls]"), "{fault}");
    }
}

#[test]
fn the_client_tells_who_is_not_there() {
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap()
    };
    for address in [port.to_string(), "unix:/nonexistent/rpc.sock".to_owned()] {
        let fault = Client::connect(&address, PATIENCE, PATIENCE).err().unwrap();
        assert!(matches!(fault, ClientError::Unreachable { .. }), "{fault}");
    }
    assert!(matches!(Client::connect("nowhere", PATIENCE, PATIENCE), Err(ClientError::Address(_))));
    // Somebody who takes the call and goes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap().0.read(&mut [0; 64])));
        let mut daemon = Client::connect(&address.to_string(), PATIENCE, PATIENCE).unwrap();
        assert!(matches!(daemon.get_status(), Err(ClientError::Lost(_))));
    });
}
