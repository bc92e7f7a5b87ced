//! docs/reliability.md names tests and mutations: all of them are there, and each
//! mutation still fits the source.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One row of the table of promises.
struct Promise {
    name: String,
    tests: Vec<String>,
    mutations: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn promises() -> Vec<Promise> {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let promises: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| I") || line.starts_with("| N"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [_, name, _, tests, mutations, _] = cells[..] else { panic!("{line}") };
            Promise { name: name.to_owned(), tests: quoted(tests), mutations: quoted(mutations) }
        })
        .collect();
    assert!(promises.len() > 20, "only {} promises", promises.len());
    promises
}

/// A file, and a function in it, or none where all of the file is meant.
fn place(test: &str) -> (PathBuf, Option<&str>) {
    if test.ends_with(".rs") {
        return (root().join(test), None);
    }
    let words: Vec<_> = test.split("::").collect();
    match words[..] {
        ["prove", file] => (root().join(format!("tests/prove/{file}.rs")), None),
        ["prove", file, function] => {
            (root().join(format!("tests/prove/{file}.rs")), Some(function))
        }
        [file, function] => (root().join(format!("tests/{file}.rs")), Some(function)),
        _ => panic!("{test} names no test"),
    }
}

#[test]
fn every_promise_names_tests_that_are_there() {
    for promise in promises() {
        assert!(!promise.tests.is_empty(), "{}", promise.name);
        let mut before = String::new();
        for test in promise.tests {
            // "::test" is in the file of the one before it.
            let test = match test.strip_prefix("::") {
                Some(function) => format!("{}::{function}", before.rsplit_once("::").unwrap().0),
                None => test,
            };
            let (file, function) = place(&test);
            let text = fs::read_to_string(&file)
                .unwrap_or_else(|fault| panic!("{}: {test}: {fault}", promise.name));
            if let Some(function) = function {
                assert!(text.contains(&format!("fn {function}(")), "{}: {test}", promise.name);
            }
            before = test;
        }
    }
}

#[test]
fn every_mutation_fits_the_source_and_is_named() {
    let named: BTreeSet<_> = promises().into_iter().flat_map(|promise| promise.mutations).collect();
    let mut patches = BTreeSet::new();
    for entry in fs::read_dir(root().join("prove/mutations")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for key in ["\nInvariants: ", "\nTest: ", "\nSees: "] {
            assert!(text.contains(key), "{name} has no line {key:?}");
        }
        assert!(text.contains(&format!("is_mutant(\"{name}\")")), "{name} never has its turn");
        let tried = Command::new("patch")
            .args(["--dry-run", "--fuzz", "0", "--strip", "1", "--input"])
            .arg(&path)
            .current_dir(root())
            .output()
            .unwrap();
        assert!(tried.status.success(), "{name}: {}", String::from_utf8_lossy(&tried.stdout));
        // The schedules of the task group are no promise of their own.
        if !text.contains("\nInvariants: T-H\n") {
            patches.insert(name);
        }
    }
    assert_eq!(named, patches);
}
