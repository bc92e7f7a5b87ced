//! `backup` and `restore` as commands.

use std::path::PathBuf;

use super::common::commands::{Commands, names};
use super::common::faults::{Fault, Plan, Watch};
use super::common::keeper;
use super::common::marks::{advance, marks};
use super::sweep::Work;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// How the command ended, where it was not killed.
fn run(commands: &Commands, words: &[&str], plan: Plan) -> (Watch, Option<i32>) {
    let watch = Watch::new(plan);
    let mut command = commands.command(words);
    command.envs(watch.environment(false));
    let output = keeper::spawn(command).unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    let code = output.status.code();
    assert!(code.is_some() || plan.fault == Fault::Kill, "{}", output.status);
    if code.is_some_and(|code| code != 0) {
        eprintln!("told: {said}");
    }
    (watch, code)
}

/// A backup over an older one: what lies there is always a whole one.
pub struct Backup {
    commands: Commands,
    file: PathBuf,
    made: bool,
}

impl Backup {
    pub fn new() -> Self {
        let commands = Commands::new(None);
        wait(advance(&commands, 0, 3));
        let file = commands.path("b.tar");
        Self { commands, file, made: false }
    }
}

impl Work for Backup {
    fn run(&mut self, plan: Plan) -> Watch {
        let (watch, code) = run(&self.commands, &["backup", self.file.to_str().unwrap()], plan);
        self.made |= code == Some(0);
        watch
    }

    fn check(&mut self) {
        let file = self.file.display().to_string();
        if self.made || self.file.exists() {
            self.commands.told(&["restore", &file, "--dry-run"]);
        }
        assert_eq!(wait(marks(&self.commands)), (3, 3));
        // What a killed one leaves behind does not pile up.
        self.commands.told(&["backup", &file]);
        self.made = true;
        assert_eq!(names(self.commands.dir.path()), ["b.tar", "state", "weather-balloon.toml"]);
    }
}

/// A restore of one of two backups, in turn: state and ledger come together or
/// neither comes.
pub struct Restore {
    commands: Commands,
    now: i64,
    wanted: i64,
    done: bool,
}

const OLD: i64 = 2;
const NEW: i64 = 4;

impl Restore {
    pub fn new() -> Self {
        let commands = Commands::new(None);
        let file = |mark: i64| commands.path(&format!("{mark}.tar")).display().to_string();
        wait(advance(&commands, 0, OLD));
        commands.told(&["backup", &file(OLD)]);
        wait(advance(&commands, OLD, NEW));
        commands.told(&["backup", &file(NEW)]);
        Self { commands, now: NEW, wanted: NEW, done: false }
    }
}

impl Work for Restore {
    fn run(&mut self, plan: Plan) -> Watch {
        self.wanted = if self.now == NEW { OLD } else { NEW };
        let file = self.commands.path(&format!("{}.tar", self.wanted)).display().to_string();
        let (watch, code) = run(&self.commands, &["restore", &file], plan);
        self.done = code == Some(0);
        watch
    }

    fn check(&mut self) {
        let (generations, listings) = wait(marks(&self.commands));
        assert_eq!(i64::try_from(generations).unwrap(), listings, "half a restore");
        assert!(listings == self.wanted || (!self.done && listings == self.now), "{listings}");
        self.now = listings;
        // The old files are kept beside it, and would be many.
        for name in names(&self.commands.state()) {
            if name.contains(".before-restore-") {
                std::fs::remove_file(self.commands.state().join(name)).unwrap();
            }
        }
    }
}
