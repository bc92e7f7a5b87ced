//! Nagios's performance data: files that Nagios rotates into a spool, and what
//! their lines say. Where the samples go is nobody's business here.

mod bad_lines;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod line;
mod reader;
mod spool;
mod tokens;
mod value;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::settings::ByteSize;

pub use bad_lines::BadLines;
pub use line::{Dropped, LineCounts, MAX_LINE_BYTES, Parser};
pub use reader::{Chunk, Reader};
pub use spool::{Error, FileId, Pending, Spool, SpoolFile};
pub use watch::Watch;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Nagios's own command puts its files; empty switches the part off.
    pub spool: PathBuf,
    /// The oldest whole files go when more waits.
    pub max_spool: ByteSize,
    /// What to do with lines of hosts that are not in the live set.
    pub unknown_hosts: UnknownHosts,
    /// Times to seconds, sizes to bytes. Off: the number as the plugin wrote
    /// it, as in 2014.
    pub scale_units: bool,
    /// How often to look without being told by the kernel.
    #[serde(with = "crate::settings::duration")]
    pub scan_interval: Duration,
    /// Of the file that keeps lines which could not be read; as much again is
    /// kept of its predecessor. 0 keeps none.
    pub max_bad_lines: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            spool: "/var/spool/weather-balloon/perfdata".into(),
            max_spool: ByteSize::gib(1),
            unknown_hosts: UnknownHosts::Ship,
            scale_units: false,
            scan_interval: Duration::from_secs(10),
            max_bad_lines: ByteSize::mib(1),
        }
    }
}

impl Config {
    pub fn is_on(&self) -> bool {
        !self.spool.as_os_str().is_empty()
    }

    /// Each fault: the key and the reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.is_on() && !self.spool.is_absolute() {
            faults.push(("spool", "must be an absolute path".to_owned()));
        }
        if self.max_spool < ByteSize::mib(1) {
            faults.push(("max_spool", "must be at least 1MiB".to_owned()));
        }
        if self.scan_interval < Duration::from_secs(1) {
            faults.push(("scan_interval", "must be at least 1s".to_owned()));
        }
        faults
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum UnknownHosts {
    /// The sentinel and hosts made by hand are to have their series too.
    Ship,
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_says_only_what_differs() {
        let read = |text: &str| toml::from_str::<Config>(text);
        assert_eq!(read("").unwrap(), Config::default());
        let config = read("max_spool = '64MiB'\nunknown_hosts = 'drop'\nscan_interval = '2s'");
        let expected = Config {
            max_spool: ByteSize::mib(64),
            unknown_hosts: UnknownHosts::Drop,
            scan_interval: Duration::from_secs(2),
            ..Config::default()
        };
        assert_eq!(config.unwrap(), expected);
        assert!(!read("spool = ''").unwrap().is_on());
        for text in ["spol = '/x'", "unknown_hosts = 'keep'", "max_spool = 'much'"] {
            assert!(read(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn faults_are_told_all_at_once() {
        assert!(Config::default().check().is_empty());
        let config = Config {
            spool: "perfdata".into(),
            max_spool: ByteSize(1),
            scan_interval: Duration::ZERO,
            ..Config::default()
        };
        let keys = config.check().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys, ["spool", "max_spool", "scan_interval"]);
    }
}
