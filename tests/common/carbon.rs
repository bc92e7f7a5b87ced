//! A real carbon-cache alone, with a directory and ports of its own. What it
//! has stored is read from its whisper files by whisper itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::keeper;

/// Seconds between two points of a series that Carbon keeps apart.
pub const STEP: i64 = 60;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Carbon {
    pub line_port: u16,
    pub pickle_port: u16,
    query_port: u16,
    child: Child,
    dir: tempfile::TempDir,
}

impl Carbon {
    /// Ready to take points.
    pub fn start() -> Self {
        // Another process may take a port between our look and Carbon's bind.
        for _ in 0..3 {
            if let Some(carbon) = Self::try_start() {
                return carbon;
            }
        }
        panic!("Carbon did not start; is graphite-carbon installed?");
    }

    fn try_start() -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("wb-carbon-").tempdir().unwrap();
        for name in ["conf", "whisper", "log", "run"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [line_port, pickle_port, query_port] =
            listeners.map(|listener| listener.local_addr().unwrap().port());
        let at = dir.path().display();
        let conf = format!(
            "[cache]\nSTORAGE_DIR = {at}\nLOCAL_DATA_DIR = {at}/whisper/\nCONF_DIR = {at}/conf/\n\
             LOG_DIR = {at}/log/\nPID_DIR = {at}/run/\nDATABASE = whisper\nUSER =\n\
             MAX_CACHE_SIZE = inf\nMAX_UPDATES_PER_SECOND = inf\nMAX_CREATES_PER_MINUTE = inf\n\
             LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {line_port}\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {pickle_port}\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {query_port}\n\
             ENABLE_LOGROTATION = False\nENABLE_UDP_LISTENER = False\n"
        );
        fs::write(dir.path().join("conf/carbon.conf"), conf).unwrap();
        let schemas = format!("[all]\npattern = .*\nretentions = {STEP}s:1d\n");
        fs::write(dir.path().join("conf/storage-schemas.conf"), schemas).unwrap();
        let log = fs::File::create(dir.path().join("log/out")).unwrap();
        let mut command = Command::new("/usr/bin/carbon-cache");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", dir.path())
            .env("GRAPHITE_ROOT", dir.path())
            .env("GRAPHITE_CONF_DIR", dir.path().join("conf"))
            .arg(format!("--config={at}/conf/carbon.conf"))
            .arg(format!("--logdir={at}/log"))
            .args(["--nodaemon", "start"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = keeper::spawn(command).unwrap();
        let mut carbon = Self { line_port, pickle_port, query_port, child, dir };
        carbon.wait_until_up().then_some(carbon)
    }

    fn wait_until_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let ports = [self.line_port, self.pickle_port, self.query_port];
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if ports.into_iter().all(|port| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let out = self.dir.path().join("log/out");
        eprintln!("{}", fs::read_to_string(out).unwrap_or_default());
        false
    }

    /// For SIGSTOP, SIGCONT and SIGKILL.
    pub fn child(&self) -> &Child {
        &self.child
    }

    pub fn file_of(&self, name: &str) -> PathBuf {
        self.dir.path().join("whisper").join(name.replace('.', "/")).with_extension("wsp")
    }

    /// Until the series has `count` points on disk, which are returned in the
    /// order of time.
    pub fn wait_for(&self, name: &str, count: usize) -> Vec<(i64, f64)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let points = self.stored(name);
            if points.len() >= count {
                return points;
            }
            assert!(Instant::now() < deadline, "{name} has {} of {count} points", points.len());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stored(&self, name: &str) -> Vec<(i64, f64)> {
        const SCRIPT: &str = "\
import sys, time, whisper
(start, end, step), values = whisper.fetch(sys.argv[1], int(time.time()) - 86400 + 60)
for number, value in enumerate(values):
    if value is not None: print(start + number * step, repr(value))
";
        let file = self.file_of(name);
        if !file.exists() {
            return Vec::new();
        }
        let output =
            Command::new("/usr/bin/python3").args(["-c", SCRIPT]).arg(file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| {
                let (time, value) = line.split_once(' ').unwrap();
                (time.parse().unwrap(), value.parse().unwrap())
            })
            .collect()
    }
}

impl Drop for Carbon {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // One that is stopped would not hear the request to end.
            keeper::signal(&self.child, nix::sys::signal::Signal::SIGCONT);
            keeper::stop(&mut self.child);
        }
    }
}

/// The start of the current slot.
pub fn last_step() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() / STEP * STEP
}
