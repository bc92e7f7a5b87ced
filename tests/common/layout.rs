//! Trees of /etc as distributions have them, copied or imitated, for setup to
//! edit: nothing of the system's own is touched.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::appliance::BINARY;
use super::nagios;

pub struct Layout {
    dir: tempfile::TempDir,
    main: PathBuf,
}

/// Path below the tree -> mode, owner, group and, of a file, its bytes.
pub type Snapshot = BTreeMap<String, (u32, u32, u32, Option<Vec<u8>>)>;

impl Layout {
    /// Debian's own files of nagios4 and graphite-carbon.
    pub fn debian() -> Self {
        let layout = Self::empty("etc/nagios4/nagios.cfg");
        layout.copy("/etc/nagios4", "etc/nagios4");
        layout.copy("/etc/carbon", "etc/carbon");
        layout.replace("etc/nagios4/nagios.cfg", "/etc/nagios4", layout.path("etc/nagios4"));
        layout.configure("etc/nagios4/conf.d/weather-balloon/hosts.cfg");
        layout
    }

    /// As EPEL's package lays them out; what differs is the paths, and that no
    /// cfg_dir is read.
    pub fn epel() -> Self {
        let layout = Self::empty("etc/nagios/nagios.cfg");
        layout.copy("/etc/nagios4/objects", "etc/nagios/objects");
        fs::create_dir_all(layout.path("etc/nagios/private")).unwrap();
        fs::create_dir_all(layout.path("etc/nagios/conf.d")).unwrap();
        fs::write(
            layout.path("etc/nagios/private/resource.cfg"),
            "$USER1$=/usr/lib/nagios/plugins\n",
        )
        .unwrap();
        let mut text =
            format!("# NAGIOS.CFG\nlog_file={}\n", layout.path("var/nagios.log").display());
        for name in ["commands", "contacts", "timeperiods", "templates", "localhost"] {
            let path = layout.path(&format!("etc/nagios/objects/{name}.cfg"));
            text.push_str(&format!("cfg_file={}\n", path.display()));
        }
        text.push_str(&format!(
            "#cfg_dir=/etc/nagios/servers\nresource_file={}\nstatus_file=/var/spool/nagios/status.dat\n\
             nagios_user=nagios\nnagios_group=nagios\ncheck_external_commands=1\n\
             command_file=/var/spool/nagios/cmd/nagios.cmd\nlock_file=/run/nagios/nagios.pid\n\
             temp_path=/tmp\ncheck_result_path={}\nprocess_performance_data=0\n#host_perfdata_file=x\n\
             date_format=us\nillegal_object_name_chars=`~!$%^&*|'\"<>?,()=\n",
            layout.path("etc/nagios/private/resource.cfg").display(),
            layout.path("var").display(),
        ));
        nagios::Account::of_nagios().give(&layout.path("var"));
        // Debian's commands of these names come from its plugins' package.
        let plugins = "cfg_dir=/etc/nagios-plugins/config\n";
        fs::write(
            layout.path("etc/nagios/nagios.cfg"),
            text.replacen("#cfg_dir", &format!("{plugins}#cfg_dir"), 1),
        )
        .unwrap();
        layout.configure("etc/nagios/conf.d/weather-balloon/hosts.cfg");
        layout
    }

    fn empty(main: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("wbl-").tempdir_in("/tmp").unwrap();
        // Nagios gives root up and reads them as its own user.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let main = dir.path().join(main);
        for name in ["etc/weather-balloon", "var"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Self { dir, main }
    }

    fn copy(&self, from: &str, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let done = Command::new("cp").args(["-a", from]).arg(&to).status().unwrap();
        assert!(done.success(), "{from} is missing: run make test");
    }

    pub fn replace(&self, file: &str, old: &str, new: impl AsRef<Path>) {
        let path = self.path(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} has no {old}");
        fs::write(&path, text.replace(old, &new.as_ref().display().to_string())).unwrap();
    }

    fn configure(&self, hosts_file: &str) {
        let text = format!(
            "# Ours.\n[nagios]\nconfig = \"{}\"\nbinary = \"{}\"\nhosts_file = \"{}\"\n\n[perfdata]\nspool = \"{}\"\n\n\
             [carbon]\n# Where to.\naddress = \"\"\nconfig_directory = \"{}\"\n\n[state]\ndirectory = \"{}\"\n",
            self.main.display(),
            nagios::BINARY,
            self.path(hosts_file).display(),
            self.path("var/spool/perfdata").display(),
            self.path("etc/carbon").display(),
            self.path("var/state").display(),
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("etc/weather-balloon/weather-balloon.toml")
    }

    pub fn main(&self) -> &Path {
        &self.main
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.config()).args(words).stdin(Stdio::null());
        command
    }

    pub fn setup(&self, words: &[&str]) -> Output {
        self.command(&[&["setup"], words].concat()).output().unwrap()
    }

    /// Nagios's own judgement, with its first error.
    pub fn verify(&self) -> Result<(), String> {
        let output = Command::new(nagios::BINARY).arg("-v").arg(&self.main).output().unwrap();
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Err(said.lines().filter(|line| line.starts_with("Error")).collect::<Vec<_>>().join("\n"))
    }

    /// All but the journal.
    pub fn snapshot(&self) -> Snapshot {
        let mut found = Snapshot::new();
        let mut open = vec![self.dir.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path == self.path("etc/weather-balloon/setup") {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let name = path.strip_prefix(self.dir.path()).unwrap().display().to_string();
                let bytes = meta.is_file().then(|| fs::read(&path).unwrap());
                found.insert(name, (meta.mode(), meta.uid(), meta.gid(), bytes));
                if meta.is_dir() {
                    open.push(path);
                }
            }
        }
        found
    }
}
