//! The whole of it: clients of 2014, the appliance, a real Nagios and a real
//! Graphite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::appliance::Appliance;
use common::clients::Script;
use common::graphite::{Graphite, STEP, last_step};
use common::http::{Step, Upstream, json};
use common::nagios::{Nagios, Settings};
use weather_balloon::model::SENTINEL_HOST;

/// The window of a question moves with each slot: what is expected is read
/// where no slot ends soon.
fn settle_in_a_slot() {
    const NEEDED: Duration = Duration::from_secs(60);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = Duration::from_secs(STEP as u64 - now.as_secs() % STEP as u64);
    if left < NEEDED {
        std::thread::sleep(left);
    }
}

#[test]
fn clients_of_2014_set_hosts_and_read_metrics() {
    let nagios = Nagios::start_new(Settings::default());
    let graphite = Graphite::shared();
    let url = format!("[graphite]\nurl = \"{}\"\n", graphite.url());
    let appliance = Appliance::start_new(&nagios, "min_restart_interval = \"1s\"", &url);
    let points: Vec<_> = (0..100)
        .filter(|n| n % 7 != 0)
        .flat_map(|n| {
            let (time, value) = (last_step() - STEP * n, 0.25 * n as f64);
            ["load1", "load5"]
                .map(|name| (format!("nagios.vm_of-clients.load.{name}"), time, value))
        })
        .collect();
    graphite.store(&points);
    settle_in_a_slot();
    let (_, body) = graphite.get("/render?format=json&target=nagios.vm_of-clients.*.*").unwrap();
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let metrics: serde_json::Map<_, _> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            let name =
                series["target"].as_str().unwrap().strip_prefix("nagios.vm_of-clients.").unwrap();
            let points = series["datapoints"].as_array().unwrap().iter();
            (name.to_owned(), points.map(|point| serde_json::json!([point[1], point[0]])).collect())
        })
        .collect();
    assert_eq!(metrics.len(), 2);

    // The id is another text than the node that its series are kept under.
    let script = Script {
        door: appliance.address.clone(),
        host: "vm.of-clients",
        metrics: metrics.into(),
        set_hosts: "ok",
        usage: serde_json::json!([]),
    };
    let watched = || {
        appliance.wait_in_step();
        let ids = nagios.hosts().into_keys();
        ids.filter(|id| id != SENTINEL_HOST).collect::<Vec<_>>()
    };
    script.python("apache", &[]);
    script.python("thriftpy2", &[]);
    assert_eq!(watched(), ["client-1", "client-2", "client-3"]);
    // Node's script has a set of its own.
    script.node();
    assert_eq!(watched(), ["client-1", "client-2"]);
}

#[test]
fn two_hundred_slow_answers_hold_no_threads() {
    const CALLS: usize = 200;
    const SLOW: Duration = Duration::from_secs(3);
    let nagios = Nagios::start_new(Settings::default());
    let upstream = Upstream::start(|_| vec![Step::Pause(SLOW), Step::Send(json("[]"))]);
    let url = format!("[graphite]\nurl = \"{}\"\n", upstream.url());
    let appliance = Appliance::start_new(&nagios, "", &url);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", appliance.pid())).unwrap().count();
    let before = threads();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CALLS {
            scope.spawn(|| {
                let question = weather_balloon::rpc::client::MetricsQuestion::new(
                    "vm-1".to_owned(),
                    None,
                    None,
                    None,
                    None,
                    None,
                );
                assert_eq!(appliance.client().query_metrics(&question).unwrap(), []);
            });
        }
        while upstream.requests().len() < CALLS {
            assert!(began.elapsed() < SLOW * 5, "the questions wait for each other");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Others are answered meanwhile.
        let asked = Instant::now();
        appliance.status();
        assert!(asked.elapsed() < Duration::from_secs(1));
        assert!(threads() <= before + 20, "{before} threads became {}", threads());
    });
    assert!(began.elapsed() < SLOW * 5);
}
