//! The configuration file: gathers every part's own section and reports all
//! faults at once. The parts never see it.

mod clouds;
#[doc(hidden)]
pub mod fuzz;
mod sections;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cloud::{self, Kind};
use crate::{
    archive, carbon, directory, graphite, hosts, http, nagios, perfdata, rpc, state, store,
    telemetry,
};
use sections::Sections;

/// Every part's configuration, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub rpc: rpc::Config,
    pub http: http::Config,
    pub nagios: nagios::Config,
    pub hosts: hosts::Config,
    pub graphite: graphite::Config,
    pub perfdata: perfdata::Config,
    pub carbon: carbon::Config,
    pub archive: archive::Config,
    pub state: state::Config,
    pub store: store::Config,
    pub clouds: Vec<(cloud::Config, Kind)>,
    pub directory: directory::Config,
    pub log: telemetry::Config,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {path} is not TOML: {reason}")]
    Syntax { path: PathBuf, reason: String },
    #[error("the configuration {path} has {} faults:\n{}", .faults.len(), lines(.faults))]
    Faults { path: PathBuf, faults: Vec<Fault> },
}

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub section: String,
    /// Empty where the section itself is at fault.
    pub key: String,
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { section, key, reason } = self;
        match key.as_str() {
            "" => write!(f, "[{section}]: {reason}"),
            key => write!(f, "[{section}] {key}: {reason}"),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

const MAX_FILE_BYTES: u64 = 1024 * 1024;

impl Config {
    /// Reads and checks the file. A file that is not there is a fault: what
    /// was meant cannot be known.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > MAX_FILE_BYTES {
            return Err(read(io::Error::other(format!(
                "it is longer than {MAX_FILE_BYTES} bytes"
            ))));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(path, &text)
    }

    /// Takes the text of the file at `path`, which serves as its name.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let table =
            toml::Table::deserialize(toml::Deserializer::parse(text).map_err(|fault| {
                Error::Syntax { path: path.to_owned(), reason: fault.to_string() }
            })?)
            .map_err(|fault| Error::Syntax { path: path.to_owned(), reason: fault.to_string() })?;
        let mut sections = Sections::new(table);
        let (state, ledger) = (sections.has("state", None), sections.has("store", Some("url")));
        let mut config = Self {
            rpc: sections.take("rpc"),
            http: sections.take("http"),
            hosts: sections.take_some("nagios", &hosts::Config::KEYS),
            nagios: sections.take("nagios"),
            graphite: sections.take("graphite"),
            perfdata: sections.take("perfdata"),
            carbon: sections.take("carbon"),
            archive: sections.take("archive"),
            state: sections.take("state"),
            store: sections.take("store"),
            clouds: clouds::take(&mut sections),
            directory: sections.take("directory"),
            log: sections.take("log"),
        };
        config.hosts.brake = sections.take("brake");
        config.hosts.host_templates = clouds::host_templates(&config.clouds);
        config.keep_together(state, ledger);
        let mut faults = sections.finish();
        faults.extend(config.check());
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(Error::Faults { path: path.to_owned(), faults })
        }
    }

    /// The state and the ledger lie in one directory where the file says only
    /// where one of them is.
    fn keep_together(&mut self, state: bool, ledger: bool) {
        match (state, ledger, self.store.target()) {
            (true, false, _) => {
                self.store.url = store::Config::beside(&self.state.directory).url;
            }
            (false, true, Ok(store::Target::Sqlite(file))) => {
                if let Some(directory) = file.parent() {
                    self.state.directory = directory.to_owned();
                }
            }
            _ => {}
        }
    }

    fn check(&self) -> Vec<Fault> {
        let log = self.log.check().err().map(|fault| ("level", fault.to_string()));
        let told = [
            ("rpc", self.rpc.check()),
            ("http", self.http.check()),
            ("nagios", self.nagios.check()),
            ("nagios", self.hosts.check()),
            ("brake", self.hosts.brake.check()),
            ("graphite", self.graphite.check()),
            ("perfdata", self.perfdata.check()),
            ("carbon", self.carbon.check()),
            ("archive", self.archive.check()),
            ("state", self.state.check()),
            ("store", self.store.check()),
            ("directory", self.directory.check()),
            ("log", log.into_iter().collect()),
        ];
        told.into_iter()
            .flat_map(|(section, faults)| {
                faults.into_iter().map(move |(key, reason)| Fault {
                    section: section.to_owned(),
                    key: key.to_owned(),
                    reason,
                })
            })
            .collect()
    }

    /// Whether measurements are kept in the archive.
    pub fn archive_is_on(&self) -> bool {
        self.archive.is_on(!self.graphite.url.is_empty())
    }

    /// The sections that differ and that only a restart takes over.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let fixed = [
            ("[rpc]", self.rpc != new.rpc),
            ("[http]", self.http != new.http),
            ("[perfdata]", self.perfdata != new.perfdata),
            ("[carbon]", self.carbon != new.carbon),
            (
                "[archive]",
                self.archive != new.archive
                    || self.archive_is_on() != new.archive_is_on()
                    || self.graphite.prefix != new.graphite.prefix,
            ),
            ("[state]", self.state != new.state),
            ("[[cloud]]", self.clouds != new.clouds),
            ("[directory]", self.directory != new.directory),
            ("[store]", self.store != new.store),
            ("[log]", self.log != new.log),
        ];
        fixed.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}
