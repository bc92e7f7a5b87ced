use std::path::PathBuf;

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
pub(super) fn is_damage(fault: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(fault);
    while let Some(fault) = next {
        if let Some(fault) = fault.downcast_ref::<rusqlite::Error>() {
            return is_damage_of_sqlite(fault);
        }
        // A boxed source does not downcast to what is in the box.
        next = match fault.downcast_ref::<sqlite::Error>() {
            Some(sqlite::Error::Migrate { source, .. }) => match source.kind() {
                refinery::error::Kind::Connection(_, source) => Some(&**source),
                // The history of migrations is ours: nothing else changes it.
                refinery::error::Kind::InvalidVersion
                | refinery::error::Kind::DivergentVersion(..)
                | refinery::error::Kind::RepeatedVersion(..) => return true,
                _ => std::error::Error::source(&**source),
            },
            _ => fault.source(),
        };
    }
    false
}

fn is_damage_of_sqlite(fault: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match fault {
        // A damaged header says "read only"; opening has proved that the file
        // itself can be written.
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
            ) || failure.extended_code == rusqlite::ffi::SQLITE_READONLY
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
