use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::LEASE_LENGTH;
use crate::{settings, sqlite};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("[store] {key} {reason}")]
    Config { key: &'static str, reason: String },
    #[error("the password for the ledger's database is not to be had")]
    Secret(#[from] settings::SecretError),
    #[error("the TLS connection to the ledger's database cannot be set up")]
    Tls(#[from] crate::tls::Error),
    #[error("the ledger's database cannot be used")]
    Sqlite(#[from] sqlite::Error),
    #[error(
        "the ledger {path} is damaged ({found}); stop weather-balloon, keep a copy of the file and restore a backup"
    )]
    Damaged { path: PathBuf, found: String },
    #[error(
        "the disk of the ledger {path} is full; make room, nothing was changed and it goes on by itself"
    )]
    Full { path: PathBuf },
    #[error("the ledger's lock {path} cannot be taken")]
    Lock { path: PathBuf, source: io::Error },
    #[error(
        "PostgreSQL at {server} cannot be reached; is it running, and may this host and user log in? The next try is in {retry:?}"
    )]
    Unreachable { server: String, retry: Duration, source: PostgresFault },
    #[error(
        "PostgreSQL at {server} was not reached a moment ago ({fault}); the next try is in {retry:?}"
    )]
    Waiting { server: String, retry: Duration, fault: String },
    #[error("PostgreSQL at {server} did not finish within {limit:?}; it may be busy or hang")]
    Late { server: String, limit: Duration },
    #[error(
        "all connections to PostgreSQL at {server} are in use; raise pool_size in [store] or look for slow statements"
    )]
    Busy { server: String },
    #[error("PostgreSQL at {server} refused a statement")]
    Postgres { server: String, source: tokio_postgres::Error },
    #[error(
        "the ledger at {server} was written by a newer weather-balloon; upgrade the program or restore a backup of its version"
    )]
    Newer { server: String },
    #[error(
        "the ledger at {server} cannot be brought to this version's schema; the data in it is as it was"
    )]
    Migrate { server: String, source: Box<refinery::Error> },
    #[error("the ledger holds something that it should not: {0}; restore a backup")]
    Spoiled(String),
    #[error("another weather-balloon, \"{holder}\", writes the ledger now; nothing was changed")]
    LeaseLost { holder: String },
    #[error(
        "another listing of the cloud \"{cloud}\" was recorded in the meantime; nothing was changed, look again"
    )]
    Moved { cloud: String },
    #[error("there is no ledger at {path}")]
    NoLedger { path: PathBuf },
    #[error(
        "weather-balloon, \"{holder}\", writes the ledger {ledger} now; stop it first. A killed one lets go within {LEASE_LENGTH:?}"
    )]
    Held { ledger: String, holder: String },
    #[error(
        "the ledger {ledger} is not empty ({segments} segments, revision {revision}); nothing was copied. Copy into a new file or database"
    )]
    Occupied { ledger: String, segments: i64, revision: i64 },
    #[error(
        "the copy in {ledger} differs from what was read ({table}: {wanted} wanted, {found} found); it was given up and nothing was changed"
    )]
    Differs { ledger: String, table: &'static str, wanted: String, found: String },
    #[error("the 2014 tables in {database} cannot be used: {reason}")]
    NoTables { database: String, reason: String },
    #[error("{path} is not a backup of a ledger")]
    BadBackup { path: PathBuf, source: sqlite::SnapshotFault },
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum PostgresFault {
    #[error(transparent)]
    Refused(#[from] tokio_postgres::Error),
    #[error("no answer in time")]
    NoAnswer,
}
