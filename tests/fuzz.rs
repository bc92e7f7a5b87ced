//! The short form of `make prove-d`: the corpora of `fuzz/`, and some thousand
//! changes of each, through what reads bytes from outside. No crash, no
//! time-out, and no memory that grows faster than the bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../fuzz/src/bound.rs"]
mod bound;
mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bound::Reader;

/// xorshift64*: the same changes for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

/// A few changes of the kind that libFuzzer makes.
fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    const ODD: [&[u8]; 10] = [
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\x80\0\0\0",
        b"\0",
        b"\n",
        b"\\",
        b"9223372036854775807",
        b"-1",
        b"1e999",
        b"\xed\xa0\x80",
    ];
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(16)).min(bytes.len());
        match dice.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, ODD[dice.below(ODD.len())].iter().copied())),
            5 => {
                let piece = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let from = dice.below(other.len() + 1);
                let to = (from + dice.below(64)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
}

const CHANGES: usize = 2_000;
/// Of one input, which is never larger than some ten kilobytes here.
const PATIENCE: Duration = Duration::from_secs(2);

fn run(target: &str, reader: &Reader) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut names: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let files: Vec<_> = names.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!files.is_empty());
    let mut dice = Dice(0x5EED);
    let mut slowest = Duration::ZERO;
    let mut timed = |bytes: &[u8]| {
        let began = Instant::now();
        reader.run(bytes);
        slowest = slowest.max(began.elapsed());
    };
    for file in &files {
        timed(file);
        for _ in 0..CHANGES {
            let mut bytes = file.clone();
            change(&mut bytes, &files[dice.below(files.len())], &mut dice);
            timed(&bytes);
        }
    }
    assert!(slowest < PATIENCE, "{slowest:?}");
}

#[test]
fn thrift() {
    run("thrift", &bound::THRIFT);
}

#[test]
fn perfdata_lines() {
    run("perfdata", &bound::PERFDATA);
}

#[test]
fn nagios_configuration() {
    run("nagios_cfg", &bound::NAGIOS_CFG);
}

#[test]
fn status_file() {
    run("status_dat", &bound::STATUS_DAT);
}

#[test]
fn graphite_json() {
    run("graphite", &bound::GRAPHITE);
}

#[test]
fn openstack_json() {
    run("openstack", &bound::OPENSTACK);
}

#[test]
fn ec2_xml() {
    run("ec2", &bound::EC2);
}

#[test]
fn configuration_file() {
    run("config", &bound::CONFIG);
}
