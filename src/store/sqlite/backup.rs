use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{lock, migrations, told};
use crate::disk;
use crate::sqlite::{self, SnapshotFault};
use crate::store::Error;

/// What a file that can be restored holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    pub schema: i32,
    pub revision: i64,
    pub segments: i64,
}

/// Pages are compared, not the indexes with their tables: this one is quick
/// enough for every start.
pub(super) fn quick_check(path: &Path) -> Result<(), Error> {
    let db = open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|fault| query(path, fault))?;
    let found: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|fault| query(path, fault))?;
    if found == "ok" { Ok(()) } else { Err(Error::Damaged { path: path.to_owned(), found }) }
}

/// One moment of the file, while it is written on.
pub(super) fn write(path: &Path, target: &Path) -> Result<(), Error> {
    let staged = disk::staged_name(target);
    let wrap = |source| Error::Backup { path: target.to_owned(), source };
    disk::stage(&staged, &[], |_| Ok(())).map_err(wrap)?;
    let durable = sqlite::snapshot(path, &staged)
        .map_err(|source| Error::Snapshot { path: path.to_owned(), source })
        .and_then(|()| disk::publish(&staged, target).map_err(wrap));
    if durable.is_err() {
        // The first fault is the one to report; the next backup truncates it.
        let _ = std::fs::remove_file(&staged);
    }
    durable
}

/// Reads a file as `restore` would, and changes nothing.
pub fn check_backup(file: &Path) -> Result<Backup, Error> {
    let bad = |source| Error::BadBackup { path: file.to_owned(), source };
    let schema = sqlite::examine(file, &migrations::runner()).map_err(bad)?;
    let ask = || -> rusqlite::Result<Backup> {
        let db = open_existing(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let number = |sql: &str| db.query_row(sql, [], |row| row.get(0));
        Ok(Backup {
            schema,
            revision: number("SELECT revision FROM ledger")?,
            segments: number("SELECT count(*) FROM segment WHERE deleted = 0")?,
        })
    };
    ask().map_err(|fault| bad(SnapshotFault::Foreign(fault)))
}

/// Puts a checked backup in the ledger's place. No process may have the ledger
/// open. Returns where the old file went, if there was one.
pub fn restore(backup: &Path, ledger: &Path) -> Result<Option<PathBuf>, Error> {
    check_backup(backup)?;
    let _alone = lock(ledger, Duration::ZERO)?;
    let wrap = |source| Error::Backup { path: ledger.to_owned(), source };
    let staged = disk::staged_name(ledger);
    disk::stage(&staged, &[], |_| Ok(())).map_err(wrap)?;
    std::fs::copy(backup, &staged).map_err(wrap)?;
    private(&staged).map_err(wrap)?;
    check_backup(&staged)?;
    let old = ledger.with_added_extension("before-restore");
    let mut moved = false;
    // The journal goes with its database: beside another one it would be
    // played into that.
    for side in ["", "-wal", "-shm"] {
        let name = |path: &Path| PathBuf::from(format!("{}{side}", path.display()));
        match std::fs::rename(name(ledger), name(&old)) {
            Ok(()) => moved = true,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                // An older one's journal must not stay beside the file.
                match std::fs::remove_file(name(&old)) {
                    Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
                        return Err(wrap(fault));
                    }
                    _ => (),
                }
            }
            Err(fault) => return Err(wrap(fault)),
        }
    }
    disk::publish(&staged, ledger).map_err(wrap)?;
    Ok(moved.then_some(old))
}

fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let file = File::options().write(true).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.sync_all()
}

fn open_existing(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch("PRAGMA trusted_schema = OFF;")?;
    Ok(db)
}

fn query(path: &Path, source: rusqlite::Error) -> Error {
    told(path, sqlite::Error::Query { path: path.to_owned(), source })
}
