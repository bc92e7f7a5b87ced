//! `nagios -v` on a candidate.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::unistd::{Gid, Group, Uid, User, geteuid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::candidate::{self, HERE, VAR};
use super::main_config::MainConfig;
use super::places::{self, Places};
use super::{Config, Error, VerifyError, text};
use crate::disk;

const CANDIDATE: &str = "nagios.cfg";

/// A staged hosts file and a main configuration that reads it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub places: Places,
    scratch: PathBuf,
    /// The scratch directory, held open: whoever Nagios runs as enters it.
    entrance: File,
    identity: Option<Identity>,
}

/// Whom Nagios runs as when we are root.
#[derive(Clone, Copy, Debug)]
struct Identity {
    user: Uid,
    group: Gid,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Accepted,
    Refused(String),
}

impl Prepared {
    /// Blocks.
    pub fn new(config: &Config, scratch: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let places = Places::of(config)?;
        let main = MainConfig::read(&config.config)?;
        let copy = candidate::build(&main, &places, config)?;
        places::stage(&places, bytes, nagios_group(&main))?;
        let identity = if geteuid().is_root() { Some(Identity::of(&main)?) } else { None };
        let write = |source| Error::Write { path: scratch.to_owned(), source };
        let entrance = furnish(scratch, &copy, identity).map_err(write)?;
        Ok(Self { places, scratch: scratch.to_owned(), entrance, identity })
    }

    pub async fn run(&self, config: &Config) -> Result<Verdict, Error> {
        let binary = &config.binary;
        let cannot_run = |source| Error::Run { binary: binary.clone(), source };
        let mut command = Command::new(binary);
        command
            .arg("-v")
            .arg(format!("{HERE}/{CANDIDATE}"))
            .env_clear()
            .current_dir(format!("/proc/self/fd/{}", self.entrance.as_raw_fd()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(Identity { user, group }) = self.identity {
            // Given a user, it leaves root's supplementary groups, too.
            command.uid(user.as_raw()).gid(group.as_raw());
        }
        let mut child = command.spawn().map_err(cannot_run)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut said = Said::default();
        let mut said_aside = Said::default();
        let finished = async {
            let (_, _, status) =
                tokio::join!(said.listen(stdout), said_aside.listen(stderr), child.wait());
            status
        };
        let Ok(status) = tokio::time::timeout(config.verify_timeout, finished).await else {
            child.kill().await.map_err(cannot_run)?;
            return Err(Error::TooSlow { binary: binary.clone(), limit: config.verify_timeout });
        };
        self.judge(config, status.map_err(cannot_run)?, said, said_aside)
    }

    fn judge(
        &self,
        config: &Config,
        status: ExitStatus,
        said: Said,
        said_aside: Said,
    ) -> Result<Verdict, Error> {
        if status.success() {
            return Ok(Verdict::Accepted);
        }
        let binary = config.binary.clone();
        let first = said.cause.or(said.warning).filter(|_| status.code().is_some());
        let Some(first) = first else {
            let last = if said_aside.last.is_empty() { said.last } else { said_aside.last };
            return Err(Error::NoVerdict {
                binary,
                status: status.to_string(),
                said: self.in_operators_words(config, &last),
            });
        };
        let reason = self.in_operators_words(config, &first);
        if first.contains("Permission denied") {
            return Err(Error::NotReadable { binary, said: reason });
        }
        Ok(Verdict::Refused(reason))
    }

    /// With the paths that the operator knows.
    fn in_operators_words(&self, config: &Config, line: &str) -> String {
        let staged = self.places.staged.to_string_lossy();
        let ours = line.contains(&*staged);
        let line = line
            .replace(&*staged, &config.hosts_file.to_string_lossy())
            .replace(&format!("{HERE}/{CANDIDATE}"), &config.config.to_string_lossy())
            .replace(HERE, &self.scratch.to_string_lossy());
        let mut line = text::clean(&line);
        if ours {
            line.push_str(&format!(
                " (the refused file is kept as {})",
                self.places.rejected.display()
            ));
        }
        line
    }
}

impl Verdict {
    /// The candidate's fate on disk follows from the verdict. Blocks.
    pub fn settle(self, places: &Places) -> Result<(), VerifyError> {
        match self {
            Self::Accepted => Ok(()),
            Self::Refused(reason) => {
                if let Err(fault) = places::reject(places) {
                    tracing::warn!(%fault, "the refused hosts file could not be kept");
                }
                Err(VerifyError::Refused(reason))
            }
        }
    }
}

/// Makes the scratch directory and puts the copy there, for whoever runs the
/// verify and nobody else: main configurations may hold mail addresses and the
/// like. That user owns nothing but the part to write to, so that it cannot
/// turn root's next visit elsewhere.
fn furnish(scratch: &Path, copy: &str, identity: Option<Identity>) -> io::Result<File> {
    let var = scratch.join(VAR);
    std::fs::create_dir_all(&var)?;
    // Without another user to give anything to, not even asked for: the
    // service's filter refuses every chown.
    let given = identity.map(|Identity { user, group }| (user.as_raw(), group.as_raw()));
    if let Some((user, group)) = given {
        chown(scratch, None, Some(group))?;
        chown(&var, Some(user), Some(group))?;
    }
    std::fs::set_permissions(scratch, Permissions::from_mode(0o750))?;
    std::fs::set_permissions(&var, Permissions::from_mode(0o700))?;
    let file = scratch.join(CANDIDATE);
    let staged = disk::staged_name(&file);
    disk::stage(&staged, copy.as_bytes(), |file| {
        if let Some((_, group)) = given {
            fchown(file, None, Some(group))?;
        }
        file.set_permissions(Permissions::from_mode(0o640))
    })?;
    disk::publish(&staged, &file)?;
    File::open(scratch)
}

/// The group that Nagios drops to, where this system knows it.
pub(super) fn nagios_group(main: &MainConfig) -> Option<Gid> {
    let name = main.get("nagios_group").unwrap_or("nagios");
    match name.parse() {
        Ok(number) => Some(Gid::from_raw(number)),
        Err(_) => Group::from_name(name).ok().flatten().map(|group| group.gid),
    }
}

impl Identity {
    fn of(main: &MainConfig) -> Result<Self, Error> {
        let name = main.get("nagios_user").unwrap_or("nagios");
        let found = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        match found {
            Ok(Some(user)) => {
                Ok(Self { user: user.uid, group: nagios_group(main).unwrap_or(user.gid) })
            }
            _ => Err(Error::NoUser { name: name.to_owned(), config: main.path().to_owned() }),
        }
    }
}

/// What matters of an output of any length.
#[derive(Debug, Default)]
pub(super) struct Said {
    cause: Option<String>,
    warning: Option<String>,
    last: String,
}

const MAX_LINE_BYTES: usize = 8 * 1024;

impl Said {
    /// The line that names the cause of a refusal, or the first warning.
    pub(super) fn first(&self) -> Option<String> {
        self.cause.clone().or_else(|| self.warning.clone())
    }

    pub(super) fn last(&self) -> String {
        self.last.clone()
    }

    /// Reads to the end; a line's tail past the limit is dropped.
    pub(super) async fn listen(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut chunk = [0; 16 * 1024];
        let mut line = Vec::new();
        // An unreadable pipe is one that ended: the exit status decides.
        while let Ok(got @ 1..) = from.read(&mut chunk).await {
            for piece in chunk[..got].split_inclusive(|byte| *byte == b'\n') {
                let room = MAX_LINE_BYTES - line.len().min(MAX_LINE_BYTES);
                line.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.ends_with(b"\n") {
                    self.line(&line);
                    line.clear();
                }
            }
        }
        self.line(&line);
    }

    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if self.cause.is_none() && text::names_a_cause(line) {
            self.cause = Some(line.to_owned());
        }
        if self.warning.is_none() && line.starts_with("Warning") {
            self.warning = Some(line.to_owned());
        }
        line.clone_into(&mut self.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listen(output: &[u8]) -> Said {
        let mut said = Said::default();
        said.listen(Some(output)).await;
        said
    }

    #[tokio::test]
    async fn the_first_cause_is_kept() {
        let said = listen(
            b"\nReading\nWarning: Host 'a' has no contacts\nWarning: Duplicate definition found for host 'b'\nError: Could not add\n\nTotal",
        )
        .await;
        assert_eq!(said.cause.unwrap(), "Warning: Duplicate definition found for host 'b'");
        assert_eq!(said.warning.unwrap(), "Warning: Host 'a' has no contacts");
        assert_eq!(said.last, "Total");
    }

    #[tokio::test]
    async fn a_cause_is_found_behind_any_amount_of_output() {
        let mut output = b"Warning: x\n".repeat(500_000);
        output.extend(vec![b'y'; 10_000_000]);
        output.extend(b"\nError: here\n\xff");
        let said = listen(&output).await;
        assert_eq!(said.cause.unwrap(), "Error: here");
        assert!(said.last.len() < 10);
    }
}
