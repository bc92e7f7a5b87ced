//! Nagios's main configuration as text to be edited: comments, order and every
//! line that is not touched stay as they are.

use std::path::{Path, PathBuf};

use super::main_config::{MAX_BYTES, MainConfig, read_bounded};
use super::object_files::Tree;
use super::text::{self, BLANK};
use super::{EditError, Error};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MainText {
    path: PathBuf,
    text: String,
}

/// One setting, by the lines that it stands on.
struct Found {
    /// Counted from 0.
    line: usize,
    height: usize,
    value: String,
}

impl MainText {
    /// Links are followed: what is edited is the file itself. Blocks.
    pub fn read(path: &Path) -> Result<Self, EditError> {
        let path =
            path.canonicalize().map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let bytes = read_bounded(&path, MAX_BYTES)?;
        let odd = |what| EditError::NotPlain { path: path.clone(), what };
        let text = String::from_utf8(bytes).map_err(|_| odd("bytes that are not UTF-8"))?;
        if text.contains('\r') {
            return Err(odd("lines that end in CR LF"));
        }
        if text.contains('\0') {
            return Err(odd("a NUL byte"));
        }
        Ok(Self { path, text })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same file with another text.
    #[must_use]
    pub fn with_text(&self, text: &str) -> Self {
        Self { path: self.path.clone(), text: text.to_owned() }
    }

    /// The value that counts: that of the last line with the key.
    pub fn get(&self, key: &str) -> Option<String> {
        self.find(key).pop().map(|found| found.value)
    }

    /// The line of the value that counts, counted from 1.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.find(key).pop().map(|found| found.line + 1)
    }

    /// Gives a key its value, in the line that it has or in a new one at the
    /// end. False: it has that value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, EditError> {
        let mut found = self.find(key);
        let Some(last) = found.pop() else {
            self.append(&format!("{key}={value}"));
            return Ok(true);
        };
        if last.value == value {
            return Ok(false);
        }
        let (path, key) = (self.path.clone(), key.to_owned());
        if let Some(first) = found.pop() {
            let (first, second) = (first.line + 1, last.line + 1);
            return Err(EditError::SetTwice { path, key, first, second });
        }
        if last.height > 1 {
            return Err(EditError::Continued { path, key, line: last.line + 1 });
        }
        self.replace_line(last.line, &format!("{key}={value}"));
        Ok(true)
    }

    /// Has Nagios read a directory of object files, behind its other includes.
    pub fn include(&mut self, dir: &Path) {
        let line = format!("cfg_dir={}", dir.display());
        let mut at = 0;
        let mut behind = None;
        for entry in text::lines(&self.text) {
            at += entry.height;
            if entry.text.starts_with("cfg_dir=") || entry.text.starts_with("cfg_file=") {
                behind = Some(at);
            }
        }
        match behind {
            Some(number) => self.insert_line(number, &line),
            None => self.append(&line),
        }
    }

    pub fn append(&mut self, line: &str) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Whether Nagios reads a file of this name, or would if it were there.
    /// Blocks.
    pub fn covers(&self, file: &Path) -> Result<bool, Error> {
        let main = self.parsed();
        // The nearest directory that is there: Nagios goes down from it.
        let nearest = file.ancestors().skip(1).find_map(|dir| dir.canonicalize().ok());
        for (key, value) in main.entries().iter().filter_map(|entry| entry.setting()) {
            let named = main.absolute(value);
            let covered = match key {
                "cfg_file" => named == file,
                "cfg_dir" if named.is_dir() => {
                    let tree = Tree::walk(&named, &main)?;
                    nearest.as_ref().is_some_and(|dir| tree.dirs.contains(dir))
                }
                _ => false,
            };
            if covered {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn parsed(&self) -> MainConfig {
        MainConfig::parse(&self.path, &self.text)
    }

    fn find(&self, key: &str) -> Vec<Found> {
        let mut line = 0;
        let mut found = Vec::new();
        for entry in text::lines(&self.text) {
            let setting = entry.text.split_once('=').filter(|_| !entry.text.starts_with('#'));
            if let Some((name, value)) = setting
                && name == key
            {
                let value = value.trim_matches(BLANK).to_owned();
                found.push(Found { line, height: entry.height, value });
            }
            line += entry.height;
        }
        found
    }

    fn replace_line(&mut self, number: usize, new: &str) {
        let lines = self.text.split_inclusive('\n').enumerate().map(|(at, line)| {
            let end = if line.ends_with('\n') { "\n" } else { "" };
            if at == number { format!("{new}{end}") } else { line.to_owned() }
        });
        self.text = lines.collect();
    }

    fn insert_line(&mut self, number: usize, new: &str) {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        let mut lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let new = format!("{new}\n");
        lines.insert(number.min(lines.len()), &new);
        self.text = lines.concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main(text: &str) -> MainText {
        MainText { path: "/etc/nagios4/nagios.cfg".into(), text: text.to_owned() }
    }

    #[test]
    fn a_value_is_set_where_it_stands() {
        let mut text = main("# a=0\na=1\n\n b=2\nc=3");
        assert!(!text.set("a", "1").unwrap());
        assert!(text.set("a", "9").unwrap());
        assert!(text.set("b", "8").unwrap());
        assert!(text.set("c", "7").unwrap());
        assert!(text.set("d", "6").unwrap());
        assert_eq!(text.as_str(), "# a=0\na=9\n\nb=8\nc=7\nd=6\n");
    }

    #[test]
    fn what_could_be_meant_otherwise_is_refused() {
        let mut text = main("a=1\na=2\nb=x\\\ny\n");
        assert!(!text.set("a", "2").unwrap());
        assert!(matches!(text.set("a", "3"), Err(EditError::SetTwice { first: 1, second: 2, .. })));
        assert!(matches!(text.set("b", "z"), Err(EditError::Continued { line: 3, .. })));
        assert_eq!(text.get("b").unwrap(), "xy");
    }

    #[test]
    fn an_include_stands_behind_the_others() {
        let mut text = main("x=1\ncfg_file=/a\n# cfg_dir=/no\ncfg_dir=/b\ny=2\n");
        text.include(Path::new("/c"));
        assert_eq!(text.as_str(), "x=1\ncfg_file=/a\n# cfg_dir=/no\ncfg_dir=/b\ncfg_dir=/c\ny=2\n");
        let mut text = main("x=1");
        text.include(Path::new("/c"));
        assert_eq!(text.as_str(), "x=1\ncfg_dir=/c\n");
    }
}
