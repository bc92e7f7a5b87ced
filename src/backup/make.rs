use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::container::{FORMAT, Manifest, Member, Writer};
use super::{
    Error, LEDGER, Ledger, METRICS, Places, STATE, SharedWatch, length, refuse_pending, size,
};
use crate::disk::{self, DirLock};
use crate::sqlite::{self, SnapshotFault};
use crate::state::State;
use crate::{archive, store};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub file: PathBuf,
    pub bytes: u64,
    pub manifest: Manifest,
}

/// Writes the backup `file`, whole or not at all, with the mode 0600. The
/// databases may be written on meanwhile.
pub async fn make(
    file: &Path,
    places: &Places,
    metrics: bool,
    watch: SharedWatch,
) -> Result<Made, Error> {
    refuse_pending(&places.state_directory)?;
    let file = std::path::absolute(file)
        .map_err(|source| Error::Write { path: file.to_owned(), source })?;
    let parts = Parts::beside(&file)?;
    let ledger = places.ledger()?;
    let mut packer = Packer::new(&file, &parts)?;
    let state = places.state();
    if !state.exists() {
        return Err(Error::NoState { directory: places.state_directory.clone() });
    }
    packer.add(STATE, Some(state), State::check_backup, &watch).await?;
    let check = |path: &Path| -> Result<i32, store::Error> {
        store::check_backup(path).map(|found| found.schema)
    };
    let kept_in = match ledger {
        Ledger::Off => None,
        Ledger::File(path) if !path.exists() => {
            return Err(Error::Ledger(store::Error::NoLedger { path }));
        }
        Ledger::File(path) => {
            packer.add(LEDGER, Some(path), check, &watch).await?;
            Some("SQLite".to_owned())
        }
        Ledger::Server => {
            let copied = {
                let watch = Arc::clone(&watch);
                let told = move |now: store::Progress| {
                    watch(&format!("ledger: {} {} of {}", now.what, now.done, now.of));
                };
                store::export(&places.ledger, &parts.path(LEDGER), &told).await
            };
            copied.map_err(Error::Ledger)?;
            packer.add(LEDGER, None, check, &watch).await?;
            Some("PostgreSQL".to_owned())
        }
    };
    if metrics {
        let path = places.metrics();
        if !path.exists() {
            return Err(Error::NoMetrics { path });
        }
        packer.add(METRICS, Some(path), archive::check_backup, &watch).await?;
    }
    packer.finish(kept_in, parts).await
}

/// A directory for what is not whole yet. There is one for all backups beside
/// each other, so that the next one sweeps what a killed one left.
struct Parts {
    directory: PathBuf,
    _lock: DirLock,
}

const PARTS: &str = ".weather-balloon-backup";

impl Parts {
    fn beside(file: &Path) -> Result<Self, Error> {
        let wrap = |source| Error::Write { path: file.to_owned(), source };
        let directory = disk::parent(file).join(PARTS);
        match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => return Err(wrap(fault)),
            _ => (),
        }
        let found = std::fs::symlink_metadata(&directory).map_err(wrap)?;
        if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
            return Err(Error::Foreign { directory });
        }
        let lock = DirLock::take(&directory)
            .map_err(|source| Error::Busy { directory: directory.clone(), source })?;
        let parts = Self { directory, _lock: lock };
        parts.sweep().map_err(wrap)?;
        Ok(parts)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name() != "lock" {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next backup.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct Packer {
    file: PathBuf,
    directory: PathBuf,
    made_at: i64,
    /// Guards the file that is written; held by one blocking step at a time.
    writer: Arc<Mutex<Option<Writer>>>,
    members: Vec<Member>,
}

impl Packer {
    fn new(file: &Path, parts: &Parts) -> Result<Self, Error> {
        let wrap = |source| Error::Write { path: file.to_owned(), source };
        let writer = Writer::create(&parts.path(WHOLE)).map_err(wrap)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            file: file.to_owned(),
            directory: parts.directory.clone(),
            made_at: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            writer: Arc::new(Mutex::new(Some(writer))),
            members: Vec::new(),
        })
    }

    /// Copies a live database, proves the copy and puts it into the file. With
    /// no database the copy is there already.
    async fn add<F: Into<Fault> + Send + 'static>(
        &mut self,
        name: &'static str,
        live: Option<PathBuf>,
        check: fn(&Path) -> Result<i32, F>,
        watch: &SharedWatch,
    ) -> Result<(), Error> {
        let copy = self.directory.join(name);
        let (writer, watch) = (Arc::clone(&self.writer), Arc::clone(watch));
        let (made_at, file) = (self.made_at, self.file.clone());
        let member = blocking(move || {
            if let Some(live) = live {
                watch(&format!("copying {name} ({})", size(length(&live))));
                sqlite::snapshot(&live, &copy)
                    .map_err(|source| Error::Copy { path: live, source })?;
            }
            watch(&format!("checking {name} ({})", size(length(&copy))));
            let schema = check(&copy).map_err(|fault| fault.into().of(name))?;
            watch(&format!("packing {name}"));
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let writer = writer.as_mut().ok_or(Error::Stopping)?;
            let wrap = |source| Error::Write { path: file.clone(), source };
            let member = writer.add(name, &copy, schema, made_at).map_err(wrap)?;
            std::fs::remove_file(&copy).map_err(wrap)?;
            Ok(member)
        })
        .await?;
        self.members.push(member);
        Ok(())
    }

    async fn finish(self, ledger: Option<String>, parts: Parts) -> Result<Made, Error> {
        let Self { file, directory, made_at, writer, members } = self;
        blocking(move || {
            let program = env!("CARGO_PKG_VERSION").to_owned();
            let manifest = Manifest { format: FORMAT, program, made_at, members, ledger };
            let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            let wrap = |source| Error::Write { path: file.clone(), source };
            writer.ok_or(Error::Stopping)?.finish(&manifest).map_err(wrap)?;
            disk::publish(&directory.join(WHOLE), &file).map_err(wrap)?;
            drop(parts);
            Ok(Made { bytes: length(&file), file, manifest })
        })
        .await
    }
}

/// The backup before it has its name.
const WHOLE: &str = "backup";

/// What a check of a copy found.
enum Fault {
    Database(SnapshotFault),
    Ledger(store::Error),
}

impl From<SnapshotFault> for Fault {
    fn from(fault: SnapshotFault) -> Self {
        Self::Database(fault)
    }
}

impl From<store::Error> for Fault {
    fn from(fault: store::Error) -> Self {
        Self::Ledger(fault)
    }
}

impl Fault {
    fn of(self, name: &str) -> Error {
        match self {
            Self::Database(source) => Error::Copy { path: name.into(), source },
            Self::Ledger(fault) => Error::Ledger(fault),
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Stopping))
}
