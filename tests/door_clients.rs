//! Clients of other languages against the door alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use common::clients::Script;
use common::ledger::{Ground, off, seen, told, vm};
use common::thrift::{OpenDoor, config, series};
use weather_balloon::model::EventKind;
use weather_balloon::rpc::Config;

/// What `series` holds, as the scripts expect it.
fn expected() -> serde_json::Value {
    series()
        .into_iter()
        .map(|one| {
            (one.name, one.points.iter().map(|p| serde_json::json!([p.time, p.value])).collect())
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A ledger of three users; what of it an i32 does not hold stops there.
async fn ledger() -> (Ground, serde_json::Value) {
    let ground = Ground::sqlite().await;
    let three = || [vm("i-1", "ada", 4), vm("i-2", "Zoë", 2), vm("i-3", "heavy", 64)];
    ground.see("1", &seen(1_000_000, three().into()), 1_000_000).await;
    let [ada, zoe, heavy] = three();
    ground.see("2", &seen(1_000_600, vec![off(ada), off(zoe), heavy]), 1_000_600).await;
    let stopped = [("i-3", 41_000_000, EventKind::Stopped)];
    let all_off = three().into_iter().map(off).collect();
    ground.see("3", &told(41_000_060, all_off, vec![], &stopped), 41_000_060).await;
    let users = ground.user_names().await;
    let ada = users.iter().find(|(_, name)| *name == "ada").map(|(id, _)| *id);
    ground.store.set_staff(&ground.lease, &[(ada.unwrap_or_default(), true)]).await.unwrap();
    let board = serde_json::json!([
        [i32::MAX, 40_000_000, 1, false, "heavy"],
        [2400, 600, 1, true, "ada"],
        [1200, 600, 1, false, "Zoë"],
    ]);
    (ground, board)
}

/// A door with a ledger behind it, and what is to be seen there.
fn open(config: &Config) -> (OpenDoor, Script<'static>, Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ground, usage) = runtime.block_on(ledger());
    let door = OpenDoor::on_ledger(config, &ground.config);
    let address = door.tcp().to_string();
    let script =
        Script { door: address, host: "vm-1", metrics: expected(), set_hosts: "detached", usage };
    (door, script, ground)
}

#[test]
fn apache_python_passes_in_every_combination() {
    let (_door, script, _ground) = open(&config());
    script.python("apache", &[]);
}

#[test]
fn apache_python_without_a_version_passes_when_it_may() {
    let (_door, script, _ground) = open(&Config { non_strict: true, ..config() });
    script.python("apache", &["--non-strict", "--only", "non-strict"]);
}

#[test]
fn thriftpy2_passes_in_every_combination() {
    let (_door, script, _ground) = open(&config());
    script.python("thriftpy2", &[]);
}

#[test]
fn node_passes_in_every_combination() {
    let (_door, script, _ground) = open(&config());
    script.node();
}
