use super::*;
use crate::archive::tables::Home;
use crate::archive::{Batch, Error, Nodes, Pattern, Position};
use crate::model::{MetricKey, Series, Window};

const START: i64 = 20_000 * 86_400;

fn open(dir: &Path) -> Store {
    let plan = Plan::new(&Config::default(), "nagios");
    Store::open(&dir.join("metrics.db"), &plan, &Arc::default(), START).unwrap()
}

fn batch(round: i64, series: i64) -> Batch {
    let mut batch = Batch::default();
    for series in 0..series {
        batch.push(&format!("nagios.h{}.load.s{series}", series / 20), time(round), round as f64);
    }
    batch
}

fn time(round: i64) -> i64 {
    START + round * 600
}

fn position(round: i64) -> Position {
    Position { file: "f".to_owned(), offset: round.unsigned_abs() }
}

fn all(store: &Store, now: i64) -> Vec<Series> {
    let pattern = Pattern { nodes: Nodes::All, key: MetricKey::parse("").unwrap() };
    let window = Window::new(START - 1, now).unwrap();
    store.answer(&pattern, Some(window), None, now).unwrap()
}

fn known(store: &Store, now: i64) -> usize {
    all(store, now).iter().flat_map(|one| &one.points).filter(|point| point.value.is_some()).count()
}

fn limit(store: &Store, pages: i64) {
    store.write(|db| db.pragma_update(None, "max_page_count", pages)).unwrap();
}

#[test]
fn on_a_full_disk_nothing_has_a_receipt_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    limit(&store, 60);
    let mut kept = 0;
    let fault = loop {
        match store.ingest(&batch(kept, 100), Some(&position(kept)), time(kept)) {
            Ok(receipt) => assert_eq!(receipt.kept, 100),
            Err(fault) => break fault,
        }
        kept += 1;
    };
    assert!(matches!(fault, Error::Full { .. }), "{fault}");
    assert!(kept > 5);
    // New series that came with it are not left behind, nor is a position.
    assert!(store.ingest(&batch(kept, 200), Some(&position(kept)), time(kept)).is_err());
    assert_eq!(store.stats().series, 100);
    assert_eq!(store.read(tables::positions).unwrap(), [position(kept - 1)]);
    // A seal has no room either. Points go on being answered from memory.
    assert!(matches!(store.seal(time(kept)).map_err(Error::from), Err(Error::Full { .. })));
    assert_eq!(known(&store, time(kept)), 100 * kept as usize);
    drop(store);

    let store = open(dir.path());
    assert_eq!(known(&store, time(kept)), 100 * kept as usize);
    // With room it goes on by itself.
    assert_eq!(
        store.ingest(&batch(kept, 200), Some(&position(kept)), time(kept)).unwrap().kept,
        200
    );
    store.seal(time(kept)).unwrap();
    assert_eq!(known(&store, time(kept)), 100 * kept as usize + 200);
    let verdict: String =
        store.write(|db| db.query_row("PRAGMA integrity_check", [], |row| row.get(0))).unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn points_that_come_during_a_seal_are_answered_and_sealed_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let _ = store.ingest(&batch(0, 30), None, time(0)).unwrap();
    store.write(|db| store.freeze(db)).unwrap();
    // The same slot again, and a new one.
    let mut again = Batch::default();
    again.push("nagios.h0.load.s3", time(0), -1.0);
    again.push("nagios.h0.load.s3", time(1), -2.0);
    let _ = store.ingest(&again, None, time(1)).unwrap();
    let expect = |store: &Store| {
        let found = all(store, time(1));
        let of = |name: &str| {
            let series = found.iter().find(|one| one.name == name).unwrap();
            series.points.iter().map(|point| point.value).collect::<Vec<_>>()
        };
        assert_eq!(of("h0.load.s3"), [Some(-1.0), Some(-2.0)]);
        assert_eq!(of("h0.load.s4"), [Some(0.0), None]);
    };
    expect(&store);
    store.seal(time(1)).unwrap();
    assert_eq!(store.stats().head_points, 2);
    expect(&store);
    store.seal(time(1)).unwrap();
    expect(&store);
    store.close_days(START + 2 * 86_400).unwrap();
    expect(&store);
    let (segments, blocks) =
        store.read(|db| Ok((tables::segments(db)?, tables::blocks(db)?))).unwrap();
    assert_eq!((segments, blocks), (Vec::new(), vec![20_000]));
    drop(store);
    expect(&open(dir.path()));
}

#[test]
fn what_a_cut_off_seal_left_does_not_count_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let _ = store.ingest(&batch(0, 30), None, time(0)).unwrap();
    let leave = |db: &mut Connection| {
        let tx = db.transaction()?;
        let data = crate::archive::block::encode_part(&[(0, 99.0), (1, 99.0)]);
        tables::put_points(&tx, Home::Segment(1), 20_000, 0, data.clone())?;
        tables::put_points(&tx, Home::Segment(7), 20_000, 0, data)?;
        tx.commit()
    };
    store.write(leave).unwrap();
    assert_eq!(known(&store, time(1)), 30);
    store.seal(time(0)).unwrap();
    store.close_days(time(0)).unwrap();
    assert_eq!(store.read(tables::segments).unwrap(), [1]);
    let found = all(&store, time(1));
    assert!(found.iter().flat_map(|one| &one.points).all(|point| point.value != Some(99.0)));
}

#[test]
fn a_broken_row_is_a_gap_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let _ = store.ingest(&batch(0, 3), None, time(0)).unwrap();
    store.seal(time(0)).unwrap();
    let swap =
        "UPDATE segment SET data = (SELECT data FROM segment WHERE series = 1) WHERE series = 0";
    store.write(|db| db.execute(swap, [])).unwrap();
    assert_eq!(known(&store, time(0)), 2, "another series' row is no row of this one");
    assert!(store.counts.broken.load(Ordering::Relaxed) > 0);
    store
        .write(|db| db.execute("UPDATE series SET path = 'nagios.h0.load.s9' WHERE id = 1", []))
        .unwrap();
    store.write(|db| db.execute("UPDATE meta SET value = 60 WHERE key = 'last_seal'", [])).unwrap();
    drop(store);
    let plan = Plan::new(&Config::default(), "nagios");
    let path = dir.path().join("metrics.db");
    let fault = Store::open(&path, &plan, &Arc::default(), START).unwrap_err();
    assert!(matches!(Error::from(fault), Error::Damaged { .. }));
    let database = Connection::open(&path).unwrap();
    tables::set_meta(&database, Meta::LastSeal, START).unwrap();
    drop(database);
    let store = open(dir.path());
    assert_eq!((store.stats().series, store.stats().broken_rows), (2, 1));
}
