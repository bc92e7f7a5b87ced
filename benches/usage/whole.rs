//! From a ledger's file to Thrift: the first reading, its memory, and what a
//! client waits for the list of 20,000 users.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};
use weather_balloon::rpc::wire::cloud::{CloudSyncClient, TCloudSyncClient};
use weather_balloon::rpc::wire::hosts::THostsSyncClient;
use weather_balloon::store::{Config, SqliteStore};

use crate::cloud::Cloud;
use crate::common::thrift::{OpenDoor, config, connect, tcp_client};
use crate::{CPUS, Figures, RUNNING, WINDOWS, cpu, resident};

pub fn bench(cloud: Cloud, figures: &mut Figures) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("ledger.db");
    let (size, segments) = (cloud.created.len(), cloud.created.len() - cloud.empty());
    fill(&cloud, &file);
    drop(cloud);
    println!("\n{size} instances, 20000 users, from SQLite to Thrift");
    let ledger = Config { url: format!("sqlite:{}", file.display()), ..Config::default() };
    let before = resident();
    let (began, mut worst) = (Instant::now(), Duration::ZERO);
    let mut spent = 0.0;
    let mut open = None;
    spent += cpu(|| {
        let door = OpenDoor::on_ledger(&config(), &ledger);
        let mut others = tcp_client(door.tcp());
        let stream = connect(door.tcp());
        let mut board = CloudSyncClient::new(
            TBinaryInputProtocol::new(
                TBufferedReadTransport::new(stream.try_clone().unwrap()),
                true,
            ),
            TBinaryOutputProtocol::new(TBufferedWriteTransport::new(stream), true),
        );
        while board.get_user_stats(0, 1, "nobody".to_owned()).is_err() {
            let asked = Instant::now();
            others.get_hosts().unwrap();
            worst = worst.max(asked.elapsed());
        }
        open = Some((door, board));
    });
    let (_door, mut board) = open.unwrap();
    let took = began.elapsed().as_secs_f64();
    let bytes = resident().saturating_sub(before) as f64 / 1e6;
    println!(
        "first reading: {took:.1} s, {spent:.0} ms CPU, {bytes:.0} MB, {segments} segments; \
         get_hosts meanwhile took {worst:?} at most"
    );
    if size > 1_000_000 {
        figures.at_most(format!("cold load of {size} instances"), "s", 15.0, took);
        figures.at_most(format!("memory of {size} instances"), "MB", 250.0, bytes);
        let worst = worst.as_secs_f64() * 1e3;
        figures.at_most("get_hosts during the cold load".to_owned(), "ms", 1000.0, worst);
    }
    for (name, start, end) in WINDOWS {
        let (start, end) = (i32::try_from(start).unwrap(), i32::try_from(end).unwrap());
        let mut listed = 0;
        let mut times: Vec<f64> = (0..15)
            .map(|_| {
                let asked = Instant::now();
                listed = board.get_leaderboard(start, end).unwrap().len();
                asked.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let (best, median) = (times[0], times[7]);
        println!("{name:>6}: {best:.1} ms at best, {median:.1} ms in the middle, {listed} users");
        if name == "all" && size <= 1_000_000 {
            let what = "get_leaderboard with 20000 users, end to end".to_owned();
            figures.at_most(what, "ms", 30.0, median);
        }
    }
}

/// Straight into the file: a poll would take days to fill it.
fn fill(cloud: &Cloud, file: &Path) {
    drop(SqliteStore::open_blocking(file).unwrap());
    let mut db = Connection::open(file).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;").unwrap();
    let tx = db.transaction().unwrap();
    tx.execute("INSERT INTO cloud (id, revision, name, listing) VALUES (1, 1, 'east', 1)", [])
        .unwrap();
    let mut revision = 1_i64;
    let mut next = || {
        revision += 1;
        revision
    };
    for (cpu, _) in CPUS {
        let sql = "INSERT INTO flavor (id, revision, cloud, key, name) VALUES (?1, ?2, 1, ?3, ?3)";
        tx.execute(sql, params![cpu, next(), format!("m{cpu}")]).unwrap();
    }
    for id in 0..cloud.users {
        let sql = "INSERT INTO account (id, revision, name, is_staff) VALUES (?1, ?2, ?3, ?4)";
        tx.execute(sql, params![id, next(), format!("user{id}"), id % 50 == 0]).unwrap();
    }
    // A segment's last change is its end.
    let mut by_end: Vec<usize> = (0..cloud.created.len()).collect();
    by_end.retain(|at| cloud.created[*at] < cloud.ended[*at]);
    by_end.sort_by_key(|at| cloud.ended[*at]);
    {
        let mut insert = tx
            .prepare(
                "INSERT INTO segment (revision, id, instance, account, cloud, flavor, vcpus, counted,
                                      begins, begins_by, ends, ends_by, deleted)
                 VALUES (?1, ?2, ?2, ?3, 1, ?4, ?4, 1, ?5, 2, ?6, ?7, 0)",
            )
            .unwrap();
        for at in by_end {
            let ended = Some(cloud.ended[at]).filter(|ended| *ended != RUNNING);
            let (user, cpu, created) = (cloud.user[at], cloud.cpu[at], cloud.created[at]);
            insert
                .execute(params![next(), at, user, cpu, created, ended, ended.map(|_| 2)])
                .unwrap();
        }
    }
    tx.execute("UPDATE ledger SET revision = ?1", [next()]).unwrap();
    tx.commit().unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}
