//! What Nagios has done, as its status file, process and log tell.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::{Error, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStatus {
    /// UTC seconds at which the running Nagios began to read its configuration.
    pub program_start: i64,
    pub pid: Option<i32>,
}

/// What became of Nagios's process, as far as it can be seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Alive,
    /// Gone, and its log says that it bailed out of a configuration: the line.
    BailedOut(String),
    /// Gone, and its log says that it was told to stop.
    Stopped,
    /// Gone; the log could not be read or says nothing of it.
    Gone,
}

/// The program's block stands in the first kilobyte or so; the whole file has
/// some 11 KB a host.
const STATUS_HEAD_BYTES: u64 = 8 * 1024;

/// None while there is no status file, or none of a Nagios that started.
/// Blocks.
pub(super) fn program_status(path: &Path) -> Result<Option<ProgramStatus>, Error> {
    let mut head = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(STATUS_HEAD_BYTES).read_to_end(&mut head));
    match read {
        Ok(_) => Ok(parse_status(&String::from_utf8_lossy(&head))),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn parse_status(head: &str) -> Option<ProgramStatus> {
    // The last line may be cut.
    let (whole, _) = head.rsplit_once('\n')?;
    let value =
        |key: &str| whole.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    // 0 is what a Nagios that has not started yet writes.
    let program_start = value("program_start")?.parse().ok().filter(|start| *start > 0)?;
    let pid = value("nagios_pid").and_then(|pid| pid.parse().ok());
    Some(ProgramStatus { program_start, pid })
}

/// `since` in UTC seconds; the log may be unknown. Blocks.
pub(super) fn fate_of(pid: i32, since: i64, log: Option<&Path>) -> Fate {
    if is_alive(pid) {
        return Fate::Alive;
    }
    match log.map(tail) {
        Some(Ok(tail)) => read_fate(&String::from_utf8_lossy(&tail), pid, since),
        Some(Err(fault)) => {
            tracing::warn!(%fault, "Nagios has ended, and its log, which says why, cannot be read");
            Fate::Gone
        }
        None => Fate::Gone,
    }
}

fn is_alive(pid: i32) -> bool {
    // 0 and below mean groups of processes.
    if pid <= 0 {
        return false;
    }
    match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(Errno::EPERM) => !is_zombie(pid),
        Err(_) => false,
    }
}

/// A zombie answers to kill until its parent takes note. Where /proc hides
/// other users' processes, it cannot be told.
fn is_zombie(pid: i32) -> bool {
    let mut stat = Vec::new();
    let read =
        File::open(format!("/proc/{pid}/stat")).and_then(|f| f.take(1024).read_to_end(&mut stat));
    // The state stands behind the name, which is in brackets and may hold any.
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    read.is_ok() && matches!(state, Some(b'Z' | b'X'))
}

const LOG_TAIL_BYTES: u64 = 64 * 1024;

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last word of this process's life counts: the log may tell of lives
/// before and after it, and not every line names its process.
pub(super) fn read_fate(log: &str, pid: i32, since: i64) -> Fate {
    let mut fate = Fate::Gone;
    let mut cause: Option<&str> = None;
    let mut ours = true;
    for line in log.lines() {
        let Some((time, line)) = split_time(line) else { continue };
        let named = named_pid(line);
        if line.contains(" starting... (PID=") {
            ours = named == Some(pid);
            if ours {
                (fate, cause) = (Fate::Gone, None);
            }
        }
        if time < since || !named.map_or(ours, |named| named == pid) {
            continue;
        }
        if line.starts_with("Bailing out due to") {
            fate = Fate::BailedOut(text::clean(cause.unwrap_or(line)));
        } else if line.starts_with("Caught SIGTERM") || line.starts_with("Successfully shutdown") {
            fate = Fate::Stopped;
        } else if cause.is_none() && text::names_a_cause(line) {
            cause = Some(line);
        }
    }
    fate
}

/// `[seconds] text`
fn split_time(line: &str) -> Option<(i64, &str)> {
    let (time, text) = line.strip_prefix('[')?.split_once("] ")?;
    Some((time.parse().ok()?, text))
}

/// The process that the line ends with, as some do.
fn named_pid(line: &str) -> Option<i32> {
    line.trim_end().strip_suffix(')')?.rsplit_once("(PID=")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_status_file_is_enough() {
        let head = "info {\n\tcreated=1\n\t}\n\nprogramstatus {\n\tnagios_pid=77\n\tprogram_start=1700000000\n\tlast";
        assert_eq!(
            parse_status(head),
            Some(ProgramStatus { program_start: 1_700_000_000, pid: Some(77) })
        );
        for none in ["", "x", "programstatus {\n\tprogram_start=17", "\tprogram_start=0\n", "a\n"] {
            assert_eq!(parse_status(none), None, "{none:?}");
        }
    }

    const LIFE: &str = "\
half of a line
[100] Error: of long ago
[199] Bailing out due to one or more errors (PID=5)
[200] EXTERNAL COMMAND: RESTART_PROGRAM
[200] PROGRAM_RESTART event encountered, restarting...
[201] Nagios 4.4.6 starting... (PID=5)
[201] Warning: Duplicate definition found for host 'h' (config file 'x', line 2)
[201] Error: Could not add object property
[201] Bailing out due to one or more errors encountered. (PID=5)
";

    #[test]
    fn a_bail_out_is_told_with_its_first_cause() {
        let cause = "Warning: Duplicate definition found for host 'h' (config file 'x', line 2)";
        assert_eq!(read_fate(LIFE, 5, 200), Fate::BailedOut(cause.to_owned()));
        assert_eq!(read_fate(LIFE, 6, 200), Fate::Gone);
        assert_eq!(read_fate(LIFE, 5, 300), Fate::Gone);
        assert_eq!(
            read_fate("[9] Bailing out due to x (PID=5)\n", 5, 9),
            Fate::BailedOut("Bailing out due to x (PID=5)".to_owned())
        );
    }

    #[test]
    fn a_stop_is_told_from_a_crash() {
        assert_eq!(read_fate("[9] Caught SIGTERM, shutting down...\n", 5, 9), Fate::Stopped);
        assert_eq!(read_fate("[9] Successfully shutdown... (PID=5)\n", 5, 9), Fate::Stopped);
        assert_eq!(read_fate("[9] Successfully shutdown... (PID=6)\n", 5, 9), Fate::Gone);
        assert_eq!(read_fate("[9] Caught SIGSEGV\n", 5, 9), Fate::Gone);
    }

    #[test]
    fn other_lives_do_not_count() {
        let before = "[9] Caught SIGTERM, shutting down...\n[9] Successfully shutdown... (PID=4)\n";
        let ours = "[9] Nagios 4.4.6 starting... (PID=5)\n";
        let after = "[9] Nagios 4.4.6 starting... (PID=6)\n[9] Caught SIGTERM, shutting down...\n";
        let log = format!("{before}{ours}{after}");
        assert_eq!(read_fate(&log, 5, 9), Fate::Gone);
        assert_eq!(read_fate(&log, 6, 9), Fate::Stopped);
        assert_eq!(read_fate(&log, 6, 10), Fate::Gone);
        let bailed =
            format!("{LIFE}[202] Nagios 4.4.6 starting... (PID=6)\n[203] Caught SIGTERM\n");
        assert!(matches!(read_fate(&bailed, 5, 200), Fate::BailedOut(_)));
    }

    #[test]
    fn processes_are_told_from_zombies() {
        assert_eq!(fate_of(i32::try_from(std::process::id()).unwrap(), 0, None), Fate::Alive);
        assert_eq!(fate_of(1, 0, None), Fate::Alive);
        for none in [0, -1, i32::MAX] {
            assert_eq!(fate_of(none, 0, None), Fate::Gone);
        }
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while fate_of(pid, 0, None) == Fate::Alive && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(fate_of(pid, 0, None), Fate::Gone);
        child.wait().unwrap();
    }
}
