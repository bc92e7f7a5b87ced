//! This appliance's own state, in SQLite: the generations of each source's
//! hosts, what of them is on disk and proved, how far the perfdata went, and
//! which absences are held. What Nagios watches comes from here and from
//! nowhere else.

mod absences;
mod generations;
mod host_set;
mod shipped;
mod trail;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::disk::{self, DirLock, LockError, SwapError};
use crate::sqlite::{self, Database, SnapshotFault};

pub use absences::{Absence, Held, HeldBy};
pub use generations::{
    Applied, Generation, GenerationState, Judgement, LiveSet, NewGeneration, Recorded, Snapshot,
};
pub use shipped::{Shipped, ShippedFile};

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub directory: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { directory: "/var/lib/weather-balloon".into() }
    }
}

impl Config {
    /// Every fault, as (key, reason).
    pub fn check(&self) -> Vec<(&'static str, String)> {
        if self.directory.is_absolute() {
            Vec::new()
        } else {
            vec![("directory", format!("{:?} is not an absolute path", self.directory))]
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the state directory {path} cannot be used; it must exist and belong to this user")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("a restore was interrupted and cannot be finished; run it again as root")]
    Restore(#[from] SwapError),
    #[error("the state database cannot be used")]
    Database(#[from] sqlite::Error),
}

/// The state directory, owned by this process while the value lives.
#[derive(Debug)]
pub struct State {
    database: Database,
    directory: PathBuf,
    _lock: DirLock,
}

refinery::embed_migrations!("src/state/migrations");

impl State {
    pub const DATABASE_NAME: &str = "state.db";

    /// Takes the directory, opens the database and migrates it. A damaged one
    /// is refused: what is missing in it would go from the hosts file. Blocks.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let directory = &config.directory;
        std::fs::create_dir_all(directory)
            .map_err(|source| Error::Directory { path: directory.clone(), source })?;
        let lock = DirLock::take(directory)?;
        disk::finish_swap(directory, |_| true)?;
        let database = Database::open(&directory.join(Self::DATABASE_NAME), migrations::runner())?;
        database.examine()?;
        Ok(Self { database, directory: directory.clone(), _lock: lock })
    }

    /// Reads a copy of the database as a restore would, and gives its schema's
    /// version. Blocks.
    pub fn check_backup(file: &Path) -> Result<i32, SnapshotFault> {
        sqlite::examine(file, &migrations::runner())
    }

    /// Whether the database can be written, without writing to it.
    pub async fn probe(&self) -> Result<(), Error> {
        use rusqlite::TransactionBehavior::Immediate;
        Ok(self.database.call(|db| db.transaction_with_behavior(Immediate)?.rollback()).await?)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn to_millis(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

fn from_millis(millis: i64) -> SystemTime {
    let span = Duration::from_millis(millis.unsigned_abs());
    let shifted = if millis < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    };
    shifted.unwrap_or(SystemTime::UNIX_EPOCH)
}
