//! Clients of other languages, generated from the files of 2014.
//! `tests/install-clients.sh` installs what they need.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a rig fails the test by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a client is to do and to see.
pub struct Script<'a> {
    /// ADDRESS:PORT
    pub door: String,
    pub host: &'a str,
    /// Name -> [[time, value or null], ...]
    pub metrics: Value,
    /// "ok", or a part of the failure of set_hosts.
    pub set_hosts: &'a str,
    /// What the leaderboard of all time holds: [[CPU seconds, uptime, instances,
    /// is staff, user], ...]
    pub usage: Value,
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn installed(path: &str) -> PathBuf {
    let path = here("target/clients").join(path);
    assert!(path.exists(), "{} is not there; run tests/install-clients.sh", path.display());
    path
}

fn generate(language: &str, into: &Path) {
    for name in ["hosts", "cloud"] {
        let made = Command::new("thrift")
            .args(["--gen", language, "-out"])
            .arg(into)
            .arg(here("tests/clients/2014").join(format!("{name}.thrift")))
            .status()
            .unwrap();
        assert!(made.success());
    }
}

fn passes(mut command: Command) {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    eprintln!("{said}");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complaints}");
}

impl Script<'_> {
    /// Runs every combination that the Python library `apache` or `thriftpy2`
    /// has.
    pub fn python(&self, library: &str, extra: &[&str]) {
        let python = installed("python/bin/python");
        let scratch = tempfile::tempdir().unwrap();
        generate("py", scratch.path());
        let metrics = scratch.path().join("metrics.json");
        serde_json::to_writer(std::fs::File::create(&metrics).unwrap(), &self.metrics).unwrap();
        let mut command = Command::new(python);
        command
            .arg(here("tests/clients/calls.py"))
            .args([&self.door, library, "--generated"])
            .arg(scratch.path())
            .arg("--idl")
            .arg(here("tests/clients/2014"))
            .arg("--metrics")
            .arg(&metrics)
            .args(["--host", self.host, "--set-hosts", self.set_hosts])
            .args(["--usage", &self.usage.to_string()])
            .args(extra)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        passes(command);
    }

    /// Runs every combination that Node's library has.
    pub fn node(&self) {
        let modules = installed("node/node_modules");
        let scratch = tempfile::tempdir().unwrap();
        generate("js:node", scratch.path());
        let options = serde_json::json!({
            "host": self.host, "metrics": self.metrics, "setHosts": self.set_hosts,
            "usage": self.usage,
        });
        let mut command = Command::new("node");
        command
            .arg(here("tests/clients/calls.js"))
            .arg(&self.door)
            .arg(scratch.path())
            .arg(options.to_string())
            .env("NODE_PATH", modules);
        passes(command);
    }
}
