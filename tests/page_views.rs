//! Every view of the page, and what strangers write into it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, in their helpers too, and start processes"
)]

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::appliance::{Appliance, given};
use common::nagios::{Nagios, Settings};
use common::page::{CORPUS, Page, status};
use common::sample::{Plan, Sample};
use serde_json::Value;

const QUICK: &str = "min_restart_interval = \"1s\"\nconfirm_timeout = \"5s\"";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// As it may stand in text and in attributes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn ask(appliance: &Appliance, path: &str) -> String {
    let mut stream = UnixStream::connect(appliance.page()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_running_appliance_shows_every_view() {
    let nagios = Nagios::start_new(Settings::default());
    let spool = format!("[perfdata]\nspool = {:?}", nagios.spool());
    let appliance = Appliance::start_new(&nagios, QUICK, &spool);
    let both = [given("a-1", "127.0.0.1"), given("b-1", "127.0.0.2")];
    appliance.client_of_2014().set_hosts(&both).unwrap();
    appliance.client_of_2014().set_hosts(&both[..1]).unwrap();
    appliance.wait_in_step();
    for (path, code, words) in [
        ("/", 200, "Nagios watches 1 host"),
        ("/hosts", 200, "vm a-1"),
        ("/hosts?search=A-1&source=rpc", 200, "vm a-1"),
        ("/hosts?search=zzz", 200, "0 hosts"),
        ("/hosts?source=moon", 400, "moon"),
        ("/hosts/a-1", 200, "Nothing was measured in this time"),
        ("/hosts/a-1?span=7d", 200, "Measured in 7 days"),
        ("/hosts/a-1?span=9d", 400, "24h, 7d and 90d"),
        ("/hosts/a-1", 200, "brought it, as "),
        ("/hosts/b-1", 200, "No source has it any more"),
        ("/hosts/b-1", 200, "removed it"),
        ("/hosts/none", 404, "no source has a machine"),
        ("/hosts?owner=ada&state=", 200, "0 hosts"),
        ("/hosts?state=moon", 400, "the state is one of trouble"),
        ("/usage", 200, "Usage"),
        ("/usage?by=day&user=ada&staff=true&from=7d&until=", 200, "Usage of ada"),
        ("/usage?from=tomorrow", 400, "tomorrow"),
        ("/usage?staff=maybe", 400, "staff is true"),
        ("/clouds", 200, "No cloud is configured"),
        ("/held", 200, "Nothing is held"),
        ("/generations", 200, "Generations"),
        ("/generations/1", 200, "Added"),
        ("/generations/2", 200, "Thrift, 127.0.0.1:"),
        ("/generations/99", 404, "no generation of this number"),
        ("/no/such/page", 404, "there is nothing here"),
    ] {
        let answer = ask(&appliance, path);
        assert_eq!(status(&answer), code, "{path}: {answer}");
        assert!(answer.contains("text/html; charset=utf-8"), "{path}: {answer}");
        assert!(body(&answer).contains(words), "{path} has no {words:?}:\n{answer}");
        for inline in ["style=\"", "<style", "onclick", "javascript:", "http://", "<script>"] {
            assert!(!body(&answer).contains(inline), "{path} has {inline}");
        }
    }
    every_documented_get_answers(&appliance);
    let told = ask(&appliance, "/metrics");
    prometheus_reads(body(&told));
    dashboards_name_what_is_there(body(&told));
}

/// The dashboard and the alert rules know no metric that is not told.
fn dashboards_name_what_is_there(told: &str) {
    let dashboard = include_str!("../packaging/grafana/weather-balloon.json");
    serde_json::from_str::<Value>(dashboard).unwrap();
    let rules = include_str!("../packaging/prometheus/alerts.yml");
    let rules_read: Value = serde_saphyr::from_str(rules).unwrap();
    assert!(rules_read["groups"][0]["rules"].as_array().unwrap().len() > 5);
    let families: HashSet<&str> =
        told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut named = 0;
    for text in [dashboard, rules] {
        for found in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if !found.starts_with("weather_balloon_") {
                continue;
            }
            named += 1;
            let suffixes = ["", "_total", "_count", "_bucket"];
            let known = suffixes.iter().filter_map(|end| found.strip_suffix(end));
            assert!(known.into_iter().any(|name| families.contains(name)), "{found} is not told");
        }
    }
    assert!(named > 20);
}

fn every_documented_get_answers(appliance: &Appliance) {
    let document: Value = serde_json::from_str(body(&ask(appliance, "/v1/openapi.json"))).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10);
    for (path, operations) in paths {
        let Some(get) = operations.get("get") else { continue };
        let path = path.replace("{id}", "a-1").replace("{number}", "1");
        let answer = ask(appliance, &path);
        let code = status(&answer).to_string();
        let documented = get["responses"].get(&code).unwrap_or_else(|| panic!("{path}: {code}"));
        let kinds = documented["content"].as_object().unwrap();
        let sent = answer.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        assert!(kinds.keys().any(|kind| sent.starts_with(kind.as_str())), "{path} sent {sent}");
        serde_json::from_str::<Value>(body(&answer)).unwrap();
    }
}

/// By the reader of Prometheus's own library.
fn prometheus_reads(text: &str) {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/python/bin/python");
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        print(sorted(f.name for f in read(sys.stdin.read())))";
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|fault| panic!("{fault}: {python}; run tests/install-clients.sh"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{}\n{text}", String::from_utf8_lossy(&ended.stderr));
    for name in ["weather_balloon_in_step", "weather_balloon_rpc_call_seconds"] {
        assert!(said.contains(name), "{name} is not in {said}");
    }
}

#[test]
fn the_files_of_the_page_are_kept_by_what_is_in_them() {
    let page = Page::open("");
    let overview = page.get("/");
    let names: Vec<&str> =
        overview.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(names.len(), 3, "{overview}");
    for name in names {
        let answer = page.get(name).to_lowercase();
        assert_eq!(status(&answer), 200, "{name}");
        assert!(answer.contains("cache-control: public, max-age=31536000, immutable"), "{answer}");
    }
    assert_eq!(status(&page.get("/assets/style.0000000000000000.css")), 404);
    assert!(overview.to_lowercase().contains("cache-control: no-store"));
}

#[test]
fn what_strangers_write_is_text() {
    let sample = Sample::of(&Plan::hostile(&CORPUS));
    for (path, shown) in [
        ("/", false),
        ("/hosts", false),
        ("/hosts/i-00000001", true),
        ("/hosts/north_i-1000", true),
        ("/hosts?source=cloud:north", true),
        ("/usage", true),
        ("/usage?by=cloud", false),
        ("/clouds", true),
        ("/held", true),
        ("/generations/1", false),
    ] {
        let answer = sample.page.get(path);
        assert_eq!(status(&answer), 200, "{path}: {answer}");
        for text in CORPUS.into_iter().filter(|text| text.contains(['<', '"'])) {
            assert!(!body(&answer).contains(text), "{path} has {text} as it is");
            assert!(!shown || body(&answer).contains(&escaped(text)), "{path} lacks {text}");
        }
    }
    for text in CORPUS {
        let query: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/hosts?search={query}"),
            format!("/hosts?source={query}"),
            format!("/hosts/{query}"),
            format!("/hosts/i-00000001?span={query}"),
            format!("/usage?user={query}&cloud={query}&flavor={query}&from=7d"),
            format!("/usage?from={query}"),
            format!("/usage?by={query}"),
            format!("/generations/{query}"),
        ] {
            let answer = sample.page.get(&path);
            assert!(matches!(status(&answer), 200 | 400 | 404), "{path}: {answer}");
            assert!(!text.contains('<') || !body(&answer).contains(text), "{path}: {answer}");
        }
    }
}
