use std::time::Duration;

use serde::Deserialize;

use super::CloudName;
use crate::nagios::object_name_fault;

/// The keys that every `[[cloud]]` may have; the others are its kind's.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub name: String,
    pub kind: String,
    /// From the beginning of one poll to that of the next.
    #[serde(with = "crate::settings::duration")]
    pub interval: Duration,
    /// For one whole listing.
    #[serde(with = "crate::settings::duration")]
    pub timeout: Duration,
    /// Of its hosts; absent: that of `[nagios]`.
    pub host_template: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: String::new(),
            interval: Duration::from_secs(600),
            timeout: Duration::from_secs(300),
            host_template: None,
        }
    }
}

impl Config {
    /// So that the reader of the file can tell them from the kind's own.
    pub const KEYS: [&str; 5] = ["name", "kind", "interval", "timeout", "host_template"];

    /// Every fault, as (key, reason), but for those of `kind`.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Err(reason) = CloudName::parse(&self.name) {
            faults.push(("name", format!("{:?} {reason}", self.name)));
        }
        for (key, time) in [("interval", self.interval), ("timeout", self.timeout)] {
            if time < Duration::from_secs(1) || time > Duration::from_secs(86_400) {
                faults.push((key, "must be at least 1s and at most a day".to_owned()));
            }
        }
        if let Some(reason) = self.host_template.as_deref().and_then(object_name_fault) {
            faults.push(("host_template", reason));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let config = Config {
            name: "a b".to_owned(),
            interval: Duration::ZERO,
            timeout: Duration::from_secs(1 << 20),
            host_template: Some("x;y".to_owned()),
            ..Config::default()
        };
        let keys: Vec<_> = config.check().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["name", "interval", "timeout", "host_template"]);
        let named = Config { name: "east".to_owned(), ..Config::default() };
        assert_eq!(named.check(), []);
    }
}
