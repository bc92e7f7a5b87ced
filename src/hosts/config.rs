use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::BrakeConfig;
use crate::model::Source;

/// The keys of `[nagios]` that are about sets and restarts.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many hosts Nagios watches at most; the rest is recorded and shown.
    pub max_hosts: usize,
    pub keep_generations: u32,
    #[serde(with = "crate::settings::duration")]
    pub min_restart_interval: Duration,
    #[serde(with = "crate::settings::duration")]
    pub confirm_timeout: Duration,
    /// New hosts whose first checks are asked for in a second; 0 leaves them
    /// to Nagios's own schedule.
    pub first_checks_per_second: u32,
    /// From `[brake]`.
    #[serde(skip)]
    pub brake: BrakeConfig,
    /// Of sources whose hosts have another than `[nagios] host_template`.
    #[serde(skip)]
    pub host_templates: BTreeMap<Source, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_hosts: 50_000,
            keep_generations: 50,
            min_restart_interval: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(60),
            first_checks_per_second: 20,
            brake: BrakeConfig::default(),
            host_templates: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The keys, so that the reader of the file can tell them from those of
    /// the module `nagios`, which share the section.
    pub const KEYS: [&str; 5] = [
        "max_hosts",
        "keep_generations",
        "min_restart_interval",
        "confirm_timeout",
        "first_checks_per_second",
    ];

    /// Every fault, as (key, reason).
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.max_hosts == 0 {
            faults.push(("max_hosts", "must be at least 1".to_owned()));
        }
        if self.keep_generations == 0 {
            faults.push(("keep_generations", "must be at least 1".to_owned()));
        }
        if self.min_restart_interval < Duration::from_secs(1) {
            faults.push((
                "min_restart_interval",
                "must be at least 1s: a restart of Nagios takes no less".to_owned(),
            ));
        }
        if self.confirm_timeout < Duration::from_secs(5) {
            faults.push(("confirm_timeout", "must be at least 5s".to_owned()));
        }
        faults
    }
}
