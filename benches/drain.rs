//! A backlog on its way out: how fast the appliance drains its spool into a
//! sink that keeps nothing and into a real carbon-cache, and what memory it
//! takes meanwhile.
//!
//! A gibibyte of lines of 380 bytes with 4 metrics each, in files of a
//! mebibyte, for the null sink; a part of it for Carbon, which is slower by far.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench ends where its set-up fails"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::appliance::Appliance;
use common::carbon::Carbon;
use common::nagios::{Nagios, Settings};
use common::process::{cpu_seconds, memory};
use common::receiver::{Manner, Receiver};

const FILE_BYTES: usize = 1 << 20;
const METRICS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(900);

/// Some series again and again, so that Carbon's disk does not count.
fn backlog(spool: &Path, files: u64) -> u64 {
    let mut lines = 0;
    for file in 0..files {
        let mut text = String::new();
        while text.len() < FILE_BYTES {
            let (host, time) = (lines % 250, 1_767_225_600 + lines / 250);
            let start = text.len();
            let _ = write!(
                text,
                "DATATYPE::SERVICEPERFDATA\tTIMET::{time}\tHOSTNAME::atmo_i-{host:08x}\tSERVICEDESC::Check Load\t\
                 SERVICECHECKCOMMAND::wb_check_nrpe!check_load\tHOSTSTATE::UP\tHOSTSTATETYPE::HARD\t\
                 SERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::load\t\
                 SERVICEPERFDATA::load1={}.{:03};15;30;0; load5=7.{:03};10;25;0; load15=3.{:03};5;20;0; procs={};;;0;",
                lines % 40,
                lines % 1000,
                lines % 997,
                lines % 991,
                lines % 350
            );
            // Thresholds of some length, as templates have them.
            let missing = 379_usize.saturating_sub(text.len() - start);
            text.extend(std::iter::repeat_n(' ', missing));
            text.push('\n');
            lines += 1;
        }
        fs::write(spool.join(format!("service-perfdata.{}", 1_767_225_600 + file)), text).unwrap();
    }
    lines
}

fn drain(what: &str, port: u16, files: u64) {
    let nagios = Nagios::new(Settings::default());
    let lines = backlog(&nagios.spool(), files);
    let text = format!(
        "[archive]\nenabled = false\n[perfdata]\nspool = \"{}\"\nmax_spool = \"4GiB\"\n[carbon]\naddress = \"127.0.0.1:{port}\"\n",
        nagios.spool().display()
    );
    let mut appliance = Appliance::new(&nagios, "", &text);
    let config = fs::read_to_string(appliance.config()).unwrap();
    fs::write(appliance.config(), config.replace("balloon=debug", "balloon=info")).unwrap();
    let began = Instant::now();
    appliance.start();
    let points = lines * METRICS;
    let took = loop {
        let sinks = appliance.client().get_perfdata_status().unwrap().sinks.unwrap();
        let sent = (sinks[0].samples.unwrap() - sinks[0].resent.unwrap()).cast_unsigned();
        if sent >= points {
            break began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{sent} of {points} points: {sinks:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let (pid, seconds) = (appliance.pid().cast_unsigned(), took.as_secs_f64());
    println!(
        "{what}: {files} MiB, {lines} lines, {points} points in {seconds:.1} s: {:.0} lines/s, {:.0} points/s, \
         {:.1} s of processor time, at most {:.1} MiB resident",
        lines as f64 / seconds,
        points as f64 / seconds,
        cpu_seconds(pid),
        memory(pid, "VmHWM") / 1_048_576.0
    );
}

fn main() {
    let null = Receiver::start(Manner::Null);
    drain("null sink", null.port, 1024);
    println!("  the sink read {} MiB", null.bytes() >> 20);
    let carbon = Carbon::start();
    drain("carbon-cache", carbon.pickle_port, 64);
}
