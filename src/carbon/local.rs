//! The files of a Carbon on this machine: read, and edited as text so that all
//! that is not touched stays.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// New series made in a minute; beyond it Carbon drops points without a word.
const CREATES: &str = "MAX_CREATES_PER_MINUTE";
/// The head of a series of ours, as the templates name it.
const OURS: &str = "^nagios\\.";
const RULE: &str = "[nagios]\npattern = ^nagios\\.\nretentions = 10m:90d\n\n";

const MAX_BYTES: u64 = 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub path: PathBuf,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFiles {
    /// carbon.conf
    pub conf: TextFile,
    /// storage-schemas.conf
    pub schemas: TextFile,
}

impl LocalFiles {
    /// None where no Carbon keeps its files there. Blocks.
    pub fn find(dir: &Path) -> Option<Self> {
        let read = |name: &str| {
            let path = dir.join(name).canonicalize().ok()?;
            let text = read(&path).ok()?;
            Some(TextFile { path, text })
        };
        Some(Self { conf: read("carbon.conf")?, schemas: read("storage-schemas.conf")? })
    }

    /// None: no limit.
    pub fn creates_per_minute(&self) -> Option<u64> {
        let value = cache_value(&self.conf.text, CREATES)?;
        value.parse::<f64>().ok().filter(|limit| limit.is_finite()).map(|limit| limit as u64)
    }

    /// The port that takes pickles.
    pub fn pickle_port(&self) -> u16 {
        let set = cache_value(&self.conf.text, "PICKLE_RECEIVER_PORT");
        set.and_then(|port| port.parse().ok()).unwrap_or(2004)
    }

    pub fn has_our_retention(&self) -> bool {
        settings(&self.schemas.text)
            .any(|setting| setting.key.eq_ignore_ascii_case("pattern") && setting.value == OURS)
    }

    /// carbon.conf without the limit; None: it has none.
    pub fn without_create_limit(&self) -> Result<Option<String>, String> {
        if self.creates_per_minute().is_none() {
            return Ok(None);
        }
        let lines: Vec<_> = settings(&self.conf.text)
            .filter(|setting| setting.section == "cache" && setting.key == CREATES)
            .map(|setting| setting.line)
            .collect();
        let [line] = lines[..] else {
            return Err(format!(
                "{} sets {CREATES} more than once in [cache]; keep one of them",
                self.conf.path.display()
            ));
        };
        let edited = self.conf.text.split_inclusive('\n').enumerate().map(|(at, text)| {
            let end = if text.ends_with('\n') { "\n" } else { "" };
            if at == line { format!("{CREATES} = inf{end}") } else { text.to_owned() }
        });
        Ok(Some(edited.collect()))
    }

    /// storage-schemas.conf with our rule above all others, since the first
    /// that fits counts; None: it has it. A section of that name with another
    /// pattern is not ours to judge.
    pub fn with_our_retention(&self) -> Result<Option<String>, String> {
        if self.has_our_retention() {
            return Ok(None);
        }
        let text = &self.schemas.text;
        if text.lines().any(|line| line.trim() == "[nagios]") {
            return Err(format!(
                "{} has a section [nagios] whose pattern is not {OURS}; rename it, or add the rule by hand",
                self.schemas.path.display()
            ));
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let Some(first) = lines.iter().position(|line| line.trim_start().starts_with('[')) else {
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            return Ok(Some(format!(
                "{text}{gap}{}",
                RULE.trim_end_matches('\n').to_owned() + "\n"
            )));
        };
        // Comments right above a section are about that section.
        let comment = |line: &&&str| line.trim_start().starts_with('#');
        let at = first - lines[..first].iter().rev().take_while(comment).count();
        Ok(Some(format!("{}{RULE}{}", lines[..at].concat(), lines[at..].concat())))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

struct Setting<'a> {
    line: usize,
    section: &'a str,
    key: &'a str,
    value: &'a str,
}

/// As Python's configparser reads them, which Carbon uses.
fn settings(text: &str) -> impl Iterator<Item = Setting<'_>> {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(line, text)| {
        let bare = text.trim();
        if bare.starts_with(['#', ';']) {
            return None;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            return None;
        }
        let (key, value) = bare.split_once(['=', ':'])?;
        Some(Setting { line, section, key: key.trim(), value: value.trim() })
    })
}

fn cache_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    settings(text)
        .filter(|setting| setting.section == "cache" && setting.key == key)
        .last()
        .map(|setting| setting.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(conf: &str, schemas: &str) -> LocalFiles {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.to_owned() };
        LocalFiles { conf: file("/c", conf), schemas: file("/s", schemas) }
    }

    #[test]
    fn the_limit_goes_and_the_rest_stays() {
        let conf = "# x\n[cache]\n# MAX_CREATES_PER_MINUTE = 1\nMAX_CREATES_PER_MINUTE = 50\nPICKLE_RECEIVER_PORT = 77\n[relay]\nMAX_CREATES_PER_MINUTE = 5\n";
        let found = files(conf, "");
        assert_eq!((found.creates_per_minute(), found.pickle_port()), (Some(50), 77));
        let edited = found.without_create_limit().unwrap().unwrap();
        assert_eq!(edited, conf.replace("MINUTE = 50", "MINUTE = inf"));
        assert_eq!(files(&edited, "").without_create_limit(), Ok(None));
        assert!(
            files("[cache]\nMAX_CREATES_PER_MINUTE=1\nMAX_CREATES_PER_MINUTE=2\n", "")
                .without_create_limit()
                .is_err()
        );
    }

    #[test]
    fn the_rule_stands_above_all_others() {
        let schemas = "# about the file\n\n# about carbon\n[carbon]\npattern = ^carbon\\.\nretentions = 60:90d\n";
        let edited = files("", schemas).with_our_retention().unwrap().unwrap();
        let (head, rest) = schemas.split_once("# about carbon").unwrap();
        assert_eq!(edited, format!("{head}{RULE}# about carbon{rest}"));
        let again = files("", &edited);
        assert!(again.has_our_retention());
        assert_eq!(again.with_our_retention(), Ok(None));
        assert!(files("", "[nagios]\npattern = x\n").with_our_retention().is_err());
        assert!(files("", "").with_our_retention().unwrap().unwrap().ends_with("10m:90d\n"));
    }
}
