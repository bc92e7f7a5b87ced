use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{lock, migrations, told};
use crate::disk;
use crate::sqlite;
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

/// VACUUM INTO reads one moment of the file while it is written on.
pub(super) fn write(path: &Path, target: &Path) -> Result<(), Error> {
    let staged = disk::staged_name(target);
    let wrap = |source| Error::Backup { path: target.to_owned(), source };
    disk::stage(&staged, &[], |_| Ok(())).map_err(wrap)?;
    let written = (|| {
        let db = open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.execute("VACUUM INTO ?1", [staged.to_string_lossy()])
    })();
    let durable = written
        .map_err(|fault| match fault.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                wrap(io::Error::new(io::ErrorKind::StorageFull, fault))
            }
            _ => query(path, fault),
        })
        .and_then(|_| File::open(&staged).and_then(|file| file.sync_all()).map_err(wrap))
        .and_then(|()| disk::publish(&staged, target).map_err(wrap));
    if durable.is_err() {
        // The first fault is the one to report; the next backup truncates it.
        let _ = std::fs::remove_file(&staged);
    }
    durable
}

/// Reads a file as `restore` would, and changes nothing.
pub fn check_backup(file: &Path) -> Result<Backup, Error> {
    let bad = |reason: String| Error::BadBackup { path: file.to_owned(), reason };
    let db = open_existing(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|fault| bad(fault.to_string()))?;
    let ask = |sql: &str| db.query_row(sql, [], |row| row.get(0)).optional();
    let found: Option<String> = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .optional()
        .map_err(|fault| bad(format!("it is damaged ({fault})")))?;
    if found.as_deref() != Some("ok") {
        return Err(bad(format!("it is damaged ({})", found.unwrap_or_default())));
    }
    let orphan = db
        .query_row("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0))
        .optional()
        .map_err(|fault| bad(fault.to_string()))?;
    if let Some(table) = orphan {
        return Err(bad(format!("a row of {table} refers to nothing")));
    }
    let number = |sql: &str| -> Result<i64, Error> {
        let found: Option<i64> = ask(sql).map_err(|fault| bad(fault.to_string()))?;
        found.ok_or_else(|| bad("it is empty".to_owned()))
    };
    let schema = number("SELECT max(version) FROM refinery_schema_history")?;
    let schema = i32::try_from(schema).unwrap_or(i32::MAX);
    let newest = migrations::runner().get_migrations().iter().map(|one| one.version()).max();
    if newest.is_none_or(|newest| schema > newest) {
        return Err(bad("a newer weather-balloon wrote it; upgrade the program first".to_owned()));
    }
    Ok(Backup {
        schema,
        revision: number("SELECT revision FROM ledger")?,
        segments: number("SELECT count(*) FROM segment WHERE deleted = 0")?,
    })
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
