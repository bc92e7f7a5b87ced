//! The short form of `make prove-d`: the corpora of `fuzz/`, and some thousand
//! changes of each, through what reads bytes from outside. No crash, no
//! time-out, and no memory that grows faster than the bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../fuzz/src/bound.rs"]
mod bound;
mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

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
/// Of a processor's time for one input.
const PATIENCE: Duration = Duration::from_secs(2);

/// What this thread has had of a processor, however many others wanted it.
fn worked() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

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
        let began = worked();
        reader.run(bytes);
        slowest = slowest.max(worked() - began);
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

/// As large as libFuzzer makes them.
const LARGEST: usize = 64 * 1024;

/// What it is, who reads it, its beginning, the piece, and its end.
type Case = (&'static str, &'static Reader, &'static [u8], &'static str, &'static [u8]);

/// Inputs of very many very small pieces: what costs most for its bytes. Three
/// lengths, so that what grows with their square shows.
#[test]
fn very_many_small_pieces() {
    const STRICT: &[u8] =
        b"\xff\x80\x01\0\x01\0\0\0\x09set_hosts\0\0\0\x07\x0f\0\x01\x0c\0\0\xff\xff";
    const PERFDATA: &[u8] = b"DATATYPE::SERVICEPERFDATA\tTIMET::1767225600\tHOSTNAME::h1\t\
        SERVICEDESC::s\tGRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::p\tSERVICEPERFDATA::";
    let cases: [Case; 25] = [
        ("empty hosts", &bound::THRIFT, STRICT, "\0", b""),
        ("hosts of one field", &bound::THRIFT, STRICT, "\x0b\0\x01\0\0\0\0\0", b""),
        (
            "unknown structs in each other",
            &bound::THRIFT,
            b"\xff\x80\x01\0\x01\0\0\0\x09set_hosts\0\0\0\x07",
            "\x0c\0\x09",
            b"",
        ),
        ("one metric again and again", &bound::PERFDATA, PERFDATA, "a=1 ", b""),
        ("many metrics", &bound::PERFDATA, PERFDATA, "#=1 ", b""),
        ("many fields", &bound::PERFDATA, b"", "#::\t", b""),
        ("many lines", &bound::PERFDATA, b"", "DATATYPE::HOSTPERFDATA\n", b""),
        ("a line with no end", &bound::NAGIOS_CFG, b"", "\\\n", b""),
        ("many settings", &bound::NAGIOS_CFG, b"", "#=\n", b""),
        ("many hosts", &bound::NAGIOS_CFG, b"define host{\n", "host_name a\n", b"}\n"),
        ("many files", &bound::NAGIOS_CFG, b"", "include_file=#\n", b""),
        ("many blocks", &bound::STATUS_DAT, b"", "servicestatus {\nhost_name=h00001\n}\n", b""),
        (
            "a host again and again",
            &bound::STATUS_DAT,
            b"hoststatus {\nhost_name=h00001\n",
            "plugin_output=\\n\n",
            b"}\n",
        ),
        ("a log", &bound::STATUS_DAT, b"", "[1] Error: x\n", b""),
        (
            "many points",
            &bound::GRAPHITE,
            b"[{\"target\":\"nagios.h1.a\",\"datapoints\":[[1,1]",
            ",[1,2]",
            b"]}]",
        ),
        (
            "many series",
            &bound::GRAPHITE,
            b"[{\"target\":\"nagios.h1.a\",\"datapoints\":[]}",
            ",{\"target\":\"nagios.h1.#\",\"datapoints\":[]}",
            b"]",
        ),
        ("lists in each other", &bound::GRAPHITE, b"", "[", b""),
        ("empty servers", &bound::OPENSTACK, b"{\"servers\":[{}", ",{}", b"]}"),
        ("empty actions", &bound::OPENSTACK, b"{\"instanceActions\":[{}", ",{}", b"]}"),
        ("empty flavors", &bound::OPENSTACK, b"{\"flavors\":[{}", ",{}", b"]}"),
        (
            "empty elements",
            &bound::EC2,
            b"<DescribeInstancesResponse>",
            "<a/>",
            b"</DescribeInstancesResponse>",
        ),
        ("elements in each other", &bound::EC2, b"", "<a>", b""),
        ("many clouds", &bound::CONFIG, b"", "[[cloud]]\n", b""),
        ("tables in each other", &bound::CONFIG, b"a=", "{a=", b""),
        (
            "keys of many parts",
            &bound::CONFIG,
            b"",
            "#.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1\n",
            b"",
        ),
    ];
    for (what, reader, head, piece, tail) in cases {
        let mut took = Vec::new();
        for length in [LARGEST / 4, LARGEST / 2, LARGEST] {
            let mut bytes = head.to_vec();
            for at in 0.. {
                let next = piece.replace('#', &at.to_string());
                if bytes.len() + next.len() + tail.len() > length {
                    break;
                }
                bytes.extend(next.as_bytes());
            }
            bytes.extend(tail);
            let began = worked();
            reader.run(&bytes);
            took.push(worked() - began);
        }
        println!("{what}: {took:?}");
        assert!(took[2] < PATIENCE, "{what}: {took:?}");
    }
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
