//! The Thrift files: what clients of 2014 rely on, and the code made of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The declarations, without comments, in single spaces.
fn bare(idl: &str) -> String {
    let mut text = String::new();
    let mut rest = idl;
    while let Some((before, after)) = rest.split_once("/*") {
        text += before;
        rest = after.split_once("*/").unwrap().1;
    }
    text += rest;
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_parts_of_2014_stand() {
    let hosts = bare(&file("thriftfiles/hosts.thrift"));
    for fixed in [
        "namespace py wb_services.hosts",
        "struct Host { 1: string id, 2: string display_name, 3: string address }",
        "struct Datapoint { 1: i64 time, 2: double value }",
        "typedef map<string, list<Datapoint>> Metrics",
        "service Hosts { void set_hosts(1: list<Host> hosts); Metrics get_metrics(1: string host_name, 2: string key);",
    ] {
        assert!(hosts.contains(fixed), "{fixed:?} is gone");
    }
    let cloud = bare(&file("thriftfiles/cloud.thrift"));
    for fixed in [
        "namespace py wb_services.cloud",
        "struct UserStats { 1: i32 cpu_time_seconds, 2: i32 total_uptime_seconds, 3: i32 instance_count, 4: bool is_staff, 5: string username",
        "service Cloud { list<UserStats> get_leaderboard(1: i32 start_time, 2: i32 end_time); list<UserStats> get_user_stats(1: i32 start_time, 2: i32 end_time, 3: string username);",
    ] {
        assert!(cloud.contains(fixed), "{fixed:?} is gone");
    }
}

#[test]
fn the_generated_code_is_that_of_the_files() {
    if Command::new("thrift").arg("--version").output().is_err() {
        eprintln!("skipped: no thrift compiler here");
        return;
    }
    let made = tempfile::tempdir().unwrap();
    for name in ["hosts", "cloud"] {
        let idl = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("thriftfiles")
            .join(format!("{name}.thrift"));
        let status = Command::new("thrift")
            .args(["--gen", "rs", "-out"])
            .arg(made.path())
            .arg(idl)
            .status()
            .unwrap();
        assert!(status.success());
        let fresh = std::fs::read_to_string(made.path().join(format!("{name}.rs"))).unwrap();
        let kept = file(&format!("src/rpc/gen/{name}.rs"));
        assert!(
            fresh == kept,
            "src/rpc/gen/{name}.rs is not made of its file; run thrift --gen rs -out src/rpc/gen thriftfiles/{name}.thrift"
        );
    }
}
