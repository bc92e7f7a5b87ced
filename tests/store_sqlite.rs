//! The ledger in SQLite: its file, its disk, its backups, and what damage does.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and spoils plain files"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::keeper;
use common::ledger::{Ground, assert_sound, seen, vm};
use common::marks::poll;
use rusqlite::Connection;
use weather_balloon::store::{self, Config, Error, check_backup};

fn told(fault: Error) -> String {
    format!("{:#}", anyhow::Error::from(fault))
}

async fn fault_of_opening(file: &Path) -> String {
    let config = Config { url: format!("sqlite:{}", file.display()), ..Config::default() };
    told(store::open(&config).await.map(drop).unwrap_err())
}

fn mode_of(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_its_owner_reads_the_file() {
    let ground = Ground::sqlite().await;
    ground.see("1", &seen(1000, vec![vm("i-1", "a", 1)]), 1000).await;
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"] {
        assert_eq!(mode_of(&ground.dir.path().join(name)), 0o600, "{name}");
    }
    let again = ground.dir.path().join("again.db");
    fs::write(&again, "").unwrap();
    fs::set_permissions(&again, fs::Permissions::from_mode(0o644)).unwrap();
    let config = Config { url: format!("sqlite:{}", again.display()), ..Config::default() };
    store::open(&config).await.unwrap();
    assert_eq!(mode_of(&again), 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_ledger_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.db");
    fs::write(&file, "this is not a database, but it is long enough to look like one\n".repeat(99))
        .unwrap();
    let fault = fault_of_opening(&file).await;
    assert!(fault.contains("is damaged") && fault.contains("restore a backup"), "{fault}");
    let fault = fault_of_opening(&dir.path().join("no/such/dir/ledger.db")).await;
    assert!(fault.contains("no/such/dir"), "{fault}");
}

#[tokio::test]
async fn damage_is_found_and_stops_nothing_else() {
    let ground = Ground::sqlite().await;
    let listing = (0..2000).map(|number| vm(&format!("i-{number}"), "a", 1)).collect();
    ground.see("1", &seen(1000, listing), 1000).await;
    ground.store.check().await.unwrap();
    let (file, config) = (ground.file(), ground.config.clone());
    let Ground { store, dir, .. } = ground;
    drop(store);
    let whole = fs::read(&file).unwrap();
    let (mut found, mut refused) = (0, 0);
    // A page in each part of the file, all of it turned over.
    for part in 1..20 {
        let mut bytes = whole.clone();
        let at = bytes.len() * part / 20 / 4096 * 4096;
        bytes[at..at + 4096].iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&file, bytes).unwrap();
        match store::open(&config).await {
            Err(fault) => {
                assert!(told(fault).contains("is damaged"));
                refused += 1;
            }
            Ok(store) => {
                let Err(fault) = store.check().await else { continue };
                assert!(told(fault).contains("is damaged"));
                found += 1;
                // Whatever is asked of it gives an answer or an error.
                drop(store.living("east").await);
                drop(store.segments_since(0).await);
            }
        }
    }
    assert!(found + refused >= 15, "{found} of 19 damages were found, {refused} refused");
    drop(dir);
}

#[tokio::test]
async fn only_a_whole_ledger_is_taken_for_a_backup() {
    let ground = Ground::sqlite().await;
    let listing = (0..500).map(|number| vm(&format!("i-{number}"), "a", 1)).collect();
    ground.see("1", &seen(1000, listing), 1000).await;
    let backup = ground.dir.path().join("backup");
    let live = Connection::open(ground.file()).unwrap();
    live.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    assert_eq!(check_backup(&backup).unwrap().segments, 500);
    let dir = ground.dir.path().to_owned();
    let spoil = |name: &str, change: &dyn Fn(&Connection)| -> PathBuf {
        let copy = dir.join(name);
        fs::copy(&backup, &copy).unwrap();
        change(&Connection::open(&copy).unwrap());
        copy
    };
    let newer = spoil("newer", &|db| {
        db.execute(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
             VALUES (999, 'x', '2030-01-01T00:00:00Z', '1')",
            [],
        )
        .unwrap();
    });
    let orphaned = spoil("orphaned", &|db| {
        db.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM account").unwrap();
    });
    let foreign = spoil("foreign", &|db| db.execute_batch("DROP TABLE ledger").unwrap());
    let torn = dir.join("torn");
    fs::write(&torn, &fs::read(&backup).unwrap()[..30_000]).unwrap();
    let text = dir.join("text");
    fs::write(&text, "hello").unwrap();
    let empty = dir.join("empty");
    fs::write(&empty, "").unwrap();
    let cases = [
        (newer, "a newer weather-balloon wrote it"),
        (orphaned, "refers to nothing"),
        (foreign, "no such table: ledger"),
        (torn, "damaged"),
        (text, "not a database"),
        (empty, "no such table"),
        (dir.join("absent"), "unable to open"),
    ];
    for (bad, reason) in cases {
        let fault = told(check_backup(&bad).unwrap_err());
        assert!(fault.contains("is not a backup of a ledger") && fault.contains(reason), "{fault}");
    }
}

/// A disk of its own, unmounted with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(dir)
    }

    /// Leaves so many bytes.
    fn fill(&self, leave: u64) -> PathBuf {
        let filler = self.0.path().join("filler");
        fs::write(&filler, "").unwrap();
        let free = nix::sys::statvfs::statvfs(self.0.path()).unwrap();
        let bytes = free.blocks_available() * free.fragment_size() - leave;
        fs::write(&filler, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0.path()).status().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_outlived() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: no disk can be mounted to be filled");
        return;
    }
    let disk = Disk::new("4m");
    let file = disk.0.path().join("ledger.db");
    let config = Config { url: format!("sqlite:{}", file.display()), ..Config::default() };
    let ground = Ground::at(config).await;
    let listing = |count: i64| -> Vec<_> {
        (0..count).map(|number| vm(&format!("i-{number}"), &format!("user {number}"), 1)).collect()
    };
    ground.see("1", &seen(1000, listing(100)), 1000).await;
    let before = ground.rows().await;
    disk.fill(256 * 1024);
    let changes = ground.would(&seen(1600, listing(10_000)), 1600).await;
    let fault = ground.store.apply(&ground.lease, "2", changes.into()).await.unwrap_err();
    assert!(matches!(&fault, Error::Full { .. }), "{fault:?}");
    assert!(told(fault).contains("is full; make room"));
    assert_eq!(ground.rows().await, before);
    ground.store.check().await.unwrap();
    fs::remove_file(disk.0.path().join("filler")).unwrap();
    ground.see("2", &seen(1600, listing(200)), 1600).await;
    let rows = ground.rows().await;
    assert_eq!(rows.len(), 200);
    assert_sound(&rows);
    let db = Connection::open(&file).unwrap();
    let found: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

#[tokio::test]
#[ignore = "run by the test below, which kills it"]
async fn polls_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let url = format!("sqlite:{}", Path::new(&file).display());
    let ground = Ground::at(Config { url, ..Config::default() }).await;
    let first = ground.store.living("east").await.unwrap().listing;
    for look in first.. {
        poll(&ground, look).await;
        println!("acknowledged {look}");
    }
}

const FILE: &str = "WEATHER_BALLOON_TEST_LEDGER";

async fn kill_again_and_again(kills: u32) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.db");
    let mut acknowledged = -1;
    for kill in 0..kills {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["polls_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = keeper::spawn(command).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut looked = |line: Option<std::io::Result<String>>| {
            let line = line?.unwrap();
            let look = line.strip_prefix("acknowledged ")?.parse::<i64>().unwrap();
            assert!(look > acknowledged, "look {look} is told twice");
            acknowledged = look;
            Some(())
        };
        while looked(lines.next()).is_none() {}
        std::thread::sleep(Duration::from_micros(u64::from(kill) * 7919 % 30_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            looked(Some(line));
        }
        let ground =
            Ground::at(Config { url: format!("sqlite:{}", file.display()), ..Config::default() })
                .await;
        let applied = ground.store.living("east").await.unwrap().listing;
        // The last one may be there without its word.
        assert!((acknowledged + 1..=acknowledged + 2).contains(&applied));
        acknowledged = applied - 1;
        let rows = ground.rows().await;
        assert_sound(&rows);
        assert_eq!(i64::try_from(rows.len()).unwrap(), 50 * applied);
        ground.store.check().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    kill_again_and_again(10).await;
}

#[tokio::test]
#[ignore = "takes minutes: 200 kills"]
async fn nothing_acknowledged_is_lost_over_many_kills() {
    kill_again_and_again(200).await;
}
