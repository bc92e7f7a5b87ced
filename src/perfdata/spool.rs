//! The directory into which Nagios's own command moves finished files.
//!
//! Nagios closes its file, runs the command and opens a new one: so a file
//! with a name of the command's is complete, and the live file, which has no
//! number behind its name, is never touched. Nobody but this module removes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Config, Reader};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot list the perfdata spool {dir}; [perfdata] spool must be there and readable")]
    List { dir: PathBuf, source: io::Error },
    #[error("cannot read the spool file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no longer the file that was listed")]
    Changed { path: PathBuf },
    #[error("cannot remove the spool file {path}; the service must own or may write its directory")]
    Remove { path: PathBuf, source: io::Error },
}

/// Tells a file from a later one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    pub inode: u64,
    /// Nanoseconds since 1970: inode numbers come again soon.
    pub modified: i64,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        let modified =
            metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { inode: metadata.ino(), modified }
    }
}

/// A complete file of Nagios's. Files order by age, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolFile {
    pub name: String,
    /// UTC seconds at which Nagios let go of it, as its name says.
    pub rotated: u64,
    pub size: u64,
    /// What it takes of the disk.
    pub disk_bytes: u64,
    pub id: FileId,
}

impl Ord for SpoolFile {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |file: &Self| (file.rotated, file.id.modified);
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for SpoolFile {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What waits in the spool.
#[derive(Debug, Default)]
pub struct Pending {
    /// The oldest [`Spool::MAX_LISTED`], oldest first, none of them empty.
    pub files: Vec<SpoolFile>,
    /// Of all that wait, listed or not.
    pub count: u64,
    pub disk_bytes: u64,
    /// Removed now because more than the limit waited.
    pub dropped_files: u64,
    pub dropped_bytes: u64,
    /// The first file that could not be removed. The rest is good all the same.
    pub fault: Option<Error>,
}

#[derive(Clone, Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
}

impl Spool {
    pub const MAX_LISTED: usize = 10_000;

    pub fn new(config: &Config) -> Self {
        Self { dir: config.spool.clone(), max_bytes: config.max_spool.as_u64() }
    }

    /// Lists what waits. Removes empty files, of which Nagios makes many, and
    /// the oldest files where more waits than the limit allows. Blocking.
    pub fn pending(&self) -> Result<Pending, Error> {
        let mut pending = Pending::default();
        // The newest of the listed on top, to make room for an older one.
        let mut oldest = BinaryHeap::new();
        let list = |source| Error::List { dir: self.dir.clone(), source };
        for entry in std::fs::read_dir(&self.dir).map_err(list)? {
            let Some(file) = self.candidate(&entry.map_err(list)?) else { continue };
            if file.size == 0 {
                note(&mut pending.fault, self.retire(&file));
                continue;
            }
            pending.count += 1;
            pending.disk_bytes += file.disk_bytes;
            oldest.push(file);
            if oldest.len() > Self::MAX_LISTED {
                oldest.pop();
            }
        }
        pending.files = oldest.into_sorted_vec();
        self.drop_oldest(&mut pending);
        Ok(pending)
    }

    fn candidate(&self, entry: &std::fs::DirEntry) -> Option<SpoolFile> {
        let name = entry.file_name().into_string().ok()?;
        let rotated = rotation_time(&name)?;
        // Of the link itself where it is one. A file that is gone by now is no
        // candidate either.
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        Some(SpoolFile {
            name,
            rotated,
            size: metadata.len(),
            disk_bytes: metadata.len().max(metadata.blocks() * 512),
            id: FileId::of(&metadata),
        })
    }

    fn drop_oldest(&self, pending: &mut Pending) {
        let mut excess = pending.disk_bytes.saturating_sub(self.max_bytes);
        let mut gone = 0;
        while excess > 0 && gone < pending.files.len() {
            let file = &pending.files[gone];
            if let Err(fault) = self.retire(file) {
                note(&mut pending.fault, Err(fault));
                break;
            }
            excess = excess.saturating_sub(file.disk_bytes);
            pending.dropped_files += 1;
            pending.dropped_bytes += file.size;
            pending.disk_bytes -= file.disk_bytes;
            gone += 1;
        }
        pending.count -= gone as u64;
        pending.files.drain(..gone);
    }

    /// Opens a listed file, from 0 or from where a chunk of it ended. Blocking,
    /// as the reader is.
    pub fn reader(&self, file: &SpoolFile, from: u64) -> Result<Reader, Error> {
        let path = self.dir.join(&file.name);
        let wrap = |source| Error::Read { path: path.clone(), source };
        let opened = OpenOptions::new()
            .read(true)
            // Not to wait for the writer of a FIFO that took the name.
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&path)
            .map_err(wrap)?;
        let metadata = opened.metadata().map_err(wrap)?;
        if !metadata.is_file() || FileId::of(&metadata) != file.id {
            return Err(Error::Changed { path });
        }
        self.read_from(opened, metadata.len(), from, &path)
    }

    fn read_from(&self, file: File, size: u64, from: u64, path: &Path) -> Result<Reader, Error> {
        Reader::new(file, size, from)
            .map_err(|source| Error::Read { path: path.to_owned(), source })
    }

    /// Removes a file that is done with; one that is gone already is no fault,
    /// and another one under its name stays. Blocking.
    pub fn retire(&self, file: &SpoolFile) -> Result<(), Error> {
        let path = self.dir.join(&file.name);
        let removed = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if FileId::of(&metadata) == file.id => std::fs::remove_file(&path),
            Ok(_) => return Ok(()),
            Err(fault) => Err(fault),
        };
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Remove { path, source })
            }
            _ => Ok(()),
        }
    }
}

fn note(first: &mut Option<Error>, outcome: Result<(), Error>) {
    if let (None, Err(fault)) = (&first, outcome) {
        *first = Some(fault);
    }
}

/// The time in `service-perfdata.1767225600`, and in names to which an
/// administrator's command appends more numbers. None for all other names,
/// those of Nagios's live files among them.
fn rotation_time(name: &str) -> Option<u64> {
    let numbers =
        name.strip_prefix("service-perfdata.").or_else(|| name.strip_prefix("host-perfdata."))?;
    let mut times = numbers.split('.').map(|number| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse::<u64>().ok()).flatten()
    });
    let first = times.next()??;
    times.all(|number| number.is_some()).then_some(first)
}

#[cfg(test)]
mod tests;
