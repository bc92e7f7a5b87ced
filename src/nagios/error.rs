use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is longer than {limit} bytes, more than any such file of Nagios's")]
    TooLong { path: PathBuf, limit: u64 },
    #[error("{config} reads more than {limit} object files")]
    TooManyFiles { config: PathBuf, limit: usize },
    #[error("{dir} lies too deep, or a link in it leads back to where it came from")]
    TooDeep { dir: PathBuf },
    #[error("{config} does not set {key}; set it there, or give {key} in [nagios]")]
    NotSet { config: PathBuf, key: &'static str },
    #[error(
        "the directory of [nagios] hosts_file {hosts_file} cannot be used; create it, and let the user of weather-balloon write there"
    )]
    Directory { hosts_file: PathBuf, source: io::Error },
    #[error(
        "Nagios would not read {hosts_file}: no cfg_file or cfg_dir of {config} covers it; add this line to {config}: cfg_dir={}",
        .hosts_file.parent().unwrap_or(Path::new("/")).display()
    )]
    NotIncluded { hosts_file: PathBuf, config: PathBuf },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is missing, or is not a whole file of ours")]
    NotWhole { path: PathBuf },
    #[error("{path} is not the file that Nagios has proved that it reads")]
    NotProved { path: PathBuf },
    #[error("{path} changed after it was verified; verify again")]
    Restaged { path: PathBuf },
    #[error("nagios_user {name:?} of {config} is no user of this system")]
    NoUser { name: String, config: PathBuf },
    #[error("cannot run {binary}")]
    Run { binary: PathBuf, source: io::Error },
    #[error(
        "{binary} -v took longer than [nagios] verify_timeout ({limit:?}) and was stopped",
        binary = .binary.display()
    )]
    TooSlow { binary: PathBuf, limit: Duration },
    #[error("{binary} -v gave no verdict ({status}); the last that it said: {said:?}")]
    NoVerdict { binary: PathBuf, status: String, said: String },
    #[error(
        "{binary} -v may not read all of Nagios's configuration; let Nagios's group read it, and put this user into that group. It says: {said}"
    )]
    NotReadable { binary: PathBuf, said: String },
    #[error("the process is stopping")]
    Stopping,
}

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
pub enum CommandError {
    #[error(
        "there is no command FIFO at {0}: start Nagios, with check_external_commands=1 in its configuration"
    )]
    Missing(PathBuf),
    #[error(
        "{0} is not a FIFO, so nothing was written to it: remove it and restart Nagios, which makes the FIFO"
    )]
    NotAFifo(PathBuf),
    #[error("nobody reads the command FIFO {0}: Nagios is not running; start it")]
    NoReader(PathBuf),
    #[error("the command FIFO {0} is full: Nagios is stopped or hangs")]
    Full(PathBuf),
    #[error("Nagios went away while the command FIFO {0} was written: start it")]
    ReaderGone(PathBuf),
    #[error(
        "this user may not write the command FIFO {0}: add it to the group of the FIFO and its directory"
    )]
    Denied(PathBuf),
    #[error("cannot write the command FIFO {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("where Nagios's command FIFO is could not be found out")]
    Unknown(#[from] Error),
}

/// Why Nagios's main configuration is not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("{path} has {what}; it is not edited by guess")]
    NotPlain { path: PathBuf, what: &'static str },
    #[error(
        "{path} sets {key} in line {first} and again in line {second}; keep one of them, then run this again"
    )]
    SetTwice { path: PathBuf, key: String, first: usize, second: usize },
    #[error(
        "{path} continues the value of {key} over several lines (line {line}); write it in one"
    )]
    Continued { path: PathBuf, key: String, line: usize },
    #[error(
        "{path} hands performance data to somebody else: line {line} sets {key}={value}; take that out if Weather Balloon is to have it, or set [perfdata] spool = \"\""
    )]
    Elsewhere { path: PathBuf, key: String, line: usize, value: String },
    #[error(transparent)]
    Nagios(#[from] Error),
}
