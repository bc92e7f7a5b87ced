//! A state and a ledger whose contents tell a number: so many generations, so
//! many listings.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::time::SystemTime;

use weather_balloon::model::{GivenHost, HostSet, Source};
use weather_balloon::state::{self, NewGeneration, State};
use weather_balloon::store;

use super::commands::Commands;
use super::ledger::{Ground, off, seen, vm};

pub fn open_state(commands: &Commands) -> State {
    State::open(&state::Config { directory: commands.state() }).unwrap()
}

/// A generation with one host of this name.
pub async fn record(state: &State, name: &str) {
    let given = [GivenHost { id: name.into(), display_name: name.into(), address: "::1".into() }];
    let set = HostSet::parse(&given).unwrap();
    let new =
        NewGeneration { source: Source::Rpc, set, forced: false, restores: None, caller: None };
    state.record(vec![new], SystemTime::now()).await.unwrap();
}

/// Generations in the state and listings in the ledger.
pub async fn marks(commands: &Commands) -> (usize, i64) {
    let state = open_state(commands);
    let generations = state.history(1000).await.unwrap().len();
    let ledger = store::open(&commands.ledger()).await.unwrap();
    (generations, ledger.living("east").await.unwrap().listing)
}

/// The appliance at the mark (n, n).
pub async fn advance(commands: &Commands, from: i64, to: i64) {
    let state = open_state(commands);
    let ground = Ground::at(commands.ledger()).await;
    for number in from..to {
        record(&state, &format!("h{number}")).await;
        poll(&ground, number).await;
    }
}

/// One look at 50 instances that all turn on or off.
pub async fn poll(ground: &Ground, look: i64) {
    let at = 1_000_000 + look * 600;
    let listing = (0..50)
        .map(|number| {
            let mine = vm(&format!("i-{number}"), "a", 2);
            if (look + number) % 2 == 0 { off(mine) } else { mine }
        })
        .collect();
    ground.see(&format!("run {look}"), &seen(at, listing), at).await;
}
