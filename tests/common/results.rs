//! `benches/RESULTS.md`: a section for each bench, which writes its own anew.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench fails by panicking, and its figures need no durability"
)]

use std::fmt::Write;
use std::fs;
use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");

/// A bench at work. What comes out of it is only worth what the machine was.
pub struct Results {
    title: &'static str,
    load_before: String,
    table: String,
}

impl Results {
    pub fn begin(title: &'static str) -> Self {
        let head = "| what | target | measured | beside it, in the same run | verdict |\n\
                    |---|---|---|---|---|\n";
        Self { title, load_before: load_average(), table: head.to_owned() }
    }

    pub fn judge(&mut self, what: &str, target: &str, measured: &str, peer: &str, met: bool) {
        let verdict = if met { "met".to_owned() } else { format!("MISSED: {measured}") };
        self.add(what, target, measured, peer, &verdict);
    }

    pub fn add(&mut self, what: &str, target: &str, measured: &str, peer: &str, verdict: &str) {
        let peer = if peer.is_empty() { "-" } else { peer };
        writeln!(self.table, "| {what} | {target} | {measured} | {peer} | {verdict} |").unwrap();
    }

    pub fn print(&self) {
        println!("\n{}", self.table);
    }

    /// Prints the table and puts it in the place of what this bench wrote last.
    pub fn publish(self) {
        self.print();
        let text = fs::read_to_string(FILE).unwrap_or_else(|_| "# Figures\n".to_owned());
        let section = format!(
            "## {}\n\n{} UTC, commit {}, {}, load {} before and {} after, {}\n\n{}",
            self.title,
            said_by("date", &["-u", "+%F %H:%M"]),
            said_by("git", &["describe", "--always", "--dirty"]),
            machine(),
            self.load_before,
            load_average(),
            said_by("rustc", &["--version"]),
            self.table
        );
        fs::write(FILE, with_section(&text, self.title, &section)).unwrap();
    }
}

fn with_section(text: &str, title: &str, section: &str) -> String {
    let mut parts: Vec<&str> =
        text.split("\n## ").map(|part| part.trim_end_matches('\n')).collect();
    let section = section.trim_start_matches("## ").trim_end_matches('\n');
    let standing = parts.iter().skip(1).position(|part| part.lines().next() == Some(title));
    match standing {
        Some(at) => parts[at + 1] = section,
        None => parts.push(section),
    }
    parts.join("\n\n## ") + "\n"
}

fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("an unknown processor", |told| told.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().unwrap();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

fn load_average() -> String {
    let loads = fs::read_to_string("/proc/loadavg").unwrap();
    loads.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
