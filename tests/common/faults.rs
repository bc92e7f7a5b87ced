//! The program's calls to the kernel, counted, recorded, refused or made its
//! last: `tests/faults/faults.c` before the C library.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::errno::Errno;

use super::nagios::Account;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call is made.
    Kill,
    Refuse(Errno),
    /// Half of the bytes are taken.
    CutShort,
}

/// What happens at which calls; `at` counts from 1, and 0 is never.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub fault: Fault,
    pub at: u64,
    /// How many calls in a row it meets.
    pub times: u64,
}

impl Plan {
    pub const NONE: Self = Self { fault: Fault::Kill, at: 0, times: 0 };

    pub fn kill(at: u64) -> Self {
        Self { fault: Fault::Kill, at, times: 1 }
    }
}

/// One run of the process under a plan, and what came of it.
pub struct Watch {
    dir: tempfile::TempDir,
    plan: Plan,
}

impl Watch {
    pub fn new(plan: Plan) -> Self {
        let dir = tempfile::Builder::new().prefix("wbf-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, bytes) in [("shared", &[0; 4096][..]), ("record", b"")] {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            Account::of_nagios().give(&path);
        }
        Self { dir, plan }
    }

    pub fn record(&self) -> PathBuf {
        self.dir.path().join("record")
    }

    /// For the process that is to be watched.
    pub fn environment(&self, recorded: bool) -> Vec<(&'static str, PathBuf)> {
        let Plan { fault, at, times } = self.plan;
        let error = number_of(fault);
        let mut environment = vec![
            ("LD_PRELOAD", library().to_owned()),
            ("FAULTS_SHARED", self.dir.path().join("shared")),
            ("FAULTS_FROM", at.to_string().into()),
            ("FAULTS_TIMES", times.to_string().into()),
            ("FAULTS_ERROR", error.to_string().into()),
        ];
        if recorded {
            environment.push(("FAULTS_RECORD", self.record()));
        }
        environment
    }

    /// While the process runs: the next so many calls meet this.
    pub fn order(&self, fault: Fault, times: u64) {
        assert!(fault != Fault::Kill);
        let shared = fs::File::options().write(true).open(self.dir.path().join("shared")).unwrap();
        shared.write_all_at(&i64::from(number_of(fault)).to_ne_bytes(), 512).unwrap();
        shared.write_all_at(&times.to_ne_bytes(), 520).unwrap();
    }

    fn number(&self, place: usize) -> u64 {
        let bytes = fs::read(self.dir.path().join("shared")).unwrap();
        u64::from_ne_bytes(bytes[place..place + 8].try_into().unwrap())
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.number(0)
    }

    /// Calls that were met by the fault.
    pub fn fired(&self) -> u64 {
        self.number(8)
    }

    /// The first of them, and on which file.
    pub fn what(&self) -> String {
        let bytes = fs::read(self.dir.path().join("shared")).unwrap();
        let text = &bytes[16..512];
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    }
}

fn number_of(fault: Fault) -> i32 {
    match fault {
        Fault::Kill => 0,
        Fault::Refuse(errno) => errno as i32,
        Fault::CutShort => -1,
    }
}

fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/faults.c");
        let (draft, built) =
            (place.join(format!("faults-{}.so", std::process::id())), place.join("faults.so"));
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&draft).arg(source);
        assert!(compile.status().unwrap().success(), "cc: run make test, which installs it");
        fs::rename(draft, &built).unwrap();
        built
    })
}
