//! How much a large cloud costs. Figures, not limits: run with
//! `cargo test --release --test ledger_figures -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ledger::{Ground, created, off, vm};
use nix::sys::resource::{UsageWho, getrusage};
use weather_balloon::ledger::{Rhythm, reconcile};
use weather_balloon::model::{Instance, Sighting};

const COUNT: usize = 100_000;

fn cpu() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let total = used.user_time() + used.system_time();
    Duration::from_micros(u64::try_from(total.tv_sec() * 1_000_000 + total.tv_usec()).unwrap())
}

/// One in a hundred differs with `round`: stopped, resized, gone and new.
fn listing(round: usize) -> Vec<Instance> {
    (0..COUNT)
        .filter(|number| round == 0 || number % 400 != 3)
        .map(|number| {
            let id = format!("6f1c2f0e-8d1e-4b6a-9d0a-{number:012}");
            let owner = format!("user{}", number % 5_000);
            let mine = created(900, vm(&id, &owner, 1 << (number % 6)));
            match number % 400 {
                1 if round > 0 => off(mine),
                2 if round > 0 => Instance { shape: vm("x", "x", 64).shape, ..mine },
                _ => mine,
            }
        })
        .chain((0..round * COUNT / 400).map(|number| vm(&format!("new-{number}"), "new", 2)))
        .collect()
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_large_cloud() {
    for ground in Ground::both().await {
        for (round, at) in [(0, 1_000_000_i64), (1, 1_000_600), (1, 1_001_200)] {
            let seen = Sighting::new("east", at, at, listing(round), vec![], vec![]).unwrap();
            let (before, began) = (cpu(), Instant::now());
            let view = ground.store.view(&seen).await.unwrap();
            let viewed = cpu();
            let changes = reconcile(&view, &seen, at, Rhythm::of_seconds(600));
            let reconciled = cpu();
            let tally = changes.tally;
            ground.store.apply(&ground.lease, &at.to_string(), Arc::new(changes)).await.unwrap();
            let applied = cpu();
            println!(
                "{}: {} listed, {} new, {} stopped, {} resized, {} missing, {} gone: CPU of this process {:?} \
                 (view {:?}, reconcile {:?}, apply {:?}), {:?} in all",
                ground.name,
                tally.listed,
                tally.new,
                tally.stopped,
                tally.resized,
                tally.missing,
                tally.gone_unexplained,
                applied - before,
                viewed - before,
                reconciled - viewed,
                applied - reconciled,
                began.elapsed(),
            );
        }
        let (before, mut revision, mut rows) = (cpu(), 0, std::collections::BTreeMap::new());
        ground.read_on(&mut revision, &mut rows).await;
        println!("{}: {} rows read in {:?} CPU", ground.name, rows.len(), cpu() - before);
    }
}
