use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{migrations, told};
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

/// Reads a copy of a ledger as one that is to take its place.
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

fn open_existing(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch("PRAGMA trusted_schema = OFF;")?;
    Ok(db)
}

fn query(path: &Path, source: rusqlite::Error) -> Error {
    told(path, sqlite::Error::Query { path: path.to_owned(), source })
}
