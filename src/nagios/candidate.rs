//! A copy of Nagios's main configuration that reads a candidate in the live
//! hosts file's place and touches nothing of the real Nagios's.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use super::main_config::MainConfig;
use super::object_files::Tree;
use super::places::Places;
use super::{Config, Error};

/// The directory that the verifying Nagios works in. By this name it reaches
/// its files whoever it runs as: no directory above needs to be searchable.
pub(super) const HERE: &str = "/proc/self/cwd";

/// In there, what it may write to: it tries its temporary directories.
pub(super) const VAR: &str = "var";

/// Where a running Nagios keeps its files; each is moved to that directory. A socket's path must be short: with 4.4.6 one of 131 bytes
/// passes -v and aborts the start.
const MOVED: [(&str, &str); 13] = [
    ("log_file", "/nagios.log"),
    ("log_archive_path", ""),
    ("object_cache_file", "/objects.cache"),
    ("precached_object_file", "/objects.precache"),
    ("status_file", "/status.dat"),
    ("state_retention_file", "/retention.dat"),
    ("command_file", "/nagios.cmd"),
    ("query_socket", "/nagios.qh"),
    ("lock_file", "/nagios.lock"),
    ("temp_file", "/nagios.tmp"),
    ("temp_path", ""),
    ("check_result_path", ""),
    ("debug_file", "/nagios.debug"),
];

/// What has effects elsewhere and no part in whether object files are right.
const DROPPED: [&str; 6] = [
    "broker_module",
    "check_for_updates",
    "debug_level",
    "host_perfdata_file",
    "service_perfdata_file",
    "use_syslog",
];

/// The text of the copy. Every line that stays keeps its number, so that what
/// Nagios says of a line holds for the original. Blocks.
pub(super) fn build(main: &MainConfig, places: &Places, config: &Config) -> Result<String, Error> {
    let mut text = String::new();
    let mut candidate = Candidate { main, places, includes: String::new(), covered: false };
    for entry in main.entries() {
        let line = match entry.setting() {
            Some((key, value)) => candidate.line(key, value)?,
            None => Some(entry.text.clone()),
        };
        text.push_str(line.as_deref().unwrap_or("#"));
        text.push_str(&"\n".repeat(entry.height));
    }
    if !candidate.covered {
        return Err(Error::NotIncluded {
            hosts_file: config.hosts_file.clone(),
            config: main.path().to_owned(),
        });
    }
    for (key, name) in MOVED {
        push(&mut text, format_args!("{key}={HERE}/{VAR}{name}\n"));
    }
    text.push_str("use_syslog=0\ncheck_for_updates=0\ndebug_level=0\n");
    text.push_str(&candidate.includes);
    Ok(text)
}

struct Candidate<'a> {
    main: &'a MainConfig,
    places: &'a Places,
    /// Lines that stand for an include of the live file.
    includes: String,
    covered: bool,
}

impl Candidate<'_> {
    /// What stands in the copy for a setting; None: nothing.
    fn line(&mut self, key: &str, value: &str) -> Result<Option<String>, Error> {
        let path = self.main.absolute(value);
        match key {
            "cfg_file" if self.is_live(&path) => {
                self.include_candidate();
                Ok(None)
            }
            "cfg_dir" => self.directory(&path),
            "resource_file" if denied(&path) => Ok(None),
            "cfg_file" | "resource_file" => Ok(Some(format!("{key}={}", path.display()))),
            _ if MOVED.iter().any(|(moved, _)| *moved == key) || DROPPED.contains(&key) => Ok(None),
            _ => Ok(Some(format!("{key}={value}"))),
        }
    }

    fn directory(&mut self, dir: &Path) -> Result<Option<String>, Error> {
        let as_it_is = Ok(Some(format!("cfg_dir={}", dir.display())));
        let tree = match Tree::walk(dir, self.main) {
            Ok(tree) => tree,
            // Nagios says what is wrong with it.
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return as_it_is;
            }
            Err(fault) => return Err(fault),
        };
        // The live file need not exist yet.
        let parent = self.places.live.parent().unwrap_or(Path::new("/"));
        let lives_here = tree.dirs.contains(parent) && super::config::is_read(&self.places.live);
        let (live, others): (Vec<_>, Vec<_>) =
            tree.files.iter().partition(|file| self.is_live(file));
        if live.is_empty() && !lives_here {
            return as_it_is;
        }
        for file in others {
            push(&mut self.includes, format_args!("cfg_file={}\n", file.display()));
        }
        // As often as Nagios would read it: twice is for Nagios to refuse.
        for _ in 0..live.len().max(1) {
            self.include_candidate();
        }
        Ok(None)
    }

    fn include_candidate(&mut self) {
        self.covered = true;
        let staged = self.places.staged.display();
        push(&mut self.includes, format_args!("cfg_file={staged}\n"));
    }

    fn is_live(&self, path: &Path) -> bool {
        let own = || {
            let dir = path.parent()?.canonicalize().ok()?;
            Some(dir.join(path.file_name()?))
        };
        path.canonicalize().ok().or_else(own).is_some_and(|path| path == self.places.live)
    }
}

/// A resource file holds passwords; its macros have no part in a verify.
fn denied(path: &Path) -> bool {
    File::open(path).is_err_and(|fault| fault.kind() == io::ErrorKind::PermissionDenied)
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Etc {
        _dir: tempfile::TempDir,
        root: PathBuf,
        hosts_file: PathBuf,
    }

    impl Etc {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            std::fs::create_dir_all(root.join("conf.d/wb")).unwrap();
            std::fs::create_dir_all(root.join("other")).unwrap();
            for file in ["conf.d/a.cfg", "conf.d/wb/t.cfg", "other/o.cfg"] {
                crate::disk::replace(&root.join(file), b"", 0o644).unwrap();
            }
            let hosts_file = root.join("conf.d/wb/hosts.cfg");
            Self { _dir: dir, root, hosts_file }
        }

        fn build(&self, main: &str) -> Result<String, Error> {
            let path = self.root.join("nagios.cfg");
            crate::disk::replace(&path, main.as_bytes(), 0o644).unwrap();
            let config = Config { hosts_file: self.hosts_file.clone(), ..Config::default() };
            build(&MainConfig::read(&path)?, &Places::of(&config)?, &config)
        }

        /// The includes of the copy, in order, without this directory's path.
        fn includes(&self, main: &str) -> Vec<String> {
            let here = format!("{}/", self.root.display());
            let text = self.build(main).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("cfg_"));
            lines.map(|line| line.replace(&here, "")).collect()
        }
    }

    #[test]
    fn a_cfg_dir_above_is_taken_apart() {
        let etc = Etc::new();
        let expected = [
            "cfg_dir=other",
            "cfg_file=conf.d/a.cfg",
            "cfg_file=conf.d/wb/t.cfg",
            "cfg_file=conf.d/wb/.hosts.cfg.new",
        ];
        assert_eq!(etc.includes("cfg_dir=conf.d\ncfg_dir=other\n"), expected);
        crate::disk::replace(&etc.hosts_file, b"", 0o644).unwrap();
        assert_eq!(etc.includes("cfg_dir=conf.d\ncfg_dir=other\n"), expected);
    }

    #[test]
    fn a_cfg_file_line_is_swapped() {
        let etc = Etc::new();
        assert_eq!(
            etc.includes("cfg_file=conf.d/wb/hosts.cfg\ncfg_file=conf.d/a.cfg\n"),
            ["cfg_file=conf.d/a.cfg", "cfg_file=conf.d/wb/.hosts.cfg.new"]
        );
    }

    #[test]
    fn links_to_the_file_and_above_it_count() {
        let etc = Etc::new();
        symlink(etc.root.join("conf.d/wb"), etc.root.join("other/link")).unwrap();
        let expected = [
            "cfg_file=other/link/t.cfg",
            "cfg_file=other/o.cfg",
            "cfg_file=conf.d/wb/.hosts.cfg.new",
        ];
        assert_eq!(etc.includes("cfg_dir=other\n"), expected);
        std::fs::remove_file(etc.root.join("other/link")).unwrap();
        crate::disk::replace(&etc.hosts_file, b"", 0o644).unwrap();
        symlink(&etc.hosts_file, etc.root.join("other/x.cfg")).unwrap();
        let expected = ["cfg_file=other/o.cfg", "cfg_file=conf.d/wb/.hosts.cfg.new"];
        assert_eq!(etc.includes("cfg_dir=other\n"), expected);
    }

    #[test]
    fn two_includes_stay_two() {
        let etc = Etc::new();
        let twice = etc.includes("cfg_dir=conf.d/wb\ncfg_file=conf.d/wb/hosts.cfg\n");
        assert_eq!(twice.iter().filter(|line| line.ends_with(".new")).count(), 2);
    }

    #[test]
    fn no_include_is_said_with_the_line_to_add() {
        let etc = Etc::new();
        let fault = etc.build("cfg_dir=other\n#cfg_dir=conf.d\n").unwrap_err().to_string();
        let line = format!("cfg_dir={}", etc.root.join("conf.d/wb").display());
        assert!(fault.ends_with(&line), "{fault}");
        assert!(fault.contains(&format!("{}", etc.root.join("nagios.cfg").display())), "{fault}");
    }

    #[test]
    fn the_rest_keeps_its_line_and_the_running_nagios_its_files() {
        let etc = Etc::new();
        let text = etc
            .build("# comment\nlog_file=/var/log/x\\\ny\ncfg_dir=conf.d\ninterval_length=60\nbroker_module=/x.so a\nresource_file=missing\ncfg_dir=gone\n")
            .unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..6], ["# comment", "#", "", "#", "interval_length=60", "#"]);
        assert_eq!(lines[6], format!("resource_file={}", etc.root.join("missing").display()));
        assert_eq!(lines[7], format!("cfg_dir={}", etc.root.join("gone").display()));
        assert!(lines.contains(&"log_file=/proc/self/cwd/var/nagios.log"));
    }
}
