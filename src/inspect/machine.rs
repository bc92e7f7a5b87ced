//! The machine itself: its clock and its disks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;

use super::nagios::seconds;
use super::{Finding, Number, Part, Range, Subjects, age};

/// 2025-01-01: nothing of ours is older.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// Another clock's tick and a busy machine.
const LEEWAY: f64 = 60.0;

/// Points are stored by the clock's time, and Nagios's proof is one of times.
pub(super) async fn clock(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "time";
    const FIX: &str = "set the clock and have it kept (systemd-timesyncd or chrony); then restart Nagios and weather-balloon";
    let now = SystemTime::now();
    if now < SystemTime::UNIX_EPOCH + EARLIEST {
        let text = "this machine's clock stands before 2025";
        return vec![Finding::fail(Part::Clock, HOP, text).fix(FIX)];
    }
    let written = match subjects.nagios.status_file().await {
        Ok(Some(file)) => Some(file.written),
        _ => None,
    };
    let ahead = written.map_or(0.0, |written| -age(now, written)).max(0.0);
    let found = if ahead > LEEWAY {
        let text = format!(
            "Nagios's status file is {} ahead of the clock: the clock was set back",
            seconds(ahead)
        );
        Finding::fail(Part::Clock, HOP, text).fix(FIX)
    } else {
        Finding::ok(Part::Clock, HOP, "the clock agrees with Nagios's files")
    };
    vec![found.number(Number::new("ahead", ahead, "s"))]
}

/// The file systems that we write to.
pub(super) async fn disk(subjects: Arc<Subjects>) -> Vec<Finding> {
    let hosts_file = &subjects.nagios.config().hosts_file;
    let mut places: Vec<(&str, PathBuf)> = vec![("state", subjects.state_directory.clone())];
    if subjects.perfdata.is_on() {
        places.push(("spool", subjects.perfdata.spool.clone()));
    }
    places.extend(hosts_file.parent().map(|dir| ("hosts", dir.to_owned())));
    let looked = tokio::task::spawn_blocking(move || places.into_iter().map(room).collect()).await;
    looked.unwrap_or_default()
}

fn room((name, path): (&'static str, PathBuf)) -> Finding {
    const FIX: &str = "make room: a full disk stops new generations, performance data and usage";
    match statvfs(&path) {
        Ok(room) => {
            let percent = |free: u64, all: u64| {
                if all == 0 { 100.0 } else { (free as f64 / all as f64 * 1000.0).round() / 10.0 }
            };
            let bytes = percent(room.blocks_available(), room.blocks());
            let files = percent(room.files_available(), room.files());
            let free = bytes.min(files);
            let what = format!(
                "{}: {bytes} % of the room and {files} % of the files are free",
                path.display()
            );
            let label = format!("{name}_free");
            let number =
                Number::new(&label, free, "%").limits(Range::below(10.0), Range::below(3.0));
            let found = Finding::ok(Part::Disk, name, what).number(number);
            if free < 10.0 { found.fix(FIX) } else { found }
        }
        Err(fault) => Finding::fail(Part::Disk, name, format!("{}: {fault}", path.display()))
            .fix("make the directory, for the user weather-balloon"),
    }
}
