//! `store copy` between real databases: equal, all or nothing, and never while
//! somebody writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::commands::Commands;
use common::keeper;
use common::ledger::{Ground, assert_sound, created, off, seen, told, usage, vm};
use common::postgres::Postgres;
use weather_balloon::model::{EventKind, SegmentRow, Window};
use weather_balloon::store::{self, Applied, Config, Error, Store, copy, open};

/// Everything that a reader sees, and the poll loop.
async fn everything(store: &dyn Store) -> Vec<String> {
    let mut all = vec![format!("{}", store.revision().await.unwrap())];
    let mut revision = 0;
    loop {
        let page = store.segments_since(revision).await.unwrap();
        let Some(last) = page.last() else { break };
        revision = last.revision;
        all.extend(page.iter().map(|row| format!("{row:?}")));
    }
    all.push(format!("{:?}", store.users_since(0).await.unwrap()));
    all.push(format!("{:?}", store.clouds_since(0).await.unwrap()));
    all.push(format!("{:?}", store.flavors_since(0).await.unwrap()));
    all.push(format!("{:?}", store.gaps(Window::new(0, i64::MAX).unwrap()).await.unwrap()));
    let living = store.living("east").await.unwrap();
    let sorted: BTreeMap<_, _> = living.live.iter().collect();
    all.push(format!("{} {:?} {sorted:?}", living.listing, living.last));
    all
}

/// A history with resizes, stops, absences, a gap, a better owner and staff.
async fn history(ground: &Ground) {
    let listing = |count: i64, vcpus: u64| -> Vec<_> {
        (0..count)
            .map(|number| {
                created(900, vm(&format!("i-{number}"), &format!("user {}", number % 7), vcpus))
            })
            .collect()
    };
    ground.see("1", &seen(1000, listing(50, 2)), 1000).await;
    ground.see("2", &seen(1600, listing(40, 4)), 1600).await;
    let stopped = listing(40, 4).into_iter().map(off).collect();
    let events = [("i-3", 1900, EventKind::Stopped)];
    ground.see("3", &told(2200, stopped, vec![], &events), 2200).await;
    ground.see("4", &seen(90_000, listing(45, 4)), 90_000).await;
    let users = ground.store.users_since(0).await.unwrap();
    let staff = [(users[0].id, true), (users[1].id, false)];
    ground.store.set_staff(&ground.lease, &staff).await.unwrap();
    ground.store.release_lease(&ground.lease).await.unwrap();
}

fn file_in(dir: &std::path::Path, name: &str) -> Config {
    Config { url: format!("sqlite:{}", dir.join(name).display()), ..Config::default() }
}

fn quiet(_: store::Progress) {}

#[tokio::test]
async fn a_ledger_goes_to_postgresql_and_back_unchanged() {
    let server = Postgres::shared();
    let sqlite = Ground::sqlite().await;
    history(&sqlite).await;
    let before = everything(&*sqlite.store).await;
    let there = server.config(&server.database());
    let first = copy(&sqlite.config, &there, &quiet).await.unwrap();
    assert_eq!(everything(&*open(&there).await.unwrap()).await, before);
    let back = file_in(sqlite.dir.path(), "back.db");
    let second = copy(&there, &back, &quiet).await.unwrap();
    assert_eq!(first, second);
    let ground = Ground::at(back.clone()).await;
    assert_eq!(everything(&*ground.store).await, before);
    let (rows, again) = (sqlite.rows().await, ground.rows().await);
    assert_sound(&again);
    for (from, to) in [(0, 2000), (1000, 95_000), (1601, 1602), (0, 200_000)] {
        assert_eq!(usage(&rows, from, to), usage(&again, from, to));
    }
    let closed = |row: &&SegmentRow| row.counted && !row.deleted && row.to.is_some();
    let seconds: i64 = rows.values().filter(closed).map(|row| row.to.unwrap() - row.from).sum();
    assert!(seconds > 0);
    assert_eq!(first.seconds, i128::from(seconds));

    // Life goes on in the copy: a run that is known changes nothing, and what
    // is new has a greater revision than all that was copied.
    let known = ground.would(&seen(1000, vec![]), 1000).await;
    let applied = ground.store.apply(&ground.lease, "4", Arc::new(known)).await.unwrap();
    assert!(matches!(applied, Applied::Before(_)));
    let revision = ground.store.revision().await.unwrap();
    ground.see("5", &seen(90_600, vec![vm("i-new", "somebody", 1)]), 90_600).await;
    assert!(!ground.store.segments_since(revision).await.unwrap().is_empty());
    assert!(ground.store.revision().await.unwrap() > revision);
}

#[tokio::test]
async fn nothing_is_copied_over_something_or_beside_a_writer() {
    let server = Postgres::shared();
    let sqlite = Ground::sqlite().await;
    history(&sqlite).await;
    let there = server.config(&server.database());

    let holder = sqlite.store.take_lease("the poller", Duration::from_secs(60)).await.unwrap();
    let fault = copy(&sqlite.config, &there, &quiet).await.unwrap_err();
    assert!(matches!(&fault, Error::Held { holder, .. } if holder == "the poller"), "{fault}");
    sqlite.store.release_lease(&holder.unwrap()).await.unwrap();

    let target = open(&there).await.unwrap();
    let holder = target.take_lease("the other", Duration::from_secs(60)).await.unwrap().unwrap();
    let fault = copy(&sqlite.config, &there, &quiet).await.unwrap_err();
    assert!(matches!(&fault, Error::Held { holder, .. } if holder == "the other"), "{fault}");
    target.release_lease(&holder).await.unwrap();
    assert_eq!(target.revision().await.unwrap(), 0);

    copy(&sqlite.config, &there, &quiet).await.unwrap();
    let before = everything(&*target).await;
    let fault = copy(&sqlite.config, &there, &quiet).await.unwrap_err();
    assert!(matches!(fault, Error::Occupied { .. }), "{fault}");
    assert_eq!(everything(&*target).await, before);
    // The refusals left both leases free.
    for store in [&sqlite.store, &target] {
        let taken = store.take_lease("next", Duration::from_secs(1)).await.unwrap();
        assert!(taken.is_some());
    }

    let missing = file_in(sqlite.dir.path(), "none.db");
    let fault = copy(&missing, &there, &quiet).await.unwrap_err();
    assert!(matches!(fault, Error::NoLedger { .. }), "{fault}");
    assert!(!sqlite.dir.path().join("none.db").exists());
}

#[tokio::test]
async fn the_command_says_what_it_did() {
    let server = Postgres::shared();
    let commands = Commands::new(None);
    let ground = Ground::at(commands.ledger()).await;
    history(&ground).await;
    let there = server.config(&server.database());
    let password = there.password_file.display().to_string();
    let words = ["store", "copy", &ground.config.url, &there.url, "--to-password-file", &password];
    let said = commands.told(&[&words[..], &["--tls", "off"]].concat());
    assert_eq!(said["tables"][4]["table"], "segment");
    let target = open(&there).await.unwrap();
    assert_eq!(said["revision"], target.revision().await.unwrap());
    let again = commands.refused(&[&words[..], &["--tls", "off"]].concat(), 1);
    assert!(again.contains("is not empty") && again.contains("nothing was copied"), "{again}");
    let lease = target.take_lease("the poller", Duration::from_secs(60)).await.unwrap().unwrap();
    let held = commands.refused(&[&words[..], &["--tls", "off"]].concat(), 75);
    assert!(held.contains("\"the poller\"") && held.contains("stop it first"), "{held}");
    target.release_lease(&lease).await.unwrap();
    let bad = commands.refused(&["store", "copy", "mysql://x", &there.url], 2);
    assert!(bad.contains("begins with neither"), "{bad}");
    // The configured URL brings its password file.
    commands.configure(Some(&there));
    let back = format!("sqlite:{}", commands.path("back.db").display());
    let shown = commands.run(&["store", "copy", &there.url, &back]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(text.starts_with("TABLE") && text.contains("is equal"), "{text}");
}

#[tokio::test]
async fn a_copy_that_is_killed_leaves_nothing() {
    let server = Postgres::shared();
    let commands = Commands::new(None);
    let ground = Ground::at(commands.ledger()).await;
    let listing = (0..12_000).map(|number| vm(&format!("i-{number}"), "a", 2)).collect();
    ground.see("1", &seen(1000, listing), 1000).await;
    ground.store.release_lease(&ground.lease).await.unwrap();
    let before = everything(&*ground.store).await;
    let postgres = server.config(&server.database());
    let sqlite = file_in(commands.dir.path(), "copy.db");
    let password = postgres.password_file.display().to_string();
    let free = |config: Config| async move {
        let store = open(&config).await.unwrap();
        if config.url.starts_with("sqlite:") {
            let path = config.url.trim_start_matches("sqlite:");
            let db = rusqlite::Connection::open(path).unwrap();
            db.execute("UPDATE lease SET expires = 0", []).unwrap();
        }
        store
    };
    for target in [&sqlite, &postgres] {
        let (mut killed, mut done) = (0, false);
        for wait in [5, 60, 150, 250, 400, 700, 10_000] {
            let words = ["store", "copy", &ground.config.url, &target.url];
            let more = ["--to-password-file", &password, "--tls", "off"];
            let mut child = keeper::spawn(commands.command(&[&words[..], &more].concat())).unwrap();
            let deadline = std::time::Instant::now() + Duration::from_millis(wait);
            while std::time::Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            free(ground.config.clone()).await;
            let store = free(target.clone()).await;
            let found = store.revision().await.unwrap();
            if target.url.starts_with("postgres") {
                let database = target.url.rsplit('/').next().unwrap();
                server.sql(database, "UPDATE lease SET expires = 0");
            }
            if found > 0 {
                assert_eq!(everything(&*store).await, before);
                done = true;
                break;
            }
            assert_eq!(store.segments_since(0).await.unwrap(), []);
            assert_eq!(store.users_since(0).await.unwrap(), []);
            killed += 1;
        }
        assert!(done, "no copy came to its end");
        assert!(killed > 0, "no copy was killed");
    }
}
