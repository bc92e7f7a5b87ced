//! What the packages are made of, without a system to install them in; the
//! rest is `make test-packages`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::appliance::BINARY;

fn root(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The configuration of the rpm.
fn of_the_rpm() -> String {
    let output = Command::new("sed")
        .args(["-f", "packaging/rpm/paths.sed", "packaging/weather-balloon.toml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The text with each absolute path made one and the same.
fn without_paths(text: &str) -> String {
    text.split('"')
        .enumerate()
        .map(|(n, part)| if n % 2 == 1 && part.starts_with('/') { "PATH" } else { part })
        .collect::<Vec<_>>()
        .join("\"")
}

#[test]
fn the_rpms_configuration_differs_in_paths_only() {
    let (deb, rpm) = (root("packaging/weather-balloon.toml"), of_the_rpm());
    assert_ne!(deb, rpm);
    assert_eq!(without_paths(&deb), without_paths(&rpm));
    assert!(!rpm.contains("nagios4"), "a path of Debian's is left");
}

#[test]
fn the_rpms_configuration_has_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weather-balloon.toml");
    weather_balloon::disk::replace(&path, of_the_rpm().as_bytes(), 0o644).unwrap();
    let checked = Command::new(BINARY).arg("--config").arg(&path).arg("check-config").output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn each_packages_drop_in_and_directories_agree_with_its_configuration() {
    for (kind, config) in [("deb", root("packaging/weather-balloon.toml")), ("rpm", of_the_rpm())] {
        let hosts_file =
            config.lines().find_map(|line| line.strip_prefix("hosts_file = ")).unwrap();
        let dir = Path::new(hosts_file.trim_matches('"')).parent().unwrap().to_str().unwrap();
        assert!(
            root(&format!("packaging/{kind}/nagios.conf")).contains(&format!("-{dir} ")),
            "{kind}"
        );
        let made = root(&format!("packaging/{kind}/tmpfiles.conf"));
        assert!(made.contains(&format!("d {dir} 2750 weather-balloon nagios")), "{kind}");
        let spool = config.lines().find_map(|line| line.strip_prefix("spool = ")).unwrap();
        assert!(made.contains(&format!("d {} 2770", spool.trim_matches('"'))), "{kind}");
    }
}

#[test]
fn the_program_needs_no_newer_glibc_than_the_oldest_system_has() {
    let checked = Command::new("bash")
        .args(["packaging/check-glibc.sh", BINARY])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_changelog_of_the_packages_names_this_version() {
    let wanted = format!("- semver: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(root("packaging/changelog.yaml").starts_with(&wanted));
}

#[test]
fn the_service_is_told_of_its_watchdog() {
    let unit = root("systemd/weather-balloon.service");
    for line in
        ["Type=notify", "WatchdogSec=30s", "Restart=on-failure", "UMask=0027", "LimitCORE=0"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // A core would hold the secrets.
    assert!(unit.lines().any(|line| line == "LimitCORE=0"));
    // The shape that `serve` exits with for a file that is wrong.
    assert!(unit.contains("RestartPreventExitStatus=2 78"));
}
