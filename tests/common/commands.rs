//! The program's commands that need no daemon.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use weather_balloon::store;

use super::appliance::BINARY;

/// A configuration with a state directory and a ledger.
pub struct Commands {
    pub dir: tempfile::TempDir,
}

impl Commands {
    /// With the ledger of `store`; absent: an SQLite file in the state
    /// directory.
    pub fn new(store: Option<&store::Config>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let commands = Self { dir };
        std::fs::create_dir(commands.state()).unwrap();
        commands.configure(store);
        commands
    }

    pub fn configure(&self, store: Option<&store::Config>) {
        let section = store.map_or_else(String::new, |store| {
            format!(
                "[store]\nurl = {:?}\npassword_file = {:?}\ntls = \"off\"\n",
                store.url, store.password_file
            )
        });
        let text = format!("[state]\ndirectory = {:?}\n{section}", self.state());
        weather_balloon::disk::replace(&self.config(), text.as_bytes(), 0o644).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("weather-balloon.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn ledger(&self) -> store::Config {
        store::Config::beside(&self.state())
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("--config")
            .arg(self.config())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it answers in JSON.
    #[track_caller]
    pub fn told(&self, words: &[&str]) -> Value {
        let output = self.run(&[&["--output", "json"], words].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What it says on failing with this code.
    #[track_caller]
    pub fn refused(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(output.stdout.is_empty());
        said
    }
}

/// Names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
