//! What the appliance costs while nothing happens, and how soon it is there.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::appliance::{Appliance, binary_bytes};
use crate::nagios::{Nagios, Settings};
use crate::report::Row;
use crate::rounds::{median, millis};
use crate::{python, sets};

const RUNS: usize = 5;

pub fn measure() -> anyhow::Result<Vec<Row>> {
    let nagios = Nagios::start_new(Settings::default());
    let section = sets::section(&nagios, crate::nagios::BINARY);
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    let (mut python_starts, mut python_memory) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let appliance = Appliance::start(&section)?;
        // What the start has left behind is part of it.
        std::thread::sleep(Duration::from_secs(2));
        starts.push(millis(appliance.start));
        memory.push(megabytes(appliance.resident_bytes()?));
        let begun = Instant::now();
        let python = python::simple_server("http://127.0.0.1:9")?;
        python_starts.push(millis(begun.elapsed()));
        python_memory.push(megabytes(python.resident_bytes()?));
    }
    let middle = |values: Vec<f64>| median(values).context("no run");
    let (start, memory) = (middle(starts)?, middle(memory)?);
    let binary = megabytes(binary_bytes()?);
    Ok(vec![
        Row::judged(
            "idle memory (resident)",
            "under 20 MB",
            format!("{memory:.1} MB"),
            format!("Python's TSimpleServer {:.1} MB", middle(python_memory)?),
            memory < 20.0,
        ),
        Row::judged(
            "start to READY (wall)",
            "under 200 ms",
            format!("{start:.0} ms"),
            format!("Python's TSimpleServer, to its socket, {:.0} ms", middle(python_starts)?),
            start < 200.0,
        ),
        Row::judged(
            "stripped binary",
            "under 20 MB",
            format!("{binary:.1} MB"),
            "none",
            binary < 20.0,
        ),
    ])
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
