use std::io;
use std::path::PathBuf;

use crate::disk::{LockError, SwapError};
use crate::sqlite::SnapshotFault;
use crate::store;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("[store] url {reason}")]
    Url { reason: String },
    #[error(
        "the state directory {directory} has no {}; has weather-balloon run on this machine? Nothing was written",
        super::STATE
    )]
    NoState { directory: PathBuf },
    #[error("[archive] has no {path}; leave --metrics out")]
    NoMetrics { path: PathBuf },
    #[error(
        "a restore into {directory} was interrupted; start weather-balloon or restore again first"
    )]
    Pending { directory: PathBuf },
    #[error("another backup is being written in {directory}")]
    Busy { directory: PathBuf, source: LockError },
    #[error("{directory} belongs to somebody else; remove it")]
    Foreign { directory: PathBuf },
    #[error("the backup {path} cannot be written; nothing of it is left")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} cannot be copied into the backup; nothing of it is left")]
    Copy { path: PathBuf, source: SnapshotFault },
    #[error("the ledger cannot be copied into the backup; nothing of it is left")]
    Ledger(#[source] store::Error),
    #[error("the backup {path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no whole backup of weather-balloon: {reason}; nothing was changed")]
    Bad { path: PathBuf, reason: String },
    #[error(
        "the backup {path} was made by a newer weather-balloon ({program}); upgrade first; nothing was changed"
    )]
    Newer { path: PathBuf, program: String },
    #[error("the backup's {name} cannot be used; nothing was changed")]
    BadMember { name: String, source: SnapshotFault },
    #[error("the backup's ledger cannot be used; nothing was changed")]
    BadLedger(#[source] store::Error),
    #[error("{directory} is not there; install weather-balloon, or make it for the service's user")]
    NoDirectory { directory: PathBuf },
    #[error("stop weather-balloon before you restore; nothing was changed")]
    Running(#[source] LockError),
    #[error("{path} cannot be written; nothing was changed")]
    Stage { path: PathBuf, source: io::Error },
    #[error(
        "the restored files are not all in their places; run restore again, or start weather-balloon"
    )]
    Swap(#[source] SwapError),
    #[error("the restore that was interrupted before cannot be finished")]
    Finish(#[source] SwapError),
    #[error("the process is stopping")]
    Stopping,
}
