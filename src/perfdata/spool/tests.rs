use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::perfdata::Watch;
use crate::settings::ByteSize;

struct Rig {
    dir: tempfile::TempDir,
    config: Config,
    spool: Spool,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { spool: dir.path().to_owned(), ..Config::default() };
        let spool = Spool::new(&config);
        Self { dir, config, spool }
    }

    fn limited_to(mut self, bytes: u64) -> Self {
        self.config.max_spool = ByteSize(bytes);
        self.spool = Spool::new(&self.config);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        crate::disk::replace(&self.path(name), bytes, 0o644).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.spool.pending().unwrap().files.into_iter().map(|file| file.name).collect()
    }
}

/// The command of nagios-templates, as Nagios runs it: without a shell.
fn rotate(live: &Path, target: &Path) {
    let status = Command::new("/bin/mv")
        .args([OsStr::new("-nT"), live.as_os_str(), target.as_os_str()])
        .status()
        .unwrap();
    // Newer coreutils say 1 where -n kept the target.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

#[test]
fn only_rotated_files_are_taken() {
    let rig = Rig::new();
    for name in [
        "service-perfdata",
        "host-perfdata",
        "service-perfdata.",
        "service-perfdata.x",
        "service-perfdata.12x",
        "service-perfdata.12.",
        "service-perfdata.12~",
        "service-perfdata.99999999999999999999999",
        "service-perfdata.-1",
        "other.12",
        ".service-perfdata.12",
        "Service-perfdata.12",
    ] {
        rig.put(name, b"x\n");
    }
    rig.put("service-perfdata.12", b"x\n");
    rig.put("service-perfdata.13.7", b"x\n");
    rig.put("host-perfdata.11", b"x\n");
    std::fs::create_dir(rig.path("service-perfdata.14")).unwrap();
    symlink(rig.path("other.12"), rig.path("service-perfdata.15")).unwrap();
    nix::unistd::mkfifo(&rig.path("service-perfdata.16"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(rig.names(), ["host-perfdata.11", "service-perfdata.12", "service-perfdata.13.7"]);
}

#[test]
fn the_oldest_comes_first_by_name_then_by_time() {
    let rig = Rig::new();
    for (age, name) in
        [(3, "service-perfdata.100"), (2, "service-perfdata.9"), (1, "host-perfdata.100")]
    {
        rig.put(name, b"x\n");
        let modified = SystemTime::now() - Duration::from_secs(age);
        File::open(rig.path(name)).unwrap().set_modified(modified).unwrap();
    }
    assert_eq!(rig.names(), ["service-perfdata.9", "service-perfdata.100", "host-perfdata.100"]);
}

#[test]
fn empty_files_go_and_no_others() {
    let rig = Rig::new();
    rig.put("service-perfdata.1", b"");
    rig.put("service-perfdata", b"");
    rig.put("service-perfdata.2", b"x\n");
    assert_eq!(rig.names(), ["service-perfdata.2"]);
    assert!(!rig.path("service-perfdata.1").exists());
    assert!(rig.path("service-perfdata").exists());
}

#[test]
fn above_the_limit_the_oldest_whole_files_go() {
    let rig = Rig::new().limited_to(1024 * 1024);
    for number in 10..30 {
        rig.put(&format!("service-perfdata.{number}"), &vec![b'x'; 100 * 1024]);
    }
    let pending = rig.spool.pending().unwrap();
    assert!(pending.disk_bytes <= 1024 * 1024);
    assert_eq!(pending.dropped_files + pending.count, 20);
    assert_eq!(pending.dropped_bytes, pending.dropped_files * 100 * 1024);
    assert_eq!(pending.count, pending.files.len() as u64);
    assert!(pending.dropped_files >= 10 && pending.fault.is_none());
    assert_eq!(pending.files.last().unwrap().name, "service-perfdata.29");
    assert_eq!(pending.files[0].rotated, 10 + pending.dropped_files);
    assert_eq!(rig.spool.pending().unwrap().dropped_files, 0);
}

#[test]
fn small_files_count_with_what_they_take_of_the_disk() {
    let rig = Rig::new();
    rig.put("service-perfdata.1", b"x\n");
    let pending = rig.spool.pending().unwrap();
    let blocks = std::fs::metadata(rig.path("service-perfdata.1")).unwrap().blocks();
    assert_eq!(pending.disk_bytes, (blocks * 512).max(2));
}

#[test]
fn listing_is_bounded_and_counts_all() {
    let rig = Rig::new();
    let count = Spool::MAX_LISTED + 50;
    for number in (0..count).rev() {
        let name = format!("service-perfdata.{}", 1_000_000 + number);
        File::create(rig.path(&name)).and_then(|mut f| io::Write::write_all(&mut f, b"x")).unwrap();
    }
    let pending = rig.spool.pending().unwrap();
    assert_eq!((pending.count, pending.files.len()), (count as u64, Spool::MAX_LISTED));
    assert_eq!(pending.files[0].rotated, 1_000_000);
    assert!(pending.files.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn two_rotations_in_one_second_lose_nothing() {
    let rig = Rig::new();
    let (live, target) = (rig.path("service-perfdata"), rig.path("service-perfdata.50"));
    let append = |line: &str| {
        let mut file = OpenOptions::new().append(true).create(true).open(&live).unwrap();
        io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    };
    append("one\n");
    rotate(&live, &target);
    append("two\n");
    rotate(&live, &target);
    append("three\n");
    rotate(&live, &rig.path("service-perfdata.51"));
    assert_eq!(std::fs::read(&target).unwrap(), b"one\n");
    assert_eq!(std::fs::read(rig.path("service-perfdata.51")).unwrap(), b"two\nthree\n");
    assert_eq!(rig.names(), ["service-perfdata.50", "service-perfdata.51"]);
}

#[test]
fn files_are_read_in_whole_lines() {
    let rig = Rig::new();
    rig.put("service-perfdata.1", b"one\ntwo\nthr");
    let file = rig.spool.pending().unwrap().files.remove(0);
    let mut reader = rig.spool.reader(&file, 4).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert_eq!(chunk.lines().collect::<Vec<_>>(), [b"two"]);
    assert_eq!(chunk.end, 8);
}

#[test]
fn another_file_of_the_same_name_is_not_taken_for_it() {
    let rig = Rig::new();
    rig.put("service-perfdata.1", b"old\n");
    let old = rig.spool.pending().unwrap().files.remove(0);
    rig.put("service-perfdata.1", b"new\n");
    assert!(matches!(rig.spool.reader(&old, 0), Err(Error::Changed { .. })));
    rig.spool.retire(&old).unwrap();
    let new = rig.spool.pending().unwrap().files.remove(0);
    rig.spool.retire(&new).unwrap();
    rig.spool.retire(&new).unwrap();
    assert!(rig.names().is_empty());
    assert!(matches!(rig.spool.reader(&new, 0), Err(Error::Read { .. })));
}

#[test]
fn a_missing_spool_is_named() {
    let config = Config { spool: "/nonexistent/perfdata".into(), ..Config::default() };
    let fault = Spool::new(&config).pending().unwrap_err();
    assert!(fault.to_string().contains("/nonexistent/perfdata"), "{fault}");
}

const LONG: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_rotation_wakes() {
    let rig = Rig::new();
    rig.put("service-perfdata", b"x\n");
    let config = Config { scan_interval: LONG, ..rig.config.clone() };
    let mut watch = Watch::new(&config);
    let stop = CancellationToken::new();
    rotate(&rig.path("service-perfdata"), &rig.path("service-perfdata.1"));
    tokio::time::timeout(SOON, watch.wait(&stop)).await.unwrap();
    assert_eq!(rig.names(), ["service-perfdata.1"]);

    // Also in a directory that took the place of the first.
    std::fs::rename(rig.dir.path(), rig.dir.path().with_extension("old")).unwrap();
    std::fs::create_dir(rig.dir.path()).unwrap();
    rig.put("service-perfdata", b"x\n");
    tokio::join!(async { tokio::time::timeout(SOON, watch.wait(&stop)).await.unwrap() }, async {
        tokio::task::yield_now().await;
        rotate(&rig.path("service-perfdata"), &rig.path("service-perfdata.2"));
    });
    std::fs::remove_dir_all(rig.dir.path().with_extension("old")).unwrap();
}

#[tokio::test]
async fn without_word_the_interval_wakes_and_stop_does() {
    let config = Config {
        spool: "/nonexistent/perfdata".into(),
        scan_interval: Duration::from_millis(20),
        ..Config::default()
    };
    let stop = CancellationToken::new();
    tokio::time::timeout(SOON, Watch::new(&config).wait(&stop)).await.unwrap();
    stop.cancel();
    let config = Config { scan_interval: LONG, ..config };
    tokio::time::timeout(SOON, Watch::new(&config).wait(&stop)).await.unwrap();
}
