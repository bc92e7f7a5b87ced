//! The Thrift door for other machines: TLS with client certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::thrift::{Encoding, OpenDoor, config, connect, get_metrics};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use weather_balloon::listen::{self, TlsConfig};
use weather_balloon::rpc::{Config, Door, Error};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, as PEM.
fn issue(issuer: &Issuer, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn keep(dir: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn tls_config(dir: &Path, ours: &Issuer, clients: &Issuer) -> Config {
    let (cert, key) = issue(ours, "localhost");
    Config {
        listen: vec!["tls:127.0.0.1:0".to_owned()],
        tls: TlsConfig {
            cert_file: keep(dir, "cert.pem", &cert, 0o644),
            key_file: keep(dir, "key.pem", &key, 0o600),
            client_ca_file: keep(dir, "ca.pem", &clients.pem(), 0o644),
        },
        ..config()
    }
}

fn connect_tls(
    door: &OpenDoor,
    ours: &Issuer,
    identity: Option<(String, String)>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(ours.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, connect(door.tcp()))
}

#[test]
fn a_known_client_is_answered_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, clients, strangers) = (authority("us"), authority("them"), authority("nobody"));
    let door = OpenDoor::new(&tls_config(dir.path(), &ours, &clients));
    let request = get_metrics(Encoding::Binary, true);

    let mut known = connect_tls(&door, &ours, Some(issue(&clients, "updater")));
    for _ in 0..3 {
        known.write_all(&request).unwrap();
        let mut length = [0; 4];
        known.read_exact(&mut length).unwrap();
        let mut reply = vec![0; u32::from_be_bytes(length) as usize];
        known.read_exact(&mut reply).unwrap();
        assert!(String::from_utf8_lossy(&reply).contains("load.load2"));
    }

    for identity in [None, Some(issue(&strangers, "updater"))] {
        let mut refused = connect_tls(&door, &ours, identity);
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
