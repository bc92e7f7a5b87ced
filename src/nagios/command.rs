//! Nagios's command FIFO.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;

use super::CommandError;
use crate::model::HostId;

/// A write of at most this many bytes is whole or fails (PIPE_BUF).
const MAX_WRITE_BYTES: usize = 4096;

/// Blocks for no longer than a directory look-up.
pub(super) fn restart(fifo: &Path, now: i64) -> Result<(), CommandError> {
    let mut file = open(fifo)?;
    write(&mut file, fifo, format!("[{now}] RESTART_PROGRAM\n").as_bytes())
}

/// Blocks for no longer than a directory look-up. Where it fails, some of the
/// commands may be in the FIFO.
pub(super) fn schedule_checks(
    fifo: &Path,
    hosts: &[HostId],
    now: i64,
    at: i64,
) -> Result<(), CommandError> {
    let mut file = open(fifo)?;
    for batch in batches(hosts, now, at) {
        write(&mut file, fifo, batch.as_bytes())?;
    }
    Ok(())
}

/// Whole command lines, together at most one atomic write each.
fn batches(hosts: &[HostId], now: i64, at: i64) -> impl Iterator<Item = String> {
    let mut hosts = hosts.iter().peekable();
    let mut next = String::new();
    std::iter::from_fn(move || {
        let mut batch = std::mem::take(&mut next);
        for host in hosts.by_ref() {
            let mut line = String::new();
            // Writing into a String cannot fail.
            let _ = writeln!(line, "[{now}] SCHEDULE_HOST_SVC_CHECKS;{host};{at}");
            if batch.len() + line.len() > MAX_WRITE_BYTES {
                next = line;
                break;
            }
            batch.push_str(&line);
        }
        (!batch.is_empty()).then_some(batch)
    })
}

/// Never O_CREAT, which would leave a plain file that keeps Nagios from making
/// its FIFO; never O_RDWR, which would succeed without a reader. The look at
/// the kind comes after the open, of what was opened.
pub(super) fn open(fifo: &Path) -> Result<File, CommandError> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(fifo)
        .map_err(|source| fault(fifo, source))?;
    match file.metadata() {
        Ok(meta) if meta.file_type().is_fifo() => Ok(file),
        Ok(_) => Err(CommandError::NotAFifo(fifo.to_owned())),
        Err(source) => Err(fault(fifo, source)),
    }
}

fn write(file: &mut File, fifo: &Path, line: &[u8]) -> Result<(), CommandError> {
    match file.write(line) {
        Ok(written) if written == line.len() => Ok(()),
        Ok(_) => Err(CommandError::Full(fifo.to_owned())),
        Err(source) => Err(fault(fifo, source)),
    }
}

fn fault(fifo: &Path, source: io::Error) -> CommandError {
    let path = fifo.to_owned();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => CommandError::Missing(path),
        Some(Errno::EISDIR) => CommandError::NotAFifo(path),
        Some(Errno::ENXIO) => CommandError::NoReader(path),
        Some(Errno::EAGAIN) => CommandError::Full(path),
        Some(Errno::EPIPE) => CommandError::ReaderGone(path),
        Some(Errno::EACCES) => CommandError::Denied(path),
        _ => CommandError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn ids(count: usize, length: usize) -> Vec<HostId> {
        (0..count).map(|n| HostId::parse(&format!("{n:0length$}")).unwrap()).collect()
    }

    #[test]
    fn batches_are_whole_lines_and_atomic() {
        for (count, length) in [(0, 1), (1, 128), (1000, 128), (1000, 5)] {
            let hosts = ids(count, length);
            let batches: Vec<_> = batches(&hosts, 1_700_000_000, 1_700_000_005).collect();
            assert!(batches.iter().all(|b| b.ends_with('\n') && b.len() <= MAX_WRITE_BYTES));
            let lines: Vec<_> = batches.iter().flat_map(|batch| batch.lines()).collect();
            let expected: Vec<_> = hosts
                .iter()
                .map(|id| format!("[1700000000] SCHEDULE_HOST_SVC_CHECKS;{id};1700000005"))
                .collect();
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn every_state_of_the_path_has_its_own_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nagios.cmd");
        assert!(matches!(restart(&path, 1), Err(CommandError::Missing(_))));
        assert!(!path.exists());
        assert!(matches!(restart(dir.path(), 1), Err(CommandError::NotAFifo(_))));

        crate::disk::replace(&path, b"keep", 0o600).unwrap();
        assert!(matches!(restart(&path, 1), Err(CommandError::NotAFifo(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"keep");
        std::fs::remove_file(&path).unwrap();

        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(restart(&path, 1), Err(CommandError::NoReader(_))));

        let mut reader =
            OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).unwrap();
        restart(&path, 1).unwrap();
        let mut got = [0; 100];
        let length = reader.read(&mut got).unwrap();
        assert_eq!(&got[..length], b"[1] RESTART_PROGRAM\n");

        let hosts = ids(2000, 128);
        assert!(matches!(schedule_checks(&path, &hosts, 1, 2), Err(CommandError::Full(_))));
        let mut file = open(&path).unwrap();
        drop(reader);
        assert!(matches!(write(&mut file, &path, b"x"), Err(CommandError::ReaderGone(_))));
    }
}
