//! A real slapd on loopback, with a directory and ports of its own, and
//! certificates that an authority of its own has signed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fmt::Write;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use weather_balloon::directory::Config;

use super::keeper;

pub const SUFFIX: &str = "dc=example,dc=org";
pub const PASSWORD: &str = "canary-of-the-reader";
const PROGRAMS: &str = "/usr/sbin";
const PATIENCE: Duration = Duration::from_secs(30);

/// What is in the directory beside its roots.
#[derive(Default)]
pub struct Tree {
    ldif: String,
    people: usize,
}

pub struct Slapd {
    pub ldap: u16,
    pub ldaps: u16,
    server: Child,
    dir: tempfile::TempDir,
}

impl Tree {
    /// Returns the person's DN.
    pub fn person(&mut self, uid: &str, unit: &str) -> String {
        self.people += 1;
        let dn = format!("cn=person {},ou={unit},{SUFFIX}", self.people);
        let number = self.people;
        let mut put = |name: &str, value: &str| self.attribute(name, value);
        put("dn", &dn);
        put("objectClass", "inetOrgPerson");
        put("cn", &format!("person {number}"));
        put("sn", "Example");
        put("uid", uid);
        self.ldif.push('\n');
        dn
    }

    pub fn posix_group(&mut self, name: &str, unit: &str, uids: &[&str]) {
        self.attribute("dn", &format!("cn={name},ou={unit},{SUFFIX}"));
        self.attribute("objectClass", "posixGroup");
        self.attribute("cn", name);
        self.attribute("gidNumber", "20000");
        uids.iter().for_each(|uid| self.attribute("memberUid", uid));
        self.ldif.push('\n');
    }

    pub fn group_of_names(&mut self, name: &str, unit: &str, dns: &[&str]) {
        self.attribute("dn", &format!("cn={name},ou={unit},{SUFFIX}"));
        self.attribute("objectClass", "groupOfNames");
        self.attribute("cn", name);
        dns.iter().for_each(|dn| self.attribute("member", dn));
        self.ldif.push('\n');
    }

    pub fn referral(&mut self, unit: &str, url: &str) {
        self.attribute("dn", &format!("ou=elsewhere,ou={unit},{SUFFIX}"));
        self.attribute("objectClass", "referral");
        self.attribute("objectClass", "extensibleObject");
        self.attribute("ou", "elsewhere");
        self.attribute("ref", url);
        self.ldif.push('\n');
    }

    pub fn unit(&mut self, name: &str) {
        self.attribute("dn", &format!("ou={name},{SUFFIX}"));
        self.attribute("objectClass", "organizationalUnit");
        self.attribute("ou", name);
        self.ldif.push('\n');
    }

    /// In hexadecimal-free LDIF: base64 spares all escaping.
    fn attribute(&mut self, name: &str, value: &str) {
        writeln!(self.ldif, "{name}:: {}", base64(value.as_bytes())).unwrap();
    }
}

impl Slapd {
    pub fn start(tree: &Tree) -> Slapd {
        let program = format!("{PROGRAMS}/slapd");
        assert!(
            fs::exists(&program).unwrap(),
            "{program} is missing: apt-get install slapd, or run make test"
        );
        let dir = tempfile::Builder::new().prefix("wb-slapd-").tempdir().unwrap();
        prepare(dir.path(), tree);
        // Another process may take a port between our look and the server's bind.
        for _ in 0..3 {
            let (ldap, ldaps) = (free_port(), free_port());
            let mut server = spawn(dir.path(), ldap, ldaps);
            if wait_until_up(&mut server, &[ldap, ldaps]) {
                return Slapd { ldap, ldaps, server, dir };
            }
        }
        panic!("slapd did not start\n{}", log(dir.path()));
    }

    /// By plain LDAP, as anybody.
    pub fn config(&self) -> Config {
        Config {
            url: format!("ldap://127.0.0.1:{}", self.ldap),
            people_base: format!("ou=People,{SUFFIX}"),
            groups_base: format!("ou=Groups,{SUFFIX}"),
            ca_file: self.path("ca.pem"),
            ..Config::default()
        }
    }

    /// As the reader, who alone may read below `ou=Closed`.
    pub fn bound(&self, config: Config) -> Config {
        Config {
            bind_dn: format!("cn=reader,{SUFFIX}"),
            bind_password_file: self.path("password"),
            ..config
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn signal(&self, signal: Signal) {
        keeper::signal(&self.server, signal);
    }

    pub fn stop(&mut self) {
        if self.server.try_wait().unwrap().is_none() {
            keeper::signal(&self.server, Signal::SIGINT);
        }
        keeper::stop(&mut self.server);
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn prepare(dir: &Path, tree: &Tree) {
    fs::create_dir(dir.join("db")).unwrap();
    certify(dir);
    for (name, text) in [("password", PASSWORD), ("wrong-password", "canary-that-is-wrong")] {
        fs::write(dir.join(name), format!("{text}\n")).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(dir.join("slapd.conf"), conf(dir)).unwrap();
    let mut ldif = format!(
        "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: example\n\n"
    );
    for unit in ["People", "Groups", "Closed"] {
        writeln!(ldif, "dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\nou: {unit}\n")
            .unwrap();
    }
    writeln!(
        ldif,
        "dn: cn=reader,{SUFFIX}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: {PASSWORD}\n"
    )
    .unwrap();
    ldif.push_str(&tree.ldif);
    fs::write(dir.join("tree.ldif"), ldif).unwrap();
    let added = Command::new(format!("{PROGRAMS}/slapadd"))
        .arg("-q")
        .arg("-f")
        .arg(dir.join("slapd.conf"))
        .arg("-l")
        .arg(dir.join("tree.ldif"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certify(dir: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let own = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&own, &authority).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("server.key"), own.serialize_pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("other-ca.pem"), other.cert.pem()).unwrap();
}

fn conf(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/slapd.pid
argsfile {dir}/slapd.args
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/server.pem
TLSCertificateKeyFile {dir}/server.key
sizelimit 500
database mdb
maxsize 104857600
suffix "{SUFFIX}"
directory {dir}/db
index objectClass,uid,cn,memberUid eq
limits dn.exact="cn=reader,{SUFFIX}" size=1
access to attrs=userPassword by anonymous auth
access to dn.subtree="ou=Closed,{SUFFIX}" by dn.exact="cn=reader,{SUFFIX}" read by * none
access to * by * read
"#
    )
}

fn spawn(dir: &Path, ldap: u16, ldaps: u16) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    let mut command = Command::new(format!("{PROGRAMS}/slapd"));
    command
        .args(["-d", "0", "-h"])
        .arg(format!("ldap://127.0.0.1:{ldap} ldaps://127.0.0.1:{ldaps}"))
        .arg("-f")
        .arg(dir.join("slapd.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    keeper::spawn(command).unwrap()
}

fn wait_until_up(server: &mut Child, ports: &[u16]) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if server.try_wait().unwrap().is_some() {
            return false;
        }
        if ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            let shown = digit <= three.len();
            let at = (number >> (18 - 6 * digit)) as usize & 63;
            text.push(if shown { char::from(DIGITS[at]) } else { '=' });
        }
    }
    text
}
