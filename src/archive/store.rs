//! One opened metrics.db: what is in memory of it, and its connections.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::Connection;

use super::grid::Grid;
use super::head::{Frozen, Log};
use super::index::{ById, Index};
use super::tables::{self, Meta};
use super::{Config, Error, KnownNode, Stats, migrations};
use crate::disk;
use crate::sqlite::{self, Database};

/// What an archive was opened with.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub prefix: String,
    pub keep: i64,
    pub step: u32,
    pub max_series: u32,
}

impl Plan {
    /// Of a configuration without faults.
    pub fn new(config: &Config, prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            keep: i64::try_from(config.keep.as_secs()).unwrap_or(i64::MAX),
            step: u32::try_from(config.step.as_secs()).unwrap_or(600).max(1),
            max_series: config.max_series,
        }
    }
}

#[derive(Debug)]
pub(super) struct Memory {
    pub index: Index,
    pub head: Log,
    /// A head that is being sealed. It stays until its points can be read from
    /// the file: who asks looks here first and into the file after.
    pub frozen: Option<Arc<Frozen>>,
}

#[derive(Debug)]
pub(super) struct Store {
    pub grid: Grid,
    pub keep: i64,
    /// Connections that read and are idle. They close before the writer: the
    /// last one to close tidies up, which a reader may not.
    readers: Mutex<Vec<Database>>,
    /// Whoever changes the index, the head or the file does it while the
    /// writer is his.
    writer: Database,
    /// Guards series and points that are in memory.
    memory: RwLock<Memory>,
    /// Held by what moves points about in the file; one at a time.
    maintenance: Mutex<()>,
    pub counts: Counts,
    /// The process is leaving: long work is left at the next sound place.
    pub stopping: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub untimely: AtomicU64,
    /// Rows whose checksum was wrong when they were read.
    pub broken: AtomicU64,
    pub refused_points: AtomicU64,
    pub last_seal: AtomicI64,
    refused: Mutex<Refused>,
}

/// The series that were refused, by the hash of their names.
#[derive(Debug, Default)]
struct Refused {
    hasher: RandomState,
    names: HashSet<u64>,
}

impl Counts {
    const MAX_REFUSED_NAMES: usize = 65_536;

    pub fn refuse(&self, path: &str) {
        self.refused_points.fetch_add(1, Ordering::Relaxed);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = refused.hasher.hash_one(path);
        if refused.names.len() < Self::MAX_REFUSED_NAMES && refused.names.insert(hash) {
            // One sentence for the first; the count tells the rest.
            if refused.names.len() == 1 {
                tracing::warn!(
                    path,
                    "the archive takes no more series, the measurements of this one and others are not kept; raise [archive] max_series or prune hosts that are gone"
                );
            }
        }
    }

    /// At most 65,536 are told apart.
    pub fn refused_series(&self) -> usize {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).names.len()
    }

    /// `what` as in "a row of the series".
    pub fn broke(&self, what: &str) {
        if self.broken.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(
                "a row of the {what} in the archive has a wrong checksum and is left out; the disk or the memory of this machine may be failing"
            );
        }
    }
}

impl Store {
    /// Opens or creates the file, reads the names and replays the journal.
    /// Blocks, for seconds where there are hundreds of thousands of series.
    pub fn open(
        path: &Path,
        plan: &Plan,
        stopping: &Arc<AtomicBool>,
        now: i64,
    ) -> Result<Self, sqlite::Error> {
        let writer = Database::open(path, migrations::runner())?;
        let counts = Counts::default();
        let (grid, index) = writer.call_blocking(|db| {
            db.execute_batch(
                // A seal is written in pieces of some MB; the side file need
                // not be larger than a few of them.
                "PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 33554432;
                 PRAGMA cache_size = -8192;",
            )?;
            let (grid, next_run) = begin(db, plan, &counts, now)?;
            Ok((grid, load(db, plan, next_run, &counts)?))
        })?;
        let mut memory = Memory { index, head: Log::default(), frozen: None };
        writer.call_blocking(|db| replay(db, &mut memory, &counts))?;
        Ok(Self {
            grid,
            keep: plan.keep,
            writer,
            memory: RwLock::new(memory),
            maintenance: Mutex::default(),
            readers: Mutex::default(),
            counts,
            stopping: stopping.clone(),
        })
    }

    pub fn write<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, sqlite::Error> {
        self.writer.call_blocking(work)
    }

    /// Runs `work` in one transaction, which sees one state of the file.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, sqlite::Error> {
        const MAX_IDLE: usize = 4;
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => self.writer.reader()?,
        };
        let outcome = reader.call_blocking(|db| work(&*db.transaction()?));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_ok() && readers.len() < MAX_IDLE {
            readers.push(reader);
        }
        outcome
    }

    // A panic under one of these locks leaves sound values: each change is one
    // call that does not fail halfway.
    pub fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn maintenance(&self) -> MutexGuard<'_, ()> {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn path(&self) -> &Path {
        self.writer.path()
    }

    /// A copy of one state of the file, its journal in it.
    pub fn backup(&self, to: &Path) -> Result<(), Error> {
        let fault = |source| Error::Backup { path: to.to_owned(), source };
        let Some(name) = to.to_str() else {
            return Err(fault(std::io::Error::other("the path is no UTF-8")));
        };
        // SQLite would fill an empty file that has any mode; ours is 0600.
        let mut new = std::fs::OpenOptions::new();
        let new = new.write(true).create_new(true).mode(0o600).open(to).map_err(fault)?;
        // A reader is no hindrance to those who write; VACUUM wants no
        // transaction around it.
        let copied = self
            .writer
            .reader()?
            .call_blocking(|db| db.execute("VACUUM INTO ?1", [name]).map(drop));
        let outcome = match copied {
            Ok(()) => new.sync_all().and_then(|()| disk::sync_parent(to)),
            Err(source) => Err(std::io::Error::other(source)),
        };
        outcome.map_err(|source| {
            // Half a copy is none; that it stays is no further harm.
            let _ = std::fs::remove_file(to);
            fault(source)
        })
    }
}

impl Store {
    /// Every host that has series, by name.
    pub fn nodes(&self) -> Vec<KnownNode> {
        let memory = self.memory();
        let known = memory.index.nodes().map(|(node, members)| {
            let newest = members.iter().filter_map(|place| Some(memory.index.get(*place)?.newest));
            KnownNode {
                node: node.to_owned(),
                series: members.len(),
                newest: self.grid.time(newest.max().unwrap_or(0)),
            }
        });
        let mut known: Vec<_> = known.collect();
        known.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        known
    }

    pub fn stats(&self) -> Stats {
        let memory = self.memory();
        let size = |end: &str| {
            let mut name = self.path().as_os_str().to_owned();
            name.push(end);
            std::fs::metadata(name).map_or(0, |metadata| metadata.len())
        };
        let newest = memory.index.iter().map(|(_, member)| member.newest).max();
        let frozen = memory.frozen.as_ref().map_or(0, |frozen| frozen.log.len());
        Stats {
            path: self.path().to_owned(),
            step: self.grid.step.into(),
            bytes: size("") + size("-wal"),
            series: memory.index.len(),
            nodes: memory.index.nodes().count(),
            head_points: memory.head.len() + frozen,
            newest: newest.map(|slot| self.grid.time(slot)),
            last_seal: self.counts.last_seal.load(Ordering::Relaxed),
            refused_series: self.counts.refused_series(),
            refused_points: self.counts.refused_points.load(Ordering::Relaxed),
            untimely_points: self.counts.untimely.load(Ordering::Relaxed),
            broken_rows: self.counts.broken.load(Ordering::Relaxed),
            put_aside: None,
        }
    }
}

/// Reads what holds for the whole file, or writes it into a new one.
fn begin(
    db: &mut Connection,
    plan: &Plan,
    counts: &Counts,
    now: i64,
) -> rusqlite::Result<(Grid, u32)> {
    let tx = db.transaction()?;
    let step = match tables::step(&tx)? {
        Some(step) => u32::try_from(step).unwrap_or(plan.step).max(1),
        None => {
            tables::set_meta(&tx, Meta::Step, plan.step.into())?;
            tables::set_meta(&tx, Meta::NextRun, 0)?;
            tables::set_meta(&tx, Meta::NextSeal, 1)?;
            tables::set_meta(&tx, Meta::LastSeal, now)?;
            plan.step
        }
    };
    if step != plan.step {
        tracing::warn!(
            kept = step,
            configured = plan.step,
            "the archive was made with another [archive] step and keeps it; to begin anew, stop the service and move metrics.db away"
        );
    }
    let next_run = tables::meta(&tx, Meta::NextRun)?;
    let last_seal = tables::meta(&tx, Meta::LastSeal)?;
    counts.last_seal.store(last_seal, Ordering::Relaxed);
    tx.commit()?;
    Ok((Grid { step }, u32::try_from(next_run).unwrap_or(0)))
}

fn load(db: &Connection, plan: &Plan, next_run: u32, counts: &Counts) -> rusqlite::Result<Index> {
    let mut index = Index::new(&plan.prefix, plan.max_series, next_run);
    index.reserve(tables::series_count(db)?);
    tables::each_series(db, |row| {
        let restored = row.ok().and_then(|(id, path, newest)| index.restore(id, path, newest));
        if restored.is_none() {
            counts.broke("series");
        }
    })?;
    Ok(index)
}

fn replay(db: &Connection, memory: &mut Memory, counts: &Counts) -> rusqlite::Result<()> {
    let Memory { index, head, .. } = memory;
    let by_id = ById::of(index);
    tables::each_journalled(db, |point| match point {
        Ok((series, slot, value)) => {
            // Points of series that were forgotten are still in the journal.
            let member = by_id.find(series).and_then(|place| index.get_mut(place));
            if let Some(member) = member {
                head.push(&mut member.chain, slot, value);
                member.newest = member.newest.max(slot);
            }
        }
        Err(tables::Broken) => counts.broke("journal"),
    })
}

#[cfg(test)]
mod tests;
