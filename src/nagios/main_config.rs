//! Nagios's main configuration file, as far as we need it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Error;
use super::text::{self, BLANK};

pub(super) const MAX_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct MainConfig {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// A line, joined if it was continued.
#[derive(Debug)]
pub(super) struct Entry {
    pub text: String,
    pub height: usize,
}

impl Entry {
    /// Key and value; None for comments and blank lines. Nagios wants no space
    /// before the `=`, and keeps one behind it in cfg_file and cfg_dir.
    pub fn setting(&self) -> Option<(&str, &str)> {
        if self.text.starts_with('#') {
            return None;
        }
        self.text.split_once('=')
    }
}

impl MainConfig {
    /// Blocks.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_bounded(path, MAX_BYTES)?;
        Ok(Self::parse(path, &String::from_utf8_lossy(&bytes)))
    }

    pub fn parse(path: &Path, content: &str) -> Self {
        let entries = text::lines(content)
            .map(|line| Entry { height: line.height, text: line.text.into_owned() })
            .collect();
        Self { path: path.to_owned(), entries }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The last value of a key: later lines win.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .rev()
            .filter_map(Entry::setting)
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim_matches(BLANK))
    }

    pub fn path_of(&self, key: &'static str) -> Result<PathBuf, Error> {
        let value =
            self.get(key).ok_or_else(|| Error::NotSet { config: self.path.clone(), key })?;
        Ok(self.absolute(value))
    }

    /// Nagios resolves relative paths from the directory of this file.
    pub fn absolute(&self, value: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).join(value)
    }
}

/// Reads a whole file of at most `limit` bytes. Blocks.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read_up_to(path, limit + 1)
        .map_err(|source| Error::Read { path: path.to_owned(), source })
        .and_then(|bytes| {
            if bytes.len() as u64 > limit {
                return Err(Error::TooLong { path: path.to_owned(), limit });
            }
            Ok(bytes)
        })
}

fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let about = usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(about + 1);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(content: &str) -> MainConfig {
        MainConfig::parse(Path::new("/etc/nagios4/nagios.cfg"), content)
    }

    #[test]
    fn settings_are_read_as_nagios_reads_them() {
        let main = config(
            "# status_file=/no\nstatus_file=/first\n  status_file= var/status.dat \ncommand_file=/a/\\\n   b\n#x \\\nlog_file=/no\n",
        );
        assert_eq!(main.path_of("status_file").unwrap(), Path::new("/etc/nagios4/var/status.dat"));
        assert_eq!(main.path_of("command_file").unwrap(), Path::new("/a/b"));
        let fault = main.path_of("log_file").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "/etc/nagios4/nagios.cfg does not set log_file; set it there, or give log_file in [nagios]"
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        crate::disk::replace(&path, &[b'x'; 100], 0o600).unwrap();
        assert_eq!(read_bounded(&path, 100).unwrap().len(), 100);
        assert!(matches!(read_bounded(&path, 99), Err(Error::TooLong { limit: 99, .. })));
        assert!(matches!(read_bounded(&dir.path().join("y"), 99), Err(Error::Read { .. })));
    }
}
