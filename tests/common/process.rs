//! What a process has cost so far, as Linux tells it.

#![allow(clippy::unwrap_used, reason = "a rig fails by panicking")]

use std::fs;

/// User and system seconds of all its own threads, in steps of a hundredth
/// (proc(5): fields 14 and 15 of stat; the name in brackets may hold spaces).
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at - 3].parse::<f64>().unwrap();
    (ticks(14) + ticks(15)) / 100.0
}

/// Bytes; `VmRSS` is what is resident now, `VmHWM` the most there ever was.
pub fn memory(pid: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0
}
