//! The table and the machine it was measured on.

use std::fmt::Write;
use std::fs;
use std::process::Command;

pub struct Row {
    what: String,
    target: String,
    measured: String,
    baseline: String,
    verdict: String,
}

impl Row {
    pub fn judged(
        what: impl Into<String>,
        target: impl Into<String>,
        measured: impl Into<String>,
        baseline: impl Into<String>,
        met: bool,
    ) -> Self {
        let measured = measured.into();
        let verdict = if met { "met".to_owned() } else { format!("MISSED: {measured}") };
        Self {
            what: what.into(),
            target: target.into(),
            measured,
            baseline: baseline.into(),
            verdict,
        }
    }
}

pub struct Report {
    rows: Vec<Row>,
    load_before: String,
}

impl Report {
    pub fn begin() -> anyhow::Result<Self> {
        Ok(Self { rows: Vec::new(), load_before: load_average()? })
    }

    /// A part that fails is a row too, so that nobody takes it for met.
    pub fn add(&mut self, part: &str, rows: anyhow::Result<Vec<Row>>) {
        match rows {
            Ok(rows) => self.rows.extend(rows),
            Err(fault) => self.rows.push(Row {
                what: format!("part \"{part}\""),
                target: String::new(),
                measured: "none".to_owned(),
                baseline: String::new(),
                verdict: format!("NOT MEASURED: {fault:#}").replace(['\n', '|'], " "),
            }),
        }
    }

    /// Markdown.
    pub fn end(self) -> anyhow::Result<String> {
        let mut text = String::from("# Figures\n\nWritten by `make bench`. ");
        text.push_str(
            "Medians of several runs; CPU is user and system time of the server alone.\n\n",
        );
        writeln!(text, "- Date: {} UTC", said_by("date", &["-u", "+%F %H:%M"]))?;
        writeln!(text, "- Commit: {}", said_by("git", &["describe", "--always", "--dirty"]))?;
        writeln!(text, "- Machine: {}", machine()?)?;
        writeln!(
            text,
            "- Load average (1, 5, 15 min): {} before, {} after",
            self.load_before,
            load_average()?
        )?;
        writeln!(text, "- Built with: {}", said_by("rustc", &["--version"]))?;
        text.push_str("\n| what | target | measured | baseline of the same run | verdict |\n|---|---|---|---|---|\n");
        for Row { what, target, measured, baseline, verdict } in &self.rows {
            writeln!(text, "| {what} | {target} | {measured} | {baseline} | {verdict} |")?;
        }
        Ok(text)
    }
}

fn machine() -> anyhow::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned()
    };
    let memory = field(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{} cores of {}, {memory} of memory, Linux {}",
        std::thread::available_parallelism()?,
        field(&cpuinfo, "model name"),
        kernel.trim()
    ))
}

fn load_average() -> anyhow::Result<String> {
    let loads = fs::read_to_string("/proc/loadavg")?;
    Ok(loads.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}
