//! Lines a second from Nagios's perfdata to Carbon's frames, on one core.
//!
//! 100,000 service checks of 25,000 hosts with 4 metrics each, 380 bytes a
//! line. Compared with a Python shipper (benches/perfdata.py) on the first
//! 20,000 lines, reading included.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench ends where its set-up fails"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use weather_balloon::carbon::{Framer, Protocol};
use weather_balloon::perfdata::{Config, Parser, Spool};

const LINES: usize = 100_000;
const COMPARED_LINES: usize = 20_000;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[derive(Clone, Copy)]
enum Order {
    Ours,
    Of2014,
}

fn metrics(service: usize, random: &mut Random) -> String {
    let mut n = |limit| random.below(limit);
    match service {
        0 => format!(
            "procs_r={};;;; mem_free={}KB;;;0 cpu_us={}.{:02}%;80;90;0;100 io_wa={}.{:03}%;10;20;0;100",
            n(10),
            1_000 + n(8_999_000),
            n(100),
            n(100),
            n(100),
            n(1000)
        ),
        1 => format!(
            "load1={}.{:03};15;30;0; load5={}.{:03};10;25;0; load15={}.{:03};5;20;0; procs={};;;0;",
            n(40),
            n(1000),
            n(40),
            n(1000),
            n(40),
            n(1000),
            50 + n(350)
        ),
        2 => format!(
            "rx_bytes={}c;;;0; tx_bytes={}c;;;0; rx_err={}c;;;0; tx_err={}c;;;0;",
            1 + n(1 << 40),
            1 + n(1 << 40),
            n(4),
            n(4)
        ),
        _ => format!(
            "ram_used={}.{}%;80;90;0;100 swap_used={}.{}%;20;50;0;100 buffers={}KB;;;0; cached={}KB;;;0;",
            n(100),
            n(10),
            n(100),
            n(10),
            n(10_000_000),
            n(10_000_000)
        ),
    }
}

fn lines(count: usize, order: Order) -> String {
    const SERVICES: [&str; 4] = ["vmstat", "load", "net", "mem"];
    let mut random = Random(1);
    let mut text = String::new();
    for i in 0..count {
        let service = SERVICES[i % 4];
        let (host, time) = ((i / 4) % 25_000, 1_767_225_600 + i / 7000);
        let perfdata = metrics(i % 4, &mut random);
        let head = format!(
            "DATATYPE::SERVICEPERFDATA\tTIMET::{time}\tHOSTNAME::atmo_i-{host:08x}\tSERVICEDESC::{service}"
        );
        let states = format!(
            "SERVICECHECKCOMMAND::check_nrpe!check_{service}!-w 80 -c 90\tHOSTSTATE::UP\t\
             HOSTSTATETYPE::HARD\tSERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::nagios\t\
             GRAPHITEPOSTFIX::$_SERVICEGRAPHITEPOSTFIX$"
        );
        match order {
            Order::Ours => writeln!(text, "{head}\t{states}\tSERVICEPERFDATA::{perfdata}"),
            Order::Of2014 => writeln!(text, "{head}\tSERVICEPERFDATA::{perfdata}\t{states}"),
        }
        .unwrap();
    }
    text
}

fn parse_and_frame(text: &[u8], parser: &mut Parser, framer: &mut Framer) {
    framer.clear();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let counts = parser.line(&line[..line.len() - 1], |_| true, |sample| framer.push(&sample));
        assert_eq!(counts.unwrap().samples, 4);
    }
    black_box(framer.batch().bytes);
}

fn report(what: &str, lines: usize, took: Duration) {
    println!("{what:<44} {:>9.0} lines/s", lines as f64 / took.as_secs_f64());
}

fn from_memory(order: Order, name: &str) {
    let text = lines(LINES, order);
    println!("{name}: {} bytes a line", text.len() / LINES);
    for protocol in [Protocol::Pickle, Protocol::Plaintext] {
        let mut parser = Parser::new(&Config::default());
        let mut framer = Framer::new(protocol);
        let passes = (0..7)
            .map(|_| {
                let start = Instant::now();
                parse_and_frame(text.as_bytes(), &mut parser, &mut framer);
                start.elapsed()
            })
            .collect::<Vec<_>>();
        report(&format!("  {protocol:?}, first pass"), LINES, passes[0]);
        report(&format!("  {protocol:?}, best of 7"), LINES, *passes.iter().min().unwrap());
    }
    let mut parser = Parser::new(&Config::default());
    let best = (0..7).map(|_| {
        let start = Instant::now();
        for line in text.lines() {
            parser
                .line(
                    line.as_bytes(),
                    |_| true,
                    |sample| {
                        black_box(sample);
                    },
                )
                .unwrap();
        }
        start.elapsed()
    });
    report("  parse only, best of 7", LINES, best.min().unwrap());
}

/// Through the spool's reader, in batches of 10,000 points as they are sent.
fn from_file(dir: &Path) -> Duration {
    let config = Config { spool: dir.to_owned(), ..Config::default() };
    let spool = Spool::new(&config);
    let start = Instant::now();
    let mut parser = Parser::new(&config);
    let mut framer = Framer::new(Protocol::Pickle);
    for file in spool.pending().unwrap().files {
        let mut reader = spool.reader(&file, 0).unwrap();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            for line in chunk.lines() {
                parser.line(line, |_| true, |sample| framer.push(&sample)).unwrap();
                if framer.points() >= 10_000 {
                    black_box(framer.batch().bytes);
                    framer.clear();
                }
            }
        }
    }
    start.elapsed()
}

fn against_python() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("service-perfdata.1");
    std::fs::write(&file, lines(COMPARED_LINES, Order::Of2014)).unwrap();
    let passes = (0..7).map(|_| from_file(dir.path())).collect::<Vec<_>>();
    let best = *passes.iter().min().unwrap();
    println!("{COMPARED_LINES} lines, reading included:");
    report("  first pass", COMPARED_LINES, passes[0]);
    report("  best of 7", COMPARED_LINES, best);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/perfdata.py");
    let output = Command::new("python3").arg(script).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seconds = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let python = Duration::from_secs_f64(seconds);
    report("  Python 3, best of 3", COMPARED_LINES, python);
    let ratio = |took: Duration| python.as_secs_f64() / took.as_secs_f64();
    println!("  {:.0} times, first pass {:.0} times", ratio(best), ratio(passes[0]));
}

fn main() {
    from_memory(Order::Ours, "perfdata last");
    from_memory(Order::Of2014, "order of 2014");
    against_python();
}
