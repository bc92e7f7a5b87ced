use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// The section `[store]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `sqlite:FILE`, or `postgresql://USER@HOST/DATABASE`; empty: no ledger is
    /// kept. A directory of a Unix socket goes for the host as in `postgresql://USER@/DATABASE?host=/run/postgresql`.
    pub url: String,
    /// PostgreSQL's password; empty: none is sent.
    pub password_file: PathBuf,
    pub tls: Tls,
    /// The authorities that sign PostgreSQL's certificate, in PEM; empty: the
    /// system's.
    pub ca_file: PathBuf,
    #[serde(with = "crate::settings::duration")]
    pub connect_timeout: Duration,
    /// For one statement. What takes several has ten times as long.
    #[serde(with = "crate::settings::duration")]
    pub statement_timeout: Duration,
    /// Connections to PostgreSQL.
    pub pool_size: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    Off,
    /// Encrypted, to whoever answers.
    Require,
    /// Encrypted, to the host of the certificate.
    #[default]
    Verify,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:/var/lib/weather-balloon/ledger.db".to_owned(),
            password_file: PathBuf::new(),
            tls: Tls::default(),
            ca_file: PathBuf::new(),
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            pool_size: 4,
        }
    }
}

/// Where the ledger is kept.
#[derive(Clone, Debug)]
pub enum Target {
    Sqlite(PathBuf),
    Postgres(Box<tokio_postgres::Config>),
}

impl Config {
    pub const DATABASE_NAME: &str = "ledger.db";

    /// The ledger beside the other state of an appliance.
    pub fn beside(directory: &Path) -> Self {
        let url = format!("sqlite:{}", directory.join(Self::DATABASE_NAME).display());
        Self { url, ..Self::default() }
    }

    pub fn is_off(&self) -> bool {
        self.url.is_empty()
    }

    /// Every fault, as key and reason.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |key, reason: &str| faults.push((key, reason.to_owned()));
        if let Err(reason) = self.target()
            && !self.is_off()
        {
            fault("url", &reason);
        }
        for (key, time) in [
            ("connect_timeout", self.connect_timeout),
            ("statement_timeout", self.statement_timeout),
        ] {
            if time < Duration::from_millis(100) || time > Duration::from_secs(3600) {
                fault(key, "must be at least 100ms and at most an hour");
            }
        }
        if !(1..=64).contains(&self.pool_size) {
            fault("pool_size", "must be from 1 to 64");
        }
        for (key, path) in [("password_file", &self.password_file), ("ca_file", &self.ca_file)] {
            if !path.as_os_str().is_empty() && !path.is_absolute() {
                fault(key, "is not an absolute path");
            }
        }
        faults
    }

    /// As messages name the ledger.
    pub(super) fn name(&self) -> String {
        match self.target() {
            Ok(Target::Sqlite(path)) => path.display().to_string(),
            Ok(Target::Postgres(server)) => super::postgres::name_of(&server),
            Err(_) => self.url.clone(),
        }
    }

    pub fn target(&self) -> Result<Target, String> {
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            let path = PathBuf::from(path);
            if !path.is_absolute() || path.file_name().is_none() {
                return Err("is not the absolute path of a file; give one such as \"sqlite:/var/lib/weather-balloon/ledger.db\"".to_owned());
            }
            return Ok(Target::Sqlite(path));
        }
        if !self.url.starts_with("postgresql://") && !self.url.starts_with("postgres://") {
            return Err("begins with neither \"sqlite:\" nor \"postgresql://\"".to_owned());
        }
        // The URL itself is not shown where it may hold a password.
        let server: tokio_postgres::Config = self.url.parse().map_err(|_| {
            "is not a URL of PostgreSQL; give one such as \"postgresql://user@host/database\""
                .to_owned()
        })?;
        if server.get_password().is_some() {
            return Err("has a password in it; this file can be read by everybody, put it into password_file".to_owned());
        }
        if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
            return Err("names no host".to_owned());
        }
        if server.get_user().is_none() || server.get_dbname().is_none() {
            return Err(
                "must name a user and a database, as in \"postgresql://user@host/database\""
                    .to_owned(),
            );
        }
        Ok(Target::Postgres(Box::new(server)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Config {
        Config { url: url.to_owned(), ..Config::default() }
    }

    #[test]
    fn urls() {
        assert_eq!(Config::default().check(), []);
        for good in [
            "sqlite:/x/ledger.db",
            "postgresql://u@h/d",
            "postgres://u@127.0.0.1:5433/d",
            "postgresql://u@/d?host=/run/postgresql",
            "postgresql://u@%2Frun%2Fpostgresql/d",
        ] {
            assert_eq!(of(good).check(), [], "{good}");
        }
        assert!(of("").is_off() && of("").check().is_empty() && of("").target().is_err());
        for bad in [
            "sqlite:",
            "sqlite:ledger.db",
            "sqlite:/",
            "mysql://u@h/d",
            "postgresql://u:secret@h/d",
            "postgresql://u@h",
            "postgresql://h/d",
            "postgresql://u@h:x/d",
        ] {
            let faults = of(bad).check();
            assert_eq!(faults.len(), 1, "{bad}");
            assert!(!faults[0].1.contains("secret"), "{faults:?}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let config = Config {
            url: "x".to_owned(),
            password_file: "p".into(),
            ca_file: "c".into(),
            connect_timeout: Duration::ZERO,
            statement_timeout: Duration::from_secs(1 << 30),
            pool_size: 0,
            tls: Tls::Off,
        };
        let keys: Vec<_> = config.check().into_iter().map(|(key, _)| key).collect();
        let all = [
            "url",
            "connect_timeout",
            "statement_timeout",
            "pool_size",
            "password_file",
            "ca_file",
        ];
        assert_eq!(keys, all);
    }
}
