//! Several files that take the places of others together: after a crash at any
//! instant either none has, or finishing it makes all of them.

use std::io;
use std::path::{Path, PathBuf};

use super::{parent, replace, sync_parent};

/// One file's way. All three are in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Whole and durable.
    pub staged: PathBuf,
    pub target: PathBuf,
    /// Where the target's old file goes, if there is one.
    pub aside: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    #[error("{path} cannot be renamed or removed")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is to say which files take which places, and cannot be read: {reason}")]
    Journal { path: PathBuf, reason: String },
}

/// In the directory that is asked for whether something is left to do.
const JOURNAL: &str = "replacing";
/// Files beside an SQLite database that belong to it and to no other.
const SIDES: [&str; 2] = ["-wal", "-shm"];

/// Puts all in their places. `directory` is where a crash is found out later.
pub fn swap(directory: &Path, swaps: &[Swap]) -> Result<(), SwapError> {
    let journal = directory.join(JOURNAL);
    let lines: Vec<_> =
        swaps.iter().flat_map(|one| [&one.staged, &one.target, &one.aside]).collect();
    let text = serde_json::to_vec(&lines)
        .map_err(|fault| SwapError::Journal { path: journal.clone(), reason: fault.to_string() })?;
    replace(&journal, &text, 0o600)
        .map_err(|source| SwapError::Io { path: journal.clone(), source })?;
    finish(&journal, swaps)
}

/// Whether a crash left files between their places.
pub fn swap_is_pending(directory: &Path) -> bool {
    directory.join(JOURNAL).exists()
}

/// Goes on where a crash ended [`swap`]. Returns whether there was anything.
/// Root must allow no other targets than its own: whoever can write the
/// directory could have left the journal.
pub fn finish_swap(directory: &Path, allow: impl Fn(&Path) -> bool) -> Result<bool, SwapError> {
    let journal = directory.join(JOURNAL);
    let text = match std::fs::read(&journal) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read.map_err(|source| SwapError::Io { path: journal.clone(), source })?,
    };
    let bad = |reason: String| SwapError::Journal { path: journal.clone(), reason };
    let names: Vec<PathBuf> =
        serde_json::from_slice(&text).map_err(|fault| bad(fault.to_string()))?;
    let (threes, []) = names.as_chunks::<3>() else { return Err(bad("it is cut off".to_owned())) };
    let swaps: Vec<_> = threes
        .iter()
        .cloned()
        .map(|[staged, target, aside]| Swap { staged, target, aside })
        .collect();
    for Swap { staged, target, aside } in &swaps {
        if !allow(target) || parent(staged) != parent(target) || parent(aside) != parent(target) {
            return Err(bad(format!("it names {}", target.display())));
        }
    }
    finish(&journal, &swaps)?;
    Ok(true)
}

fn finish(journal: &Path, swaps: &[Swap]) -> Result<(), SwapError> {
    for Swap { staged, target, aside } in swaps {
        let wrap = |source| SwapError::Io { path: target.clone(), source };
        // Its absence tells that the target is the new one already.
        if staged.try_exists().map_err(wrap)? {
            rename_if_there(target, aside).map_err(wrap)?;
            for side in SIDES {
                rename_if_there(&beside(target, side), &beside(aside, side)).map_err(wrap)?;
            }
            // A journal that stays beside another database is played into it.
            sync_parent(target).map_err(wrap)?;
            std::fs::rename(staged, target).map_err(wrap)?;
        }
        sync_parent(target).map_err(wrap)?;
    }
    let wrap = |source| SwapError::Io { path: journal.to_owned(), source };
    std::fs::remove_file(journal).map_err(wrap)?;
    sync_parent(parent(journal)).map_err(wrap)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn beside(path: &Path, side: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(side);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        replace(path, text.as_bytes(), 0o600).unwrap();
    }

    fn of(dir: &Path, name: &str) -> Swap {
        let path = |suffix: &str| dir.join(format!("{name}{suffix}"));
        let (staged, target, aside) = (path(".staged"), path(""), path(".old"));
        write(&staged, "new");
        write(&target, "old");
        write(&path("-wal"), "log");
        Swap { staged, target, aside }
    }

    /// Everything in the directory, by name.
    fn found(dir: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let text = std::fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn it_ends_the_same_wherever_it_stopped() {
        let whole = tempfile::tempdir().unwrap();
        let swaps = ["a", "b"].map(|name| of(whole.path(), name));
        swap(whole.path(), &swaps).unwrap();
        let wanted = found(whole.path());
        assert_eq!(
            wanted.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>(),
            [
                ("a", "new"),
                ("a.old", "old"),
                ("a.old-wal", "log"),
                ("b", "new"),
                ("b.old", "old"),
                ("b.old-wal", "log"),
            ]
        );
        // Three renames of each: as many of them are done as a crash lets.
        for done in 0..=6 {
            let dir = tempfile::tempdir().unwrap();
            let swaps = ["a", "b"].map(|name| of(dir.path(), name));
            let names: Vec<_> =
                swaps.iter().flat_map(|s| [&s.staged, &s.target, &s.aside]).collect();
            replace(&dir.path().join(JOURNAL), &serde_json::to_vec(&names).unwrap(), 0o600)
                .unwrap();
            let renames = swaps.iter().flat_map(|s| {
                [
                    (s.target.clone(), s.aside.clone()),
                    (beside(&s.target, "-wal"), beside(&s.aside, "-wal")),
                    (s.staged.clone(), s.target.clone()),
                ]
            });
            for (from, to) in renames.take(done) {
                std::fs::rename(from, to).unwrap();
            }
            assert!(swap_is_pending(dir.path()));
            assert!(finish_swap(dir.path(), |target| target == dir.path()).is_err());
            assert!(finish_swap(dir.path(), |_| true).unwrap());
            assert_eq!(found(dir.path()), wanted, "after {done} renames");
            assert!(!finish_swap(dir.path(), |_| true).unwrap());
        }
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["", "[\"a\"]", "{}"] {
            write(&dir.path().join(JOURNAL), bad);
            assert!(finish_swap(dir.path(), |_| true).is_err(), "{bad:?}");
            assert!(swap_is_pending(dir.path()));
        }
    }
}
