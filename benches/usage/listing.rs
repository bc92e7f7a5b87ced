//! A listing of 100,000 running instances of which one in a hundred changed.

use std::sync::Arc;

use weather_balloon::ledger::{Rhythm, reconcile};
use weather_balloon::model::{Instance, Sighting};

use crate::common::ledger::{Ground, created, off, vm};
use crate::{Figures, cpu};

const COUNT: usize = 100_000;

pub fn bench(figures: &mut Figures) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ground = runtime.block_on(Ground::sqlite());
    println!("\na listing of {COUNT} on SQLite");
    for (round, at) in [(0, 1_000_000_i64), (1, 1_000_600), (2, 1_001_200)] {
        let seen = Sighting::new("east", at, at, listing(round), vec![], vec![]).unwrap();
        let mut changed = 0;
        let took = cpu(|| {
            runtime.block_on(async {
                let view = ground.store.view(&seen).await.unwrap();
                let changes = reconcile(&view, &seen, at, Rhythm::of_seconds(600));
                changed = changes.new.len() + changes.touched.len();
                let run = at.to_string();
                ground.store.apply(&ground.lease, &run, Arc::new(changes)).await.unwrap();
            });
        });
        println!("{changed} changed: {took:.0} ms CPU");
        if round == 1 {
            let what = format!("a listing of {COUNT}, {changed} changed, on SQLite");
            figures.at_most(what, "ms CPU", 1000.0, took);
        }
    }
}

/// From the second on a quarter percent each is stopped, resized, gone and new.
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
