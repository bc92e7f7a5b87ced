//! Which object files Nagios reads, and which hosts they define.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use super::config::is_read;
use super::main_config::{MainConfig, read_bounded};
use super::text::{self, BLANK};

const MAX_FILES: usize = 20_000;
const MAX_DEPTH: usize = 32;
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What Nagios reads of one cfg_dir.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By the names under which Nagios opens them; sorted.
    pub files: Vec<PathBuf>,
    /// All directories entered, links resolved.
    pub dirs: HashSet<PathBuf>,
}

impl Tree {
    /// Nagios takes names that end in .cfg, enters directories, follows links,
    /// and passes names that begin with a dot. Blocks.
    pub fn walk(root: &Path, main: &MainConfig) -> Result<Self, Error> {
        let mut tree = Self::default();
        let mut pending = vec![(root.to_owned(), 0)];
        while let Some((dir, depth)) = pending.pop() {
            if depth > MAX_DEPTH {
                return Err(Error::TooDeep { dir });
            }
            tree.enter(&dir, depth, &mut pending)
                .map_err(|source| Error::Read { path: dir, source })?;
            if tree.files.len() + tree.dirs.len() + pending.len() > MAX_FILES {
                return Err(too_many(main));
            }
        }
        tree.files.sort();
        Ok(tree)
    }

    fn enter(
        &mut self,
        dir: &Path,
        depth: usize,
        pending: &mut Vec<(PathBuf, usize)>,
    ) -> io::Result<()> {
        self.dirs.insert(dir.canonicalize()?);
        for entry in dir.read_dir()?.take(MAX_FILES + 1) {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type()?;
            let dangling = kind.is_symlink() && !path.exists();
            if kind.is_dir() || kind.is_symlink() && path.is_dir() {
                pending.push((path, depth + 1));
            } else if dangling || is_read(&path) && path.is_file() {
                // Nagios refuses a dangling link of any name.
                self.files.push(path);
            }
        }
        Ok(())
    }
}

fn too_many(main: &MainConfig) -> Error {
    Error::TooManyFiles { config: main.path().to_owned(), limit: MAX_FILES }
}

type Kept = HashMap<PathBuf, (Stamp, Arc<Objects>)>;

/// What was read of object files, kept for as long as they do not change.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    /// Guards what is kept; held while one look goes through all files.
    kept: Arc<Mutex<Kept>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Cache {
    /// Hosts by name, with the file that defines them, of all object files but
    /// `ours` (links resolved). What cannot be read is passed over: the next
    /// verify lets Nagios itself say what is wrong with it. Blocks.
    pub fn hosts(&self, main: &MainConfig, ours: &Path) -> Result<HashMap<String, PathBuf>, Error> {
        let mut look = Look { main, seen: HashSet::new(), pending: Vec::new() };
        for (key, value) in main.entries().iter().filter_map(|entry| entry.setting()) {
            match key {
                "cfg_file" => look.add_file(main.absolute(value))?,
                "cfg_dir" => look.add_dir(&main.absolute(value))?,
                _ => {}
            }
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = HashMap::new();
        let mut hosts = HashMap::new();
        let mut budget = MAX_BYTES;
        while let Some(path) = look.pending.pop() {
            if path == ours {
                continue;
            }
            let Some((stamp, objects)) = load(&path, &kept, &mut budget) else { continue };
            for name in &objects.hosts {
                hosts.entry(name.clone()).or_insert_with(|| path.clone());
            }
            // Nagios hands these names to open() as they stand; started by
            // systemd, it works in the root directory.
            for file in &objects.included_files {
                look.add_file(Path::new("/").join(file))?;
            }
            for dir in &objects.included_dirs {
                look.add_dir(&Path::new("/").join(dir))?;
            }
            known.insert(path, (stamp, objects));
        }
        *kept = known;
        Ok(hosts)
    }
}

fn load(path: &Path, kept: &Kept, budget: &mut u64) -> Option<(Stamp, Arc<Objects>)> {
    let skipped = |reason: &dyn std::fmt::Display| {
        tracing::debug!(file = %path.display(), %reason, "object file passed over");
    };
    let stamp = match path.metadata() {
        Ok(meta) if meta.is_file() => Stamp::of(&meta),
        Ok(_) => return None,
        Err(fault) => {
            skipped(&fault);
            return None;
        }
    };
    if let Some((known, objects)) = kept.get(path)
        && *known == stamp
    {
        return Some((stamp, Arc::clone(objects)));
    }
    match read_bounded(path, MAX_FILE_BYTES.min(*budget)) {
        Ok(bytes) => {
            *budget -= bytes.len() as u64;
            Some((stamp, Arc::new(Objects::parse(&String::from_utf8_lossy(&bytes)))))
        }
        Err(fault) => {
            skipped(&fault);
            None
        }
    }
}

/// One look at all object files: each once, by its name with links resolved.
struct Look<'a> {
    main: &'a MainConfig,
    seen: HashSet<PathBuf>,
    pending: Vec<PathBuf>,
}

impl Look<'_> {
    fn add_file(&mut self, path: PathBuf) -> Result<(), Error> {
        let Ok(path) = path.canonicalize() else { return Ok(()) };
        if self.seen.len() >= MAX_FILES {
            return Err(too_many(self.main));
        }
        if self.seen.insert(path.clone()) {
            self.pending.push(path);
        }
        Ok(())
    }

    fn add_dir(&mut self, dir: &Path) -> Result<(), Error> {
        match Tree::walk(dir, self.main) {
            Ok(tree) => tree.files.into_iter().try_for_each(|file| self.add_file(file)),
            Err(fault) => {
                tracing::debug!(dir = %dir.display(), %fault, "object directory passed over");
                Ok(())
            }
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Objects {
    pub hosts: Vec<String>,
    included_files: Vec<String>,
    included_dirs: Vec<String>,
}

impl Objects {
    pub fn parse(content: &str) -> Self {
        let mut found = Self::default();
        // The kind of object that the lines are in.
        let mut kind: Option<String> = None;
        for line in text::lines(content) {
            let line = without_comment(&line.text);
            let line = line.trim_matches(BLANK);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(inside) = &kind {
                let (directive, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
                if line == "}" {
                    kind = None;
                } else if inside == "host" && directive == "host_name" {
                    found.hosts.push(value.trim_matches(BLANK).replace("\\;", ";"));
                }
            } else if let Some(rest) = line.strip_prefix("define") {
                let rest = rest.trim_start_matches(BLANK);
                let end = rest.find([' ', '\t', '{']).unwrap_or(rest.len());
                kind = Some(rest[..end].to_owned());
            } else if let Some(file) = line.strip_prefix("include_file=") {
                found.included_files.push(file.to_owned());
            } else if let Some(dir) = line.strip_prefix("include_dir=") {
                found.included_dirs.push(dir.to_owned());
            }
        }
        found
    }
}

/// The line up to its first `;` that has no `\` before it.
fn without_comment(line: &str) -> &str {
    let mut before = 0;
    for (at, byte) in line.bytes().enumerate() {
        if byte == b';' && before != b'\\' {
            return &line[..at];
        }
        before = byte;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn put(path: &Path, content: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::disk::replace(path, content.as_bytes(), 0o644).unwrap();
    }

    fn host(name: &str) -> String {
        format!("define host {{\n  host_name {name}\n}}\n")
    }

    #[test]
    fn hosts_are_found_as_nagios_finds_them() {
        let objects = Objects::parse(
            "define host{\n\thost_name   tight ; c\n  }\n define    host   {\nhost_name two\\;x\n}\n\
             define service {\n host_name not-one\n}\n\
             define host {\n name t\n register 0\n}\n\
             # define host {\n#host_name no\n; host_name no\n\
             define host {\n host_\\\nname a\n}\n\
             include_file=/x\ninclude_dir=/y\n define hostgroup {\n include_file=/z\n}\n",
        );
        assert_eq!(objects.hosts, ["tight", "two;x", "a"]);
        assert_eq!(objects.included_files, ["/x"]);
        assert_eq!(objects.included_dirs, ["/y"]);
    }

    #[test]
    fn a_tree_holds_what_nagios_reads() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        for name in ["a.cfg", ".h.cfg", "b.txt", "U.CFG", "sub/c.cfg", ".dot/d.cfg", "x.cfg/e.cfg"]
        {
            put(&root.join(name), "");
        }
        put(&dir.path().join("far/f.cfg"), "");
        put(&dir.path().join("g.other"), "");
        symlink("../far", root.join("link")).unwrap();
        symlink("../g.other", root.join("g.cfg")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let main = dir.path().join("nagios.cfg");
        put(&main, "");
        let main = MainConfig::read(&main).unwrap();
        let tree = Tree::walk(&root, &main).unwrap();
        let names: Vec<_> =
            tree.files.iter().map(|f| f.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.cfg", "dangling", "g.cfg", "link/f.cfg", "sub/c.cfg", "x.cfg/e.cfg"]);
        assert!(tree.dirs.contains(&dir.path().canonicalize().unwrap().join("far")));

        symlink("..", root.join("sub/loop")).unwrap();
        assert!(Tree::walk(&root, &main).is_err());
    }

    #[test]
    fn hosts_of_others_are_named_with_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let ours = root.join("conf.d/ours/hosts.cfg");
        put(&ours, &host("mine"));
        put(&root.join("conf.d/one.cfg"), &host("one"));
        put(
            &root.join("single.txt"),
            &(host("two") + "include_file=INC\n")
                .replace("INC", root.join("included").to_str().unwrap()),
        );
        put(&root.join("included"), &host("three"));
        put(
            &root.join("nagios.cfg"),
            "cfg_dir=conf.d\ncfg_file=single.txt\ncfg_file=missing.cfg\ncfg_dir=missing\n",
        );
        let main = MainConfig::read(&root.join("nagios.cfg")).unwrap();
        let cache = Cache::default();
        let hosts = cache.hosts(&main, &ours).unwrap();
        let mut names: Vec<_> = hosts.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["one", "three", "two"]);
        assert_eq!(hosts["three"], root.join("included"));

        put(&root.join("conf.d/one.cfg"), &host("uno"));
        let hosts = cache.hosts(&main, &ours).unwrap();
        assert!(hosts.contains_key("uno") && !hosts.contains_key("one"));
        assert_eq!(cache.kept.lock().unwrap().len(), 3);
    }
}
