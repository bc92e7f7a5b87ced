//! What a hosts file is, read without any of the product's code.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

pub struct Whole {
    pub generation: i64,
    pub ids: BTreeSet<String>,
}

impl Whole {
    /// Panics where it is not one complete generation.
    pub fn read(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let at = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let (body, trailer) = text.split_at(at);
        let mut words = trailer.trim_end().strip_prefix("# weather-balloon ").unwrap().split(' ');
        let mut value = |key: &str| words.next().unwrap().strip_prefix(key).unwrap().to_owned();
        let generation = value("generation=").parse().unwrap();
        let count: usize = value("count=").parse().unwrap();
        let sha256: String =
            Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(value("sha256="), sha256);
        let names = body.lines().filter_map(|line| line.trim().strip_prefix("host_name"));
        let ids: BTreeSet<_> = names.map(|name| name.trim().to_owned()).collect();
        assert_eq!((ids.len(), body.matches("define host {").count()), (count, count));
        Self { generation, ids }
    }

    pub fn at(path: &Path) -> Option<Self> {
        match fs::read(path) {
            Ok(bytes) => Some(Self::read(&bytes)),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => panic!("{fault}"),
        }
    }
}
