//! Puts back what setup has changed, and nothing that others changed since.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::nagios::Config;

use super::apply::prove_the_way;
use super::journal::{RecordKind, digest};
use super::place::put;
use super::plan::resolved;
use super::{Edit, Error, Journal, Kind, read};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    pub restored: Vec<PathBuf>,
    /// Changed by others since, each with where it is kept as it was before;
    /// none of them was touched.
    pub left: Vec<(PathBuf, Option<PathBuf>)>,
    /// Stay because a file that was left needs them.
    pub needed: Vec<PathBuf>,
}

pub async fn undo(nagios: &Config, journal: &mut Journal) -> Result<Undone, Error> {
    let mut undone = Undone::default();
    let mut edits: Vec<Edit> = Vec::new();
    let mut settled = Vec::new();
    let mut main_stays = false;
    let mut staged = Vec::new();
    for record in journal.records().iter().rev() {
        staged.push(disk::staged_name(&record.path));
        let now = read(&record.path)?;
        let before = journal.before(record)?;
        if now == before {
            settled.push(record.path.clone());
        } else if now.as_deref().map(digest).as_ref() == Some(&record.after) {
            let (path, kind) = (record.path.clone(), Kind::from(record.kind));
            edits.push(Edit { path, before: now, after: before, kind });
        } else {
            let kept = record.before.as_ref().map(|name| journal.backup(name));
            main_stays |= record.kind == RecordKind::Main;
            undone.left.push((record.path.clone(), kept));
        }
    }
    if main_stays {
        // It names commands that stand in them.
        let (stay, go) = edits.into_iter().partition(|edit| edit.kind == Kind::NagiosObjects);
        edits = go;
        let stay: Vec<Edit> = stay;
        undone.needed.extend(stay.into_iter().map(|edit| edit.path));
    }
    hosts_file(nagios, &mut edits)?;
    prove_the_way(&edits, nagios, journal).await?;
    // While the journal still knows the files that they belong to.
    for path in staged {
        drop_staged(&path)?;
    }
    for edit in &edits {
        put(edit)?;
        journal.forget(&edit.path)?;
        undone.restored.push(edit.path.clone());
    }
    for path in settled {
        journal.forget(&path)?;
    }
    // What others keep in a directory of ours keeps the directory.
    for path in journal.directories().to_vec().into_iter().rev() {
        if std::fs::remove_dir(&path).is_ok() || !path.exists() {
            journal.forget_directory(&path)?;
        }
    }
    Ok(undone)
}

/// What a setup that was killed had yet to put in a file's place. It would keep
/// the directory.
fn drop_staged(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
            Err(Error::Write { path: path.to_owned(), source: fault })
        }
        _ => Ok(()),
    }
}

/// Rendered hosts need the templates: where those go, they go first. The
/// daemon has them in its state and renders them again.
fn hosts_file(nagios: &Config, edits: &mut Vec<Edit>) -> Result<(), Error> {
    let path = resolved(&nagios.hosts_file);
    let goes = |edit: &Edit| edit.after.is_none() && edit.path.ends_with("atmo-vms.cfg");
    if !edits.iter().any(goes) {
        return Ok(());
    }
    if let Some(bytes) = read(&path)? {
        let (before, kind) = (Some(bytes), Kind::NagiosObjects);
        edits.insert(0, Edit { path, before, after: None, kind });
    }
    Ok(())
}
