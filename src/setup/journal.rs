//! What setup changed, with the files as they were: beside our configuration,
//! where only root writes. It is on disk before the first edit is.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk::{self, DirLock};

use super::{Edit, Error, Kind, Plan, read};

const NAME: &str = "journal.json";

/// Held by one setup at a time.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    kept: Kept,
    _lock: DirLock,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Of the files beside this one; never used twice.
    next: u64,
    records: Vec<Record>,
    /// Made by setup, parents first.
    directories: Vec<PathBuf>,
}

/// One file, in the order in which it was edited.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub path: PathBuf,
    pub kind: RecordKind,
    /// The file here that has it as it was; None: it was not there.
    pub before: Option<String>,
    /// SHA-256 of it as setup left it.
    pub after: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RecordKind {
    Objects,
    Main,
    Carbon,
    Own,
}

impl From<Kind> for RecordKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NagiosObjects => Self::Objects,
            Kind::NagiosMain => Self::Main,
            Kind::Carbon => Self::Carbon,
            Kind::Own => Self::Own,
        }
    }
}

impl From<RecordKind> for Kind {
    fn from(kind: RecordKind) -> Self {
        match kind {
            RecordKind::Objects => Self::NagiosObjects,
            RecordKind::Main => Self::NagiosMain,
            RecordKind::Carbon => Self::Carbon,
            RecordKind::Own => Self::Own,
        }
    }
}

impl Journal {
    /// Blocks.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let write = |source| Error::Write { path: dir.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(write)?;
        let lock = DirLock::take(dir)?;
        let path = dir.join(NAME);
        let kept = match read(&path)? {
            None => Kept::default(),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| Error::Journal { path, source })?
            }
        };
        Ok(Self { dir: dir.to_owned(), kept, _lock: lock })
    }

    /// For candidates that Nagios judges.
    pub(super) fn scratch(&self) -> PathBuf {
        self.dir.join("proof")
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.kept.records
    }

    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.kept.directories
    }

    pub fn is_empty(&self) -> bool {
        self.kept.records.is_empty() && self.kept.directories.is_empty()
    }

    /// Notes the whole plan, with the files as they are now. A file that is
    /// still as an earlier setup left it keeps its first state.
    pub(super) fn note(&mut self, plan: &Plan) -> Result<(), Error> {
        for edit in &plan.edits {
            let now = edit.before.as_deref().map(digest);
            let known = self.kept.records.iter().position(|record| record.path == edit.path);
            let left = known.map(|at| self.kept.records.remove(at));
            let before = match left {
                Some(record) if now.as_ref() == Some(&record.after) => record.before,
                _ => self.keep(edit)?,
            };
            let after = edit.after.as_deref().map(digest).unwrap_or_default();
            let (path, kind) = (edit.path.clone(), edit.kind.into());
            self.kept.records.push(Record { path, kind, before, after });
        }
        for directory in &plan.directories {
            if !self.kept.directories.contains(&directory.path) {
                self.kept.directories.push(directory.path.clone());
            }
        }
        self.store()
    }

    fn keep(&mut self, edit: &Edit) -> Result<Option<String>, Error> {
        let Some(bytes) = &edit.before else { return Ok(None) };
        let base = edit.path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{:03}-{base}", self.kept.next);
        self.kept.next += 1;
        let path = self.dir.join(&name);
        let mode = edit.path.metadata().map_or(0o600, |meta| meta.mode() & 0o7777);
        disk::replace(&path, bytes, mode).map_err(|source| Error::Write { path, source })?;
        Ok(Some(name))
    }

    /// The file as it was; None: it was not there.
    pub(super) fn before(&self, record: &Record) -> Result<Option<Vec<u8>>, Error> {
        let Some(name) = &record.before else { return Ok(None) };
        let path = self.backup(name);
        let bytes = std::fs::read(&path).map_err(|source| Error::Read { path, source })?;
        Ok(Some(bytes))
    }

    pub(super) fn backup(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn forget(&mut self, path: &Path) -> Result<(), Error> {
        self.kept.records.retain(|record| record.path != path);
        self.store()
    }

    pub(super) fn forget_directory(&mut self, path: &Path) -> Result<(), Error> {
        self.kept.directories.retain(|directory| directory != path);
        self.store()
    }

    fn store(&self) -> Result<(), Error> {
        let path = self.dir.join(NAME);
        let text = serde_json::to_vec_pretty(&self.kept)
            .map_err(|source| Error::Journal { path: path.clone(), source })?;
        disk::replace(&path, &text, 0o600).map_err(|source| Error::Write { path, source })
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
