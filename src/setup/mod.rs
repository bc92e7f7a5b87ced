//! Puts the appliance in place: every edit that Nagios's, Carbon's and our own
//! files need, planned and shown before it is made, proved before it is left,
//! and kept so that it can be taken back.
//!
//! A plan is a list of whole files as they are and as they would be, in an
//! order in which Nagios takes every part of the way. It is proved, noted in
//! the journal, and made; whatever moment it is cut off at, what is on disk has
//! been proved and the journal knows the way back.

mod apply;
mod journal;
mod own;
mod place;
mod plan;
mod undo;

use std::path::{Path, PathBuf};

use crate::nagios::{EditError, VerifyError};

pub use apply::apply;
pub use journal::Journal;
pub use own::OwnKeys;
pub use plan::plan;
pub use undo::{Undone, undo};

/// What is set up, as the configuration says it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub nagios: crate::nagios::Config,
    /// Absent: performance data is not read.
    pub spool: Option<PathBuf>,
    pub carbon_directory: PathBuf,
    /// What the sentinel runs to ask for our state.
    pub check: String,
    /// Our own file and what is to be written there.
    pub own: Option<(PathBuf, OwnKeys)>,
}

/// A file as it is and as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// With links resolved.
    pub path: PathBuf,
    /// None: it is not there.
    pub before: Option<Vec<u8>>,
    /// None: it goes.
    pub after: Option<Vec<u8>>,
    pub kind: Kind,
}

/// Who reads the file, and so who proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NagiosObjects,
    NagiosMain,
    Carbon,
    Own,
}

/// A directory that has to be there, with its owner where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub path: PathBuf,
    pub mode: u32,
    pub owner: Option<u32>,
    pub group: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Parents first.
    pub directories: Vec<Directory>,
    pub edits: Vec<Edit>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.edits.is_empty()
    }

    /// As a unified diff; a directory that is made is a line of its own.
    pub fn diff(&self) -> String {
        let mut text = String::new();
        for Directory { path, mode, .. } in &self.directories {
            text.push_str(&format!("new directory {} (mode {mode:o})\n", path.display()));
        }
        for edit in &self.edits {
            text.push_str(&edit.diff());
        }
        text
    }
}

impl Edit {
    fn diff(&self) -> String {
        let side = |bytes: &Option<Vec<u8>>| {
            let text = bytes.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let name = match bytes {
                Some(_) => self.path.display().to_string(),
                None => "/dev/null".to_owned(),
            };
            (text.into_owned(), name)
        };
        let ((old, old_name), (new, new_name)) = (side(&self.before), side(&self.after));
        let diff = similar::TextDiff::from_lines(&old, &new);
        diff.unified_diff().context_radius(3).header(&old_name, &new_name).to_string()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("nothing was changed")]
    Edit(#[from] EditError),
    #[error("{0}; nothing was changed")]
    Odd(String),
    #[error(
        "{path} is not the file that was planned for: somebody changes it now; nothing was changed, run this again"
    )]
    Moved { path: PathBuf },
    #[error("the result would not hold, so nothing was changed")]
    Refused(#[source] VerifyError),
    #[error("the result does not hold, so all of it was put back")]
    PutBack(#[source] VerifyError),
    #[error("our own file would not hold: {0}; nothing was changed")]
    Own(String),
    #[error("the journal {path} cannot be used")]
    Journal { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Lock(#[from] crate::disk::LockError),
}

/// None where the file is not there. Blocks.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}
