//! The one place that knows Nagios: what a host looks like in its files, how a
//! configuration is proved before Nagios may read it, and how we know that it
//! did.

mod candidate;
mod command;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod hosts_file;
mod looks;
mod main_config;
mod main_text;
mod object_files;
mod places;
mod proof;
mod seen;
mod status;
mod status_lines;
mod templates;
mod text;
mod verify;
mod witness;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::{Host, HostId};

pub use config::{Config, object_name_fault};
pub use error::{CommandError, EditError, Error, VerifyError};
pub use hosts_file::{Digest, HostsFile, LiveFile};
pub use looks::{OtherSetting, StatusFile};
pub use main_text::MainText;
pub use proof::{Changed, prove};
pub use status::{Fate, ProgramStatus};
pub use templates::{object_files, perfdata_settings};

use main_config::MainConfig;
use places::Places;

/// A hosts file that this Nagios has accepted, waiting beside the live one.
/// Only [`Nagios::verify`] makes one, so nothing else can be swapped in.
#[derive(Debug)]
pub struct Verified {
    file: HostsFile,
}

impl Verified {
    pub fn file(&self) -> &HostsFile {
        &self.file
    }
}

#[derive(Clone, Debug)]
pub struct Nagios {
    config: Arc<Config>,
    scratch: Arc<Path>,
    /// Guards the staged file's name while it is written, or compared and
    /// renamed; not while Nagios reads it.
    staging: Arc<Mutex<()>>,
    objects: object_files::Cache,
}

impl Nagios {
    /// `scratch` is a directory of ours for candidate configurations. It is
    /// made when first needed, and handed to Nagios's user where we are root.
    pub fn new(config: Config, scratch: &Path) -> Self {
        Self {
            config: Arc::new(config),
            scratch: scratch.into(),
            staging: Arc::default(),
            objects: object_files::Cache::default(),
        }
    }

    /// The canonical file: the hosts sorted by id, LF, then the trailer.
    pub fn render<'a>(
        &self,
        generation: i64,
        hosts: impl IntoIterator<Item = &'a Host>,
    ) -> HostsFile {
        self.render_each(generation, hosts.into_iter().map(|host| (host, None)))
    }

    /// The same, of hosts that may have templates of their own.
    pub fn render_each<'a>(
        &self,
        generation: i64,
        hosts: impl IntoIterator<Item = (&'a Host, Option<&'a str>)>,
    ) -> HostsFile {
        let names = hosts_file::Names {
            hostgroup: &self.config.hostgroup,
            host_template: &self.config.host_template,
        };
        hosts_file::render(&names, generation, hosts)
    }

    /// The live hosts file, if it is there and whole.
    pub async fn live(&self) -> Result<Option<LiveFile>, Error> {
        self.on_disk(|nagios| {
            let live = Places::of(&nagios.config)?.live;
            Ok(places::look(&live)?.map(|(file, _)| file))
        })
        .await
    }

    /// Who is in the live hosts file; nobody where it is absent or not whole.
    pub async fn live_ids(&self) -> Result<HashSet<HostId>, Error> {
        self.on_disk(|nagios| ids_in(&Places::of(&nagios.config)?.live)).await
    }

    /// The same for the last good file.
    pub async fn last_good_ids(&self) -> Result<HashSet<HostId>, Error> {
        self.on_disk(|nagios| ids_in(&Places::of(&nagios.config)?.last_good)).await
    }

    /// Stages the file beside the live one and proves it with `nagios -v` in
    /// a copy of the main configuration that reads it in the live one's place.
    /// One at a time: another verify makes the earlier token worthless.
    pub async fn verify(&self, file: HostsFile) -> Result<Verified, VerifyError> {
        let (prepared, file) = self
            .on_disk(move |nagios| {
                let _staging = nagios.staging.lock().unwrap_or_else(PoisonError::into_inner);
                verify::Prepared::new(&nagios.config, &nagios.scratch, &file.bytes)
                    .map(|prepared| (prepared, file))
            })
            .await?;
        let verdict = prepared.run(&self.config).await?;
        self.on_disk(move |_| Ok(verdict.settle(&prepared.places))).await??;
        Ok(Verified { file })
    }

    /// Puts a proved file in the live one's place; durable when it returns.
    /// Returns the wall clock after the change of names.
    pub async fn swap(&self, verified: Verified) -> Result<SystemTime, Error> {
        self.on_disk(move |nagios| {
            let _staging = nagios.staging.lock().unwrap_or_else(PoisonError::into_inner);
            places::publish(&Places::of(&nagios.config)?, &verified.file.bytes)?;
            Ok(SystemTime::now())
        })
        .await
    }

    /// Keeps the live file as the one to go back to, if it is the one of this
    /// digest: call when Nagios has proved that it reads it.
    pub async fn keep_as_last_good(&self, proved: &str) -> Result<(), Error> {
        let proved = proved.to_owned();
        self.on_disk(move |nagios| places::keep_as_last_good(&Places::of(&nagios.config)?, &proved))
            .await
    }

    /// Puts the last good file back. It was proved when it was live.
    pub async fn restore_last_good(&self) -> Result<Option<(LiveFile, SystemTime)>, Error> {
        self.on_disk(|nagios| {
            let _staging = nagios.staging.lock().unwrap_or_else(PoisonError::into_inner);
            let main = MainConfig::read(&nagios.config.config)?;
            let places = Places::of(&nagios.config)?;
            let restored = places::restore_last_good(&places, verify::nagios_group(&main))?;
            Ok(restored.map(|file| (file, SystemTime::now())))
        })
        .await
    }

    /// Writes RESTART_PROGRAM into the command FIFO. Success is no delivery:
    /// only a new `program_start` proves it.
    pub async fn request_restart(&self) -> Result<(), CommandError> {
        self.on_fifo(|fifo| command::restart(fifo, seconds(SystemTime::now()))).await
    }

    /// Asks for checks of all services of these hosts at `at`. Where it fails,
    /// some of them may have been asked for.
    pub async fn schedule_checks(
        &self,
        hosts: &[HostId],
        at: SystemTime,
    ) -> Result<(), CommandError> {
        let hosts = hosts.to_vec();
        self.on_fifo(move |fifo| {
            command::schedule_checks(fifo, &hosts, seconds(SystemTime::now()), seconds(at))
        })
        .await
    }

    /// What the status file says; None while there is none.
    pub async fn program_status(&self) -> Result<Option<ProgramStatus>, Error> {
        self.on_disk(|nagios| {
            let path = nagios.path(nagios.config.status_file.as_ref(), "status_file")?;
            status::program_status(&path)
        })
        .await
    }

    /// When a check of any of their services last ended OK, in UTC seconds, of
    /// those of these hosts that had one; none while there is no status file.
    pub async fn last_ok(&self, hosts: HashSet<HostId>) -> Result<HashMap<HostId, i64>, Error> {
        self.on_disk(move |nagios| {
            let path = nagios.path(nagios.config.status_file.as_ref(), "status_file")?;
            witness::last_ok(&path, &hosts)
        })
        .await
    }

    /// Looks for the process that was `pid` when a restart was asked for.
    pub async fn fate_of(&self, pid: i32, since: SystemTime) -> Fate {
        let looked = self.on_disk(move |nagios| {
            let log = nagios.path(nagios.config.log_file.as_ref(), "log_file").ok();
            Ok(status::fate_of(pid, seconds(since), log.as_deref()))
        });
        // It fails only while the process stops, when no fate matters.
        looked.await.unwrap_or(Fate::Alive)
    }

    /// Hosts that other files of Nagios's configuration define, with the file.
    pub async fn defined_elsewhere(&self) -> Result<HashMap<String, PathBuf>, Error> {
        self.on_disk(|nagios| {
            let main = MainConfig::read(&nagios.config.config)?;
            let ours = Places::of(&nagios.config)?.live;
            nagios.objects.hosts(&main, &ours)
        })
        .await
    }

    /// A path of Nagios's own: ours if configured, else what Nagios uses.
    /// Blocks.
    fn path(&self, configured: Option<&PathBuf>, key: &'static str) -> Result<PathBuf, Error> {
        match configured {
            Some(path) => Ok(path.clone()),
            None => MainConfig::read(&self.config.config)?.path_of(key),
        }
    }

    async fn on_fifo(
        &self,
        work: impl FnOnce(&Path) -> Result<(), CommandError> + Send + 'static,
    ) -> Result<(), CommandError> {
        self.on_disk(move |nagios| {
            let fifo = nagios.path(nagios.config.command_file.as_ref(), "command_file")?;
            Ok(work(&fifo))
        })
        .await?
    }

    /// The seam to blocking work: all that reads or writes files.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let nagios = self.clone();
        match tokio::task::spawn_blocking(move || work(&nagios)).await {
            Ok(outcome) => outcome,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::Stopping),
            },
        }
    }
}

fn ids_in(file: &Path) -> Result<HashSet<HostId>, Error> {
    let found = places::look(file)?;
    Ok(found.map_or_else(HashSet::new, |(_, bytes)| hosts_file::ids(&bytes).collect()))
}

fn seconds(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
