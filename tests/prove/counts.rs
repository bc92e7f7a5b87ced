//! What `tests/faults/faults.c` sees is all that there is: strace, which asks
//! the kernel, counts as many.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use super::common::appliance::BINARY;
use super::common::commands::Commands;
use super::common::faults::{Plan, Watch};
use super::common::marks::advance;
use super::record::{self, Change};

/// Every call that could change a file's bytes, or make a change durable.
const CALLS: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,\
    rename,renameat,renameat2,ftruncate,copy_file_range,sendfile,splice,fallocate,link,linkat,\
    io_uring_enter,msync";

#[test]
fn strace_counts_as_many() {
    let commands = Commands::new(None);
    tokio::runtime::Runtime::new().unwrap().block_on(advance(&commands, 0, 3));
    let (backup, traced) = (commands.path("b.tar"), commands.path("trace"));
    let watch = Watch::new(Plan::NONE);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "0", "-e", CALLS, "-o"]).arg(&traced);
    for (name, value) in watch.environment(true) {
        strace.arg("-E").arg(format!("{name}={}", value.display()));
    }
    strace.arg(BINARY).arg("--config").arg(commands.config()).arg("backup").arg(&backup);
    let output = strace.stdin(Stdio::null()).output().expect("strace: run make test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let root = commands.dir.path();
    let mut recorded = BTreeMap::<&str, usize>::new();
    for one in record::read(&watch.record(), &[root]) {
        let kind = match one.change {
            Change::Write { .. } => "write",
            Change::Truncate { .. } => continue,
            Change::Sync { .. } => "sync",
            Change::Rename { .. } | Change::Link { .. } => "name",
            Change::Create { .. } | Change::Unlink { .. } | Change::Directory { .. } => continue,
        };
        *recorded.entry(kind).or_default() += 1;
    }
    let mut told = BTreeMap::<&str, usize>::new();
    for line in fs::read_to_string(&traced).unwrap().lines() {
        // "PID call(arguments"; the end of a call that was interrupted in the
        // trace begins with "<...".
        let Some((call, rest)) = line.split_once(' ').unwrap().1.trim_start().split_once('(')
        else {
            continue;
        };
        let here = rest.contains(root.to_str().unwrap()) && !rest.contains("-shm>");
        if call.starts_with('<') || !here || rest.contains(" = -1 ") {
            continue;
        }
        let kind = match call {
            "fsync" | "fdatasync" | "sync_file_range" | "msync" => "sync",
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => "name",
            "ftruncate" => continue,
            _ => "write",
        };
        *told.entry(kind).or_default() += 1;
    }
    assert!(told.len() == 3, "{told:?}");
    assert_eq!(recorded, told);
}
