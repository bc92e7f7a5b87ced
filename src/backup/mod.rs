//! The state and the ledger in one file, and back. The file is a tar of the
//! databases, a manifest and a seal over every byte before it.
//!
//! Each database is one moment of it; the state's comes first, and the
//! ledger's a little later. Neither refers to the other, so that they need not
//! be of the same moment.

mod container;
mod error;
mod make;
mod restore;

use std::path::{Path, PathBuf};

use crate::state::State;
use crate::store::{self, Target};
use crate::{archive, disk};

pub use container::{Manifest, Member};
pub use error::Error;
pub use make::{Made, make};
pub use restore::{Placed, Restored, restore};

/// Members by their names in the file.
const STATE: &str = State::DATABASE_NAME;
const LEDGER: &str = store::Config::DATABASE_NAME;
const METRICS: &str = archive::DATABASE_NAME;

/// What an appliance has where.
#[derive(Clone, Debug)]
pub struct Places {
    pub state_directory: PathBuf,
    pub ledger: store::Config,
}

/// Where the ledger is kept.
enum Ledger {
    Off,
    File(PathBuf),
    Server,
}

impl Places {
    fn ledger(&self) -> Result<Ledger, Error> {
        if self.ledger.is_off() {
            return Ok(Ledger::Off);
        }
        match self.ledger.target().map_err(|reason| Error::Url { reason })? {
            Target::Sqlite(path) => Ok(Ledger::File(path)),
            Target::Postgres(_) => Ok(Ledger::Server),
        }
    }

    fn state(&self) -> PathBuf {
        self.state_directory.join(STATE)
    }

    fn metrics(&self) -> PathBuf {
        self.state_directory.join(METRICS)
    }

    /// Whether a restore puts something there.
    fn owns(&self, path: &Path) -> bool {
        let ledger = match self.ledger() {
            Ok(Ledger::File(file)) => Some(file),
            _ => None,
        };
        let kept = path.parent() == Some(&self.state_directory)
            && path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(restore::KEPT_LEDGER));
        kept || path == self.state() || path == self.metrics() || Some(path) == ledger.as_deref()
    }
}

/// How far it has come, in words.
pub type Watch<'a> = &'a (dyn Fn(&str) + Send + Sync);
type SharedWatch = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    crate::settings::ByteSize::b(bytes).to_string()
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

fn refuse_pending(directory: &Path) -> Result<(), Error> {
    if disk::swap_is_pending(directory) {
        return Err(Error::Pending { directory: directory.to_owned() });
    }
    Ok(())
}
