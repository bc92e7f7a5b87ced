use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::listen::{Endpoint, TlsConfig};
use crate::settings::{ByteSize, duration};

/// The section `[http]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Each "IP:PORT", "tls:IP:PORT" or "unix:/PATH"; empty: the door is shut.
    pub listen: Vec<String>,
    /// Names by which browsers reach it, beside addresses and "localhost".
    pub names: Vec<String>,
    /// Who shows what this file holds may write; empty: nobody may.
    pub token_file: PathBuf,
    /// The certificate of `tls:` addresses and of all that are not loopback.
    pub tls: TlsConfig,
    pub max_connections: usize,
    /// The longest body of a request.
    pub max_body: ByteSize,
    /// For one whole answer, from the request's head on.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// How long a peer may neither send nor take a byte.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8001".to_owned()],
            names: Vec::new(),
            token_file: PathBuf::new(),
            tls: TlsConfig::default(),
            max_connections: 256,
            max_body: ByteSize::mib(16),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// A key of the section and what is wrong with its value.
pub type Fault = (&'static str, String);

impl Config {
    /// Every fault at once; none when the door can be built from it.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut seen = Vec::new();
        for text in &self.listen {
            match Endpoint::parse(text) {
                Err(reason) => faults.push(("listen", reason)),
                Ok(endpoint) if seen.contains(&endpoint) => {
                    faults.push(("listen", format!("{text:?} is there twice")));
                }
                Ok(endpoint) => {
                    if matches!(endpoint, Endpoint::Tls(_)) && !self.tls.is_set() {
                        let why = "can be reached by others or asks for TLS: it needs [http.tls]";
                        faults.push(("listen", format!("{text:?} {why}")));
                    }
                    seen.push(endpoint);
                }
            }
        }
        if self.tls.is_set() {
            for (key, path) in self.tls.files() {
                if path.as_os_str().is_empty() && key != "tls.client_ca_file" {
                    faults
                        .push((key, "is missing; TLS needs a certificate and its key".to_owned()));
                }
            }
        }
        for name in &self.names {
            if !is_host_name(name) {
                let why = "is no host name; write it without a port, as browsers send it";
                faults.push(("names", format!("{name:?} {why}")));
            }
        }
        if !(1..=100_000).contains(&self.max_connections) {
            faults.push(("max_connections", "must be 1 to 100000".to_owned()));
        }
        if !(1024..=1 << 30).contains(&self.max_body.as_u64()) {
            faults.push(("max_body", "must be 1 KiB to 1 GiB".to_owned()));
        }
        for (key, value) in
            [("request_timeout", self.request_timeout), ("idle_timeout", self.idle_timeout)]
        {
            if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&value) {
                faults.push((key, "must be 100ms to 1h".to_owned()));
            }
        }
        faults
    }
}

fn is_host_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed)
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
    fn every_fault_is_named_at_once() {
        let config: Config = toml::from_str(
            "listen = ['0.0.0.0:8001', 'x', '[::1]:1', '[::1]:1']\nnames = ['a b', 'ok.example']
             tls.key_file = '/k'\nmax_connections = 0\nmax_body = '1B'\nidle_timeout = '0s'",
        )
        .unwrap();
        let keys: Vec<_> = config.check().iter().map(|(key, _)| *key).collect();
        let expected = [
            "listen",
            "listen",
            "tls.cert_file",
            "names",
            "max_connections",
            "max_body",
            "idle_timeout",
        ];
        assert_eq!(keys, expected);
        let shut: Config = toml::from_str("listen = []").unwrap();
        assert_eq!(shut.check(), []);
    }
}
