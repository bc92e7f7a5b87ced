//! The Thrift door for other machines: TLS with client certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::path::Path;

use common::thrift::{Encoding, OpenDoor, config, connect, get_metrics};
use common::tls::{Issuer, authority, files, issue, keep, over};
use weather_balloon::listen::{self, TlsConfig};
use weather_balloon::rpc::{Config, Door, Error};

fn tls_config(dir: &Path, ours: &Issuer, clients: &Issuer) -> Config {
    let listen = vec!["tls:127.0.0.1:0".to_owned()];
    Config { listen, tls: files(dir, ours, clients), ..config() }
}

#[test]
fn a_known_client_is_answered_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, clients, strangers) = (authority("us"), authority("them"), authority("nobody"));
    let door = OpenDoor::new(&tls_config(dir.path(), &ours, &clients));
    let request = get_metrics(Encoding::Binary, true);

    let mut known = over(connect(door.tcp()), &ours, Some(issue(&clients, "updater")));
    for _ in 0..3 {
        known.write_all(&request).unwrap();
        let mut length = [0; 4];
        known.read_exact(&mut length).unwrap();
        let mut reply = vec![0; u32::from_be_bytes(length) as usize];
        known.read_exact(&mut reply).unwrap();
        assert!(String::from_utf8_lossy(&reply).contains("load.load2"));
    }

    for identity in [None, Some(issue(&strangers, "updater"))] {
        let mut refused = over(connect(door.tcp()), &ours, identity);
        // With TLS 1.3 the client learns of it when it reads.
        let answered = refused.write_all(&request).and_then(|()| refused.read_exact(&mut [0]));
        assert!(answered.is_err(), "a stranger was answered");
    }
    let mut plain = connect(door.tcp());
    plain.write_all(&request).unwrap();
    let mut said = Vec::new();
    // TLS says why, or nothing.
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("load"));
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority("us");
    let good = tls_config(dir.path(), &ours, &ours);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fault = |tls: TlsConfig| {
        let config = Config { tls, ..good.clone() };
        let fault = runtime.block_on(Door::bind(&config)).err().unwrap();
        let Error::Listen(listen::Error::Tls(fault)) = fault else { panic!("{fault}") };
        let mut text = fault.to_string();
        let mut source = std::error::Error::source(&fault);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    let open = keep(dir.path(), "open.pem", "x", 0o644);
    let text = fault(TlsConfig { key_file: open, ..good.tls.clone() });
    assert!(text.contains("can be read by others"), "{text}");
    let empty = keep(dir.path(), "empty.pem", "", 0o600);
    let text = fault(TlsConfig { cert_file: empty.clone(), ..good.tls.clone() });
    assert!(text.contains("there is no certificate in"), "{text}");
    let text = fault(TlsConfig { key_file: empty, ..good.tls.clone() });
    assert!(text.contains("cannot read a private key"), "{text}");
    let other = keep(dir.path(), "other.pem", &issue(&ours, "x").1, 0o600);
    let text = fault(TlsConfig { key_file: other, ..good.tls.clone() });
    assert!(text.contains("do not go together"), "{text}");
    let text = fault(TlsConfig { client_ca_file: dir.path().join("none"), ..good.tls.clone() });
    assert!(text.contains("cannot read the certificates"), "{text}");
}
