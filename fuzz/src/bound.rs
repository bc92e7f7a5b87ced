//! How much memory a reader may hold for what it reads. Shared with
//! tests/fuzz.rs, which takes this file as a module of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use weather_balloon::{config, graphite, nagios, perfdata, providers, rpc};

pub struct Reader {
    read: fn(&[u8]),
    /// Bytes of memory that it may hold for each byte that it is given.
    per_byte: u64,
    /// The largest share of what it may hold that it has held, in thousandths.
    worst: AtomicU64,
}

/// What a reader may hold whatever it reads.
const TO_BEGIN_WITH: u64 = 64 * 1024;

impl Reader {
    const fn new(per_byte: u64, read: fn(&[u8])) -> Self {
        Self { read, per_byte, worst: AtomicU64::new(0) }
    }

    /// Panics where the reader does, and where it held too much at one time.
    pub fn run(&self, bytes: &[u8]) {
        let held = allocation_counter::measure(|| (self.read)(bytes)).bytes_max;
        let bound = TO_BEGIN_WITH + self.per_byte * bytes.len() as u64;
        assert!(held <= bound, "{held} bytes of memory for {} bytes that were read", bytes.len());
        let share = held * 1000 / bound;
        if self.worst.fetch_max(share, Ordering::Relaxed) < share {
            eprintln!("MEMORY\t{held}\t{}\t{share}", bytes.len());
        }
    }
}

// About twice what `very_many_small_pieces` of tests/fuzz.rs makes them hold.
pub static THRIFT: Reader = Reader::new(64, rpc::fuzz::connection);
pub static PERFDATA: Reader = Reader::new(32, perfdata::fuzz::lines);
pub static NAGIOS_CFG: Reader = Reader::new(64, nagios::fuzz::configuration);
pub static STATUS_DAT: Reader = Reader::new(32, nagios::fuzz::status_file);
pub static GRAPHITE: Reader = Reader::new(64, graphite::fuzz::answer);
pub static OPENSTACK: Reader = Reader::new(192, providers::openstack::fuzz::body);
pub static EC2: Reader = Reader::new(64, providers::ec2::fuzz::body);
// Each part of a dotted key is a table, a kilobyte for two bytes. A file may have
// no more than a megabyte, and only its owner writes it.
pub static CONFIG: Reader = Reader::new(2048, config::fuzz::file);
