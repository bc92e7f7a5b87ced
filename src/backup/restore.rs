use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::container::{self, FORMAT, Hashed, Manifest, Member};
use super::make::blocking;
use super::{Error, LEDGER, Ledger, METRICS, Places, STATE, SharedWatch, size};
use crate::disk::{self, DirLock, Swap};
use crate::state::State;
use crate::{archive, store};

/// What a restore did, or with `dry_run` would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub manifest: Manifest,
    pub placed: Vec<Placed>,
    /// Absent in the backup, and left as it is here.
    pub left: Vec<PathBuf>,
    /// The ledger goes into this PostgreSQL by `store copy`.
    pub copy_into: Option<String>,
    pub dry_run: bool,
    /// The service runs, so that nothing could be restored now.
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub name: String,
    pub path: PathBuf,
    /// Where the old file is now.
    pub aside: Option<PathBuf>,
}

/// Puts what a backup holds in its places, all of it or nothing. Everything is
/// checked before anything is replaced; the old files stay under other names.
pub async fn restore(
    file: &Path,
    places: &Places,
    dry_run: bool,
    watch: SharedWatch,
) -> Result<Restored, Error> {
    let (file, places) = (file.to_owned(), places.clone());
    blocking(move || restore_blocking(&file, &places, dry_run, &watch)).await
}

/// A ledger that belongs into PostgreSQL, in the state directory.
pub(super) const KEPT_LEDGER: &str = "ledger-of-backup-";

fn restore_blocking(
    file: &Path,
    places: &Places,
    dry_run: bool,
    watch: &SharedWatch,
) -> Result<Restored, Error> {
    let unreadable = |source| Error::Read { path: file.to_owned(), source };
    let bad = |reason: String| Error::Bad { path: file.to_owned(), reason };
    let mut backup = File::open(file).map_err(unreadable)?;
    let length = backup.metadata().map_err(unreadable)?.len();
    let read = |done| watch(&format!("checking the backup: {} of {}", size(done), size(length)));
    let manifest = container::verify(&mut backup, read).map_err(unreadable)?.map_err(bad)?;
    if manifest.format > FORMAT {
        return Err(Error::Newer { path: file.to_owned(), program: manifest.program });
    }
    let directory = &places.state_directory;
    if !directory.is_dir() {
        return Err(Error::NoDirectory { directory: directory.clone() });
    }
    let lock = DirLock::take(directory);
    if !dry_run {
        if let Err(source) = lock {
            return Err(Error::Running(source));
        }
        disk::finish_swap(directory, |target| places.owns(target)).map_err(Error::Finish)?;
    }
    let plan = plan(&manifest, places).map_err(bad)??;
    let mut staged = Staged(Vec::new());
    let taken = container::members(&mut backup, &manifest, |member, bytes| {
        watch(&format!("unpacking {} ({})", member.name, size(member.bytes)));
        let Some(swap) = plan.iter().find(|(name, _)| *name == member.name) else {
            return Err(StageFault::Backup(io::ErrorKind::InvalidData.into()));
        };
        staged.0.push(swap.1.staged.clone());
        stage(member, bytes, &swap.1)
    });
    match taken {
        Err(StageFault::Backup(source)) => return Err(unreadable(source)),
        Err(StageFault::Told(fault)) => return Err(*fault),
        Ok(taken) if taken != plan.len() => {
            return Err(bad("it lacks what its manifest names".to_owned()));
        }
        Ok(_) => (),
    }
    for (name, swap) in &plan {
        watch(&format!("checking {name}"));
        check(name, &swap.staged)?;
    }
    let swaps: Vec<Swap> = plan.iter().map(|(_, swap)| swap.clone()).collect();
    let placed = plan.iter().map(|(name, swap)| Placed {
        name: name.clone(),
        path: swap.target.clone(),
        aside: swap.target.exists().then(|| swap.aside.clone()),
    });
    let restored = Restored {
        placed: placed.collect(),
        left: left_alone(&manifest, places)?,
        copy_into: copy_into(&manifest, places)?,
        manifest,
        dry_run,
        running: matches!(lock, Err(disk::LockError::Taken(_))),
    };
    if !dry_run {
        watch("putting the files in their places");
        let swapped = disk::swap(directory, &swaps);
        // Once it is written down what goes where, the next start goes on with it.
        if swapped.is_ok() || disk::swap_is_pending(directory) {
            staged.0.clear();
        }
        swapped.map_err(Error::Swap)?;
    }
    Ok(restored)
}

/// Where each member goes.
fn plan(
    manifest: &Manifest,
    places: &Places,
) -> Result<Result<Vec<(String, Swap)>, Error>, String> {
    let stamp = stamp();
    let ledger = match places.ledger() {
        Ok(Ledger::File(path)) => path,
        Ok(_) => places.state_directory.join(format!("{KEPT_LEDGER}{stamp}.db")),
        Err(fault) => return Ok(Err(fault)),
    };
    let mut plan: Vec<(String, Swap)> = Vec::new();
    for Member { name, .. } in &manifest.members {
        let target = match name.as_str() {
            STATE => places.state(),
            LEDGER => ledger.clone(),
            METRICS => places.metrics(),
            other => return Err(format!("it holds {other:?}, which nobody knows")),
        };
        if plan.iter().any(|(_, swap)| swap.target == target) {
            return Err(format!("two files of it would be {}", target.display()));
        }
        let staged = disk::staged_name(&target);
        let aside = free_name(&target, &stamp);
        plan.push((name.clone(), Swap { staged, target, aside }));
    }
    if !plan.iter().any(|(name, _)| name == STATE) {
        return Err(format!("it has no {STATE}"));
    }
    Ok(Ok(plan))
}

/// "20261122T195512Z"
fn stamp() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

fn free_name(target: &Path, stamp: &str) -> PathBuf {
    let first = target.with_added_extension(format!("before-restore-{stamp}"));
    let more = (2..).map(|number| first.with_added_extension(number.to_string()));
    std::iter::once(first.clone()).chain(more).find(|name| !name.exists()).unwrap_or(first)
}

/// Files that have no place yet go with the value.
struct Staged(Vec<PathBuf>);

impl Drop for Staged {
    fn drop(&mut self) {
        for path in &self.0 {
            // The first fault is the one to report; the next restore removes it.
            let _ = std::fs::remove_file(path);
        }
    }
}

enum StageFault {
    Backup(io::Error),
    Told(Box<Error>),
}

impl From<io::Error> for StageFault {
    fn from(fault: io::Error) -> Self {
        Self::Backup(fault)
    }
}

fn stage(member: &Member, bytes: &mut dyn Read, swap: &Swap) -> Result<(), StageFault> {
    let path = &swap.staged;
    let wrap =
        |source| StageFault::Told(Box::new(Error::Stage { path: swap.target.clone(), source }));
    let parent = disk::parent(path);
    if !parent.is_dir() {
        let directory = parent.to_owned();
        return Err(StageFault::Told(Box::new(Error::NoDirectory { directory })));
    }
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(wrap(fault)),
        _ => (),
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .map_err(wrap)?;
    let like = if swap.target.exists() { &swap.target } else { parent };
    disk::give_to_owner_of(&file, like).map_err(wrap)?;
    let mut reader = Hashed::new(bytes.take(member.bytes));
    io::copy(&mut reader, &mut file).map_err(wrap)?;
    file.sync_all().map_err(wrap)?;
    if reader.sha256() != member.sha256 {
        let reason = format!("{} is not what the manifest says", member.name);
        return Err(StageFault::Told(Box::new(Error::Bad { path: swap.target.clone(), reason })));
    }
    Ok(())
}

fn check(name: &str, path: &Path) -> Result<(), Error> {
    let found = match name {
        LEDGER => return store::check_backup(path).map(drop).map_err(Error::BadLedger),
        METRICS => archive::check_backup(path),
        _ => State::check_backup(path),
    };
    found.map(drop).map_err(|source| Error::BadMember { name: name.to_owned(), source })
}

fn left_alone(manifest: &Manifest, places: &Places) -> Result<Vec<PathBuf>, Error> {
    let ledger = match places.ledger()? {
        Ledger::File(path) => Some((LEDGER, path)),
        _ => None,
    };
    let absent = |name: &str| !manifest.members.iter().any(|member| member.name == name);
    let all = [(METRICS, places.metrics())].into_iter().chain(ledger);
    Ok(all.filter(|(name, path)| absent(name) && path.exists()).map(|(_, path)| path).collect())
}

fn copy_into(manifest: &Manifest, places: &Places) -> Result<Option<String>, Error> {
    let server = matches!(places.ledger()?, Ledger::Server);
    let held = manifest.members.iter().any(|member| member.name == LEDGER);
    Ok((server && held).then(|| places.ledger.url.clone()))
}
