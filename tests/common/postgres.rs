//! A real PostgreSQL 15 on loopback and on a Unix socket, with a directory and
//! a port of its own.
//!
//! `Postgres::shared()` is one server for a whole test binary; each test takes
//! databases of its own. A test that kills the server starts one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use weather_balloon::store::{Config, Tls};

use super::graphite::Scratch;
use super::keeper;
use super::network::Network;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
pub const PASSWORD: &str = "weather-test";
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Postgres {
    pub port: u16,
    manner: Manner,
    server: Child,
    dir: Scratch,
}

/// How a server is started.
struct Manner {
    fsync: bool,
    shared_buffers: &'static str,
    /// Not on loopback, but on these addresses of this network.
    place: Option<(Network, Vec<String>)>,
}

impl Postgres {
    /// One that does not wait for the disk.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(false))
    }

    pub fn start(fsync: bool) -> Postgres {
        Self::start_with(fsync, "64MB")
    }

    pub fn start_with(fsync: bool, shared_buffers: &'static str) -> Postgres {
        Self::start_in(Manner { fsync, shared_buffers, place: None })
    }

    /// One that does not wait for the disk, for all who reach these addresses.
    pub fn start_on(network: &Network, addresses: Vec<String>) -> Postgres {
        let place = Some((network.clone(), addresses));
        Self::start_in(Manner { fsync: false, shared_buffers: "64MB", place })
    }

    fn start_in(manner: Manner) -> Postgres {
        let program = format!("{PROGRAMS}/postgres");
        assert!(
            fs::exists(&program).unwrap(),
            "{program} is missing: apt-get install postgresql-15, or run make test"
        );
        let dir = Scratch::new();
        init(dir.path());
        if manner.place.is_some() {
            let rules = data_of(dir.path()).join("pg_hba.conf");
            let known = fs::read_to_string(&rules).unwrap();
            fs::write(&rules, known + "host all all samenet scram-sha-256\n").unwrap();
        }
        // Another process may take the port between our look and the server's bind.
        for _ in 0..3 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = spawn(dir.path(), port, &manner);
            if wait_until_up(&mut server, dir.path(), port, &manner) {
                psql(
                    dir.path(),
                    port,
                    "postgres",
                    &format!("CREATE ROLE weather LOGIN PASSWORD '{PASSWORD}'"),
                );
                return Postgres { port, manner, server, dir };
            }
        }
        panic!("PostgreSQL did not start\n{}", log(dir.path()));
    }

    /// A new, empty database.
    pub fn database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ledger{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER weather"));
        name
    }

    /// By TCP, with a password, as in real use.
    pub fn config(&self, database: &str) -> Config {
        Config {
            url: format!("postgresql://weather@127.0.0.1:{}/{database}", self.port),
            password_file: self.dir.path().join("password"),
            tls: Tls::Off,
            ..Config::default()
        }
    }

    /// By TLS, to the certificate of `ca_file`.
    pub fn tls_config(&self, database: &str) -> Config {
        let ca_file = self.dir.path().join("server.crt");
        Config { tls: Tls::Verify, ca_file, ..self.config(database) }
    }

    /// By the Unix socket, which asks for no password.
    pub fn local_config(&self, database: &str) -> Config {
        let dir = self.dir.path().display().to_string().replace('/', "%2F");
        let url = format!("postgresql://weather@{dir}:{}/{database}", self.port);
        Config { url, ..Config::default() }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// As superuser; what psql prints.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        psql(self.dir.path(), self.port, database, statement)
    }

    /// The same with a statement or input yet to come.
    pub fn psql(&self, database: &str) -> Command {
        psql_command(self.dir.path(), self.port, database)
    }

    /// kill -9 of the server, whose back-ends then end by themselves.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Until the last back-end of the killed one is gone, the next refuses to start.
            self.server = spawn(self.dir.path(), self.port, &self.manner);
            if wait_until_up(&mut self.server, self.dir.path(), self.port, &self.manner) {
                return;
            }
            assert!(Instant::now() < deadline, "{}", log(self.dir.path()));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.try_wait().unwrap().is_none() {
            // The fast stop.
            keeper::signal(&self.server, Signal::SIGINT);
        }
        keeper::stop(&mut self.server);
    }
}

/// The server refuses to run as root.
fn as_user(program: &str) -> Command {
    let mut command = Command::new(format!("{PROGRAMS}/{program}"));
    if geteuid().is_root() {
        let user = postgres_user();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

fn postgres_user() -> User {
    User::from_name("postgres").unwrap().expect("there is no user postgres: run make test")
}

fn init(dir: &Path) {
    let password = dir.join("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let data = data_of(dir);
    fs::create_dir(&data).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    if geteuid().is_root() {
        let user = postgres_user();
        let owner = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        chown(dir, owner.0, owner.1).unwrap();
        chown(&data, owner.0, owner.1).unwrap();
        chown(&key, owner.0, owner.1).unwrap();
    }
    let made = as_user("initdb")
        .arg("-D")
        .arg(&data)
        .args(["-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
        .args(["-E", "UTF8", "--no-sync"])
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

fn spawn(dir: &Path, port: u16, manner: &Manner) -> Child {
    let Manner { fsync, shared_buffers, place } = manner;
    let addresses = place.as_ref().map_or("127.0.0.1".to_owned(), |(_, all)| all.join(","));
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    let mut command = as_user("postgres");
    command
        .arg("-D")
        .arg(data_of(dir))
        .args(["-p", &port.to_string(), "-c", &format!("listen_addresses={addresses}")])
        .args(["-c", &format!("fsync={}", if *fsync { "on" } else { "off" })])
        .args(["-c", "max_connections=100", "-c", "ssl=on"])
        .args(["-c", &format!("shared_buffers={shared_buffers}")])
        .args(["-c", &format!("ssl_cert_file={}", dir.join("server.crt").display())])
        .args(["-c", &format!("ssl_key_file={}", dir.join("server.key").display())])
        .arg("-k")
        .arg(dir)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    match place {
        Some((network, _)) => network.spawn(command).unwrap(),
        None => keeper::spawn(command).unwrap(),
    }
}

fn wait_until_up(server: &mut Child, dir: &Path, port: u16, manner: &Manner) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if server.try_wait().unwrap().is_some() {
            return false;
        }
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        if (manner.place.is_some() || listens())
            && run_psql(dir, port, "postgres", "SELECT 1").status.success()
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    false
}

fn psql(dir: &Path, port: u16, database: &str, statement: &str) -> String {
    let done = run_psql(dir, port, database, statement);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{statement}: {told}");
    String::from_utf8(done.stdout).unwrap()
}

fn run_psql(dir: &Path, port: u16, database: &str, statement: &str) -> std::process::Output {
    psql_command(dir, port, database).args(["-c", statement]).stdin(Stdio::null()).output().unwrap()
}

fn psql_command(dir: &Path, port: u16, database: &str) -> Command {
    let mut command = Command::new(format!("{PROGRAMS}/psql"));
    command
        .arg("-h")
        .arg(dir)
        .args(["-p", &port.to_string(), "-U", "postgres", "-d", database])
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1"]);
    command
}

fn data_of(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}
