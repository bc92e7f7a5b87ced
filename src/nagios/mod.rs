//! The one place that knows Nagios: what a host looks like in its files, how a
//! configuration is proved before Nagios may read it, and how we know that it
//! did.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::model::{Host, HostId};

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub config: PathBuf,
    pub binary: PathBuf,
    pub hosts_file: PathBuf,
    /// Read from Nagios's main configuration where absent.
    pub command_file: Option<PathBuf>,
    pub status_file: Option<PathBuf>,
    pub log_file: Option<PathBuf>,
    pub hostgroup: String,
    pub host_template: String,
    #[serde(with = "crate::settings::duration")]
    pub verify_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            config: "/etc/nagios4/nagios.cfg".into(),
            binary: "/usr/sbin/nagios4".into(),
            hosts_file: "/etc/nagios4/conf.d/weather-balloon/hosts.cfg".into(),
            command_file: None,
            status_file: None,
            log_file: None,
            hostgroup: "atmo-vms".to_owned(),
            host_template: "atmo_vm".to_owned(),
            verify_timeout: Duration::from_secs(300),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("nagios")]
pub struct Error;

/// Why `nagios -v` gave no clean bill.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Nagios's own first error.
    #[error("Nagios refuses the configuration: {0}")]
    Refused(String),
    /// It could not be asked: no judgement on the hosts.
    #[error("Nagios could not be asked to verify the configuration")]
    NotAsked(#[from] Error),
}

/// Why a command did not get into Nagios's FIFO. All pass by themselves once
/// Nagios is back.
#[derive(Debug, thiserror::Error)]
#[error("command")]
pub struct CommandError;

/// The rendered hosts file: one complete generation, with a trailer that tells
/// a whole file from a cut one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsFile {
    pub bytes: Vec<u8>,
    /// Of everything before the trailer: equal digests mean equal hosts,
    /// whatever the generation.
    pub digest: Digest,
    pub count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the trailer of the live file says, after it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    pub generation: i64,
    pub digest: Digest,
    pub count: usize,
}

/// A hosts file that this Nagios has accepted, waiting beside the live one.
/// Only [`Nagios::verify`] makes one, so nothing else can be swapped in.
#[derive(Debug)]
pub struct Verified {
    file: HostsFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStatus {
    /// UTC seconds at which the running Nagios began to read its configuration.
    pub program_start: i64,
    pub pid: Option<i32>,
}

/// What became of Nagios's process, as far as it can be seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Alive,
    /// Gone, and its log says that it bailed out of a configuration: the line.
    BailedOut(String),
    /// Gone, and its log says that it was told to stop.
    Stopped,
    /// Gone; the log could not be read or says nothing of it.
    Gone,
}

#[derive(Clone, Debug)]
pub struct Nagios {
    config: Config,
    scratch: PathBuf,
}

impl Nagios {
    /// `scratch` is a directory of ours for candidate configurations.
    pub fn new(config: Config, scratch: &Path) -> Self {
        Self { config, scratch: scratch.to_owned() }
    }

    /// The canonical file: the hosts sorted by id, LF, then the trailer.
    pub fn render<'a>(
        &self,
        _generation: i64,
        _hosts: impl IntoIterator<Item = &'a Host>,
    ) -> HostsFile {
        unimplemented!()
    }

    /// The live hosts file, if it is there and whole.
    pub async fn live(&self) -> Result<Option<LiveFile>, Error> {
        unimplemented!()
    }

    /// Stages the file beside the live one and proves it with `nagios -v` in
    /// a copy of the main configuration that reads it in the live one's place.
    pub async fn verify(&self, _file: HostsFile) -> Result<Verified, VerifyError> {
        unimplemented!()
    }

    /// Puts a proved file in the live one's place; durable when it returns.
    /// Returns the wall clock after the change of names.
    pub async fn swap(&self, _verified: Verified) -> Result<SystemTime, Error> {
        unimplemented!()
    }

    /// Keeps the live file as the one to go back to: call when Nagios has
    /// proved that it reads it.
    pub async fn keep_as_last_good(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Puts the last good file back. It was proved when it was live.
    pub async fn restore_last_good(&self) -> Result<Option<(LiveFile, SystemTime)>, Error> {
        unimplemented!()
    }

    /// Writes RESTART_PROGRAM into the command FIFO. Success is no delivery:
    /// only a new `program_start` proves it.
    pub async fn request_restart(&self) -> Result<(), CommandError> {
        unimplemented!()
    }

    /// Asks for checks of all services of these hosts at `at`.
    pub async fn schedule_checks(
        &self,
        _hosts: &[HostId],
        _at: SystemTime,
    ) -> Result<(), CommandError> {
        unimplemented!()
    }

    /// What the status file says; None while there is none.
    pub async fn program_status(&self) -> Result<Option<ProgramStatus>, Error> {
        unimplemented!()
    }

    /// Looks for the process that was `pid` when a restart was asked for.
    pub async fn fate_of(&self, _pid: i32, _since: SystemTime) -> Fate {
        unimplemented!()
    }

    /// Hosts that other files of Nagios's configuration define, with the file.
    pub async fn defined_elsewhere(&self) -> Result<HashMap<String, PathBuf>, Error> {
        let _ = (&self.config, &self.scratch);
        unimplemented!()
    }
}

impl Verified {
    pub fn file(&self) -> &HostsFile {
        &self.file
    }
}
