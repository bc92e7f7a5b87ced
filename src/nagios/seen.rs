//! One host in Nagios's status file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::text;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSeen {
    /// UTC seconds; None: not checked yet.
    pub last_check: Option<i64>,
    pub up: bool,
    pub output: String,
    /// Has its last result performance data?
    pub measured: bool,
    /// Sorted by description.
    pub services: Vec<ServiceSeen>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSeen {
    pub description: String,
    /// UTC seconds; None: not checked yet.
    pub last_check: Option<i64>,
    /// 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    pub state: u8,
    pub output: String,
    pub measured: bool,
}

/// Longer than any that Nagios writes; the rest of a longer one is dropped.
const MAX_LINE_BYTES: u64 = 64 * 1024;
const MAX_SERVICES: usize = 1000;

/// Blocks, for as long as it takes to read the file once.
pub(super) fn last_seen(path: &Path, host: &str) -> io::Result<Option<HostSeen>> {
    read_last_seen(BufReader::with_capacity(256 * 1024, File::open(path)?), host)
}

pub(super) fn read_last_seen(mut file: impl BufRead, host: &str) -> io::Result<Option<HostSeen>> {
    let mut found = None::<HostSeen>;
    let mut services = Vec::new();
    let mut block = Block::default();
    let mut line = Vec::new();
    while next_line(&mut file, &mut line)? {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if let Some(kind) = text.strip_suffix(" {") {
            block = Block {
                is_host: kind == "hoststatus",
                is_service: kind == "servicestatus",
                ..Block::default()
            };
        } else if text == "}" {
            if block.ours && block.is_host {
                found = Some(block.host());
            } else if block.ours && block.is_service && services.len() < MAX_SERVICES {
                services.push(block.service());
            }
            block = Block::default();
        } else if let Some((key, value)) = text.split_once('=') {
            block.take(key, value, host);
        }
    }
    services.sort_by(|a: &ServiceSeen, b| a.description.cmp(&b.description));
    Ok(found.map(|found| HostSeen { services, ..found }))
}

/// False at the end of the file.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if !line.ends_with(b"\n") {
        file.skip_until(b'\n')?;
    }
    Ok(true)
}

#[derive(Default)]
struct Block {
    is_host: bool,
    is_service: bool,
    /// It is about the host that is looked for.
    ours: bool,
    description: String,
    checked: bool,
    last_check: i64,
    state: u8,
    output: String,
    measured: bool,
}

impl Block {
    fn take(&mut self, key: &str, value: &str, host: &str) {
        // The name stands first in a block.
        if key == "host_name" && (self.is_host || self.is_service) {
            self.ours = value == host;
        }
        if !self.ours {
            return;
        }
        match key {
            "service_description" => self.description = text::clean(value),
            "has_been_checked" => self.checked = value == "1",
            "last_check" => self.last_check = value.parse().unwrap_or(0),
            "current_state" => self.state = value.parse().unwrap_or(3),
            "plugin_output" => self.output = text::clean(value),
            "performance_data" => self.measured = !value.trim().is_empty(),
            _ => {}
        }
    }

    fn last_check(&self) -> Option<i64> {
        (self.checked && self.last_check > 0).then_some(self.last_check)
    }

    fn host(&self) -> HostSeen {
        HostSeen {
            last_check: self.last_check(),
            up: self.state == 0,
            output: self.output.clone(),
            measured: self.measured,
            services: Vec::new(),
        }
    }

    fn service(&self) -> ServiceSeen {
        ServiceSeen {
            description: self.description.clone(),
            last_check: self.last_check(),
            state: self.state,
            output: self.output.clone(),
            measured: self.measured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_found_among_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.dat");
        let text = "info {\n\tcreated=1\n\t}\n\nhoststatus {\n\thost_name=a\n\tcurrent_state=1\n\t}\n\
            hoststatus {\n\thost_name=b\n\thas_been_checked=1\n\tlast_check=77\n\tcurrent_state=0\n\
            \tplugin_output=PING = ok\n\tperformance_data=rta=1ms\n\t}\n\
            servicestatus {\n\thost_name=b\n\tservice_description=z\n\tcurrent_state=3\n\thas_been_checked=1\n\tlast_check=5\n\t}\n\
            servicestatus {\n\thost_name=b\n\tservice_description=c\n\t}\n\
            servicestatus {\n\thost_name=a\n\tservice_description=z\n\t}\n";
        crate::disk::replace(&path, text.as_bytes(), 0o600).unwrap();
        let seen = last_seen(&path, "b").unwrap().unwrap();
        assert_eq!((seen.last_check, seen.up, seen.measured), (Some(77), true, true));
        assert_eq!(seen.output, "PING = ok");
        let services: Vec<_> = seen
            .services
            .iter()
            .map(|one| (one.description.as_str(), one.last_check, one.state))
            .collect();
        assert_eq!(services, [("c", None, 0), ("z", Some(5), 3)]);
        assert_eq!(last_seen(&path, "c").unwrap(), None);
        assert!(!last_seen(&path, "a").unwrap().unwrap().up);
    }
}
