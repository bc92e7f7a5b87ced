use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub config: PathBuf,
    pub binary: PathBuf,
    pub hosts_file: PathBuf,
    /// Read from Nagios's main configuration where absent.
    pub command_file: Option<PathBuf>,
    pub status_file: Option<PathBuf>,
    pub log_file: Option<PathBuf>,
    pub hostgroup: String,
    pub host_template: String,
    #[serde(with = "crate::settings::duration")]
    pub verify_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            config: "/etc/nagios4/nagios.cfg".into(),
            binary: "/usr/sbin/nagios4".into(),
            hosts_file: "/etc/nagios4/conf.d/weather-balloon/hosts.cfg".into(),
            command_file: None,
            status_file: None,
            log_file: None,
            hostgroup: "atmo-vms".to_owned(),
            host_template: "atmo_vm".to_owned(),
            verify_timeout: Duration::from_secs(300),
        }
    }
}

impl Config {
    /// Every fault at once: the key and what is wrong with its value.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let paths = [
            ("config", Some(&self.config)),
            ("binary", Some(&self.binary)),
            ("hosts_file", Some(&self.hosts_file)),
            ("command_file", self.command_file.as_ref()),
            ("status_file", self.status_file.as_ref()),
            ("log_file", self.log_file.as_ref()),
        ];
        let mut faults: Vec<(&'static str, String)> = paths
            .into_iter()
            .filter_map(|(key, path)| Some((key, path_fault(path?)?.to_owned())))
            .collect();
        if !faults.iter().any(|(key, _)| *key == "hosts_file") && !is_read(&self.hosts_file) {
            faults.push((
                "hosts_file",
                "must be a name that ends in .cfg and does not begin with a dot: Nagios reads no other from a cfg_dir".to_owned(),
            ));
        }
        for (key, name) in [("hostgroup", &self.hostgroup), ("host_template", &self.host_template)]
        {
            if let Some(reason) = object_name_fault(name) {
                faults.push((key, reason));
            }
        }
        if self.verify_timeout < Duration::from_secs(1) {
            faults.push(("verify_timeout", "must be at least 1s".to_owned()));
        }
        faults
    }
}

/// Whether Nagios takes a name of this form from a cfg_dir.
pub(super) fn is_read(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() > 4 && !name.starts_with(b".") && name.ends_with(b".cfg")
}

fn path_fault(path: &Path) -> Option<&'static str> {
    // These paths go into lines of a Nagios configuration.
    match path.to_str() {
        None => Some("is not UTF-8"),
        Some(text) if text.contains(char::is_control) => Some("has a control character"),
        Some(text) if text.ends_with(' ') => Some("ends in a space"),
        Some(_) if !path.is_absolute() => Some("must be an absolute path"),
        Some(_) if path.file_name().is_none() => Some("names no file"),
        Some(_) => None,
    }
}

/// Nagios's own illegal_object_name_chars, and what its parser reads: `;`
/// begins a comment, `\` joins lines, braces end objects.
const UNSAFE: &str = "`~!$%^&*|'\"<>?,()=;\\{}#";

/// Why Nagios would not take it as an object's name.
pub fn object_name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.trim() != name {
        return Some("begins or ends with a space".to_owned());
    }
    if name == "null" || name.starts_with('+') {
        return Some(format!("{name:?} has a meaning of its own in Nagios"));
    }
    let bad = name.chars().find(|c| c.is_control() || UNSAFE.contains(*c))?;
    Some(format!("has the character {bad:?}, which Nagios takes in no name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(Config::default().check(), []);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let config = Config {
            config: "nagios.cfg".into(),
            binary: "/usr/sbin/na\ngios".into(),
            hosts_file: "/etc/nagios4/hosts.conf".into(),
            status_file: Some("/".into()),
            hostgroup: "a;b".to_owned(),
            host_template: " x".to_owned(),
            verify_timeout: Duration::ZERO,
            ..Config::default()
        };
        let keys: Vec<_> = config.check().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "config",
                "binary",
                "status_file",
                "hosts_file",
                "hostgroup",
                "host_template",
                "verify_timeout"
            ]
        );
    }

    #[test]
    fn names_that_nagios_would_read_otherwise_are_refused() {
        for bad in ["", "null", "+a", "a,b", "a\\", "a\nb", "a ", "x\u{7f}", "a}"] {
            assert!(object_name_fault(bad).is_some(), "{bad:?} passed");
        }
        for good in ["atmo-vms", "VMs of Größe 2", "a/b.c"] {
            assert_eq!(object_name_fault(good), None);
        }
    }

    #[test]
    fn only_names_that_nagios_reads_are_taken() {
        for bad in ["/a/.hosts.cfg", "/a/hosts.CFG", "/a/.cfg", "/a/hosts"] {
            assert!(!is_read(Path::new(bad)), "{bad:?} passed");
        }
        assert!(is_read(Path::new("/a/h.cfg")));
    }
}
