//! A whole ledger into another, empty one: every row with its ids and its
//! revision, all or nothing.

use std::path::Path;
use std::time::{Instant, SystemTime};

use sha2::{Digest, Sha256};

use super::postgres::PostgresStore;
use super::whole::{self, Cell, Kind, Row, SEGMENT, TABLES, Table, Whole};
use super::{Config, Error, LEASE_LENGTH, Lease, SqliteStore, Store, Target, open};

/// What was copied, and then found in the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub revision: i64,
    pub tables: Vec<Tally>,
    /// Counted seconds of segments that have ended, alone and times their
    /// vCPUs.
    pub seconds: i128,
    pub cpu_seconds: i128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub table: &'static str,
    pub rows: u64,
    /// Of every value of every row, in any order.
    pub checksum: u128,
}

impl Copied {
    pub fn rows_of(&self, table: &str) -> u64 {
        self.tables.iter().filter(|tally| tally.table == table).map(|tally| tally.rows).sum()
    }
}

/// How far a long work has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub what: &'static str,
    pub done: u64,
    pub of: u64,
}

pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Copies `from` into `to`, which must be empty. Nobody may write either: both
/// leases are held meanwhile, and refused where another process has one.
pub async fn copy(from: &Config, to: &Config, watch: Watch<'_>) -> Result<Copied, Error> {
    exists(from)?;
    let source = Fence::take(from).await?;
    let copied = async {
        let target = Fence::take(to).await?;
        let copied = copy_rows(from, to, Some(&source), watch).await;
        target.release().await;
        copied
    };
    let copied = copied.await;
    source.release().await;
    copied
}

/// Copies a moment of `from`, which may be written on, into the new SQLite
/// file `to`.
pub async fn export(from: &Config, to: &Path, watch: Watch<'_>) -> Result<Copied, Error> {
    exists(from)?;
    let to = Config { url: format!("sqlite:{}", to.display()), ..Config::default() };
    copy_rows(from, &to, None, watch).await
}

/// Opening would make one.
pub(super) fn exists(config: &Config) -> Result<(), Error> {
    match target(config)? {
        Target::Sqlite(path) if !path.exists() => Err(Error::NoLedger { path }),
        _ => Ok(()),
    }
}

fn target(config: &Config) -> Result<Target, Error> {
    config.target().map_err(|reason| Error::Config { key: "url", reason })
}

/// Opens and migrates it.
pub(super) async fn whole_of(config: &Config) -> Result<Box<dyn Whole>, Error> {
    Ok(match target(config)? {
        Target::Sqlite(path) => Box::new(SqliteStore::open(path).await?.whole().await?),
        Target::Postgres(server) => Box::new(PostgresStore::whole(config, *server)?),
    })
}

/// The lease of a ledger, taken for a command.
pub(super) struct Fence {
    store: std::sync::Arc<dyn Store>,
    lease: Lease,
}

impl Fence {
    pub(super) async fn take(config: &Config) -> Result<Self, Error> {
        let store = open(config).await?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let holder = format!("command {} of {}", std::process::id(), since.as_nanos());
        match store.take_lease(&holder, LEASE_LENGTH).await? {
            Some(lease) => Ok(Self { store, lease }),
            None => {
                let mut whole = whole_of(config).await?;
                whole.begin_reading().await?;
                let sql = "SELECT holder FROM lease";
                let rows = whole.ask(sql, Row::new(), vec![Kind::Text]).await?;
                let holder = rows.first().and_then(|row| row[0].text()).unwrap_or_default();
                Err(Error::Held { ledger: config.name(), holder: holder.to_owned() })
            }
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        self.store.renew_lease(&self.lease, LEASE_LENGTH).await
    }

    pub(super) async fn release(self) {
        // It ends by itself; and what was done is done.
        drop(self.store.release_lease(&self.lease).await);
    }
}

async fn copy_rows(
    from: &Config,
    to: &Config,
    fence: Option<&Fence>,
    watch: Watch<'_>,
) -> Result<Copied, Error> {
    let name = to.name();
    let mut target = whole_of(to).await?;
    target.begin_writing().await?;
    refuse_occupied(&mut *target, &name).await?;
    let mut source = whole_of(from).await?;
    source.begin_reading().await?;
    let revision = whole::number(&mut *source, "SELECT revision FROM ledger").await?;
    let mut read = Sums::default();
    let mut renewed = Instant::now();
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let of = whole::number(&mut *source, &sql).await?.unsigned_abs();
        let mut tally = Tally::of(table);
        let mut last: Option<Row> = None;
        loop {
            let rows = whole::page(&mut *source, table, last.as_ref()).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end.clone());
            read.add(table, &rows, &mut tally);
            target.insert(table, rows).await?;
            watch(Progress { what: table.name, done: tally.rows, of });
            if renewed.elapsed() > LEASE_LENGTH / 4
                && let Some(fence) = fence
            {
                fence.renew().await?;
                renewed = Instant::now();
            }
        }
        read.tables.push(tally);
    }
    target.tell("UPDATE ledger SET revision = $1", vec![revision.into()]).await?;
    prove(&mut *target, &name, &read, watch).await?;
    target.commit().await?;
    let Sums { tables, seconds, cpu_seconds } = read;
    Ok(Copied { revision, tables, seconds, cpu_seconds })
}

async fn refuse_occupied(target: &mut dyn Whole, name: &str) -> Result<(), Error> {
    let revision = whole::number(target, "SELECT revision FROM ledger").await?;
    let segments = whole::number(target, "SELECT count(*) FROM segment").await?;
    let mut rows = segments;
    for table in TABLES {
        rows += whole::number(target, &format!("SELECT count(*) FROM {}", table.name)).await?;
    }
    if revision == 0 && rows == 0 {
        return Ok(());
    }
    Err(Error::Occupied { ledger: name.to_owned(), segments, revision })
}

/// Reads the copy back before it is committed.
async fn prove(
    target: &mut dyn Whole,
    name: &str,
    wanted: &Sums,
    watch: Watch<'_>,
) -> Result<(), Error> {
    let mut found = Sums::default();
    for (table, wanted) in TABLES.into_iter().zip(&wanted.tables) {
        let mut tally = Tally::of(table);
        let mut last: Option<Row> = None;
        loop {
            let rows = whole::page(target, table, last.as_ref()).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end.clone());
            found.add(table, &rows, &mut tally);
            watch(Progress { what: "reading it back", done: tally.rows, of: wanted.rows });
        }
        if tally != *wanted {
            let told = |tally: &Tally| format!("{} rows {:032x}", tally.rows, tally.checksum);
            return Err(Error::Differs {
                ledger: name.to_owned(),
                table: table.name,
                wanted: told(wanted),
                found: told(&tally),
            });
        }
        found.tables.push(tally);
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    tables: Vec<Tally>,
    seconds: i128,
    cpu_seconds: i128,
}

impl Sums {
    fn add(&mut self, table: &Table, rows: &[Row], tally: &mut Tally) {
        for row in rows {
            tally.add(row);
            if table.name == SEGMENT.name {
                self.add_segment(row);
            }
        }
    }

    fn add_segment(&mut self, row: &Row) {
        let value = |name: &str| {
            let place = SEGMENT.columns.iter().position(|(column, _)| *column == name);
            place.map_or(&Cell::Null, |place| &row[place])
        };
        let counts =
            *value("counted") == Cell::Flag(true) && *value("deleted") == Cell::Flag(false);
        if let (true, Some(begins), Some(ends)) =
            (counts, value("begins").int(), value("ends").int())
        {
            let seconds = i128::from(ends) - i128::from(begins);
            self.seconds += seconds;
            self.cpu_seconds += seconds * i128::from(value("vcpus").int().unwrap_or(0));
        }
    }
}

impl Tally {
    fn of(table: &Table) -> Self {
        Self { table: table.name, rows: 0, checksum: 0 }
    }

    fn add(&mut self, row: &Row) {
        let mut digest = Sha256::new();
        for cell in row {
            match cell {
                Cell::Null => digest.update([0]),
                Cell::Int(number) => {
                    digest.update([1]);
                    digest.update(number.to_le_bytes());
                }
                Cell::Flag(flag) => digest.update([2, u8::from(*flag)]),
                Cell::Text(text) => {
                    digest.update([3]);
                    digest.update(text.len().to_le_bytes());
                    digest.update(text);
                }
            }
        }
        let digest: [u8; 32] = digest.finalize().into();
        let half = digest.first_chunk::<16>().copied().unwrap_or_default();
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(u128::from_le_bytes(half));
    }
}
