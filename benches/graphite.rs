//! What reading an answer of Graphite costs, and what the client adds to a
//! bare HTTP exchange. CPU time of the whole process, canned upstream included.
//!
//! `cargo bench --bench graphite`

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[allow(dead_code, reason = "the benchmark uses a part of the rig")]
#[path = "../tests/common/http.rs"]
mod http;

use std::hint::black_box;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use weather_balloon::graphite::{Client, Config, read_answer};
use weather_balloon::model::{HostId, MetricKey, MetricNode};

fn main() {
    println!("reading an answer, us CPU (median of 7)");
    println!("{:>8} {:>8} {:>10} {:>10} {:>12}", "series", "points", "bytes", "ours", "serde_json");
    for (series, points) in [(1, 144), (3, 144), (100, 144), (1, 12_960), (10, 12_960)] {
        let body = canned(series, points);
        let ours = cost(body.len(), || {
            black_box(read_answer(body.as_bytes(), HEAD).unwrap());
        });
        let typed = cost(body.len(), || {
            black_box(serde_json::from_str::<Vec<Item>>(&body).unwrap());
        });
        println!("{series:>8} {points:>8} {:>10} {ours:>10.1} {typed:>12.1}", body.len());
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("\none question through a canned upstream, us CPU (median of 7)");
    println!("{:>8} {:>8} {:>10} {:>10} {:>8}", "series", "points", "ours", "bare GET", "ratio");
    for (series, points) in [(1, 144), (3, 144), (1, 12_960)] {
        let body = canned(series, points);
        let answer = http::json(&body);
        let upstream = http::Upstream::saying(vec![http::Step::Send(answer)]);
        let client = Client::new(&Config { url: upstream.url(), ..Config::default() });
        let client = client.unwrap().unwrap();
        let node = MetricNode::of(&HostId::parse("h").unwrap());
        let key = MetricKey::parse("").unwrap();
        let ours = cost(100_000, || {
            let answer = runtime.block_on(client.render(&node, &key, None, None)).unwrap();
            assert_eq!(answer.len(), series);
        });
        let bare = bare_client();
        let url: reqwest::Url = format!("{}/render", upstream.url()).parse().unwrap();
        let get = cost(100_000, || {
            let bytes = runtime.block_on(async {
                bare.get(url.clone()).send().await.unwrap().bytes().await.unwrap()
            });
            assert_eq!(bytes.len(), body.len());
        });
        println!("{series:>8} {points:>8} {ours:>10.1} {get:>10.1} {:>8.2}", ours / get);
    }
}

const HEAD: &str = "nagios.h.";

#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "read only to be paid for")]
struct Item {
    target: String,
    datapoints: Vec<(Option<f64>, i64)>,
}

/// Whole numbers and three decimals by turns, 2 % absent, as Python writes it.
fn canned(series: usize, points: usize) -> String {
    let mut random = 3_u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random >> 33
    };
    let mut items = Vec::new();
    for n in 0..series {
        let start = 1_767_225_600 - 600 * points as u64;
        let points = (0..points as u64).map(|at| {
            let time = start + 600 * at;
            match next() {
                r if r % 50 == 0 => format!("[null, {time}]"),
                r if n % 2 == 0 => format!("[{}.0, {time}]", r % 10_000_000),
                r => format!("[{:?}, {time}]", (r % 100_000) as f64 / 1000.0),
            }
        });
        let points = points.collect::<Vec<_>>().join(", ");
        let target = format!("{HEAD}load.metric_{n}");
        items.push(format!(
            r#"{{"target": "{target}", "tags": {{"name": "{target}"}}, "datapoints": [{points}]}}"#
        ));
    }
    format!("[{}]", items.join(", "))
}

/// reqwest without a TLS provider of its own wants a ready-made one.
fn bare_client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// Microseconds of CPU for one run; `size` guesses how dear it is.
fn cost(size: usize, mut run: impl FnMut()) -> f64 {
    let runs = (20_000_000 / size).clamp(10, 2_000);
    let mut samples: Vec<f64> = (0..7)
        .map(|_| {
            let before = cpu();
            for _ in 0..runs {
                run();
            }
            (cpu() - before).as_secs_f64() * 1e6 / runs as f64
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}
