//! The files below a directory, with the names that Graphite has for them.

use std::fs::ReadDir;
use std::path::{Path, PathBuf};

use super::Error;

/// Nodes that a name may have.
const MAX_DEPTH: usize = 32;

/// A whisper file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// Its nodes with dots between.
    pub name: String,
}

/// Walks a tree. Links are not followed: they may lead in circles, and out of
/// the tree. Holds a directory open for each level and no more.
#[derive(Debug)]
pub struct Tree {
    levels: Vec<(PathBuf, String, ReadDir)>,
}

impl Tree {
    /// `name` is that of the directory itself, such as `nagios`.
    pub fn open(directory: &Path, name: &str) -> Result<Self, Error> {
        let entries = list(directory)?;
        Ok(Self { levels: vec![(directory.to_owned(), name.to_owned(), entries)] })
    }
}

fn list(path: &Path) -> Result<ReadDir, Error> {
    std::fs::read_dir(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

impl Iterator for Tree {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let depth = self.levels.len();
            let (directory, head, entries) = self.levels.last_mut()?;
            let entry = match entries.next() {
                None => {
                    self.levels.pop();
                    continue;
                }
                Some(Ok(entry)) => entry,
                Some(Err(source)) => {
                    let path = directory.clone();
                    self.levels.pop();
                    return Some(Err(Error::Read { path, source }));
                }
            };
            // Not of what a link leads to.
            let Ok(kind) = entry.file_type() else { continue };
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            let node = match kind.is_dir() {
                true => Some(file_name),
                false => file_name.strip_suffix(".wsp").filter(|_| kind.is_file()),
            };
            let Some(node) = node else { continue };
            let name = if head.is_empty() { node.to_owned() } else { format!("{head}.{node}") };
            let path = entry.path();
            if !kind.is_dir() {
                return Some(Ok(Found { path, name }));
            }
            if depth == MAX_DEPTH {
                continue;
            }
            match list(&path) {
                Ok(entries) => self.levels.push((path, name, entries)),
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}
