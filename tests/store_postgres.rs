//! The ledger in PostgreSQL: a server that is down, slow, killed or wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ledger::{Ground, LEASE, assert_sound, off, seen, vm};
use common::postgres::Postgres;
use weather_balloon::ledger::{Rhythm, reconcile};
use weather_balloon::store::{self, Applied, Config, Error, Tls};

fn told(fault: Error) -> String {
    format!("{:#}", anyhow::Error::from(fault))
}

async fn fault_of(config: Config) -> String {
    told(store::open(&config).await.unwrap().clouds_since(0).await.unwrap_err())
}

#[tokio::test]
async fn all_ways_in() {
    let server = Postgres::shared();
    let database = server.database();
    let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'weather-balloon' AND datname = current_database()";
    let tls = server.tls_config(&database);
    for (config, expected) in [
        (server.config(&database), "f"),
        (server.local_config(&database), "f"),
        (Config { tls: Tls::Require, ca_file: "".into(), ..tls.clone() }, "t"),
        (tls.clone(), "t"),
    ] {
        let store = store::open(&config).await.unwrap();
        store.check().await.unwrap();
        let found = server.sql(&database, encrypted);
        assert!(
            found.lines().all(|line| line == expected) && !found.is_empty(),
            "{config:?}: {found}"
        );
        drop(store);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.sql(&database, encrypted).is_empty() {
            assert!(Instant::now() < deadline, "a dropped store closes its connections");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // A certificate of somebody else, another name, a wrong password, no such database.
    let other = Postgres::start(false);
    let ca_file = other.dir().join("server.crt");
    let fault = fault_of(Config { ca_file, ..tls.clone() }).await;
    assert!(fault.contains("cannot be reached") && fault.contains("certificate"), "{fault}");
    let url = tls.url.replace("127.0.0.1", "localhost");
    let fault = fault_of(Config { url, ..tls.clone() }).await;
    assert!(fault.contains("certificate"), "{fault}");
    let fault = fault_of(Config { password_file: "".into(), ..server.config(&database) }).await;
    assert!(fault.contains("cannot be reached") && fault.contains("password"), "{fault}");
    let fault = fault_of(server.config("absent")).await;
    assert!(fault.contains("\"absent\" does not exist"), "{fault}");
}

#[tokio::test]
async fn a_server_that_is_down_stops_no_start_and_is_left_in_peace() {
    let mut server = Postgres::start(false);
    let config = server.config(&server.database());
    server.kill();
    let store = store::open(&config).await.unwrap();
    let fault = store.clouds_since(0).await.unwrap_err();
    assert!(matches!(fault, Error::Unreachable { .. }), "{fault:?}");
    assert!(told(fault).contains("cannot be reached; is it running"));
    // No second try before it is due: the answer is at once, and says why.
    let fault = store.clouds_since(0).await.unwrap_err();
    assert!(matches!(fault, Error::Waiting { .. }), "{fault:?}");
    server.start_again();
    let deadline = Instant::now() + Duration::from_secs(30);
    while store.clouds_since(0).await.is_err() {
        assert!(Instant::now() < deadline, "it does not come back by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A restart between two questions costs at most a try.
    server.kill();
    server.start_again();
    while store.clouds_since(0).await.is_err() {
        assert!(Instant::now() < deadline, "it does not come back by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_given_up() {
    let server = Postgres::shared();
    let database = server.database();
    let config =
        Config { statement_timeout: Duration::from_millis(500), ..server.config(&database) };
    let ground = Ground::at(config).await;
    let changes = Arc::new(ground.would(&seen(1000, vec![vm("i-1", "a", 1)]), 1000).await);
    let (client, connection) = format!(
        "host={} port={} user=postgres dbname={database}",
        server.dir().display(),
        server.port
    )
    .parse::<tokio_postgres::Config>()
    .unwrap()
    .connect(tokio_postgres::NoTls)
    .await
    .unwrap();
    let mut connection = tokio::task::JoinSet::from_iter([connection]);
    client.batch_execute("BEGIN; SELECT * FROM ledger FOR UPDATE").await.unwrap();
    let began = Instant::now();
    let fault = ground.store.apply(&ground.lease, "1", Arc::clone(&changes)).await.unwrap_err();
    assert!(matches!(fault, Error::Postgres { .. }), "{fault:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    // Readers wait for no writer.
    assert_eq!(ground.store.segments_since(0).await.unwrap(), []);
    client.batch_execute("ROLLBACK").await.unwrap();
    drop(client);
    connection.join_next().await.unwrap().unwrap().unwrap();
    ground.store.apply(&ground.lease, "1", changes).await.unwrap();
}

/// Polls while the server is killed again and again. What was acknowledged is
/// there, and a run whose end nobody knows is run again.
async fn storm(kills: u32) {
    let mut server = Postgres::start(true);
    let ground = Ground::postgres(&server).await;
    let mut acknowledged = Vec::new();
    let mut look = 0_i64;
    let mut repeated = 0;
    for kill in 0..kills {
        // Spread over the first milliseconds of what runs now.
        let delay = Duration::from_micros(u64::from(kill) * 7919 % 40_000);
        let polling = async {
            loop {
                let at = 1_000_000 + look * 600;
                let listing = (0..50)
                    .map(|number| {
                        let mine = vm(&format!("i-{number}"), "a", 2);
                        if (look + number) % 2 == 0 { off(mine) } else { mine }
                    })
                    .collect();
                let seen = seen(at, listing);
                let run = format!("run {look}");
                let Ok(view) = ground.store.view(&seen).await else { return };
                let changes = reconcile(&view, &seen, at, Rhythm::of_seconds(600));
                match ground.store.apply(&ground.lease, &run, changes.into()).await {
                    Ok(Applied::Now(revision)) => acknowledged.push((run, revision)),
                    // The commit before the kill had arrived.
                    Ok(Applied::Before(_)) => repeated += 1,
                    Err(_) => return,
                }
                look += 1;
            }
        };
        let killing = async {
            tokio::time::sleep(delay + Duration::from_millis(20)).await;
            server.kill();
        };
        // The poll ends by the fault that the kill brings.
        tokio::join!(polling, killing);
        server.start_again();
        let deadline = Instant::now() + Duration::from_secs(60);
        while ground.store.renew_lease(&ground.lease, LEASE).await.is_err() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let database = ground.config.url.rsplit('/').next().unwrap();
    let runs = server.sql(database, "SELECT id, revision FROM run ORDER BY listing");
    for (run, revision) in &acknowledged {
        assert!(runs.contains(&format!("{run}|{revision}\n")), "{run} was lost");
    }
    let rows = ground.rows().await;
    assert_sound(&rows);
    // Every instance turns at each look that was applied: none was lost or doubled.
    let applied = runs.lines().count();
    assert!(
        applied >= acknowledged.len() && applied <= acknowledged.len() + repeated + kills as usize
    );
    assert_eq!(rows.len(), 50 * applied, "{applied} runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    storm(5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: 200 kills"]
async fn nothing_acknowledged_is_lost_over_many_kills() {
    storm(200).await;
}
