//! What other parts hold: an archive that may still be opening, and opens
//! itself anew when its file is broken.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::{has_strange_head, is_damage, is_read_only};
use super::store::{Plan, Store};
use super::{
    Batch, Config, DATABASE_NAME, Error, KnownNode, Pattern, Position, Receipt, Stats, tables,
};
use crate::model::{MetricNode, Series, Window};
use crate::sqlite;

/// Clones share one archive. Questions and points are answered by
/// [`Error::Opening`] until [`Archive::run`] has opened the file.
#[derive(Clone, Debug)]
pub struct Archive(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    plan: Plan,
    /// What the file is at; changed by `tend` alone, save for `Damaged`.
    phase: RwLock<Phase>,
    openings: AtomicU64,
    /// Held while the file is opened or put aside.
    opening: Mutex<()>,
    /// There is something to tend.
    wake: Notify,
    /// One permit a question that reads.
    questions: Semaphore,
    stopping: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
enum Phase {
    Opening,
    Open(Arc<Store>),
    Damaged,
    Closed(String),
}

const QUESTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(60);
/// After trouble.
const RETRY: Duration = Duration::from_secs(10);

impl Archive {
    /// Touches nothing yet. `prefix` is the nodes above every host's node.
    pub fn new(directory: &Path, config: &Config, prefix: &str) -> Self {
        Self(Arc::new(Shared {
            path: directory.join(DATABASE_NAME),
            plan: Plan::new(config, prefix),
            phase: RwLock::new(Phase::Opening),
            openings: AtomicU64::default(),
            opening: Mutex::default(),
            wake: Notify::new(),
            questions: Semaphore::new(QUESTIONS),
            stopping: Arc::default(),
        }))
    }

    /// The nodes above every host's node.
    pub fn prefix(&self) -> &str {
        &self.0.plan.prefix
    }

    /// Opens the file and tends it until told to stop. Never fails: what it
    /// meets is told by those who ask, and once in the log.
    pub async fn run(self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut told = String::new();
        loop {
            let tending = self.blocking(|archive| archive.tend_blocking(now()));
            tokio::pin!(tending);
            let outcome = tokio::select! {
                outcome = &mut tending => outcome,
                () = stop.cancelled() => {
                    self.0.stopping.store(true, Ordering::Relaxed);
                    tending.await
                }
            };
            let wait = match outcome {
                Ok(()) => {
                    told.clear();
                    TICK
                }
                Err(fault) => {
                    let fault = chain(&fault);
                    if fault != told {
                        tracing::warn!("the archive has trouble and goes on trying: {fault}");
                        told = fault;
                    }
                    RETRY
                }
            };
            let woken = async {
                if wait == TICK {
                    self.0.wake.notified().await
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = woken => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Makes the points durable, and with them how far each file is read. What
    /// failed left nothing and is to be read again from the spool.
    pub async fn ingest(&self, batch: Batch, positions: Vec<Position>) -> Result<Receipt, Error> {
        self.blocking(move |archive| archive.ingest_blocking(&batch, &positions, now())).await
    }

    pub fn ingest_blocking<'p>(
        &self,
        batch: &Batch,
        positions: impl IntoIterator<Item = &'p Position>,
        now: i64,
    ) -> Result<Receipt, Error> {
        let receipt = self.with(|store| store.ingest(batch, positions, now))?;
        if self.with(|store| Ok(store.memory().frozen.is_some()))? {
            self.0.wake.notify_one();
        }
        Ok(receipt)
    }

    /// How often a file was opened. After a change of it the positions are to
    /// be asked for anew: the file may be another one.
    pub fn openings(&self) -> u64 {
        self.0.openings.load(Ordering::Acquire)
    }

    /// How far each spool file is taken in.
    pub async fn positions(&self) -> Result<Vec<Position>, Error> {
        self.blocking(|archive| archive.with(|store| Ok(store.read(tables::positions)?))).await
    }

    /// Forgets the positions of files that are gone.
    pub async fn forget_positions(&self, files: Vec<String>) -> Result<(), Error> {
        self.blocking(move |archive| {
            archive.with(|store| {
                Ok(store.write(|db| {
                    let tx = db.transaction()?;
                    for file in &files {
                        tables::delete_position(&tx, file)?;
                    }
                    tx.commit()
                })?)
            })
        })
        .await
    }

    /// The series that match, sorted by name; times ascending, a step apart.
    /// Without a window it is the 24 hours up to now; with one, what lies after
    /// its start, up to and with its end. `max_points` is for each series, 0
    /// for no limit; more become averages.
    ///
    /// A host or a key that nobody measured has no series.
    pub async fn answer(
        &self,
        pattern: Pattern,
        window: Option<Window>,
        max_points: Option<u32>,
    ) -> Result<Vec<Series>, Error> {
        let turn = tokio::time::timeout(PATIENCE, self.0.questions.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Error::Crowded) };
        self.blocking(move |archive| archive.answer_blocking(&pattern, window, max_points, now()))
            .await
    }

    pub fn answer_blocking(
        &self,
        pattern: &Pattern,
        window: Option<Window>,
        max_points: Option<u32>,
        now: i64,
    ) -> Result<Vec<Series>, Error> {
        self.with(|store| store.answer(pattern, window, max_points, now))
    }

    /// Every host that has series, by name.
    pub async fn nodes(&self) -> Result<Vec<KnownNode>, Error> {
        self.blocking(|archive| archive.with(|store| Ok(store.nodes()))).await
    }

    /// Forgets a host's series with all their points; tells how many there
    /// were. Waits for a seal that is under way.
    pub async fn forget(&self, node: MetricNode) -> Result<usize, Error> {
        self.blocking(move |archive| archive.forget_blocking(&node)).await
    }

    pub fn forget_blocking(&self, node: &MetricNode) -> Result<usize, Error> {
        self.with(|store| {
            let _maintenance = store.maintenance();
            Ok(store.forget(node)?)
        })
    }

    pub async fn stats(&self) -> Result<Stats, Error> {
        self.blocking(|archive| archive.stats_blocking()).await
    }

    pub fn stats_blocking(&self) -> Result<Stats, Error> {
        self.with(|store| {
            let mut stats = store.stats();
            stats.put_aside = aside(&self.0.path).pop();
            Ok(stats)
        })
    }

    /// Writes a whole copy of the archive to a file that is not there yet,
    /// while points go on coming in. The copy is durable when this returns.
    pub async fn backup(&self, to: PathBuf) -> Result<(), Error> {
        self.blocking(move |archive| archive.backup_blocking(&to)).await
    }

    pub fn backup_blocking(&self, to: &Path) -> Result<(), Error> {
        self.with(|store| store.backup(to))
    }

    /// Opens the file where it is not open, and does what is due: seals, puts
    /// days together, drops what is past keeping. Blocks.
    pub fn tend_blocking(&self, now: i64) -> Result<(), Error> {
        let store = self.open(now)?;
        self.told(&store, store.tend(now).map_err(Into::into))
    }

    /// Writes memory out although it is not due. Blocks.
    pub fn seal_blocking(&self, now: i64) -> Result<(), Error> {
        self.with(|store| {
            let _maintenance = store.maintenance();
            Ok(store.seal(now)?)
        })
    }

    fn open(&self, now: i64) -> Result<Arc<Store>, Error> {
        let path = &self.0.path;
        let _opening = self.0.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.phase();
        let opened = match &before {
            Phase::Open(store) => return Ok(store.clone()),
            Phase::Damaged => put_aside(path, now).and_then(|()| self.open_file(now)),
            Phase::Opening | Phase::Closed(_) => match self.open_file(now) {
                Err(fault)
                    if is_damage(&fault) || is_read_only(&fault) && has_strange_head(path) =>
                {
                    tracing::debug!("what is wrong with the archive: {}", chain(&fault));
                    put_aside(path, now).and_then(|()| self.open_file(now))
                }
                opened => opened,
            },
        };
        match opened {
            Ok(store) => {
                let store = Arc::new(store);
                self.set_phase(Phase::Open(store.clone()));
                self.0.openings.fetch_add(1, Ordering::Release);
                Ok(store)
            }
            Err(fault) => {
                let reason = chain(&fault);
                if !matches!(&before, Phase::Closed(known) if *known == reason) {
                    tracing::error!("the archive cannot be opened: {reason}");
                }
                self.set_phase(Phase::Closed(reason.clone()));
                Err(Error::Closed { reason })
            }
        }
    }

    fn open_file(&self, now: i64) -> Result<Store, sqlite::Error> {
        let Shared { path, plan, stopping, .. } = &*self.0;
        Store::open(path, plan, stopping, now)
    }

    fn with<T>(&self, work: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        match self.phase() {
            Phase::Open(store) => self.told(&store, work(&store)),
            Phase::Opening => Err(Error::Opening),
            Phase::Damaged => Err(Error::Damaged { path: self.0.path.clone() }),
            Phase::Closed(reason) => Err(Error::Closed { reason }),
        }
    }

    /// Lets `tend` put a damaged file aside, and open one anew that is not
    /// written to.
    fn told<T>(&self, store: &Arc<Store>, outcome: Result<T, Error>) -> Result<T, Error> {
        let next = match &outcome {
            Err(Error::Damaged { .. }) => Some(Phase::Damaged),
            Err(fault @ Error::ReadOnly { .. }) => Some(Phase::Closed(fault.to_string())),
            _ => None,
        };
        if let Some(next) = next {
            let mut phase = self.0.phase.write().unwrap_or_else(PoisonError::into_inner);
            // Another file may have its place by now.
            if matches!(&*phase, Phase::Open(open) if Arc::ptr_eq(open, store)) {
                *phase = next;
                self.0.wake.notify_one();
            }
        }
        outcome
    }

    fn phase(&self) -> Phase {
        self.0.phase.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_phase(&self, phase: Phase) {
        *self.0.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let archive = self.clone();
        match tokio::task::spawn_blocking(move || work(&archive)).await {
            Ok(outcome) => outcome,
            Err(fault) if fault.is_panic() => std::panic::resume_unwind(fault.into_panic()),
            Err(_) => Err(Error::Stopping),
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn chain(fault: &dyn std::error::Error) -> String {
    let mut told = fault.to_string();
    let mut source = fault.source();
    while let Some(fault) = source {
        let text = fault.to_string();
        if !told.ends_with(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        source = fault.source();
    }
    told
}

const ASIDE: &str = "metrics.db.damaged-";

/// Damaged files that were put aside, by date.
fn aside(path: &Path) -> Vec<PathBuf> {
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return Vec::new() };
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(ASIDE) && !name.ends_with("-wal"))
    };
    let mut found: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one).collect();
    found.sort();
    found
}

/// Renames the damaged file. Only the last one is kept: together they could
/// fill the disk.
fn put_aside(path: &Path, now: i64) -> Result<(), sqlite::Error> {
    let time = UNIX_EPOCH + Duration::from_secs(now.unsigned_abs());
    let date = humantime::format_rfc3339_seconds(time).to_string().replace(':', "");
    let target = path.with_file_name(format!("{ASIDE}{date}"));
    let side = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    for old in aside(path) {
        drop_file(&side(&old, "-wal"))?;
        drop_file(&old)?;
    }
    drop_file(&side(path, "-shm"))?;
    // Its journal first: alone, it would be applied to the new file.
    rename(&side(path, "-wal"), &side(&target, "-wal"))?;
    rename(path, &target)?;
    tracing::error!(
        "{} is damaged; it is now {} and a new one is begun; earlier measurements are not answered any more",
        path.display(),
        target.display()
    );
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), sqlite::Error> {
    absent_is_fine(from, std::fs::rename(from, to))
}

fn drop_file(path: &Path) -> Result<(), sqlite::Error> {
    absent_is_fine(path, std::fs::remove_file(path))
}

fn absent_is_fine(path: &Path, outcome: std::io::Result<()>) -> Result<(), sqlite::Error> {
    match outcome {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(sqlite::Error::Examine { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
