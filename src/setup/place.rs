//! One edit on disk: durable, and with the mode and owner that the file has.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown};
use std::path::Path;

use crate::disk;

use super::{Directory, Edit, Error, read};

/// Fails where the file is not as the edit knows it.
pub(super) fn put(edit: &Edit) -> Result<(), Error> {
    if read(&edit.path)? != edit.before {
        return Err(Error::Moved { path: edit.path.clone() });
    }
    write(&edit.path, edit.after.as_deref())
        .map_err(|source| Error::Write { path: edit.path.clone(), source })
}

/// The same the other way round.
pub(super) fn put_back(edit: &Edit) -> Result<(), Error> {
    let (path, kind) = (edit.path.clone(), edit.kind);
    let (before, after) = (edit.after.clone(), edit.before.clone());
    put(&Edit { path, before, after, kind })
}

fn write(path: &Path, bytes: Option<&[u8]>) -> io::Result<()> {
    let Some(bytes) = bytes else {
        std::fs::remove_file(path)?;
        return disk::sync_parent(path);
    };
    let there = path.metadata().ok();
    let staged = disk::staged_name(path);
    disk::stage(&staged, bytes, |file| {
        let mode = match &there {
            Some(meta) => {
                // Only root may give a file away, and only root edits these.
                fchown(file, Some(meta.uid()), Some(meta.gid()))?;
                meta.mode() & 0o7777
            }
            None => 0o644,
        };
        file.set_permissions(Permissions::from_mode(mode))
    })?;
    disk::publish(&staged, path)
}

pub(super) fn make(directory: &Directory) -> Result<(), Error> {
    let Directory { path, mode, owner, group } = directory;
    let made = match std::fs::create_dir(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made,
    };
    made.and_then(|()| {
        chown(path, *owner, *group)?;
        // After the owner: a change of owner takes the setgid bit away.
        std::fs::set_permissions(path, Permissions::from_mode(*mode))?;
        disk::sync_parent(path)
    })
    .map_err(|source| Error::Write { path: path.clone(), source })
}
