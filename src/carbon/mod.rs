//! Samples to Carbon: frames of its protocols, a connection for each batch,
//! and the receipt that its end gives.

mod frame;
mod local;
mod pace;
mod sender;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use frame::{Batch, Framer};
pub use local::{LocalFiles, TextFile};
pub use pace::{Backoff, BatchLimit};
pub use sender::{Receipt, SendError, Sender};

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One address or a list, of which each gets everything; empty switches
    /// the part off.
    pub address: Destinations,
    pub protocol: Protocol,
    #[serde(with = "crate::settings::duration")]
    pub connect_timeout: Duration,
    /// Without Carbon's taking a single byte.
    #[serde(with = "crate::settings::duration")]
    pub write_timeout: Duration,
    /// From the last byte sent to the end of the connection, within which
    /// Carbon reads what the kernels still hold of the batch.
    #[serde(with = "crate::settings::duration")]
    pub receipt_timeout: Duration,
    /// Of one connection. After a time-out batches become smaller.
    pub max_batch_points: usize,
    /// How long a file stays after Carbon has read it: Carbon keeps points in
    /// memory before it writes them, so what it read lately is sent again
    /// after every lost connection.
    #[serde(with = "crate::settings::duration")]
    pub replay_window: Duration,
    /// The longest pause between two attempts.
    #[serde(with = "crate::settings::duration")]
    pub max_backoff: Duration,
    /// Between two looks whether Graphite shows what Carbon has taken; 0s: no
    /// look is taken.
    #[serde(with = "crate::settings::duration")]
    pub read_back_interval: Duration,
    /// Where a Carbon on this machine has its carbon.conf; nothing there: no
    /// Carbon is local.
    pub config_directory: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Destinations::default(),
            protocol: Protocol::Pickle,
            connect_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            receipt_timeout: Duration::from_secs(60),
            max_batch_points: 10_000,
            replay_window: Duration::from_secs(3600),
            max_backoff: Duration::from_secs(60),
            read_back_interval: Duration::from_secs(600),
            config_directory: "/etc/carbon".into(),
        }
    }
}

impl Config {
    /// Each fault: the key and the reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (key, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("write_timeout", self.write_timeout),
            ("receipt_timeout", self.receipt_timeout),
            ("max_backoff", self.max_backoff),
        ] {
            if timeout.is_zero() {
                faults.push((key, "must be more than 0s".to_owned()));
            }
        }
        let points = BatchLimit::LOWEST..=1_000_000;
        if !points.contains(&self.max_batch_points) {
            let reason = format!("must be {} to {}", points.start(), points.end());
            faults.push(("max_batch_points", reason));
        }
        faults
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Carbon's port 2004.
    Pickle,
    /// Carbon's port 2003, and what most replacements of Carbon speak.
    Plaintext,
}

/// `host:port`; an IPv6 address stands in brackets.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(try_from = "String")]
pub struct Destination(String);

impl Destination {
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no address; write host:port, as in 127.0.0.1:2004");
        let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
        let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good_host = match in_brackets {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        let good_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if good_host && good_port { Ok(Self(text.to_owned())) } else { Err(fault()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine, by its name alone.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl TryFrom<String> for Destination {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No destination comes twice.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "OneOrMore")]
pub struct Destinations(Vec<Destination>);

impl Destinations {
    pub fn iter(&self) -> std::slice::Iter<'_, Destination> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl TryFrom<OneOrMore> for Destinations {
    type Error = String;

    fn try_from(given: OneOrMore) -> Result<Self, String> {
        let texts = match given {
            OneOrMore::One(text) if text.is_empty() => Vec::new(),
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        };
        let mut destinations = Vec::new();
        for text in &texts {
            let destination = Destination::parse(text)?;
            if destinations.contains(&destination) {
                return Err(format!("{text:?} is there twice"));
            }
            destinations.push(destination);
        }
        Ok(Self(destinations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    fn addresses(text: &str) -> Vec<String> {
        read(text).unwrap().address.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_none_one_or_a_list() {
        assert_eq!(read("").unwrap(), Config::default());
        assert!(addresses("address = ''").is_empty());
        assert_eq!(addresses("address = 'localhost:2004'"), ["localhost:2004"]);
        assert_eq!(
            addresses("address = ['127.0.0.1:2004', '[::1]:2004']"),
            ["127.0.0.1:2004", "[::1]:2004"]
        );
    }

    #[test]
    fn faults_are_told() {
        for text in [
            "address = 'localhost'",
            "address = ':2004'",
            "address = 'a b:2004'",
            "address = '::1:2004'",
            "address = 'h:0'",
            "address = 'h:65536'",
            "address = ['h:1', 'h:1']",
            "protocol = 'udp'",
            "adress = 'h:1'",
        ] {
            assert!(read(text).is_err(), "{text} was taken");
        }
        let config = read("max_batch_points = 1\nwrite_timeout = '0s'").unwrap();
        let keys = config.check().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys, ["write_timeout", "max_batch_points"]);
        assert!(Config::default().check().is_empty());
    }
}
