//! Files that are whole or absent, also after a power cut, and directories
//! that one process owns.

mod swap;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

pub use swap::{Swap, SwapError, finish_swap, swap, swap_is_pending};

/// Writes a file under its temporary name and makes its bytes durable.
/// `adjust` sets what must be right before anybody sees it (mode, group).
pub fn stage(
    path: &Path,
    bytes: &[u8],
    adjust: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)?;
        adjust(&file)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if written.is_err() {
        // The first fault is the one to report; what is left over is swept at
        // the next stage, which truncates it.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Gives a staged file its real name, durably. Both are in one directory.
pub fn publish(staged: &Path, target: &Path) -> io::Result<()> {
    std::fs::rename(staged, target)?;
    sync_parent(target)
}

/// Makes a change of names in the file's directory durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// Replaces a file by these bytes, all or nothing.
pub fn replace(target: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let staged = staged_name(target);
    stage(&staged, bytes, |file| file.set_permissions(Permissions::from_mode(mode)))?;
    publish(&staged, target)
}

/// The temporary name beside a file: one fixed name, so that a crash leaves
/// at most one, and hidden, so that whoever reads whole directories passes it.
pub fn staged_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    parent(target).join(format!(".{name}.new"))
}

pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens a file to lock; one that root makes belongs to the directory's owner,
/// who could not open it otherwise.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            give_to_owner_of(&file, parent(path))?;
            Ok(file)
        }
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(fault) => Err(fault),
    }
}

/// What root writes for another account belongs to whoever has `like`, a file
/// or directory. Does nothing for anybody but root.
pub fn give_to_owner_of(file: &File, like: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let owner = std::fs::symlink_metadata(like)?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another process owns {0}: is weather-balloon running already?")]
    Taken(PathBuf),
    #[error("cannot lock {path}")]
    Io { path: PathBuf, source: io::Error },
}

/// Ownership of a directory, until dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    _held: Flock<File>,
}

impl DirLock {
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let wrap = |source| LockError::Io { path: path.clone(), source };
        let file = open_lock(&path).map_err(wrap)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Self { _held: held }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(LockError::Taken(dir.to_owned())),
            Err((_, errno)) => Err(wrap(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_leaves_the_whole_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.cfg");
        replace(&target, b"one", 0o640).unwrap();
        replace(&target, b"two", 0o640).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_stage_leaves_the_target_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.cfg");
        replace(&target, b"one", 0o640).unwrap();
        let staged = staged_name(&target);
        let fault = stage(&staged, b"two", |_| Err(io::Error::other("no"))).unwrap_err();
        assert_eq!(fault.to_string(), "no");
        assert!(!staged.exists());
        assert_eq!(std::fs::read(&target).unwrap(), b"one");
    }

    #[test]
    fn a_staged_name_that_is_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        replace(&victim, b"keep", 0o600).unwrap();
        let target = dir.path().join("a.cfg");
        std::os::unix::fs::symlink(&victim, staged_name(&target)).unwrap();
        assert!(replace(&target, b"x", 0o600).is_err());
        assert_eq!(std::fs::read(&victim).unwrap(), b"keep");
    }

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::take(dir.path()).unwrap();
        assert!(matches!(DirLock::take(dir.path()), Err(LockError::Taken(_))));
        drop(first);
        DirLock::take(dir.path()).unwrap();
    }
}
