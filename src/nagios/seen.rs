//! One host in Nagios's status file, or all of them at a glance.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::Path;

use super::status_lines::{Line, Lines, moment, number};
use super::text;
use crate::model::{HostSeen, HostState, ServiceSeen, ServiceState, Standing};

const MAX_SERVICES: usize = 1000;

/// Blocks, for as long as it takes to read the file once.
pub(super) fn last_seen(path: &Path, host: &str) -> io::Result<Option<HostSeen>> {
    read_last_seen(Lines::open(path)?, host)
}

pub(super) fn read_last_seen(
    mut lines: Lines<impl BufRead>,
    host: &str,
) -> io::Result<Option<HostSeen>> {
    let mut found = None::<HostSeen>;
    let mut services = Vec::new();
    let mut block = Block::default();
    while let Some(line) = lines.next()? {
        match line {
            Line::Begin(kind) => block = Block::of(kind),
            Line::Value(key, value) => block.take(key, value, Some(host.as_bytes())),
            Line::End => match std::mem::take(&mut block) {
                block if !block.ours => {}
                block if block.kind == Kind::Host => found = Some(block.host()),
                block if services.len() < MAX_SERVICES => services.push(block.service()),
                _ => {}
            },
            Line::Other => {}
        }
    }
    services.sort_by(|a: &ServiceSeen, b| a.description.cmp(&b.description));
    Ok(found.map(|found| HostSeen { services, ..found }))
}

/// By id. Blocks, for as long as it takes to read the file once.
pub(super) fn standings(path: &Path) -> io::Result<HashMap<Box<str>, Standing>> {
    let mut lines = Lines::open(path)?;
    let mut found: HashMap<Box<str>, Standing> = HashMap::new();
    let mut block = Block::default();
    while let Some(line) = lines.next()? {
        match line {
            Line::Begin(kind) => block = Block::of(kind),
            Line::Value(key, value) => block.take(key, value, None),
            Line::End => {
                let block = std::mem::take(&mut block);
                // Nagios writes all hosts before their services.
                match block.kind {
                    Kind::Host if block.ours => {
                        let standing = Standing { host: block.host_state(), ..Standing::default() };
                        found.insert(block.name.into(), standing);
                    }
                    Kind::Service => {
                        if let Some(of) = found.get_mut(block.name.as_str()) {
                            of.services.add(block.service_state());
                        }
                    }
                    _ => {}
                }
            }
            Line::Other => {}
        }
    }
    Ok(found)
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    Host,
    Service,
    #[default]
    Other,
}

#[derive(Default)]
struct Block {
    kind: Kind,
    /// It is about a host that is looked for.
    ours: bool,
    /// Of the host, where all are looked for.
    name: String,
    description: String,
    checked: bool,
    last_check: Option<i64>,
    last_ok: Option<i64>,
    state: i64,
    output: String,
    measured: bool,
}

impl Block {
    fn of(kind: &[u8]) -> Self {
        let kind = match kind {
            b"hoststatus" => Kind::Host,
            b"servicestatus" => Kind::Service,
            _ => Kind::Other,
        };
        Self { kind, ..Self::default() }
    }

    /// Of all hosts only the states are taken.
    fn take(&mut self, key: &[u8], value: &[u8], only: Option<&[u8]>) {
        // The name stands first in a block.
        if key == b"host_name" && self.kind != Kind::Other {
            self.ours = only.is_none_or(|host| host == value);
            if only.is_none() {
                self.name = String::from_utf8_lossy(value).into_owned();
            }
        }
        if !self.ours {
            return;
        }
        match key {
            b"has_been_checked" => self.checked = value == b"1",
            b"current_state" => self.state = number(value),
            _ if only.is_none() => {}
            b"service_description" => self.description = shown(value),
            b"last_check" => self.last_check = moment(value),
            b"last_time_ok" => self.last_ok = moment(value),
            b"plugin_output" => self.output = shown(value),
            b"performance_data" => self.measured = !value.trim_ascii().is_empty(),
            _ => {}
        }
    }

    fn host_state(&self) -> HostState {
        match self.state {
            _ if !self.checked => HostState::Pending,
            0 => HostState::Up,
            1 => HostState::Down,
            _ => HostState::Unreachable,
        }
    }

    fn service_state(&self) -> ServiceState {
        match self.state {
            _ if !self.checked => ServiceState::Pending,
            0 => ServiceState::Ok,
            1 => ServiceState::Warning,
            2 => ServiceState::Critical,
            _ => ServiceState::Unknown,
        }
    }

    fn host(self) -> HostSeen {
        HostSeen {
            state: self.host_state(),
            last_check: self.last_check.filter(|_| self.checked),
            output: self.output,
            measured: self.measured,
            services: Vec::new(),
        }
    }

    fn service(self) -> ServiceSeen {
        ServiceSeen {
            state: self.service_state(),
            description: self.description,
            last_check: self.last_check.filter(|_| self.checked),
            last_ok: self.last_ok,
            output: self.output,
            measured: self.measured,
        }
    }
}

fn shown(value: &[u8]) -> String {
    text::clean(&String::from_utf8_lossy(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceCounts;

    const STATUS: &str = "info {\n\tcreated=1\n\t}\n\n\
        hoststatus {\n\thost_name=a\n\thas_been_checked=1\n\tcurrent_state=1\n\t}\n\
        hoststatus {\n\thost_name=b\n\thas_been_checked=1\n\tlast_check=77\n\tcurrent_state=0\n\
        \tplugin_output=PING = ok\n\tperformance_data=rta=1ms\n\t}\n\
        servicestatus {\n\thost_name=b\n\tservice_description=z\n\tcurrent_state=3\n\thas_been_checked=1\n\tlast_check=5\n\tlast_time_ok=4\n\
        \tplugin_output=<b>} hoststatus {\n\t}\n\
        servicestatus {\n\thost_name=b\n\tservice_description=c\n\t}\n\
        servicestatus {\n\thost_name=a\n\tservice_description=z\n\tcurrent_state=0\n\thas_been_checked=1\n\t}\n\
        servicestatus {\n\thost_name=nobody\n\tservice_description=z\n\t}\n";

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.dat");
        crate::disk::replace(&path, text.as_bytes(), 0o600).unwrap();
        (dir, path)
    }

    #[test]
    fn one_host_is_found_among_others() {
        let (_dir, path) = written(STATUS);
        let seen = last_seen(&path, "b").unwrap().unwrap();
        assert_eq!((seen.last_check, seen.state, seen.measured), (Some(77), HostState::Up, true));
        assert_eq!(seen.output, "PING = ok");
        let services: Vec<_> = seen
            .services
            .iter()
            .map(|one| (one.description.as_str(), one.last_check, one.last_ok, one.state))
            .collect();
        let wanted = [
            ("c", None, None, ServiceState::Pending),
            ("z", Some(5), Some(4), ServiceState::Unknown),
        ];
        assert_eq!(services, wanted);
        assert_eq!(seen.services[1].output, "<b>} hoststatus {");
        assert_eq!(last_seen(&path, "c").unwrap(), None);
        assert_eq!(last_seen(&path, "a").unwrap().unwrap().state, HostState::Down);
    }

    #[test]
    fn all_are_seen_at_a_glance() {
        let (_dir, path) = written(STATUS);
        let found = standings(&path).unwrap();
        assert_eq!(found.len(), 2);
        let one = ServiceCounts { pending: 1, unknown: 1, ..ServiceCounts::default() };
        assert_eq!(found["b"], Standing { host: HostState::Up, services: one });
        assert!(found["a"].is_trouble() && found["b"].is_trouble());
        let calm = ServiceCounts { ok: 8, pending: 1, ..ServiceCounts::default() };
        assert!(!Standing { host: HostState::Up, services: calm }.is_trouble());
    }

    #[test]
    fn a_plugin_with_very_much_to_say_is_cut_and_hides_nothing() {
        let long = "x".repeat(1 << 20);
        let text = format!(
            "hoststatus {{\n\thost_name=a\n\tplugin_output={long}\n\thas_been_checked=1\n\t}}\n"
        );
        let (_dir, path) = written(&text);
        let seen = last_seen(&path, "a").unwrap().unwrap();
        assert_eq!(seen.state, HostState::Up);
        assert!(seen.output.len() < 1100, "{} bytes", seen.output.len());
    }
}
