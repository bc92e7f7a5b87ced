use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use crate::model::{MetricKey, MetricPart};
use crate::settings::ByteSize;

/// The section `[graphite]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where graphite-web lives, such as `http://127.0.0.1:8080`; empty: there
    /// is no Graphite.
    pub url: String,
    /// The nodes above every host's node.
    pub prefix: String,
    /// For one question, from the connection to the last byte.
    #[serde(with = "crate::settings::duration")]
    pub timeout: Duration,
    /// The authorities that sign Graphite's certificate, in PEM; empty: the
    /// system's.
    pub ca_file: PathBuf,
    /// Of one answer.
    pub max_body: ByteSize,
    /// Of all answers that are being read, together.
    pub max_buffered: ByteSize,
    /// Series in one answer.
    pub max_series: usize,
    /// Points in one answer, of all its series.
    pub max_points: usize,
    /// Questions under way at a time; more wait, within their `timeout`.
    pub max_requests: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            prefix: "nagios".to_owned(),
            timeout: Duration::from_secs(10),
            ca_file: PathBuf::new(),
            max_body: ByteSize::mib(64),
            max_buffered: ByteSize::mib(256),
            max_series: 2_000,
            max_points: 2_000_000,
            max_requests: 256,
        }
    }
}

impl Config {
    /// Every fault, as key and reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |key, reason: String| faults.push((key, reason));
        if !self.url.is_empty()
            && let Err(reason) = self.base()
        {
            fault("url", reason);
        }
        if !is_metric_path(&self.prefix) {
            fault(
                "prefix",
                format!(
                    "{:?} is not a metric name; give one to eight parts of A-Z a-z 0-9 _ - with dots between",
                    self.prefix
                ),
            );
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(3600) {
            fault("timeout", "must be more than nothing and at most an hour".to_owned());
        }
        let numbers = [
            ("max_body", self.max_body.as_u64()),
            ("max_buffered", self.max_buffered.as_u64()),
            ("max_series", self.max_series as u64),
            ("max_points", self.max_points as u64),
            ("max_requests", self.max_requests as u64),
        ];
        for (key, number) in numbers {
            if number == 0 {
                fault(key, "must be more than 0".to_owned());
            }
        }
        if self.max_buffered < self.max_body {
            fault("max_buffered", format!("must be at least max_body ({})", self.max_body));
        }
        faults
    }

    /// `url`, when it is one that `render` can be added to.
    pub(super) fn base(&self) -> Result<Url, String> {
        // The URL itself is not shown where it may hold a password.
        let url: Url = self.url.parse().map_err(|fault| {
            format!("is not a URL ({fault}); give one such as \"http://127.0.0.1:8080\"")
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("begins with \"{}:\"; give an http or https URL", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user name or a password in it; this file can be read by everybody, and a Graphite with a log-in is not supported".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a \"?\" or \"#\" in it; give only the part before /render".to_owned());
        }
        Ok(url)
    }
}

fn is_metric_path(text: &str) -> bool {
    !text.is_empty()
        && MetricKey::parse(text)
            .is_ok_and(|key| key.parts().iter().all(|part| *part != MetricPart::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(config: &Config) -> Vec<&'static str> {
        config.check().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_defaults_hold() {
        assert_eq!(Config::default().check(), []);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let config = Config {
            url: "ftp://x".to_owned(),
            prefix: "nagios.*".to_owned(),
            timeout: Duration::ZERO,
            max_body: ByteSize::b(0),
            max_series: 0,
            max_points: 0,
            max_requests: 0,
            max_buffered: ByteSize::b(0),
            ca_file: PathBuf::new(),
        };
        assert_eq!(
            faults_of(&config),
            [
                "url",
                "prefix",
                "timeout",
                "max_body",
                "max_buffered",
                "max_series",
                "max_points",
                "max_requests"
            ]
        );
        let narrow = Config { max_buffered: ByteSize::mib(1), ..Config::default() };
        assert_eq!(faults_of(&narrow), ["max_buffered"]);
    }

    #[test]
    fn urls() {
        let of = |url: &str| Config { url: url.to_owned(), ..Config::default() };
        for good in ["http://127.0.0.1:8080", "https://g.example/graphite/", "http://[::1]:1"] {
            assert_eq!(of(good).check(), [], "{good}");
        }
        for bad in [
            "127.0.0.1:8080",
            "http://",
            "unix:/x",
            "http://u:secret@x/",
            "http://x/?format=png",
            "http://x/#a",
            "http://x:99999/",
        ] {
            let faults = of(bad).check();
            assert_eq!(faults.len(), 1, "{bad}");
            assert!(!faults[0].1.contains("secret"), "{faults:?}");
        }
    }

    #[test]
    fn prefixes() {
        let of = |prefix: &str| Config { prefix: prefix.to_owned(), ..Config::default() };
        for good in ["nagios", "a.b-c.d_e"] {
            assert_eq!(of(good).check(), [], "{good}");
        }
        for bad in ["", ".", "nagios.", "a b", "a,b", "*", "a.*", "{a}", "a(b"] {
            assert_eq!(faults_of(&of(bad)), ["prefix"], "{bad:?}");
        }
    }
}
