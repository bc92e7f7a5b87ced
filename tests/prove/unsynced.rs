//! What may be on a disk after its power went: every write and every change of
//! a name that no sync had made durable is there or is not, each for itself and
//! in any order, and the last one of a file may be there in part.
//!
//! The model is harsher than ext4 and XFS are: it orders nothing but what a
//! sync of the same file or directory orders. Only the making of a directory
//! is taken as durable at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::common::nagios::Account;
use super::record::{Change, Recorded};

#[derive(Clone, Debug)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Files below some directories, by name and by inode.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    names: BTreeMap<PathBuf, u64>,
    contents: BTreeMap<u64, Arc<Vec<u8>>>,
    directories: BTreeMap<PathBuf, (u64, Meta)>,
    metas: BTreeMap<u64, Meta>,
}

impl Disk {
    /// As these directories are now.
    pub fn of(roots: &[&Path]) -> Self {
        let mut disk = Self::default();
        for root in roots {
            disk.enter(root);
        }
        disk
    }

    fn enter(&mut self, at: &Path) {
        let found = fs::symlink_metadata(at).unwrap();
        let meta = Meta { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() };
        if found.is_dir() {
            self.directories.insert(at.to_owned(), (found.ino(), meta));
            for entry in fs::read_dir(at).unwrap() {
                self.enter(&entry.unwrap().path());
            }
        } else if found.is_file() && !at.to_string_lossy().ends_with("-shm") {
            self.names.insert(at.to_owned(), found.ino());
            self.contents.insert(found.ino(), fs::read(at).unwrap().into());
            self.metas.insert(found.ino(), meta);
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { inode, offset, bytes } => {
                let content = Arc::make_mut(self.contents.entry(*inode).or_default());
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Change::Truncate { inode, length } => {
                Arc::make_mut(self.contents.entry(*inode).or_default()).resize(*length, 0);
            }
            Change::Create { inode, path } | Change::Link { inode, to: path } => {
                self.names.insert(path.clone(), *inode);
            }
            Change::Rename { inode, from, to } => {
                if self.names.get(from) == Some(inode) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), *inode);
            }
            Change::Unlink { path } => {
                self.names.remove(path);
            }
            Change::Directory { path } => {
                let meta = Meta { mode: 0o755, uid: 0, gid: 0 };
                self.directories.entry(path.clone()).or_insert((0, meta));
            }
            Change::Sync { .. } => {}
        }
    }

    pub fn file(&self, path: &Path) -> Option<&[u8]> {
        let inode = self.names.get(path)?;
        Some(self.contents.get(inode).map_or(&[][..], |content| content.as_slice()))
    }

    /// Two disks that are equal have one.
    fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for path in self.names.keys() {
            let bytes = self.file(path).unwrap();
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        hasher.finalize().into()
    }

    /// Makes the directories hold this and nothing else.
    pub fn lay_out(&self, roots: &[&Path], like: &BTreeMap<PathBuf, (u32, u32, u32)>) {
        for root in roots {
            for entry in fs::read_dir(root).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    fs::remove_dir_all(path).unwrap();
                } else {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        let give = |path: &Path| {
            if let Some((mode, uid, gid)) = like.get(path) {
                std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            } else {
                Account::of_nagios().give(path);
            }
        };
        for path in self.directories.keys() {
            fs::create_dir_all(path).unwrap();
            give(path);
        }
        for path in self.names.keys() {
            if path.parent().is_some_and(Path::is_dir) {
                fs::write(path, self.file(path).unwrap()).unwrap();
                give(path);
            }
        }
    }
}

/// Owner and mode of everything that was there at the end of the run.
pub fn owners(roots: &[&Path]) -> BTreeMap<PathBuf, (u32, u32, u32)> {
    let disk = Disk::of(roots);
    let files = disk.names.iter().map(|(path, inode)| (path, &disk.metas[inode]));
    let directories = disk.directories.iter().map(|(path, (_, meta))| (path, meta));
    files
        .chain(directories)
        .map(|(path, meta)| (path.clone(), (meta.mode, meta.uid, meta.gid)))
        .collect()
}

/// A state that a power cut may leave, and after how much of the record.
pub struct Left {
    pub disk: Disk,
    pub after: u64,
    pub of: String,
}

/// All subsets up to so many changes that are not durable; of more than that
/// each one dropped, each one alone, each beginning, and some by chance.
const ALL_SUBSETS: usize = 8;
const BY_CHANCE: u64 = 64;

/// Every state that is different, and how many cuts of the power were tried.
/// Of equal states the latest counts: no earlier moment asks more of them.
pub fn states(before: &Disk, record: &[Recorded]) -> (Vec<Left>, u64) {
    let mut durable = before.clone();
    let mut open: Vec<Change> = Vec::new();
    let (mut found, mut cuts) = (BTreeMap::new(), 0);
    let mut dice = 0x5EED_u64;
    for (at, one) in record.iter().enumerate() {
        settle(&mut durable, &mut open, &one.change);
        for chosen in subsets(open.len(), &mut dice) {
            for torn in [false, true] {
                let Some(disk) = cut(&durable, &open, &chosen, torn) else { continue };
                cuts += 1;
                let bits: String = chosen.iter().map(|is| if *is { '1' } else { '0' }).collect();
                let of = format!("change {at}, of what was not synced {bits:?}, torn: {torn}");
                found.insert(disk.digest(), Left { disk, after: one.end, of });
            }
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|left| left.after);
    (found, cuts)
}

fn settle(durable: &mut Disk, open: &mut Vec<Change>, change: &Change) {
    match change {
        Change::Sync { inode, path } => {
            let is_directory = durable.directories.contains_key(path);
            open.retain(|one| {
                let settled = match one {
                    Change::Write { inode: of, .. } | Change::Truncate { inode: of, .. } => {
                        of == inode
                    }
                    Change::Create { path: name, .. }
                    | Change::Unlink { path: name }
                    | Change::Link { to: name, .. } => is_directory && name.parent() == Some(path),
                    Change::Rename { to, .. } => is_directory && to.parent() == Some(path),
                    Change::Directory { .. } | Change::Sync { .. } => true,
                };
                if settled {
                    durable.apply(one);
                }
                !settled
            });
        }
        Change::Directory { .. } => durable.apply(change),
        other => open.push(other.clone()),
    }
}

fn subsets(count: usize, dice: &mut u64) -> Vec<Vec<bool>> {
    if count <= ALL_SUBSETS {
        return (0..1_u32 << count)
            .map(|bits| (0..count).map(|at| bits & (1 << at) != 0).collect())
            .collect();
    }
    let mut chosen = vec![vec![false; count], vec![true; count]];
    for one in 0..count {
        chosen.push((0..count).map(|at| at != one).collect());
        chosen.push((0..count).map(|at| at == one).collect());
        chosen.push((0..count).map(|at| at < one).collect());
    }
    for _ in 0..BY_CHANCE {
        let mut pick = || {
            *dice ^= *dice << 13;
            *dice ^= *dice >> 7;
            *dice ^= *dice << 17;
            *dice & 1 == 1
        };
        chosen.push((0..count).map(|_| pick()).collect());
    }
    chosen
}

/// `torn`: the last of the chosen writes came to its half only. None where
/// there is none.
fn cut(durable: &Disk, open: &[Change], chosen: &[bool], torn: bool) -> Option<Disk> {
    let mut disk = durable.clone();
    let is_write = |at: &usize| chosen[*at] && matches!(open[*at], Change::Write { .. });
    let last = (0..open.len()).rev().find(is_write);
    if torn && last.is_none() {
        return None;
    }
    for (at, change) in open.iter().enumerate().filter(|(at, _)| chosen[*at]) {
        match change {
            Change::Write { inode, offset, bytes } if torn && Some(at) == last => {
                let bytes = bytes[..bytes.len() / 2].to_vec();
                disk.apply(&Change::Write { inode: *inode, offset: *offset, bytes });
            }
            whole => disk.apply(whole),
        }
    }
    Some(disk)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn recorded(changes: Vec<Change>) -> Vec<Recorded> {
        (1..).zip(changes).map(|(end, change)| Recorded { change, end }).collect()
    }

    fn replace(syncs_file: bool, syncs_directory: bool) -> Vec<Change> {
        let path = |name: &str| PathBuf::from(format!("/d/{name}"));
        let mut changes = vec![
            Change::Create { inode: 2, path: path("new") },
            Change::Write { inode: 2, offset: 0, bytes: b"new!".to_vec() },
        ];
        if syncs_file {
            changes.push(Change::Sync { inode: 2, path: path("new") });
        }
        changes.push(Change::Rename { inode: 2, from: path("new"), to: path("live") });
        if syncs_directory {
            changes.push(Change::Sync { inode: 9, path: "/d".into() });
        }
        changes
    }

    fn live(changes: Vec<Change>) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
        let mut before = Disk::default();
        let meta = Meta { mode: 0, uid: 0, gid: 0 };
        before.directories.insert("/d".into(), (9, meta));
        before.names.insert("/d/live".into(), 1);
        before.contents.insert(1, b"old!".to_vec().into());
        let record = recorded(changes);
        let end = record.last().unwrap().end;
        let (states, _) = states(&before, &record);
        let file = |left: &Left| left.disk.file(Path::new("/d/live")).unwrap().to_vec();
        let all = states.iter().map(file).collect();
        (all, states.iter().filter(|left| left.after == end).map(file).collect())
    }

    #[test]
    fn the_model_sees_each_missing_sync() {
        let set = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(live(replace(true, true)), (set(&["old!", "new!"]), set(&["new!"])));
        assert!(live(replace(true, false)).1.contains(&b"old!"[..]));
        let (all, _) = live(replace(false, true));
        assert!(all.contains(&b""[..]) && all.contains(&b"ne"[..]), "{all:?}");
    }
}
