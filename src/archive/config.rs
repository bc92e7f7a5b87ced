use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::settings;

/// The section `[archive]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub enabled: Enabled,
    /// How long a measurement is kept; may change at any time.
    #[serde(with = "settings::duration")]
    pub keep: Duration,
    /// The distance of two points of a series. The file keeps the step that it
    /// was made with.
    #[serde(with = "settings::duration")]
    pub step: Duration,
    /// Points of further series are refused.
    pub max_series: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// On unless a Graphite is configured.
    Auto,
    Yes,
    No,
}

impl<'de> Deserialize<'de> for Enabled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Switch(bool),
            Word(String),
        }
        match Given::deserialize(deserializer) {
            Ok(Given::Switch(true)) => Ok(Self::Yes),
            Ok(Given::Switch(false)) => Ok(Self::No),
            Ok(Given::Word(word)) if word == "auto" => Ok(Self::Auto),
            _ => Err(de::Error::custom("expected \"auto\", true or false")),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: Enabled::Auto,
            keep: Duration::from_secs(90 * 86_400),
            step: Duration::from_secs(600),
            max_series: 1_000_000,
        }
    }
}

impl Config {
    pub fn is_on(&self, has_graphite: bool) -> bool {
        match self.enabled {
            Enabled::Auto => !has_graphite,
            Enabled::Yes => true,
            Enabled::No => false,
        }
    }

    /// Every fault, as key and reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        const DAY: u64 = 86_400;
        let mut faults = Vec::new();
        let step = self.step.as_secs();
        if self.step.subsec_nanos() != 0 || !(10..=DAY).contains(&step) || !DAY.is_multiple_of(step)
        {
            faults.push((
                "step",
                "must be from 10s to 1d and go into a day without rest, such as \"10m\"".to_owned(),
            ));
        }
        if !(DAY..=3_660 * DAY).contains(&self.keep.as_secs()) {
            faults.push(("keep", "must be at least 1d and at most 10 years".to_owned()));
        }
        if !(1..=10_000_000).contains(&self.max_series) {
            faults.push(("max_series", "must be from 1 to 10,000,000".to_owned()));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        let config = Config::default();
        assert_eq!(config.check(), []);
        assert_eq!(toml::from_str::<Config>("").unwrap(), config);
        assert!(config.is_on(false) && !config.is_on(true));
    }

    #[test]
    fn reads_what_people_write() {
        let read = |text: &str| toml::from_str::<Config>(text).map_err(|fault| fault.to_string());
        let config = read("enabled = true\nkeep = \"1y\"\nstep = \"5m\"\nmax_series = 7").unwrap();
        assert_eq!(config.enabled, Enabled::Yes);
        assert_eq!((config.step.as_secs(), config.max_series), (300, 7));
        assert!(config.is_on(true));
        assert_eq!(read("enabled = false").unwrap().enabled, Enabled::No);
        assert_eq!(read("enabled = \"auto\"").unwrap().enabled, Enabled::Auto);
        for bad in ["enabled = \"yes\"", "enabled = 1", "keeps = \"1d\"", "keep = 90"] {
            assert!(read(bad).is_err(), "{bad} was read");
        }
        assert!(read("enabled = 1").unwrap_err().contains("expected \"auto\", true or false"));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let keys = |config: Config| config.check().iter().map(|(key, _)| *key).collect::<Vec<_>>();
        let bad = Config {
            keep: Duration::from_secs(86_399),
            step: Duration::from_secs(700),
            max_series: 0,
            ..Config::default()
        };
        assert_eq!(keys(bad), ["step", "keep", "max_series"]);
        for step in [Duration::ZERO, Duration::from_millis(10_500), Duration::from_secs(2 * 86_400)]
        {
            assert_eq!(keys(Config { step, ..Config::default() }), ["step"], "{step:?}");
        }
    }
}
