//! How this product opens, migrates, copies and calls an SQLite database.

mod snapshot;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use snapshot::{SnapshotFault, examine, snapshot};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open {path}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("the disk of {path} is full; make room, the data in it is as it was")]
    Full { path: PathBuf, source: rusqlite::Error },
    #[error(
        "{path} is on a network file system ({kind}), where SQLite is not safe; use a local disk"
    )]
    NetworkFileSystem { path: PathBuf, kind: &'static str },
    #[error(
        "{path} can be read and not written; make room on its disk, and let its owner write it"
    )]
    ReadOnly { path: PathBuf },
    #[error("{path} cannot be examined")]
    Examine { path: PathBuf, source: io::Error },
    #[error(
        "{path} was written by a newer weather-balloon; upgrade the program or restore a backup of its version"
    )]
    Newer { path: PathBuf },
    #[error("{path} cannot be brought to this version's schema; the data in it is as it was")]
    Migrate { path: PathBuf, source: Box<refinery::Error> },
    #[error(
        "{path} is damaged ({found}); restore a backup with `weather-balloon restore`, until then Nagios's hosts file stays as it is"
    )]
    Damaged { path: PathBuf, found: String },
    #[error("{path}: {source}")]
    Query { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: the process is stopping")]
    Stopping { path: PathBuf },
}

/// One connection, used by one caller at a time, on blocking threads.
#[derive(Clone, Debug)]
pub struct Database {
    path: Arc<Path>,
    /// Guards the only connection; held for one closure at a time.
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens or creates the database and brings it to the newest schema.
    /// Blocks; a power cut after a commit loses nothing (synchronous=FULL).
    pub fn open(path: &Path, migrations: refinery::Runner) -> Result<Self, Error> {
        refuse_network_file_system(path)?;
        let open = |source| cannot_open(path, source);
        restrict(path).map_err(|source| Error::Examine { path: path.to_owned(), source })?;
        let mut connection = Connection::open(path).map_err(open)?;
        // Where it may not write, SQLite opens for reading.
        if connection.is_readonly("main").map_err(open)? {
            return Err(Error::ReadOnly { path: path.to_owned() });
        }
        connection.busy_timeout(Duration::from_secs(5)).map_err(open)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 PRAGMA trusted_schema = OFF; PRAGMA cache_size = -2048;",
            )
            .map_err(open)?;
        check_history(&connection, path)?;
        migrations.set_grouped(true).run(&mut connection).map_err(|source| {
            match source.kind() {
                refinery::error::Kind::MissingVersion(_) => Error::Newer { path: path.to_owned() },
                _ => Error::Migrate { path: path.to_owned(), source: Box::new(source) },
            }
        })?;
        Ok(Self { path: path.into(), connection: Arc::new(Mutex::new(connection)) })
    }

    /// A further connection to the same database, which only reads and does not
    /// wait for the writer. Blocks.
    pub fn reader(&self) -> Result<Self, Error> {
        let open = |source| Error::Open { path: self.path.to_path_buf(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(open)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(open)?;
        connection
            .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cache_size = -2048;")
            .map_err(open)?;
        Ok(Self { path: self.path.clone(), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Looks for damage: pages, rows that their table's rules forbid, and rows
    /// that refer to nothing. Reads the whole file; blocks.
    pub fn examine(&self) -> Result<(), Error> {
        let found = self.call_blocking(|db| {
            let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Ok(Some(found));
            }
            let orphan = db
                .query_row("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0))
                .optional()?;
            Ok(orphan.map(|table| format!("a row of {table} refers to nothing")))
        })?;
        match found {
            Some(found) => Err(Error::Damaged { path: self.path.to_path_buf(), found }),
            None => Ok(()),
        }
    }

    /// Runs `work` on a blocking thread with the connection to itself.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let database = self.clone();
        tokio::task::spawn_blocking(move || database.call_blocking(work))
            .await
            .unwrap_or_else(|_| Err(Error::Stopping { path: self.path.to_path_buf() }))
    }

    pub fn call_blocking<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // A panic inside a closure rolled its transaction back, so the
        // connection behind a poisoned lock is sound.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection)
            .map_err(|source| Error::Query { path: self.path.to_path_buf(), source })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// refinery takes for granted that it can read its own table, and panics where a
/// time or a checksum is none.
fn check_history(connection: &Connection, path: &Path) -> Result<(), Error> {
    let history = "SELECT applied_on, checksum FROM refinery_schema_history";
    // Where there is none yet, or SQLite cannot read it, refinery finds the same.
    let Ok(mut history) = connection.prepare(history) else { return Ok(()) };
    let Ok(mut rows) = history.query([]) else { return Ok(()) };
    let is_time = |text: String| OffsetDateTime::parse(&text, &Rfc3339).is_ok();
    let is_checksum = |text: String| text.parse::<u64>().is_ok();
    while let Ok(Some(row)) = rows.next() {
        if !(row.get(0).is_ok_and(is_time) && row.get(1).is_ok_and(is_checksum)) {
            let found = "the history of its schema cannot be read".to_owned();
            return Err(Error::Damaged { path: path.to_owned(), found });
        }
    }
    Ok(())
}

fn cannot_open(path: &Path, source: rusqlite::Error) -> Error {
    // What SQLite says when its shared-memory file finds no room.
    const NO_ROOM: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
    let path = path.to_owned();
    let full = source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || source.sqlite_error().is_some_and(|fault| fault.extended_code == NO_ROOM);
    if full { Error::Full { path, source } } else { Error::Open { path, source } }
}

/// SQLite gives its side files the mode of the database file. A file that is
/// there is not opened: closing it again would drop the locks that this
/// process's other connections hold on it.
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.permissions().mode() & 0o077 == 0 => Ok(()),
        Ok(_) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            let new =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            match new {
                Ok(file) => give_to_owner_of_directory(&file, path),
                Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => Err(fault),
                Err(_) => Ok(()),
            }
        }
        Err(fault) => Err(fault),
    }
}

/// The service could not open a file of root's. SQLite itself gives the side
/// files to the owner of the database when root opens it.
fn give_to_owner_of_directory(file: &std::fs::File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let owner = std::fs::metadata(directory.unwrap_or(Path::new(".")))?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

fn refuse_network_file_system(path: &Path) -> Result<(), Error> {
    // The magic numbers are those of statfs(2) and the kernel's magic.h.
    const NETWORK: [(i64, &str); 6] = [
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x517B, "SMB"),
        (0x0102_1997, "9P"),
        (0x5346_414F, "AFS"),
    ];
    let dir = path.parent().unwrap_or(path);
    let examine =
        |errno: nix::errno::Errno| Error::Examine { path: dir.to_owned(), source: errno.into() };
    let found = nix::sys::statfs::statfs(dir).map_err(examine)?.filesystem_type().0;
    match NETWORK.iter().find(|(magic, _)| *magic == found) {
        Some((_, kind)) => Err(Error::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}
