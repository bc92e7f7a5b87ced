//! The hosts file and its companions on disk.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, fchown};

use super::hosts_file::{self, LiveFile};
use super::main_config::read_bounded;
use super::{Config, Error};
use crate::disk;

/// More than max_hosts can be set to.
const MAX_HOSTS_FILE_BYTES: u64 = 512 * 1024 * 1024;

/// Where the hosts file really lies (links resolved), and the names beside it.
/// All but the live one begin with a dot, so that Nagios passes them by.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub live: PathBuf,
    pub staged: PathBuf,
    /// The last one that Nagios refused, for a person to look at.
    pub rejected: PathBuf,
    /// The last one that Nagios has proved that it reads.
    pub last_good: PathBuf,
}

impl Places {
    /// Blocks.
    pub fn of(config: &Config) -> Result<Self, Error> {
        let live = resolve(&config.hosts_file)
            .map_err(|source| Error::Directory { hosts_file: config.hosts_file.clone(), source })?;
        let beside = |suffix: &str| {
            let name = live.file_name().unwrap_or_default().to_string_lossy();
            live.with_file_name(format!(".{name}.{suffix}"))
        };
        Ok(Self {
            staged: disk::staged_name(&live),
            rejected: beside("rejected"),
            last_good: beside("last-good"),
            live,
        })
    }
}

/// The file's own path; the file itself need not exist yet, its directory
/// must. A link in its place is followed, so that the link survives a rename.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many links as the kernel follows.
    for _ in 0..40 {
        let dir = path.parent().unwrap_or(Path::new("/")).canonicalize()?;
        let file = dir.join(path.file_name().unwrap_or_default());
        match file.read_link() {
            Ok(target) => path = dir.join(target),
            Err(_) => return Ok(file),
        }
    }
    Err(io::Error::from(nix::errno::Errno::ELOOP))
}

/// What the file's trailer says; None if the file is absent or not whole.
/// Blocks.
pub(super) fn look(path: &Path) -> Result<Option<(LiveFile, Vec<u8>)>, Error> {
    let bytes = match read_bounded(path, MAX_HOSTS_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            tracing::debug!(file = %path.display(), "there is no hosts file yet");
            return Ok(None);
        }
        Err(fault) => return Err(fault),
    };
    match hosts_file::check(&bytes) {
        Ok(file) => Ok(Some((file, bytes))),
        Err(reason) => {
            tracing::debug!(file = %path.display(), reason, "the hosts file is not a whole one of ours");
            Ok(None)
        }
    }
}

/// Writes the candidate, readable by Nagios. Blocks.
pub(super) fn stage(places: &Places, bytes: &[u8], group: Option<Gid>) -> Result<(), Error> {
    disk::stage(&places.staged, bytes, |file| let_nagios_read(file, group))
        .map_err(write(&places.staged))
}

/// For Nagios's group alone where we may give it the file or a setgid
/// directory did; else for all: a file that Nagios cannot read ends it.
fn let_nagios_read(file: &File, group: Option<Gid>) -> io::Result<()> {
    let ours = |group: Gid| {
        fchown(file, None, Some(group)).is_ok()
            || file.metadata().is_ok_and(|meta| meta.gid() == group.as_raw())
    };
    let mode = if group.is_some_and(ours) { 0o640 } else { 0o644 };
    file.set_permissions(Permissions::from_mode(mode))
}

/// Puts the candidate in the live file's place if it is still these bytes.
/// Blocks.
pub(super) fn publish(places: &Places, bytes: &[u8]) -> Result<(), Error> {
    let now = read_bounded(&places.staged, MAX_HOSTS_FILE_BYTES);
    if !now.is_ok_and(|now| now == bytes) {
        return Err(Error::Restaged { path: places.staged.clone() });
    }
    disk::publish(&places.staged, &places.live).map_err(write(&places.live))
}

/// Blocks.
pub(super) fn reject(places: &Places) -> Result<(), Error> {
    std::fs::rename(&places.staged, &places.rejected).map_err(write(&places.rejected))
}

/// Copies the live file, so that whoever edits it in place spoils one only;
/// only if it is still the one that was proved. Blocks.
pub(super) fn keep_as_last_good(places: &Places, proved: &str) -> Result<(), Error> {
    let Some((live, bytes)) = look(&places.live)? else {
        return Err(Error::NotWhole { path: places.live.clone() });
    };
    if live.digest.to_string() != proved {
        return Err(Error::NotProved { path: places.live.clone() });
    }
    if look(&places.last_good)?.is_some_and(|(kept, _)| kept == live) {
        return Ok(());
    }
    disk::replace(&places.last_good, &bytes, 0o640).map_err(write(&places.last_good))
}

/// Blocks.
pub(super) fn restore_last_good(
    places: &Places,
    group: Option<Gid>,
) -> Result<Option<LiveFile>, Error> {
    let Some((file, bytes)) = look(&places.last_good)? else { return Ok(None) };
    stage(places, &bytes, group)?;
    disk::publish(&places.staged, &places.live).map_err(write(&places.live))?;
    Ok(Some(file))
}

fn write(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn places(hosts_file: &Path) -> Result<Places, Error> {
        Places::of(&Config { hosts_file: hosts_file.to_owned(), ..Config::default() })
    }

    #[test]
    fn links_are_resolved_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        symlink("real", root.join("linked")).unwrap();
        symlink("../real/deep/h.cfg", root.join("real/hosts.cfg")).unwrap();
        let found = places(&root.join("linked/hosts.cfg")).unwrap();
        assert_eq!(found.live, root.join("real/deep/h.cfg"));
        assert_eq!(found.staged, root.join("real/deep/.h.cfg.new"));
        stage(&found, b"x", None).unwrap();
        publish(&found, b"x").unwrap();
        assert!(root.join("real/hosts.cfg").is_symlink());
        assert_eq!(std::fs::read(root.join("linked/hosts.cfg")).unwrap(), b"x");

        assert!(matches!(places(&root.join("missing/hosts.cfg")), Err(Error::Directory { .. })));
        symlink("loop.cfg", root.join("loop.cfg")).unwrap();
        assert!(matches!(places(&root.join("loop.cfg")), Err(Error::Directory { .. })));
    }

    #[test]
    fn only_what_was_staged_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let found = places(&dir.path().join("hosts.cfg")).unwrap();
        stage(&found, b"one", None).unwrap();
        stage(&found, b"two", None).unwrap();
        assert!(matches!(publish(&found, b"one"), Err(Error::Restaged { .. })));
        assert!(!found.live.exists());
        publish(&found, b"two").unwrap();
        assert!(matches!(publish(&found, b"two"), Err(Error::Restaged { .. })));
    }

    #[test]
    fn a_staged_file_is_for_nagios_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let found = places(&dir.path().join("hosts.cfg")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        stage(&found, b"x", None).unwrap();
        assert_eq!(mode(&found.staged), 0o644);
        let own = nix::unistd::getegid();
        stage(&found, b"x", Some(own)).unwrap();
        assert_eq!(mode(&found.staged), 0o640);
        assert_eq!(found.staged.metadata().unwrap().gid(), own.as_raw());
    }
}
