//! The state database: what is recorded survives, and settles as it should.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads plain files"
)]

mod common;

use std::time::{Duration, SystemTime};

use common::small_disk::SmallDisk;
use weather_balloon::model::{GivenHost, HostId, HostSet, Source};
use weather_balloon::state::{
    Applied, Config, Error, GenerationState, Judgement, NewGeneration, Recorded, State,
};

fn set(ids: &[&str]) -> HostSet {
    let given: Vec<_> = ids
        .iter()
        .map(|id| GivenHost {
            id: (*id).into(),
            display_name: format!("vm {id}"),
            address: "::1".into(),
        })
        .collect();
    HostSet::parse(&given).unwrap()
}

fn new(source: Source, ids: &[&str]) -> NewGeneration {
    NewGeneration { source, set: set(ids), forced: false, restores: None, caller: None }
}

fn open(dir: &std::path::Path) -> Result<State, Error> {
    State::open(&Config { directory: dir.to_owned() })
}

async fn record(state: &State, new: NewGeneration) -> i64 {
    match state.record(vec![new], now()).await.unwrap().remove(0) {
        Recorded::Pending(generation) => generation.number,
        Recorded::Quarantined { reason } => panic!("quarantined: {reason}"),
    }
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn file(digest: &str, generation: i64) -> Applied {
    Applied { file_digest: digest.into(), generation, swapped: now(), proved_by: None }
}

#[tokio::test]
async fn what_was_settled_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Source::Cloud("east".into());
    {
        let state = open(dir.path()).unwrap();
        let a = record(&state, new(Source::Rpc, &["a"])).await;
        let b = record(&state, new(cloud.clone(), &["b", "c"])).await;
        state.settle_live(vec![a, b], file("f1", b), 50, now()).await.unwrap();
        state.settle_proved("f1".into(), 77, now()).await.unwrap();
        let c = record(&state, new(Source::Rpc, &["a", "d"])).await;
        record(&state, new(Source::Rpc, &["e"])).await;
        assert!(c > b);
    }
    let state = open(dir.path()).unwrap();
    let found = state.snapshot().await.unwrap();
    let live: Vec<_> =
        found.live.iter().map(|one| (one.generation.source.clone(), one.set.clone())).collect();
    assert_eq!(live, [(cloud, set(&["b", "c"])), (Source::Rpc, set(&["a"]))]);
    assert!(found.live.iter().all(|one| one.generation.proved.is_some()));
    assert_eq!(found.pending.len(), 1, "only the newest pending one of a source is resumed");
    assert_eq!(found.pending[0].set, set(&["e"]));
    let applied = found.applied.unwrap();
    assert_eq!((applied.file_digest.as_str(), applied.proved_by), ("f1", Some(77)));
}

#[tokio::test]
async fn a_set_in_a_file_that_was_proved_before_is_proved_too() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path()).unwrap();
    let first = record(&state, new(Source::Rpc, &["a"])).await;
    state.settle_live(vec![first], file("f1", first), 50, now()).await.unwrap();
    state.settle_proved("f1".into(), 7, now()).await.unwrap();
    // Other names as given, the same names in the file.
    let same = record(&state, new(Source::Rpc, &["b"])).await;
    let known = Applied { proved_by: Some(7), ..file("f1", same) };
    state.settle_live(vec![same], known, 50, now()).await.unwrap();
    assert!(state.history(1).await.unwrap()[0].proved.is_some());

    let bad = record(&state, new(Source::Rpc, &["c"])).await;
    state.settle_live(vec![bad], file("f2", bad), 50, now()).await.unwrap();
    let judgement = Judgement { reason: "it bailed out".into(), quarantine: true };
    let live = state.settle_fatal(judgement, now()).await.unwrap();
    assert_eq!(live[0].generation.number, same, "the newest that Nagios has read returns");
}

#[tokio::test]
async fn the_guilty_are_rejected_and_kept_out_and_the_proved_return() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path()).unwrap();
    let good = record(&state, new(Source::Rpc, &["a"])).await;
    state.settle_live(vec![good], file("f1", good), 50, now()).await.unwrap();
    state.settle_proved("f1".into(), 1, now()).await.unwrap();
    let bad = record(&state, new(Source::Rpc, &["b"])).await;
    state.settle_live(vec![bad], file("f2", bad), 50, now()).await.unwrap();
    // A proof of another file proves nothing of this one.
    state.settle_proved("f1".into(), 2, now()).await.unwrap();

    let judgement = Judgement { reason: "it bailed out".into(), quarantine: true };
    let live = state.settle_fatal(judgement, now()).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!((live[0].generation.number, &live[0].set), (good, &set(&["a"])));
    let history = state.history(10).await.unwrap();
    assert_eq!((history[0].number, history[0].state), (bad, GenerationState::Rejected));
    assert_eq!(history[0].reason.as_deref(), Some("it bailed out"));

    let again = state.record(vec![new(Source::Rpc, &["b"])], now()).await.unwrap();
    assert!(matches!(&again[0], Recorded::Quarantined { reason } if reason == "it bailed out"));
    let forced = NewGeneration { forced: true, ..new(Source::Rpc, &["b"]) };
    record(&state, forced).await;
    // Forcing it once lifts the quarantine.
    record(&state, new(Source::Rpc, &["b"])).await;
}

#[tokio::test]
async fn history_is_bounded_and_a_burst_does_not_push_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path()).unwrap();
    for round in 0..10 {
        let id = format!("h{round}");
        let number = record(&state, new(Source::Rpc, &[&id])).await;
        state.settle_live(vec![number], file(&id, number), 5, now()).await.unwrap();
        state.settle_proved(id, round, now()).await.unwrap();
    }
    let burst = (0..200).map(|n| new(Source::Rpc, &[&format!("b{n}")])).collect();
    let last = match state.record(burst, now()).await.unwrap().pop().unwrap() {
        Recorded::Pending(generation) => generation.number,
        Recorded::Quarantined { .. } => unreachable!("nothing was quarantined"),
    };
    state.settle_live(vec![last], file("burst", last), 5, now()).await.unwrap();
    let history = state.history(1000).await.unwrap();
    let were_live = history.iter().filter(|one| one.live.is_some()).count();
    // The live one, the five kept, and the one that would be gone back to.
    assert!((6..=7).contains(&were_live), "{were_live} generations that were live are kept");
    assert!(history.len() <= were_live + 5);
    assert_eq!(history[0].state, GenerationState::Live);
    let oldest = history.iter().rfind(|one| one.live.is_some()).unwrap();
    assert!(state.set_of(oldest.number).await.unwrap().is_some());
    assert!(state.set_of(1).await.unwrap().is_none());
}

#[tokio::test]
async fn a_host_is_found_in_each_generation_with_who_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path()).unwrap();
    let caller = Some("Thrift, 127.0.0.1:4711".into());
    record(&state, NewGeneration { caller, ..new(Source::Rpc, &["a", "b"]) }).await;
    record(&state, new(Source::Cloud("east".into()), &["c"])).await;
    record(&state, new(Source::Rpc, &["a"])).await;
    let found = state.appearances(&HostId::parse("b").unwrap()).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|(one, host)| (one.number, one.caller.as_deref(), host.as_ref().map(|b| &b.id)))
        .collect();
    let set = set(&["b"]);
    let host = set.iter().next().map(|b| &b.id);
    assert_eq!(told, [(1, Some("Thrift, 127.0.0.1:4711"), host), (2, None, None), (3, None, None)]);
    assert_eq!(found[0].1.as_ref(), set.iter().next());
}

#[tokio::test]
async fn one_directory_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let second = open(dir.path()).unwrap_err();
    assert!(second.to_string().contains("is weather-balloon running already?"), "{second}");
    drop(first);
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let path = dir.path().join(State::DATABASE_NAME);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
        [],
    )
    .unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let fault = open(dir.path()).unwrap_err();
    let told = format!("{:#}", anyhow::Error::from(fault));
    assert!(told.contains("written by a newer weather-balloon"), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// As the version before left it: what later migrations made is not there.
fn make_old(path: &std::path::Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(
        "DROP TABLE absence; DROP TABLE appliance; DROP TABLE shipped;
         ALTER TABLE generation DROP COLUMN caller;
         DELETE FROM refinery_schema_history WHERE version > 1;
         PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .unwrap();
}

fn version(path: &std::path::Path) -> i64 {
    let db = rusqlite::Connection::open(path).unwrap();
    db.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0)).unwrap()
}

async fn live_sets(state: &State) -> Vec<HostSet> {
    state.snapshot().await.unwrap().live.into_iter().map(|one| one.set).collect()
}

async fn make_with_a_live_set(dir: &std::path::Path) {
    let state = open(dir).unwrap();
    let number = record(&state, new(Source::Rpc, &["a", "b"])).await;
    state.settle_live(vec![number], file("f1", number), 50, now()).await.unwrap();
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date_with_its_data() {
    let dir = tempfile::tempdir().unwrap();
    make_with_a_live_set(dir.path()).await;
    let path = dir.path().join(State::DATABASE_NAME);
    let newest = version(&path);
    make_old(&path);
    let state = open(dir.path()).unwrap();
    assert_eq!(live_sets(&state).await, [set(&["a", "b"])]);
    drop(state);
    assert_eq!(version(&path), newest);
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    make_with_a_live_set(dir.path()).await;
    let path = dir.path().join(State::DATABASE_NAME);
    make_old(&path);
    // In the way of the last migration: those before it are taken back, too.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE absence (x); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let fault = open(dir.path()).unwrap_err();
    let told = format!("{:#}", anyhow::Error::from(fault));
    assert!(told.contains("state.db cannot be brought to this version's schema"), "{told}");
    assert!(told.contains("the data in it is as it was"), "{told}");
    assert_eq!(version(&path), 1);
    let shipped = "SELECT count(*) FROM sqlite_schema WHERE name = 'shipped'";
    assert_eq!(db.query_row(shipped, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    db.execute_batch("DROP TABLE absence; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    assert_eq!(live_sets(&open(dir.path()).unwrap()).await, [set(&["a", "b"])]);
}

#[tokio::test]
async fn a_full_disk_stops_a_migration_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path(), "2m");
    make_with_a_live_set(dir.path()).await;
    let path = dir.path().join(State::DATABASE_NAME);
    make_old(&path);
    let before = std::fs::read(&path).unwrap();
    disk.fill();
    let fault = open(dir.path()).unwrap_err();
    let told = format!("{:#}", anyhow::Error::from(fault));
    assert!(told.contains("state.db is full; make room"), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    disk.empty();
    assert_eq!(live_sets(&open(dir.path()).unwrap()).await, [set(&["a", "b"])]);
}

#[tokio::test]
async fn times_before_1970_and_far_ahead_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path()).unwrap();
    for odd in [
        SystemTime::UNIX_EPOCH - Duration::from_secs(86_400),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40),
    ] {
        state.record(vec![new(Source::Rpc, &["a"])], odd).await.unwrap();
        assert_eq!(state.history(1).await.unwrap()[0].created, odd);
    }
}

/// Without its row it would be no longer watched, which nobody had asked for.
#[tokio::test]
async fn a_live_set_that_is_lost_or_changed_on_disk_is_told() {
    for damage in [
        "UPDATE host_set SET hosts = replace(hosts, '::1', '::2')",
        "PRAGMA foreign_keys = OFF; DELETE FROM host_set",
        "PRAGMA foreign_keys = OFF; UPDATE generation SET set_digest = randomblob(32)",
        "PRAGMA ignore_check_constraints = ON; UPDATE generation SET state = 'lire'",
        "UPDATE refinery_schema_history SET applied_on = 'x' || applied_on",
        "UPDATE refinery_schema_history SET checksum = 'x' || checksum",
    ] {
        let dir = tempfile::tempdir().unwrap();
        {
            let state = open(dir.path()).unwrap();
            let number = record(&state, new(Source::Rpc, &["a"])).await;
            state.settle_live(vec![number], file("f", number), 50, now()).await.unwrap();
        }
        let db = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
        db.execute_batch(damage).unwrap();
        drop(db);
        let told = match open(dir.path()) {
            Err(fault) => weather_balloon::telemetry::sentence(&fault),
            Ok(state) => {
                let fault = state.snapshot().await.unwrap_err();
                weather_balloon::telemetry::sentence(&fault)
            }
        };
        assert!(told.contains("damaged") && told.contains("restore"), "{damage}: {told}");
    }
}
