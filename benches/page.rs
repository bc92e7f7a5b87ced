//! What the page costs with 10,000 hosts: the time until an answer is read and
//! its size, and the same of what Prometheus asks for.
//!
//! cargo bench --bench page [RUNS]

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::page::status;
use common::sample::{Plan, Sample};

const HOSTS: usize = 10_000;

/// Path, the longest time at the median, the largest answer.
const WANTED: [(&str, Duration, usize); 4] = [
    ("/", Duration::from_millis(50), 100_000),
    ("/hosts", Duration::from_millis(50), 100_000),
    ("/hosts?search=vm-0", Duration::from_millis(50), 100_000),
    ("/metrics", Duration::from_millis(5), 100_000),
];

fn main() {
    let runs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(200);
    let sample = Sample::of(&Plan::large(HOSTS));
    println!("{HOSTS} hosts, {runs} requests, a connection each");
    println!("| path | median ms | 99th of 100 ms | KB |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for (path, longest, largest) in WANTED {
        let mut took: Vec<Duration> = (0..runs)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(status(&sample.page.get(path)), 200);
                began.elapsed()
            })
            .collect();
        took.sort();
        let size = sample.page.get(path).len();
        let (median, late) = (took[runs / 2], took[runs * 99 / 100]);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!("| {path} | {:.2} | {:.2} | {:.1} |", ms(median), ms(late), size as f64 / 1e3);
        if median > longest || size > largest {
            missed.push(path);
        }
    }
    assert!(missed.is_empty(), "over the limit: {missed:?}");
}
