//! `backup` and `restore`: whole or not at all, on a live service, through
//! damage, full disks and kills.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and spoils plain files"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use common::commands::{Commands, names};
use common::keeper;
use common::ledger::{Ground, assert_sound, usage};
use common::marks::{advance, marks, open_state, poll, record};
use common::postgres::Postgres;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use weather_balloon::archive::{self, Archive};
use weather_balloon::store;

fn backup(commands: &Commands, name: &str) -> String {
    let file = commands.path(name).display().to_string();
    commands.told(&["backup", &file]);
    file
}

#[tokio::test]
async fn state_and_ledger_come_back_together() {
    let commands = Commands::new(None);
    advance(&commands, 0, 3).await;
    let file = backup(&commands, "b.tar");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(commands.dir.path()), ["b.tar", "state", "weather-balloon.toml"]);
    let before = Ground::at(commands.ledger()).await.rows().await;
    advance(&commands, 3, 7).await;
    // Over an older one.
    let newer = backup(&commands, "newer.tar");
    fs::copy(&file, &newer).unwrap();
    assert_eq!(backup(&commands, "newer.tar"), newer);

    let dry = commands.told(&["restore", &file, "--dry-run"]);
    assert_eq!((&dry["restored"], &dry["running"]), (&false.into(), &false.into()));
    assert_eq!(marks(&commands).await, (7, 7));
    let done = commands.told(&["restore", &file]);
    assert_eq!(done["restored"], true);
    assert_eq!(done["placed"][0]["name"], "state.db");
    assert_eq!(marks(&commands).await, (3, 3));
    let rows = Ground::at(commands.ledger()).await.rows().await;
    assert_eq!(rows, before);
    assert_eq!(usage(&rows, 0, 10_000_000), usage(&before, 0, 10_000_000));

    // The old files are whole beside them, and nothing else is.
    let aside = done["placed"][1]["aside"].as_str().unwrap().to_owned();
    assert!(aside.contains("ledger.db.before-restore-2"), "{aside}");
    assert_eq!(store::check_backup(Path::new(&aside)).unwrap().schema, 1);
    assert!(names(&commands.state()).iter().all(|name| !name.starts_with('.')));
    assert!(!commands.state().join("replacing").exists());
    let again = commands.told(&["restore", &newer]);
    assert_ne!(again["placed"][0]["aside"], done["placed"][0]["aside"]);
    assert_eq!(marks(&commands).await, (7, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_service_is_saved_and_never_restored_over() {
    let commands = Commands::new(None);
    let state = open_state(&commands);
    let ground = Ground::at(commands.ledger()).await;
    poll(&ground, 0).await;
    record(&state, "first").await;
    let mut writers = JoinSet::new();
    let stop = tokio_util::sync::CancellationToken::new();
    let (one, two) = (stop.clone(), stop.clone());
    writers.spawn(async move {
        let mut look = 1;
        while !one.is_cancelled() {
            poll(&ground, look).await;
            look += 1;
        }
        look
    });
    writers.spawn(async move {
        let mut number = 1;
        while !two.is_cancelled() {
            record(&state, &format!("h{number}")).await;
            number += 1;
        }
        number
    });
    let mut files = Vec::new();
    for number in 0..3 {
        let file = commands.path(&format!("{number}.tar")).display().to_string();
        let output = tokio::task::spawn_blocking({
            let mut command = commands.command(&["backup", &file]);
            move || command.output().unwrap()
        });
        let output = output.await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        files.push(file);
    }
    let said = commands.refused(&["restore", &files[0]], 75);
    assert!(said.contains("stop weather-balloon before you restore"), "{said}");
    assert_eq!(commands.told(&["restore", &files[0], "--dry-run"])["running"], true);
    stop.cancel();
    let ends = writers.join_all().await;
    assert!(ends.iter().all(|count| *count > 3), "{ends:?}");
    let mut last = 0;
    for file in files {
        commands.told(&["restore", &file]);
        let (generations, listings) = marks(&commands).await;
        let rows = Ground::at(commands.ledger()).await.rows().await;
        assert_sound(&rows);
        // One moment: all of a listing or nothing of it.
        assert_eq!(i64::try_from(rows.len()).unwrap(), 50 * listings);
        assert!(generations > 0 && listings > last, "{generations} {listings} {last}");
        last = listings;
    }
}

/// Writes a backup anew with other members, and seals it.
fn forge(from: &str, to: &Path, change: &dyn Fn(&str, Vec<u8>) -> Vec<u8>) {
    let mut members = Vec::new();
    for entry in tar::Archive::new(fs::File::open(from).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        members.push((name.clone(), change(&name, bytes)));
    }
    let hex = |bytes: &[u8]| -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut body = Vec::new();
    let sums: Vec<_> =
        members.iter().map(|(name, bytes)| (name.clone(), hex(bytes), bytes.len())).collect();
    for (name, mut bytes) in members {
        if name == "seal" {
            bytes = hex(&body).into_bytes();
        }
        if name == "manifest.json" {
            let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            for member in manifest["members"].as_array_mut().unwrap() {
                let sum = sums.iter().find(|sum| member["name"] == *sum.0).unwrap();
                member["sha256"] = sum.1.clone().into();
                member["bytes"] = sum.2.into();
            }
            bytes = serde_json::to_vec(&manifest).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(0);
        let mut one = tar::Builder::new(Vec::new());
        one.append_data(&mut header, &name, bytes.as_slice()).unwrap();
        let one = one.into_inner().unwrap();
        body.extend(&one[..one.len() - 1024]);
    }
    body.extend([0; 1024]);
    fs::write(to, body).unwrap();
}

fn change_database(bytes: &[u8], sql: &str) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let db = rusqlite::Connection::open(file.path()).unwrap();
    db.execute_batch(sql).unwrap();
    drop(db);
    fs::read(file.path()).unwrap()
}

const NEWER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
    VALUES (999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";

#[tokio::test]
async fn what_is_not_whole_and_sound_changes_nothing() {
    let commands = Commands::new(None);
    advance(&commands, 0, 2).await;
    let file = backup(&commands, "b.tar");
    advance(&commands, 2, 3).await;
    let before = (names(&commands.state()), fs::read(commands.state().join("ledger.db")).unwrap());
    let whole = fs::read(&file).unwrap();
    let bad = commands.path("bad.tar");
    let text = bad.display().to_string();
    let check = |code: i32, part: &str| {
        let said = commands.refused(&["restore", &text], code);
        assert!(said.contains(part) && said.contains("nothing was changed"), "{said}");
    };
    // One bit each, in every part of the file, the last one among them.
    for part in 0..40 {
        let mut bytes = whole.clone();
        let at = (bytes.len() - 1) * part / 39;
        bytes[at] ^= 1 << (part % 8);
        fs::write(&bad, bytes).unwrap();
        check(1, "is damaged or cut off");
    }
    for length in [0, 1, 2047, 2048, 4096, whole.len() / 2, whole.len() - 512, whole.len() - 1] {
        fs::write(&bad, &whole[..length]).unwrap();
        check(1, "no whole backup");
    }
    fs::write(&bad, [whole.as_slice(), b"x"].concat()).unwrap();
    check(1, "no whole backup");

    // Sealed, but not what it should be.
    forge(&file, &bad, &|_, bytes| bytes);
    commands.told(&["restore", &text, "--dry-run"]);
    let of = |wanted: &'static str, sql: &'static str| {
        move |name: &str, bytes: Vec<u8>| {
            if name == wanted { change_database(&bytes, sql) } else { bytes }
        }
    };
    for name in ["state.db", "ledger.db"] {
        forge(&file, &bad, &of(name, NEWER));
        let said = commands.refused(&["restore", &text], 1);
        assert!(said.contains("a newer weather-balloon wrote it; upgrade"), "{said}");
    }
    forge(&file, &bad, &of("ledger.db", "PRAGMA foreign_keys = OFF; DELETE FROM account"));
    assert!(commands.refused(&["restore", &text], 1).contains("refers to nothing"));
    forge(&file, &bad, &|name, bytes| if name == "state.db" { vec![7; 9000] } else { bytes });
    assert!(commands.refused(&["restore", &text], 1).contains("is damaged"));
    forge(&file, &bad, &|name, bytes| {
        if name != "manifest.json" {
            return bytes;
        }
        String::from_utf8(bytes).unwrap().replace("\"format\": 1", "\"format\": 2").into_bytes()
    });
    check(1, "by a newer weather-balloon");
    assert!(commands.refused(&["restore", "/no/such/file"], 1).contains("cannot be read"));

    assert_eq!(names(&commands.state()), before.0);
    assert_eq!(fs::read(commands.state().join("ledger.db")).unwrap(), before.1);
    assert_eq!(marks(&commands).await, (3, 3));
}

#[tokio::test]
async fn a_newer_or_damaged_state_is_not_saved_as_if_it_were_sound() {
    let commands = Commands::new(None);
    let file = commands.path("b.tar").display().to_string();
    assert!(commands.refused(&["backup", &file], 1).contains("has weather-balloon run"));
    advance(&commands, 0, 1).await;
    let db = rusqlite::Connection::open(commands.state().join("ledger.db")).unwrap();
    db.execute_batch(NEWER).unwrap();
    drop(db);
    let said = commands.refused(&["backup", &file], 1);
    assert!(said.contains("a newer weather-balloon wrote it"), "{said}");
    assert_eq!(names(commands.dir.path()), ["state", "weather-balloon.toml"]);
}

#[tokio::test]
async fn a_restore_that_is_killed_is_finished_or_never_was() {
    let commands = Commands::new(None);
    advance(&commands, 0, 2).await;
    let old = backup(&commands, "old.tar");
    advance(&commands, 2, 4).await;
    let new = backup(&commands, "new.tar");
    let (mut now, mut same, mut other) = (4, 0, 0);
    for kill in 0..24_u64 {
        let (file, wanted) = if now == 4 { (&old, 2) } else { (&new, 4) };
        let mut child = keeper::spawn(commands.command(&["restore", file])).unwrap();
        std::thread::sleep(Duration::from_millis(kill * 6));
        child.kill().unwrap();
        child.wait().unwrap();
        let (generations, listings) = marks(&commands).await;
        assert_eq!(i64::try_from(generations).unwrap(), listings, "half a restore");
        assert!(listings == wanted || listings == now, "{listings}");
        if listings == wanted {
            other += 1;
        } else {
            same += 1;
        }
        now = listings;
    }
    assert!(same > 0 && other > 0, "{same} kills came too early, {other} too late");
    // Nothing piles up but the old files.
    let file = if now == 4 { &old } else { &new };
    commands.told(&["restore", file]);
    assert!(names(&commands.state()).iter().all(|name| !name.starts_with('.')));
}

#[tokio::test]
async fn a_restore_cut_off_between_two_files_is_finished_by_the_next_start() {
    let commands = Commands::new(None);
    advance(&commands, 0, 2).await;
    let file = backup(&commands, "b.tar");
    advance(&commands, 2, 5).await;
    // As a crash leaves it after the first file.
    let state = commands.state();
    let mut three = Vec::new();
    for entry in tar::Archive::new(fs::File::open(&file).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if !name.ends_with(".db") {
            continue;
        }
        let staged = state.join(format!(".{name}.new"));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        fs::write(&staged, bytes).unwrap();
        three.extend([staged, state.join(&name), state.join(format!("{name}.aside"))]);
    }
    fs::write(state.join("replacing"), serde_json::to_vec(&three).unwrap()).unwrap();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let to = name.replace("state.db", "state.db.aside");
        drop(fs::rename(state.join(name), state.join(to)));
    }
    fs::rename(&three[0], &three[1]).unwrap();
    let said = commands.refused(&["backup", &file], 1);
    assert!(said.contains("was interrupted"), "{said}");
    assert_eq!(marks(&commands).await, (2, 2));
    assert!(!state.join("replacing").exists());
    // A journal that names other files is not root's to follow.
    let victim = commands.path("victim");
    let foreign = [victim.clone(), commands.path("target"), commands.path("aside")];
    fs::write(&victim, "keep").unwrap();
    fs::write(state.join("replacing"), serde_json::to_vec(&foreign).unwrap()).unwrap();
    commands.refused(&["restore", &file], 1);
    assert_eq!(fs::read(&victim).unwrap(), b"keep");
}

#[tokio::test]
async fn a_ledger_in_postgresql_goes_along_and_back() {
    let server = Postgres::shared();
    let there = server.config(&server.database());
    let commands = Commands::new(Some(&there));
    record(&open_state(&commands), "a").await;
    let ground = Ground::at(there.clone()).await;
    for look in 0..4 {
        poll(&ground, look).await;
    }
    let rows = ground.rows().await;
    // The poller has its lease meanwhile.
    let file = commands.path("b.tar").display().to_string();
    let made = commands.told(&["backup", &file]);
    assert_eq!(made["manifest"]["ledger"], "PostgreSQL");
    let done = commands.told(&["restore", &file]);
    assert_eq!(done["copy_into"], there.url.as_str());
    assert_eq!(ground.rows().await, rows, "the server's own is left alone");
    let kept = done["placed"][1]["path"].as_str().unwrap();
    let fresh = server.config(&server.database());
    let password = fresh.password_file.display().to_string();
    let from = format!("sqlite:{kept}");
    let words = ["store", "copy", &from, &fresh.url, "--tls", "off", "--to-password-file"];
    commands.told(&[&words[..], &[&password]].concat());
    assert_eq!(Ground::at(fresh).await.rows().await, rows);
}

#[tokio::test]
async fn measurements_go_along_when_asked() {
    let commands = Commands::new(None);
    advance(&commands, 0, 1).await;
    let file = commands.path("b.tar").display().to_string();
    let said = commands.refused(&["backup", &file, "--metrics"], 1);
    assert!(said.contains("metrics.db"), "{said}");
    let archive = Archive::new(&commands.state(), &archive::Config::default(), "nagios");
    archive.tend_blocking(1_000_000).unwrap();
    let made = commands.told(&["backup", &file, "--metrics"]);
    assert_eq!(made["manifest"]["members"][2]["name"], "metrics.db");
    drop(archive);
    fs::remove_file(commands.state().join("metrics.db")).unwrap();
    commands.told(&["restore", &file]);
    assert!(commands.state().join("metrics.db").exists());
    // A backup without them leaves those that are there.
    backup(&commands, "b.tar");
    let done = commands.told(&["restore", &file]);
    assert_eq!(done["left"].as_array().unwrap().len(), 1);
    assert!(commands.state().join("metrics.db").exists());
}

#[tokio::test]
async fn what_root_restores_belongs_to_the_service() {
    const NOBODY: u32 = 65_534;
    if !geteuid().is_root() {
        eprintln!("not root: nothing can be given away");
        return;
    }
    let commands = Commands::new(None);
    advance(&commands, 0, 1).await;
    for name in names(&commands.state()) {
        std::os::unix::fs::chown(commands.state().join(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::os::unix::fs::chown(commands.state(), Some(NOBODY), Some(NOBODY)).unwrap();
    let file = backup(&commands, "b.tar");
    assert_eq!(fs::metadata(&file).unwrap().uid(), 0);
    commands.told(&["restore", &file]);
    // Also where there was nothing before, not even a lock.
    for name in names(&commands.state()) {
        fs::remove_file(commands.state().join(name)).unwrap();
    }
    commands.told(&["restore", &file]);
    store::SqliteStore::open_blocking(&commands.state().join("ledger.db")).unwrap();
    backup(&commands, "b.tar");
    for name in names(&commands.state()) {
        let found = fs::metadata(commands.state().join(&name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (NOBODY, NOBODY), "{name}");
        assert_eq!(found.permissions().mode() & 0o077, 0, "{name}");
    }
}

/// A disk of its own, unmounted with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(dir)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_left() {
    if !geteuid().is_root() {
        eprintln!("not root: no disk can be mounted to be filled");
        return;
    }
    let commands = Commands::new(None);
    advance(&commands, 0, 20).await;
    let file = backup(&commands, "b.tar");
    let bytes = fs::metadata(&file).unwrap().len();
    // Too small for the copies, then for the file beside them.
    for size in [64 * 1024, bytes / 2, bytes - 40_000] {
        let disk = Disk::new(&size.to_string());
        let target = disk.0.path().join("b.tar");
        let said = commands.refused(&["backup", &target.display().to_string()], 1);
        assert!(said.contains("full") || said.contains("No space left"), "{said}");
        assert_eq!(names(disk.0.path()), Vec::<String>::new());
    }
    let disk = Disk::new(&(bytes / 2).to_string());
    let small = Commands::new(None);
    let text = format!("[state]\ndirectory = {:?}\n", disk.0.path());
    fs::write(small.config(), text).unwrap();
    let said = small.refused(&["restore", &file], 1);
    assert!(said.contains("No space left") && said.contains("nothing was changed"), "{said}");
    assert_eq!(names(disk.0.path()), ["lock"]);
}
