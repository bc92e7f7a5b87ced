//! moto's real EC2 server, with its checks of signatures on.
//! `tests/install-clients.sh` installs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use weather_balloon::providers::ec2::Config;

use super::keeper;

pub struct Moto {
    pub port: u16,
    /// Who may describe instances and types, and nothing else.
    pub key: String,
    pub secret: String,
    server: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    dir: tempfile::TempDir,
}

impl Moto {
    /// One server for a whole test binary; each test has regions of its own.
    pub async fn shared() -> MutexGuard<'static, Moto> {
        static SHARED: OnceLock<Mutex<Moto>> = OnceLock::new();
        SHARED.get_or_init(|| Mutex::new(Moto::start())).lock().await
    }

    fn start() -> Moto {
        let here = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let python = here("target/clients/moto/bin/python");
        assert!(python.exists(), "moto is not there; run tests/install-clients.sh");
        let mut command = Command::new(python);
        command
            .arg(here("tests/clients/ec2.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut server = keeper::spawn(command).unwrap();
        let orders = server.stdin.take().unwrap();
        let mut answers = BufReader::new(server.stdout.take().unwrap());
        let port = read(&mut answers)["port"].as_u64().unwrap();
        let mut moto = Moto {
            port: u16::try_from(port).unwrap(),
            key: String::new(),
            secret: String::new(),
            server,
            orders,
            answers,
            dir: tempfile::tempdir().unwrap(),
        };
        let admin = moto.user("admin", &["*"]);
        let reader = moto.user("reader", &["ec2:Describe*"]);
        moto.order(json!({"do": "check_signatures", "id": admin.0, "secret": admin.1}));
        (moto.key, moto.secret) = reader;
        moto
    }

    /// A key and its secret.
    pub fn user(&mut self, name: &str, actions: &[&str]) -> (String, String) {
        let made = self.order(json!({"do": "user", "name": name, "actions": actions}));
        let part = |name: &str| made[name].as_str().unwrap().to_owned();
        (part("id"), part("secret"))
    }

    pub fn run(&mut self, region: &str, kind: &str, count: usize, tags: Value) -> Vec<String> {
        let order =
            json!({"do": "run", "region": region, "kind": kind, "count": count, "tags": tags});
        let ids = self.order(order);
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// "stop", "start" or "terminate".
    pub fn change(&mut self, region: &str, what: &str, ids: &[&String]) {
        self.order(json!({"do": "change", "region": region, "what": what, "ids": ids}));
    }

    fn order(&mut self, order: Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        read(&mut self.answers)["done"].take()
    }

    pub fn config(&self, region: &str) -> Config {
        Config {
            region: region.to_owned(),
            endpoint: format!("http://127.0.0.1:{}/", self.port),
            access_key_id: self.key.clone(),
            secret_access_key_file: self.secret_file("secret", &self.secret),
            ..Config::default()
        }
    }

    pub fn secret_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

fn read(answers: &mut impl BufRead) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).expect("moto gave up; its complaint is above")
}

impl Drop for Moto {
    fn drop(&mut self) {
        keeper::stop(&mut self.server);
    }
}
