//! Clients of other languages against the door alone.

mod common;

use common::clients::Script;
use common::thrift::{OpenDoor, config, series};
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

fn script(door: &OpenDoor) -> Script<'static> {
    let metrics = expected();
    Script { door: door.tcp().to_string(), host: "vm-1", metrics, set_hosts: "detached" }
}

#[test]
fn apache_python_passes_in_every_combination() {
    script(&OpenDoor::new(&config())).python("apache", &[]);
}

#[test]
fn apache_python_without_a_version_passes_when_it_may() {
    let door = OpenDoor::new(&Config { non_strict: true, ..config() });
    script(&door).python("apache", &["--non-strict", "--only", "non-strict"]);
}

#[test]
fn thriftpy2_passes_in_every_combination() {
    script(&OpenDoor::new(&config())).python("thriftpy2", &[]);
}

#[test]
fn node_passes_in_every_combination() {
    script(&OpenDoor::new(&config())).node();
}
