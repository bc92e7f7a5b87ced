//! A real Carbon and a real graphite-web on loopback, with directories and
//! ports of their own.
//!
//! `Graphite::shared()` is one instance for a whole test binary, started once:
//! Django needs seconds. Tests that share it use host names of their own. A
//! test that stops or kills something starts its own with `Graphite::start()`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::keeper;

pub const STEP: i64 = 600;

const PATIENCE: Duration = Duration::from_secs(120);

pub struct Graphite {
    pub line_port: u16,
    pub pickle_port: u16,
    query_port: u16,
    web_port: u16,
    carbon: Child,
    web: Child,
    dir: Scratch,
}

impl Graphite {
    pub fn shared() -> &'static Graphite {
        static SHARED: OnceLock<Graphite> = OnceLock::new();
        SHARED.get_or_init(Graphite::start)
    }

    /// Ready to take points and to answer.
    pub fn start() -> Graphite {
        Self::start_creating("inf")
    }

    /// With so many new series a minute, beyond which Carbon drops points.
    pub fn start_creating(creates: &str) -> Graphite {
        // Another process may take a port between our look and Carbon's bind.
        for _ in 0..3 {
            if let Some(graphite) = Self::try_start(creates) {
                return graphite;
            }
        }
        panic!(
            "Carbon and graphite-web did not start; are graphite-carbon, graphite-web and gunicorn installed?"
        );
    }

    fn try_start(creates: &str) -> Option<Graphite> {
        let dir = Scratch::new();
        for name in ["conf", "whisper", "log", "run", "web"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let [line_port, pickle_port, query_port, web_port] = free_ports();
        let at = dir.path().to_str().unwrap();
        fs::write(
            dir.path().join("conf/carbon.conf"),
            carbon_conf(at, line_port, pickle_port, query_port)
                .replace("CREATES_PER_MINUTE = inf", &format!("CREATES_PER_MINUTE = {creates}")),
        )
        .unwrap();
        fs::write(
            dir.path().join("conf/storage-schemas.conf"),
            shipped("storage-schemas.conf") + OTHER_SCHEMAS,
        )
        .unwrap();
        fs::write(dir.path().join("web/local_settings.py"), local_settings(at, query_port))
            .unwrap();
        let carbon = start_carbon(dir.path());
        migrate(dir.path());
        let web = start_web(dir.path(), web_port);
        let mut graphite =
            Graphite { line_port, pickle_port, query_port, web_port, carbon, web, dir };
        graphite.wait_until_up().then_some(graphite)
    }

    fn wait_until_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.carbon.try_wait().unwrap().is_some() || self.web.try_wait().unwrap().is_some() {
                eprintln!("{}", self.logs());
                return false;
            }
            let listening =
                [self.line_port, self.pickle_port, self.query_port].into_iter().all(is_open);
            if listening
                && self.get("/metrics/find?query=*").is_some_and(|(status, _)| status == 200)
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{}", self.logs());
        false
    }

    /// What `[graphite] url` is to be.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.web_port)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends points by the plaintext protocol: full name, time, value. Carbon
    /// never answers; see `wait_for`.
    pub fn send(&self, points: &[(String, i64, f64)]) {
        let mut lines = String::new();
        for (name, time, value) in points {
            lines.push_str(&format!("{name} {value:?} {time}\n"));
        }
        let mut line = TcpStream::connect(("127.0.0.1", self.line_port)).unwrap();
        line.write_all(lines.as_bytes()).unwrap();
    }

    /// Until graphite-web shows some value of each series.
    pub fn wait_for<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let deadline = Instant::now() + PATIENCE;
        for name in names {
            let path = format!("/render?format=json&noNullPoints=true&from=-90d&target={name}");
            while !self.get(&path).is_some_and(|(_, body)| body.contains("datapoints")) {
                assert!(Instant::now() < deadline, "{name} did not appear\n{}", self.logs());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// `send`, and `wait_for` each of its names.
    pub fn store(&self, points: &[(String, i64, f64)]) {
        self.send(points);
        self.wait_for(points.iter().map(|(name, ..)| name.as_str()));
    }

    /// Status and body, of graphite-web itself.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web_port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    pub fn stop_web(&mut self) {
        keeper::stop(&mut self.web);
    }

    /// On the same port as before.
    pub fn start_web(&mut self) {
        self.web = start_web(self.dir.path(), self.web_port);
        assert!(self.wait_until_up(), "graphite-web did not come back");
    }

    /// For SIGSTOP, SIGCONT and the like. gunicorn's workers are not reached.
    pub fn web(&self) -> &Child {
        &self.web
    }

    pub fn stop_carbon(&mut self) {
        keeper::stop(&mut self.carbon);
    }

    /// On the same ports as before, with what was stored.
    pub fn start_carbon(&mut self) {
        self.carbon = start_carbon(self.dir.path());
        assert!(self.wait_until_up(), "Carbon did not come back");
    }

    pub fn start_carbon_if_down(&mut self) {
        if self.carbon.try_wait().unwrap().is_some() {
            self.start_carbon();
        }
    }

    pub fn carbon(&self) -> &Child {
        &self.carbon
    }

    fn logs(&self) -> String {
        let log = |name: &str| {
            let path = self.dir.path().join("log").join(name);
            format!("{name}:\n{}\n", fs::read_to_string(path).unwrap_or_default())
        };
        ["carbon.out", "console.log", "migrate.out", "web.out"].map(log).concat()
    }
}

impl Drop for Graphite {
    fn drop(&mut self) {
        keeper::stop(&mut self.web);
        keeper::stop(&mut self.carbon);
    }
}

/// The newest time of a point that is certainly in the past.
pub fn last_step() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() / STEP * STEP
}

/// A directory that goes with the process, even when a static holds it or the
/// process is killed: a shell that waits for our end of a pipe removes it.
pub(super) struct Scratch {
    path: PathBuf,
    guard: Child,
}

impl Scratch {
    pub(super) fn new() -> Self {
        let path = tempfile::Builder::new().prefix("wb-graphite-").tempdir().unwrap().keep();
        let guard = Command::new("/bin/sh")
            .args(["-c", "trap '' INT TERM HUP; read -r _; sleep 1; exec rm -rf -- \"$1\"", "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { path, guard }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Output goes to `log/NAME` of the directory.
fn command(program: &str, dir: &Path, log: &str) -> Command {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log").join(log));
    let log = log.unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", dir)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

fn start_carbon(dir: &Path) -> Child {
    // Carbon refuses to start beside a left-over pid file.
    let _ = fs::remove_file(dir.join("run/carbon-cache-a.pid"));
    let mut carbon = command("/usr/bin/carbon-cache", dir, "carbon.out");
    carbon
        .env("GRAPHITE_ROOT", dir)
        .env("GRAPHITE_CONF_DIR", dir.join("conf"))
        .arg(format!("--config={}", dir.join("conf/carbon.conf").display()))
        .arg(format!("--logdir={}", dir.join("log").display()))
        .args(["--nodaemon", "start"]);
    keeper::spawn(carbon).unwrap()
}

fn django(program: &str, dir: &Path, log: &str) -> Command {
    let mut command = command(program, dir, log);
    command
        .env("PYTHONPATH", dir.join("web"))
        .env("DJANGO_SETTINGS_MODULE", "graphite.settings")
        // Without it graphite.wsgi takes Debian's built-in settings, and the
        // worker does not boot.
        .env("GRAPHITE_SETTINGS_MODULE", "local_settings");
    command
}

fn migrate(dir: &Path) {
    let mut migrate = django("/usr/bin/python3", dir, "migrate.out");
    migrate.args(["-m", "django", "migrate", "--run-syncdb", "-v", "0"]);
    let status = keeper::spawn(migrate).unwrap().wait().unwrap();
    let log = fs::read_to_string(dir.join("log/migrate.out")).unwrap_or_default();
    assert!(status.success(), "graphite-web's database could not be made:\n{log}");
}

fn start_web(dir: &Path, port: u16) -> Child {
    let mut web = django("/usr/bin/gunicorn", dir, "web.out");
    web.args(["--workers", "2", "--preload", "--bind"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("graphite.wsgi:application");
    keeper::spawn(web).unwrap()
}

/// A file of those for Carbon that we ship.
fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/carbon").join(name))
        .unwrap()
}

const OTHER_SCHEMAS: &str = r"
[default]
pattern = .*
retentions = 60s:1d
";

fn carbon_conf(dir: &str, line: u16, pickle: u16, query: u16) -> String {
    let snippet = shipped("carbon.conf.snippet");
    format!(
        "[cache]
STORAGE_DIR = {dir}
LOCAL_DATA_DIR = {dir}/whisper/
CONF_DIR = {dir}/conf/
LOG_DIR = {dir}/log/
PID_DIR = {dir}/run/
DATABASE = whisper
ENABLE_LOGROTATION = False
USER =
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = 5000
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
ENABLE_UDP_LISTENER = False
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
USE_INSECURE_UNPICKLER = False
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
USE_FLOW_CONTROL = True
LOG_UPDATES = False
LOG_CREATES = True
LOG_CACHE_HITS = False
CACHE_WRITE_STRATEGY = sorted
WHISPER_AUTOFLUSH = False
WHISPER_FALLOCATE_CREATE = True
{snippet}"
    )
}

fn local_settings(dir: &str, query: u16) -> String {
    format!(
        "SECRET_KEY = 'test-only'
TIME_ZONE = 'UTC'
ALLOWED_HOSTS = ['*']
CONF_DIR = '{dir}/web'
STORAGE_DIR = '{dir}'
STATIC_ROOT = '/usr/share/graphite-web/static'
WHISPER_DIR = '{dir}/whisper'
STANDARD_DIRS = ['{dir}/whisper']
INDEX_FILE = '{dir}/web/index'
LOG_DIR = '{dir}/log'
LOG_ROTATION = False
CARBONLINK_HOSTS = ['127.0.0.1:{query}']
DATABASES = {{'default': {{'NAME': '{dir}/web/graphite.db', 'ENGINE': 'django.db.backends.sqlite3',
    'USER': '', 'PASSWORD': '', 'HOST': '', 'PORT': ''}}}}
"
    )
}
