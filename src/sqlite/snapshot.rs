use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

#[derive(Debug, thiserror::Error)]
pub enum SnapshotFault {
    #[error("the disk of the copy is full; make room")]
    Full(#[source] rusqlite::Error),
    #[error("SQLite cannot read or copy it")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the copy cannot be written")]
    Io(#[from] io::Error),
    #[error("it is damaged ({0})")]
    Damaged(String),
    #[error("it is damaged")]
    Unreadable(#[source] rusqlite::Error),
    #[error("a row of {0} refers to nothing")]
    Orphan(String),
    #[error("it is none of weather-balloon's databases")]
    Foreign(#[source] rusqlite::Error),
    #[error("a newer weather-balloon wrote it; upgrade the program first")]
    Newer,
}

/// Copies one moment of a database that may be written on meanwhile. `to` must
/// be an empty file or absent; it is durable afterwards. Blocks.
pub fn snapshot(from: &Path, to: &Path) -> Result<(), SnapshotFault> {
    let db = open_existing(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(|fault| {
        match fault.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => SnapshotFault::Full(fault),
            _ => SnapshotFault::Sqlite(fault),
        }
    })?;
    File::open(to)?.sync_all()?;
    Ok(())
}

/// Proves that a file is a sound database of these migrations or of older
/// ones, and gives its schema's version. Changes nothing. Blocks.
pub fn examine(file: &Path, migrations: &refinery::Runner) -> Result<i32, SnapshotFault> {
    let db = open_existing(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found: Option<String> = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .optional()
        .map_err(SnapshotFault::Unreadable)?;
    if found.as_deref() != Some("ok") {
        return Err(SnapshotFault::Damaged(found.unwrap_or_default()));
    }
    let orphan =
        db.query_row("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0)).optional()?;
    if let Some(table) = orphan {
        return Err(SnapshotFault::Orphan(table));
    }
    let schema: Option<i32> = db
        .query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
        .map_err(SnapshotFault::Foreign)?;
    let newest = migrations.get_migrations().iter().map(|one| one.version()).max();
    match schema {
        None => Err(SnapshotFault::Damaged("it has no schema".to_owned())),
        Some(schema) if newest.is_none_or(|newest| schema > newest) => Err(SnapshotFault::Newer),
        Some(schema) => Ok(schema),
    }
}

fn open_existing(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch("PRAGMA trusted_schema = OFF;")?;
    Ok(db)
}
