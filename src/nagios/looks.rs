//! Looks at Nagios that change nothing: for whoever asks how it is.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::model::{HostId, HostSeen, Standing};

use super::main_config::MainConfig;
use super::places::Places;
use super::{CommandError, Error, Nagios, candidate, command, seen, templates};

/// How fresh what Nagios tells is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusFile {
    /// When it was written; it may lie in the future of a clock that was set
    /// back.
    pub written: SystemTime,
    /// How often Nagios means to write it.
    pub interval: Duration,
}

/// A setting of performance data that is not as we need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSetting {
    pub key: String,
    pub wanted: String,
    pub found: Option<String>,
}

/// Nagios's own default.
const STATUS_UPDATE_INTERVAL: u64 = 60;

impl Nagios {
    pub fn config(&self) -> &super::Config {
        &self.config
    }

    /// Whether Nagios's configuration can be read and leads to our hosts file.
    pub async fn reads_hosts_file(&self) -> Result<(), Error> {
        self.on_disk(|nagios| {
            let main = MainConfig::read(&nagios.config.config)?;
            let places = Places::of(&nagios.config)?;
            candidate::build(&main, &places, &nagios.config).map(drop)
        })
        .await
    }

    /// Opens the command FIFO as a command would, and writes nothing.
    pub async fn takes_commands(&self) -> Result<(), CommandError> {
        self.on_fifo(|fifo| command::open(fifo).map(drop)).await
    }

    /// None while there is no status file.
    pub async fn status_file(&self) -> Result<Option<StatusFile>, Error> {
        self.on_disk(|nagios| {
            let path = nagios.path(nagios.config.status_file.as_ref(), "status_file")?;
            let main = MainConfig::read(&nagios.config.config)?;
            let interval = main.get("status_update_interval").and_then(|text| text.parse().ok());
            match path.metadata().and_then(|meta| meta.modified()) {
                Ok(written) => {
                    // It must be readable, too.
                    File::open(&path).map_err(|source| Error::Read { path, source })?;
                    let interval = Duration::from_secs(interval.unwrap_or(STATUS_UPDATE_INTERVAL));
                    Ok(Some(StatusFile { written, interval }))
                }
                Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(Error::Read { path, source }),
            }
        })
        .await
    }

    /// Its log is what tells why Nagios ended.
    pub async fn log_is_readable(&self) -> Result<(), Error> {
        self.on_disk(|nagios| {
            let path = nagios.path(nagios.config.log_file.as_ref(), "log_file")?;
            File::open(&path).map(drop).map_err(|source| Error::Read { path, source })
        })
        .await
    }

    /// The settings that keep performance data from reaching this spool.
    pub async fn other_perfdata_settings(&self, spool: &Path) -> Result<Vec<OtherSetting>, Error> {
        let spool: PathBuf = spool.to_owned();
        self.on_disk(move |nagios| {
            let main = MainConfig::read(&nagios.config.config)?;
            let mut others = Vec::new();
            for (key, wanted) in templates::perfdata_settings(&spool) {
                let found = main.get(&key).map(str::to_owned);
                // The moves may come at another pace, by another command, and
                // in the order of fields of 2014.
                let free = ["_interval", "_command", "_template", "_mode"];
                let good = match &found {
                    Some(_) if free.iter().any(|end| key.ends_with(end)) => true,
                    found => found.as_ref() == Some(&wanted),
                };
                if !good {
                    others.push(OtherSetting { key, wanted, found });
                }
            }
            Ok(others)
        })
        .await
    }

    /// What Nagios last saw of a host; None where its status file has no such
    /// host. Reads the whole file: some 11 KB a host.
    pub async fn last_seen(&self, host: &HostId) -> Result<Option<HostSeen>, Error> {
        let host = host.to_string();
        self.on_disk(move |nagios| {
            let path = nagios.path(nagios.config.status_file.as_ref(), "status_file")?;
            seen::last_seen(&path, &host).map_err(|source| Error::Read { path, source })
        })
        .await
    }

    /// What Nagios last saw of each host, by id; nobody while there is no
    /// status file. Reads the whole file.
    pub async fn standings(&self) -> Result<HashMap<Box<str>, Standing>, Error> {
        self.on_disk(|nagios| {
            let path = nagios.path(nagios.config.status_file.as_ref(), "status_file")?;
            match seen::standings(&path) {
                Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(HashMap::new()),
                told => told.map_err(|source| Error::Read { path, source }),
            }
        })
        .await
    }
}
