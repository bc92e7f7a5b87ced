//! The ledger in one SQLite file.

mod apply;
mod check;
mod read;
mod whole;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, ErrorCode};

use super::kept::named;
use super::{Applied, Error, Lease, MIGRATION_TIMEOUT, Store};
use crate::disk;
use crate::ledger::{Changes, Roster, View};
use crate::model::{CloudRow, FlavorRow, GapRow, ListedRow, SegmentRow, Sighting, UserRow, Window};
use crate::sqlite::{self, Database};

pub use check::{Backup, check_backup};

refinery::embed_migrations!("src/store/sqlite/migrations");

/// Readers have a connection of their own: a large listing that is written
/// keeps no leaderboard waiting.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writer: Database,
    reader: Database,
}

impl SqliteStore {
    /// Opens or creates the file and brings it to the newest schema.
    pub async fn open(path: PathBuf) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking({
            let path = path.clone();
            move || Self::open_blocking(&path)
        });
        opened.await.unwrap_or_else(|_| Err(sqlite::Error::Stopping { path }.into()))
    }

    /// The same; blocks.
    pub fn open_blocking(path: &Path) -> Result<Self, Error> {
        let _one_migrates = lock(path, MIGRATION_TIMEOUT)?;
        let open = || Database::open(path, migrations::runner()).map_err(|fault| told(path, fault));
        Ok(Self { writer: open()?, reader: open()? })
    }

    /// A connection of its own for all rows at once.
    pub(super) async fn whole(&self) -> Result<whole::SqliteWhole, Error> {
        let path = self.writer.path().to_owned();
        let opened = blocking(&path, |path| {
            Database::open(path, migrations::runner()).map_err(|fault| told(path, fault))
        });
        Ok(whole::SqliteWhole::new(opened.await?))
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.reader.call(work).await.map_err(|fault| told(self.reader.path(), fault))
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.call(work).await.map_err(|fault| told(self.writer.path(), fault))?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn revision(&self) -> Result<i64, Error> {
        self.read(|db| read::revision(db)).await
    }

    async fn segments_since(&self, revision: i64) -> Result<Vec<SegmentRow>, Error> {
        self.read(move |db| read::segments_since(db, revision)).await
    }

    async fn users_since(&self, revision: i64) -> Result<Vec<UserRow>, Error> {
        self.read(move |db| read::users_since(db, revision)).await
    }

    async fn clouds_since(&self, revision: i64) -> Result<Vec<CloudRow>, Error> {
        self.read(move |db| read::clouds_since(db, revision)).await
    }

    async fn flavors_since(&self, revision: i64) -> Result<Vec<FlavorRow>, Error> {
        self.read(move |db| read::flavors_since(db, revision)).await
    }

    async fn gaps(&self, window: Window) -> Result<Vec<GapRow>, Error> {
        self.read(move |db| read::gaps(db, window)).await
    }

    async fn listed(&self) -> Result<Vec<ListedRow>, Error> {
        self.read(|db| read::listed(db)).await
    }

    async fn view(&self, sighting: &Sighting) -> Result<View, Error> {
        let cloud = sighting.cloud().to_owned();
        let named = named(sighting);
        self.read(move |db| read::view(db, &cloud, &named)).await?
    }

    async fn roster(&self, cloud: &str) -> Result<Roster, Error> {
        let cloud = cloud.to_owned();
        self.read(move |db| read::roster(db, &cloud)).await?
    }

    async fn living(&self, cloud: &str) -> Result<View, Error> {
        let cloud = cloud.to_owned();
        self.read(move |db| read::view(db, &cloud, &HashMap::new())).await?
    }

    async fn apply(
        &self,
        lease: &Lease,
        run: &str,
        changes: Arc<Changes>,
    ) -> Result<Applied, Error> {
        let (lease, run) = (lease.clone(), run.to_owned());
        self.write(move |db| apply::apply(db, &lease, &run, &changes)).await
    }

    async fn set_staff(&self, lease: &Lease, users: &[(i64, bool)]) -> Result<(), Error> {
        let (lease, users) = (lease.clone(), users.to_owned());
        self.write(move |db| apply::set_staff(db, &lease, &users)).await
    }

    async fn take_lease(&self, holder: &str, length: Duration) -> Result<Option<Lease>, Error> {
        let holder = holder.to_owned();
        self.write(move |db| apply::take_lease(db, holder, length)).await
    }

    async fn renew_lease(&self, lease: &Lease, length: Duration) -> Result<(), Error> {
        let lease = lease.clone();
        self.write(move |db| apply::extend_lease(db, &lease, length)).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        self.write(move |db| apply::extend_lease(db, &lease, Duration::ZERO)).await
    }

    async fn check(&self) -> Result<(), Error> {
        let path = self.reader.path().to_owned();
        blocking(&path, check::quick_check).await
    }
}

/// For work with a connection of its own, as long as it may take.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking({
        let path = path.clone();
        move || work(&path)
    });
    done.await.unwrap_or_else(|_| Err(sqlite::Error::Stopping { path }.into()))
}

/// Faults that an operator can mend are told apart from the rest.
fn told(path: &Path, fault: sqlite::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&fault);
    while let Some(here) = cause {
        let found = here.downcast_ref::<rusqlite::Error>();
        match found.and_then(rusqlite::Error::sqlite_error_code) {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                return Error::Damaged { path: path.to_owned(), found: here.to_string() };
            }
            Some(ErrorCode::DiskFull) => return Error::Full { path: path.to_owned() },
            _ => cause = here.source(),
        }
    }
    Error::Sqlite(fault)
}

/// Held while the file is created, migrated or replaced. A lock file of its
/// own: closing a second handle of the database would drop SQLite's locks.
fn lock(path: &Path, patience: Duration) -> Result<Flock<std::fs::File>, Error> {
    let path = path.with_added_extension("lock");
    let wrap = |source| Error::Lock { path: path.clone(), source };
    let mut file = disk::open_lock(&path).map_err(wrap)?;
    let deadline = Instant::now() + patience;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(held),
            Err((back, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file = back,
            Err((_, errno)) => return Err(wrap(errno.into())),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
