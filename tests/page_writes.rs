//! What scripts write through the page's door, and what they read of it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::appliance::Appliance;
use common::cloud::{
    QUICK, age_absences, hide, section, wait_clock, wait_polled, write_password, write_secret,
};
use common::nagios::{Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use common::page::{TOKEN, status};
use serde_json::{Value, json};

struct Script<'a>(&'a Appliance);

impl Script<'_> {
    fn exchange(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(self.0.page()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The body of an answer of this status.
    fn read(&self, path: &str, code: u16) -> Value {
        let answer = self.exchange("GET", path, "", "");
        assert_eq!(status(&answer), code, "{path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn write(&self, method: &str, path: &str, body: &Value, code: u16) -> Value {
        let headers =
            format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
        let answer = self.exchange(method, path, &headers, &body.to_string());
        assert_eq!(status(&answer), code, "{method} {path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

fn appliance(nagios: &Nagios, fake: &OpenStack) -> Appliance {
    let mut appliance = Appliance::new(nagios, QUICK, "");
    let token = write_secret(&appliance, "token", TOKEN);
    let cloud = section("east", fake, &write_password(&appliance));
    let listen = format!("listen = [\"unix:{}\"]", appliance.page().display());
    let http = format!("[http]\n{listen}\ntoken_file = {token:?}\n{cloud}");
    appliance.configure(nagios, QUICK, &http);
    appliance.start();
    wait_polled(&appliance, "east");
    appliance
}

fn machine(n: u8) -> Value {
    json!({"id": format!("vm-{n}"), "display_name": format!("machine {n}"), "address": format!("127.0.0.{n}")})
}

fn ids(listed: &Value) -> Vec<&str> {
    listed["hosts"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
fn hosts_are_replaced_and_brought_back() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let instance = fake.state().boot(Some("carol"), 0);
    let appliance = appliance(&nagios, &fake);
    let script = Script(&appliance);

    let first = script.write("PUT", "/v1/hosts", &json!([machine(1), machine(2)]), 200);
    assert_eq!((&first["source"], &first["host_count"]), (&json!("rpc"), &json!(2)));
    let caller = first["caller"].as_str().unwrap();
    assert!(caller.starts_with("HTTP, unix, user "), "{caller}");
    let second = script.write("PUT", "/v1/hosts", &json!([machine(1)]), 200);
    script.write("PUT", "/v1/hosts", &json!([{"id": "a b", "address": "::1"}]), 422);
    script.write("POST", "/v1/rollback", &json!({"generation": 99}), 404);

    let cloud = format!("east_{instance}");
    assert_eq!(ids(&script.read("/v1/hosts", 200)), [cloud.as_str(), "vm-1"]);
    assert_eq!(ids(&script.read("/v1/hosts?owner=CAR", 200)), [cloud.as_str()]);
    assert_eq!(script.read(&format!("/v1/hosts/{cloud}"), 200)["owner"], "carol");
    let gone = script.read("/v1/hosts/vm-2", 200);
    assert_eq!((&gone["removed"], &gone["watched"]), (&json!(true), &json!(false)));
    let trail = gone["trail"].as_array().unwrap();
    let steps: Vec<_> =
        trail.iter().map(|step| (&step["change"], &step["generation"]["number"])).collect();
    let (removed, added) = (json!("removed"), json!("added"));
    assert_eq!(steps, [(&removed, &second["number"]), (&added, &first["number"])]);

    let back = script.write("POST", "/v1/rollback", &json!({"generation": first["number"]}), 200);
    assert_eq!(back["restores"], first["number"]);
    let again = script.read("/v1/hosts/vm-2", 200);
    assert_eq!((&again["removed"], &again["trail"][0]["change"]), (&json!(false), &added));
    appliance.wait_in_step();
    wait_until("a look of Nagios at it", || {
        let seen = script.read("/v1/hosts/vm-2", 200);
        (seen["nagios"]["state"] == "pending").then_some(())
    });
    assert_eq!(script.read("/v1/hosts/vm-9", 404)["status"], 404);

    let targets = script.read("/v1/sd", 200);
    let targets = targets.as_array().unwrap();
    let addresses: Vec<_> = targets.iter().map(|one| one["targets"][0].as_str().unwrap()).collect();
    assert_eq!(addresses, ["10.0.0.1", "127.0.0.1", "127.0.0.2"]);
    assert_eq!(targets[1]["labels"]["__meta_weather_balloon_id"], "vm-1");
    let generations = || script.read("/v1/generations", 200).as_array().unwrap().len();
    let before = generations();
    for path in ["/", "/hosts", "/v1/hosts", "/v1/rollback", "/v1/clouds/east/sync", "/metrics"] {
        script.exchange("GET", path, &format!("Authorization: Bearer {TOKEN}\r\n"), "");
    }
    assert_eq!(generations(), before, "reading has changed something");
}

#[test]
fn what_a_cloud_holds_is_released_by_what_was_shown() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let booted: Vec<_> = (0..8).map(|_| fake.state().boot(Some("carol"), 1)).collect();
    let appliance = appliance(&nagios, &fake);
    let script = Script(&appliance);
    let sync = || script.write("POST", "/v1/clouds/east/sync", &json!({}), 200);
    assert_eq!(sync()["watched"], 8);
    script.write("POST", "/v1/clouds/moon/sync", &json!({}), 404);
    script.write("POST", "/v1/clouds/east/release", &json!({}), 409);

    hide(&fake).lock().unwrap().extend(booted[..7].iter().cloned());
    wait_clock();
    sync();
    wait_clock();
    age_absences(&appliance);
    assert_eq!(sync()["held"], 7);
    let held = script.read("/v1/held", 200);
    assert_eq!((&held[0]["cloud"], &held[0]["total"]), (&json!("east"), &json!(7)));
    let page = script.exchange("GET", "/held", "", "");
    assert!(page.contains("weather-balloon clouds release east"), "{page}");
    assert!(booted[..7].iter().all(|id| page.contains(id.as_str())), "{page}");

    let release = |token: &str| format!("/v1/clouds/east/release?token={token}");
    script.write("POST", &release("1"), &json!({}), 409);
    let token = held[0]["token"].as_str().unwrap();
    wait_clock();
    assert_eq!(script.write("POST", &release(token), &json!({}), 200)["watched"], 1);
    assert_eq!(script.read("/v1/held", 200), json!([]));
}

#[test]
fn usage_is_a_table_for_who_asks_for_one() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    fake.state().boot(Some("carol, \"the\" great"), 1);
    let appliance = appliance(&nagios, &fake);
    let script = Script(&appliance);
    let table = wait_until("somebody's use", || {
        let answer = script.exchange("GET", "/v1/usage", "Accept: text/csv\r\n", "");
        (status(&answer) == 200 && answer.contains("carol")).then_some(answer)
    });
    assert!(table.contains("content-type: text/csv; charset=utf-8"), "{table}");
    let (_, body) = table.split_once("\r\n\r\n").unwrap();
    let mut reader = csv::Reader::from_reader(body.as_bytes());
    let heads = reader.headers().unwrap().clone();
    assert_eq!(heads.iter().take(3).collect::<Vec<_>>(), ["name", "is_staff", "cpu_seconds"]);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[0][0]), (1, "carol, \"the\" great"));
}
