use std::error::Error as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::sqlite;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the archive of measurements is still being opened; try again in a moment")]
    Opening,
    #[error(
        "the archive of measurements cannot be opened and is tried again every 10 seconds: {reason}"
    )]
    Closed { reason: String },
    #[error("the archive {path} is damaged; it will be put aside and a new one begun")]
    Damaged { path: PathBuf },
    #[error("the archive {path} can be read and not written; it is opened anew")]
    ReadOnly { path: PathBuf },
    #[error(
        "no room is left on the disk of the archive {path}; make room, it goes on by itself then"
    )]
    Full { path: PathBuf },
    #[error(
        "{points} points of the archive {path} wait to be written out; no more are taken meanwhile"
    )]
    Behind { path: PathBuf, points: usize },
    #[error("the name of a spool file is {0} bytes long; the archive takes at most 1,024")]
    LongFileName(usize),
    #[error(
        "the answer would have more than {max} series, the limit of the archive; ask with a narrower key"
    )]
    TooManySeries { max: usize },
    #[error(
        "the answer would have more than {max} points, the limit of the archive; ask with a narrower key, a shorter window or a smaller max_points"
    )]
    TooManyPoints { max: usize },
    #[error(
        "the archive would have to read more than {max} points for this answer; ask with a narrower key or a shorter window"
    )]
    TooMuchToRead { max: usize },
    #[error("the archive cannot be copied to {path}, which must be a new file on a disk with room")]
    Backup { path: PathBuf, source: std::io::Error },
    #[error("too many questions to the archive are under way; try again later")]
    Crowded,
    #[error("the archive is stopping")]
    Stopping,
    #[error("the archive cannot be used")]
    Database(#[source] sqlite::Error),
}

impl From<sqlite::Error> for Error {
    fn from(fault: sqlite::Error) -> Self {
        match &fault {
            _ if is_damage(&fault) => Self::Damaged { path: path_of(&fault) },
            _ if is_read_only(&fault) => Self::ReadOnly { path: path_of(&fault) },
            sqlite::Error::Query { path, source }
                if source.sqlite_error_code() == Some(ErrorCode::DiskFull) =>
            {
                Self::Full { path: path.clone() }
            }
            sqlite::Error::Full { path, .. } => Self::Full { path: path.clone() },
            sqlite::Error::Stopping { .. } => Self::Stopping,
            _ => Self::Database(fault),
        }
    }
}

fn path_of(fault: &sqlite::Error) -> PathBuf {
    match fault {
        sqlite::Error::Open { path, .. }
        | sqlite::Error::Full { path, .. }
        | sqlite::Error::NetworkFileSystem { path, .. }
        | sqlite::Error::Examine { path, .. }
        | sqlite::Error::Newer { path }
        | sqlite::Error::ReadOnly { path }
        | sqlite::Error::Migrate { path, .. }
        | sqlite::Error::Query { path, .. }
        | sqlite::Error::Damaged { path, .. }
        | sqlite::Error::Stopping { path } => path.clone(),
    }
}

impl Error {
    /// Another question can be answered, and this one will not be by asking
    /// again.
    pub fn blames_question(&self) -> bool {
        matches!(
            self,
            Self::TooManySeries { .. } | Self::TooManyPoints { .. } | Self::TooMuchToRead { .. }
        )
    }
}

/// True where the bytes of the file are to blame, not its surroundings.
pub(super) fn is_damage(fault: &sqlite::Error) -> bool {
    use refinery::error::Kind;
    // The history of migrations is ours: nothing else changes it.
    let is_history = matches!(fault, sqlite::Error::Migrate { source, .. } if matches!(
        source.kind(),
        Kind::InvalidVersion | Kind::DivergentVersion(..) | Kind::RepeatedVersion(..)
    ));
    let is_told = matches!(fault, sqlite::Error::Damaged { .. });
    is_history || is_told || cause(fault).is_some_and(is_damage_of_sqlite)
}

/// SQLite writes nothing to it. It says the same whether it may not or whether
/// the file's head has a version that it does not know.
pub(super) fn is_read_only(fault: &sqlite::Error) -> bool {
    matches!(fault, sqlite::Error::ReadOnly { .. })
        || cause(fault)
            .and_then(rusqlite::Error::sqlite_error)
            .is_some_and(|failure| failure.code == ErrorCode::ReadOnly)
}

/// Whether the head of the file forbids to write it. To be asked where nothing
/// else has the file open: closing it drops the locks of the whole process.
pub(super) fn has_strange_head(path: &Path) -> bool {
    /// SQLite's file format: 1 for a rollback journal, 2 for a WAL.
    const WRITE_VERSION: u64 = 18;
    let mut version = [0];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut version, WRITE_VERSION));
    read.is_ok() && version[0] > 2
}

fn cause(fault: &sqlite::Error) -> Option<&rusqlite::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = match fault {
        // A boxed source does not downcast to what is in the box.
        sqlite::Error::Migrate { source, .. } => match source.kind() {
            refinery::error::Kind::Connection(_, source) => Some(&**source),
            _ => std::error::Error::source(&**source),
        },
        _ => fault.source(),
    };
    while let Some(fault) = next {
        if let Some(found) = fault.downcast_ref() {
            return Some(found);
        }
        next = fault.source();
    }
    None
}

fn is_damage_of_sqlite(fault: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match fault {
        E::SqliteFailure(failure, _) | E::SqlInputError { error: failure, .. } => {
            matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                // Our own statements are right for our own schema.
                | ErrorCode::Unknown
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::SchemaChanged
                | ErrorCode::TooBig
            )
        }
        E::InvalidColumnType(..)
        | E::InvalidColumnIndex(_)
        | E::InvalidColumnName(_)
        | E::IntegralValueOutOfRange(..)
        | E::FromSqlConversionFailure(..)
        | E::Utf8Error(..)
        | E::QueryReturnedNoRows
        | E::ExecuteReturnedResults => true,
        _ => false,
    }
}
