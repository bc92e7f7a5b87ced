//! Clients of other languages, generated from the files of 2014, against the
//! door. `tests/install-clients.sh` installs them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::thrift::{OpenDoor, config, series};
use weather_balloon::rpc::Config;

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

/// What `series` holds, as the scripts expect it.
fn expected() -> serde_json::Value {
    series()
        .into_iter()
        .map(|one| {
            let points: Vec<_> = one.points.iter().map(|p| (p.time, p.value)).collect();
            (one.name, serde_json::to_value(points).unwrap())
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn passes(mut command: Command) {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    eprintln!("{said}");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complaints}");
}

fn python(library: &str, door: &Config, extra: &[&str]) {
    let python = installed("python/bin/python");
    let scratch = tempfile::tempdir().unwrap();
    generate("py", scratch.path());
    let metrics = scratch.path().join("metrics.json");
    serde_json::to_writer(std::fs::File::create(&metrics).unwrap(), &expected()).unwrap();
    let door = OpenDoor::new(door);
    let mut command = Command::new(python);
    command
        .arg(here("tests/clients/calls.py"))
        .args([&door.tcp().to_string(), library, "--generated"])
        .arg(scratch.path())
        .arg("--idl")
        .arg(here("tests/clients/2014"))
        .arg("--metrics")
        .arg(&metrics)
        .args(["--set-hosts", "detached", "--usage", "keeps no usage"])
        .args(extra)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    passes(command);
}

#[test]
fn apache_python_passes_in_every_combination() {
    python("apache", &config(), &[]);
}

#[test]
fn apache_python_without_a_version_passes_when_it_may() {
    let door = Config { non_strict: true, ..config() };
    python("apache", &door, &["--non-strict", "--only", "non-strict"]);
}

#[test]
fn thriftpy2_passes_in_every_combination() {
    python("thriftpy2", &config(), &[]);
}

#[test]
fn node_passes_in_every_combination() {
    let modules = installed("node/node_modules");
    let scratch = tempfile::tempdir().unwrap();
    generate("js:node", scratch.path());
    let door = OpenDoor::new(&config());
    let options = serde_json::json!({ "metrics": expected(), "setHosts": "detached" });
    let mut command = Command::new("node");
    command
        .arg(here("tests/clients/calls.js"))
        .arg(door.tcp().to_string())
        .arg(scratch.path())
        .arg(options.to_string())
        .env("NODE_PATH", modules);
    passes(command);
}
