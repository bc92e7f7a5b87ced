//! DuckDB from PyPI on the same rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::cloud::Cloud;
use crate::{Found, WINDOWS};

pub struct Duck {
    pub best: BTreeMap<String, f64>,
    pub found: BTreeMap<String, Found>,
}

/// DuckDB on the same rows, or nothing where it cannot be installed.
pub fn duckdb(cloud: &Cloud) -> Option<Duck> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-usage");
    fs::create_dir_all(&scratch).unwrap();
    let python = python(&scratch)?;
    let bytes = |column: &[u32]| column.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    fs::write(scratch.join("created"), bytes(&cloud.created)).unwrap();
    fs::write(scratch.join("ended"), bytes(&cloud.ended)).unwrap();
    fs::write(scratch.join("user_id"), bytes(&cloud.user)).unwrap();
    fs::write(scratch.join("cpu"), &cloud.cpu).unwrap();
    let mut windows = String::new();
    for (name, start, end) in WINDOWS {
        writeln!(windows, "{name} {start} {end}").unwrap();
    }
    fs::write(scratch.join("windows"), windows).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/usage/duck.py");
    let output = Command::new(python).arg(script).arg(&scratch).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut duck = Duck { best: BTreeMap::new(), found: BTreeMap::new() };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match words[0] {
            "version" => println!("DuckDB {}", words[1]),
            "best" => drop(duck.best.insert(words[1].into(), words[2].parse().unwrap())),
            _ => {
                let found = duck.found.entry(words[0].into()).or_default();
                found.insert(number(1) as u32, (number(2), number(3), number(4)));
            }
        }
    }
    fs::remove_dir_all(scratch).unwrap();
    Some(duck)
}

fn python(scratch: &Path) -> Option<PathBuf> {
    let place = scratch.parent().unwrap().with_file_name("bench-py");
    let python = place.join("bin/python");
    let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let ready = || runs(Command::new(&python).args(["-c", "import duckdb, numpy"]));
    if !ready() {
        let began = Instant::now();
        let _made = runs(Command::new("python3").args(["-m", "venv"]).arg(&place))
            && runs(Command::new(&python).args(["-m", "pip", "install", "-q", "duckdb", "numpy"]));
        println!("DuckDB from PyPI: {:.0} s", began.elapsed().as_secs_f64());
    }
    ready().then_some(python)
}
