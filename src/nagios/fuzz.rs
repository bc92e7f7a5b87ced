//! For fuzzing only: this part's readers, given any bytes.

use std::collections::HashSet;
use std::io::BufReader;
use std::path::Path;

use super::main_config::MainConfig;
use super::object_files::Objects;
use super::status_lines::Lines;
use super::{hosts_file, seen, status, witness};
use crate::model::HostId;

/// A main configuration, or a file of objects.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let main = MainConfig::parse(Path::new("/etc/nagios4/nagios.cfg"), &text);
    let lines: usize = main.entries().iter().map(|entry| entry.height).sum();
    assert_eq!(lines, text.lines().count(), "every line is in one entry");
    // Each look-up goes through all of them.
    for (key, value) in main.entries().iter().filter_map(|entry| entry.setting()).take(100) {
        assert!(main.get(key).is_some());
        main.absolute(value);
    }
    let objects = Objects::parse(&text);
    assert!(objects.hosts.len() <= text.lines().count());
    if let Ok(found) = hosts_file::check(bytes) {
        assert_eq!(hosts_file::check(bytes), Ok(found));
        hosts_file::ids(bytes).for_each(drop);
    }
}

/// A status file, and the log beside it.
pub fn status_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(found) = status::parse_status(&text) {
        assert!(found.program_start > 0);
    }
    status::read_fate(&text, 4711, 0);
    let host = "h00001";
    let hosts: HashSet<HostId> = HostId::parse(host).into_iter().collect();
    let times = witness::read_last_ok(Lines::of(BufReader::new(bytes)), &hosts).unwrap_or_default();
    assert!(times.iter().all(|(id, time)| hosts.contains(id) && *time > 0));
    if let Ok(Some(found)) = seen::read_last_seen(Lines::of(BufReader::new(bytes)), host) {
        assert!(found.output.len() <= bytes.len() * 3 + 3);
    }
}
