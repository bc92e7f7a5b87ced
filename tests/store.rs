//! What both stores hold to: one migrates, one writes, nothing is missed, and
//! a newer schema is left alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::ledger::{Ground, LEASE, assert_sound, created, off, seen, vm};
use common::postgres::Postgres;
use tokio::task::JoinSet;
use weather_balloon::ledger::{Rhythm, reconcile};
use weather_balloon::model::Sighting;
use weather_balloon::store::{self, Applied, Config, Error, Lease, Store};

fn told(fault: Error) -> String {
    format!("{:#}", anyhow::Error::from(fault))
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_that_open_at_once_migrate_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Postgres::shared();
    let database = server.database();
    let sqlite =
        Config { url: format!("sqlite:{}/ledger.db", dir.path().display()), ..Config::default() };
    for config in [sqlite, server.config(&database)] {
        let mut opened = JoinSet::new();
        for _ in 0..20 {
            let config = config.clone();
            opened.spawn(async move {
                let store = store::open(&config).await?;
                store.clouds_since(0).await
            });
        }
        for result in opened.join_all().await {
            assert_eq!(result.unwrap(), []);
        }
    }
    let count = "SELECT count(*) FROM refinery_schema_history";
    assert_eq!(server.sql(&database, count).trim(), "1");
    let db = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
    assert_eq!(db.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    const NEWER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
    let server = Postgres::shared();
    let database = server.database();
    store::open(&server.config(&database)).await.unwrap().clouds_since(0).await.unwrap();
    server.sql(&database, NEWER);
    let everything = "SELECT string_agg(t::text, ' ') FROM refinery_schema_history t";
    let before = server.sql(&database, everything);
    let fault = store::open(&server.config(&database)).await.unwrap().clouds_since(0).await;
    let fault = told(fault.unwrap_err());
    assert!(
        fault.contains("was written by a newer weather-balloon; upgrade the program"),
        "{fault}"
    );
    assert_eq!(server.sql(&database, everything), before);

    let ground = Ground::sqlite().await;
    let (file, config) = (ground.file(), ground.config.clone());
    let Ground { store, dir, .. } = ground;
    drop(store);
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute(NEWER, []).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    let before = std::fs::read(&file).unwrap();
    let fault = told(store::open(&config).await.map(drop).unwrap_err());
    assert!(
        fault.contains("was written by a newer weather-balloon; upgrade the program"),
        "{fault}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
    drop(dir);
}

#[tokio::test]
async fn a_lease_lets_one_write() {
    for ground in Ground::both().await {
        let Ground { store, lease, .. } = &ground;
        let changes = Arc::new(ground.would(&seen(1000, vec![vm("i-1", "a", 1)]), 1000).await);
        assert_eq!(store.take_lease("other", LEASE).await.unwrap(), None);
        store.renew_lease(lease, LEASE).await.unwrap();
        // Its own holder may take it anew; the older right is then void.
        let mine = store.take_lease("test", LEASE).await.unwrap().unwrap();
        assert!(mine.epoch > lease.epoch);
        let fault = store.apply(lease, "1", Arc::clone(&changes)).await.unwrap_err();
        assert!(matches!(fault, Error::LeaseLost { .. }), "{fault}");
        // Released, another one has it at once.
        store.release_lease(&mine).await.unwrap();
        let other = store.take_lease("other", Duration::from_millis(1)).await.unwrap().unwrap();
        let lost = store.apply(&mine, "1", Arc::clone(&changes)).await.unwrap_err();
        assert_eq!(
            lost.to_string(),
            "another weather-balloon, \"other\", writes the ledger now; nothing was changed"
        );
        assert!(matches!(store.renew_lease(&mine, LEASE).await, Err(Error::LeaseLost { .. })));
        assert!(matches!(store.release_lease(&mine).await, Err(Error::LeaseLost { .. })));
        assert!(matches!(store.set_staff(&mine, &[(1, true)]).await, Err(Error::LeaseLost { .. })));
        assert_eq!(ground.rows().await, BTreeMap::new());
        assert_eq!(store.users_since(0).await.unwrap(), []);
        // Expired and not taken: who held it last may go on.
        tokio::time::sleep(Duration::from_millis(5)).await;
        store.apply(&other, "1", Arc::clone(&changes)).await.unwrap();
        let third = store.take_lease("third", LEASE).await.unwrap().unwrap();
        assert!(third.epoch > other.epoch);
        let again = store.apply(&third, "1", changes).await.unwrap();
        assert!(matches!(again, Applied::Before(_)), "the run is known to whoever writes");
    }
}

#[tokio::test]
async fn changes_fit_only_on_their_view() {
    for ground in Ground::both().await {
        let stale = ground.would(&seen(1600, vec![vm("i-1", "a", 1)]), 1600).await;
        ground.see("1", &seen(1000, vec![vm("i-1", "a", 1)]), 1000).await;
        let applied = ground.store.apply(&ground.lease, "2", stale.into()).await;
        assert!(matches!(applied, Err(Error::Moved { .. })), "not refused as moved: {applied:?}");
        assert_eq!(ground.rows().await.len(), 1);
    }
}

async fn write_on(
    store: Arc<dyn Store>,
    lease: Lease,
    name: &'static str,
    looks: i64,
) -> Result<i64, Error> {
    let mut last = 0;
    for look in 0..looks {
        let at = 1_000_000 + look * 600;
        let flips = |number: i64| {
            let mine = vm(&format!("i-{number}"), &format!("{name}-{number}"), 2);
            if (look + number) % 3 == 0 { off(mine) } else { mine }
        };
        let listing = (0..20 + look).map(flips).collect();
        let seen = Sighting::new(name, at, at, listing, vec![], vec![]).unwrap();
        let view = store.view(&seen).await?;
        let changes = reconcile(&view, &seen, at, Rhythm::of_seconds(600));
        if let Applied::Now(revision) =
            store.apply(&lease, &format!("{name} {look}"), changes.into()).await?
        {
            assert!(revision > last);
            last = revision;
        }
    }
    Ok(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_miss_nothing_while_several_write() {
    for ground in Ground::both().await {
        let mut writers = JoinSet::new();
        for name in ["a", "b", "c"] {
            // A pool of its own each, as in two appliances.
            let store = ground.again().await.unwrap();
            writers.spawn(write_on(store, ground.lease.clone(), name, 25));
        }
        let (mut revision, mut rows) = (0, BTreeMap::new());
        while !writers.is_empty() {
            ground.read_on(&mut revision, &mut rows).await;
            while let Some(ended) = writers.try_join_next() {
                ended.unwrap().unwrap();
            }
        }
        ground.read_on(&mut revision, &mut rows).await;
        assert_sound(&rows);
        assert_eq!(rows, ground.rows().await, "{}", ground.name);
        assert_eq!(rows.values().filter(|row| row.to.is_none()).count(), 3 * 44);
        let users = ground.user_names().await;
        assert_eq!(users.len(), 3 * 44);
    }
}

#[tokio::test]
async fn names_have_revisions_too() {
    for ground in Ground::both().await {
        let mut mine = created(900, vm("i-1", "alice", 2));
        ground.see("1", &seen(1000, vec![mine.clone(), vm("i-2", "bob", 4)]), 1000).await;
        let users = ground.store.users_since(0).await.unwrap();
        let names: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.is_staff)).collect();
        assert_eq!(names, [("alice", None), ("bob", None)], "{}", ground.name);
        let flavors = ground.store.flavors_since(0).await.unwrap();
        assert_eq!(flavors.len(), 2);
        let last = users.last().unwrap().revision;
        let staff = [(users[0].id, true), (users[1].id, false)];
        ground.store.set_staff(&ground.lease, &staff).await.unwrap();
        let told = ground.store.users_since(last).await.unwrap();
        let flags: Vec<_> = told.iter().map(|user| (user.id, user.is_staff)).collect();
        assert_eq!(flags, [(users[0].id, Some(true)), (users[1].id, Some(false))]);
        // What is known already is no change.
        ground.store.set_staff(&ground.lease, &staff).await.unwrap();
        let last = told.last().unwrap().revision;
        assert_eq!(ground.store.users_since(last).await.unwrap(), []);
        // A flavor's new name is seen when something uses it.
        mine.shape.flavor.name = weather_balloon::model::Label::tame("medium");
        mine.id = weather_balloon::model::InstanceId::parse("i-3").unwrap();
        let listing = vec![created(900, vm("i-1", "alice", 2)), vm("i-2", "bob", 4), mine];
        ground.see("2", &seen(1600, listing), 1600).await;
        let renamed = ground.store.flavors_since(last).await.unwrap();
        let names: Vec<_> = renamed.iter().map(|flavor| flavor.name.as_str()).collect();
        assert_eq!(names, ["medium"], "{}", ground.name);
    }
}

#[tokio::test]
async fn hostile_text_is_only_text() {
    for ground in Ground::both().await {
        let hostile = "x'); DROP TABLE segment; --\u{0}\n\u{1F388}\u{202E}";
        let mut mine = vm("i';--", hostile, 1);
        mine.details = weather_balloon::model::Details::new(hostile, hostile, hostile, vec![]);
        ground.see("1'; --", &seen(1000, vec![mine]), 1000).await;
        let living = ground.store.living("east").await.unwrap();
        let known = living.live.values().next().unwrap();
        assert!(known.owner.name().starts_with("x'); DROP TABLE segment; --"));
        assert_eq!(ground.rows().await.len(), 1);
    }
}
