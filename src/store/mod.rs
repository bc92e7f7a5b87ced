//! The ledger kept: who used what and when, in SQLite or PostgreSQL.
//!
//! One writer at a time: whoever holds the lease. Everything that is written
//! gets a revision under the writer's lock, which is held until the commit, so
//! that revisions become visible in their order.

mod config;
mod copy;
mod error;
mod handle;
mod import;
mod kept;
mod plan;
mod postgres;
mod sqlite;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::ledger::{Changes, Roster, View};
use crate::model::{CloudRow, FlavorRow, GapRow, ListedRow, SegmentRow, Sighting, UserRow, Window};

pub use config::{Config, Target, Tls};
pub use copy::{Copied, Progress, Tally, Watch, copy, export};
pub use error::{Error, PostgresFault};
pub use handle::{Handle, NotOpen, Opener};
pub use import::{Finding, Imported, ImportedCloud, UNKNOWABLE, Wrong, import};
pub use postgres::PostgresStore;
pub use sqlite::{Backup, SqliteStore, check_backup};

/// The right to write, as it was taken. It is worth nothing once another one
/// was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: String,
    pub epoch: i64,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is committed; the greatest revision of it.
    Now(i64),
    /// It had been committed before, and nothing was changed.
    Before(i64),
}

/// The ledger. A reader's list comes in order of revision and in pages: ask
/// again from the last row's revision until a page is empty. Whatever is
/// committed later has a greater revision than all that any reader has seen.
#[async_trait]
pub trait Store: Send + Sync {
    /// The greatest revision of all that is committed.
    async fn revision(&self) -> Result<i64, Error>;
    async fn segments_since(&self, revision: i64) -> Result<Vec<SegmentRow>, Error>;
    async fn users_since(&self, revision: i64) -> Result<Vec<UserRow>, Error>;
    async fn clouds_since(&self, revision: i64) -> Result<Vec<CloudRow>, Error>;
    async fn flavors_since(&self, revision: i64) -> Result<Vec<FlavorRow>, Error>;
    /// Gaps that overlap the window, in order of time; the latest
    /// [`MAX_GAPS`] of them.
    async fn gaps(&self, window: Window) -> Result<Vec<GapRow>, Error>;
    /// The clouds that were ever listed.
    async fn listed(&self) -> Result<Vec<ListedRow>, Error>;

    /// What the ledger knows that bears on the sighting.
    async fn view(&self, sighting: &Sighting) -> Result<View, Error>;
    /// The ids of what the ledger has of a cloud that is not gone.
    async fn roster(&self, cloud: &str) -> Result<Roster, Error>;
    /// The same with all that is known of them.
    async fn living(&self, cloud: &str) -> Result<View, Error>;
    /// Keeps what a sighting changes, all or nothing. `run` names it: where it
    /// is not known whether a commit arrived, the same may be applied again.
    async fn apply(
        &self,
        lease: &Lease,
        run: &str,
        changes: Arc<Changes>,
    ) -> Result<Applied, Error>;
    /// Keeps what the directory said of users, by the ids of [`UserRow`].
    async fn set_staff(&self, lease: &Lease, users: &[(i64, bool)]) -> Result<(), Error>;

    /// Takes the lease if nobody holds it, or this holder does. Absent:
    /// somebody else does. A holder's name must be one process's own.
    async fn take_lease(&self, holder: &str, length: Duration) -> Result<Option<Lease>, Error>;
    async fn renew_lease(&self, lease: &Lease, length: Duration) -> Result<(), Error>;
    /// Lets another one have it at once.
    async fn release_lease(&self, lease: &Lease) -> Result<(), Error>;

    /// Looks for damage; takes long on a large ledger.
    async fn check(&self) -> Result<(), Error>;
}

/// Rows in one page of a reader.
pub const PAGE: usize = 10_000;
/// Gaps in one answer.
pub const MAX_GAPS: usize = 10_000;
/// Runs that are remembered of each cloud.
const RUNS_KEPT: i64 = 1000;
/// For commands that take the lease themselves.
const LEASE_LENGTH: Duration = Duration::from_secs(120);
/// For bringing an old schema up to date, and for waiting for whoever does.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);

/// Opens what the configuration names. SQLite is opened and migrated here;
/// PostgreSQL is reached when it is first asked, so that a server that is down
/// stops no start.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    match config.target().map_err(|reason| Error::Config { key: "url", reason })? {
        Target::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path).await?)),
        Target::Postgres(server) => Ok(Arc::new(PostgresStore::new(config, *server)?)),
    }
}
