use std::time::Duration;

use serde::Deserialize;

use crate::listen::{Endpoint, TlsConfig};
use crate::settings::{ByteSize, duration};

/// The section `[rpc]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Each "IP:PORT", "tls:IP:PORT" or "unix:/PATH".
    pub listen: Vec<String>,
    /// Takes the old binary protocol without a version, too.
    pub non_strict: bool,
    pub tls: TlsConfig,
    /// The longest message.
    pub max_message: ByteSize,
    pub max_string: ByteSize,
    /// Elements of one list, set or map.
    pub max_container: u32,
    /// Open structs, lists, sets and maps, one in another.
    pub max_depth: usize,
    pub max_connections: usize,
    /// Calls that run at once; more wait.
    pub max_calls: usize,
    /// Messages on their way in, together; as much again in calls that run.
    pub max_unfinished: ByteSize,
    /// The longest reply.
    pub max_reply: ByteSize,
    /// Replies that wait for their readers, together.
    pub max_unsent: ByteSize,
    /// From a message's first byte to its last.
    #[serde(with = "duration")]
    pub message_timeout: Duration,
    /// How long a connection may stay without a message.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// For one whole reply.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// For one call, with its wait for others.
    #[serde(with = "duration")]
    pub call_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8000".to_owned()],
            non_strict: false,
            tls: TlsConfig::default(),
            max_message: ByteSize::mib(16),
            max_string: ByteSize::mib(1),
            max_container: 200_000,
            max_depth: 16,
            max_connections: 4096,
            max_calls: 256,
            max_unfinished: ByteSize::mib(32),
            max_reply: ByteSize::mib(64),
            max_unsent: ByteSize::mib(128),
            message_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(3600),
            write_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(600),
        }
    }
}

/// A key of the section and what is wrong with its value.
pub type Fault = (&'static str, String);

impl Config {
    /// Every fault at once; none when the door can be built from it.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check_listen(&mut faults);
        self.check_sizes(&mut faults);
        for (key, value) in [
            ("message_timeout", self.message_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("call_timeout", self.call_timeout),
        ] {
            if !(Duration::from_millis(1)..=Duration::from_secs(366 * 86_400)).contains(&value) {
                faults.push((key, "must be more than 0 and at most a year".to_owned()));
            }
        }
        faults
    }

    fn check_listen(&self, faults: &mut Vec<Fault>) {
        if self.listen.is_empty() {
            faults.push(("listen", "is empty; nobody could call".to_owned()));
        }
        let mut seen = Vec::new();
        for text in &self.listen {
            match Endpoint::parse(text) {
                Err(reason) => faults.push(("listen", reason)),
                Ok(endpoint) => {
                    if seen.contains(&endpoint) {
                        faults.push(("listen", format!("{text:?} is there twice")));
                    }
                    if matches!(endpoint, Endpoint::Tls(_)) && !self.tls.is_set() {
                        faults.push((
                            "listen",
                            format!(
                                "{text:?} can be reached by others or asks for TLS: it needs [rpc.tls] with client certificates"
                            ),
                        ));
                    }
                    seen.push(endpoint);
                }
            }
        }
        if self.tls.is_set() {
            for (key, path) in self.tls.files() {
                if path.as_os_str().is_empty() {
                    faults.push((key, "is missing; TLS needs all three files".to_owned()));
                }
            }
        }
    }

    fn check_sizes(&self, faults: &mut Vec<Fault>) {
        let mut within = |key, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                faults.push((key, format!("is {value}, must be {least} to {most}")));
            }
        };
        const MIB: u64 = 1024 * 1024;
        // Text read as a frame's length is above 512 MiB, so it stays refused.
        within("max_message", self.max_message.as_u64(), 1024, 512 * MIB);
        within("max_string", self.max_string.as_u64(), 256, self.max_message.as_u64());
        within("max_container", self.max_container.into(), 1, 100_000_000);
        within("max_depth", self.max_depth as u64, 4, 64);
        within("max_connections", self.max_connections as u64, 1, 1_000_000);
        within("max_calls", self.max_calls as u64, 1, 1_000_000);
        within("max_reply", self.max_reply.as_u64(), 1024, 1024 * MIB);
        // A smaller budget would never let the longest one through.
        within(
            "max_unfinished",
            self.max_unfinished.as_u64(),
            self.max_message.as_u64(),
            1024 * 1024 * MIB,
        );
        within("max_unsent", self.max_unsent.as_u64(), self.max_reply.as_u64(), 1024 * 1024 * MIB);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Config::default().check(), []);
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    }

    #[test]
    fn keys_are_read_as_people_write_them() {
        let config: Config = toml::from_str(
            "listen = ['unix:/run/x.sock', '[::1]:1']\nmax_message = '1MiB'\nidle_timeout = '2m'",
        )
        .unwrap();
        assert_eq!(config.check(), []);
        assert_eq!(config.max_message, ByteSize::mib(1));
        assert_eq!(config.idle_timeout, Duration::from_secs(120));
        assert!(toml::from_str::<Config>("max_mesage = '1MiB'").is_err());
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let config: Config = toml::from_str(
            "listen = ['0.0.0.0:8000', 'localhost', 'unix:x', '127.0.0.1:1', '127.0.0.1:1', 'tls:[::1]:2']
             max_message = '1GiB'\nmax_depth = 1\nmax_calls = 0\nwrite_timeout = '0s'",
        )
        .unwrap();
        let faults = config.check();
        let keys: Vec<_> = faults.iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys,
            [
                "listen",
                "listen",
                "listen",
                "listen",
                "listen",
                "max_message",
                "max_depth",
                "max_calls",
                "max_unfinished",
                "write_timeout"
            ]
        );
        assert!(faults[0].1.contains("needs [rpc.tls]"));
    }

    #[test]
    fn tls_needs_all_its_files() {
        let config: Config =
            toml::from_str("listen = ['10.0.0.1:8000']\ntls.cert_file = '/c'").unwrap();
        let keys: Vec<_> = config.check().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["tls.key_file", "tls.client_ca_file"]);
    }
}
