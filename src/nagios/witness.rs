//! What Nagios last saw of a host, as its status file tells.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::Error;
use crate::model::HostId;

/// Of a line that is longer, which only a plugin's output is, the rest is
/// passed over.
const LINE_BYTES: u64 = 8 * 1024;

/// Nagios replaces the file by a rename, so what is open is one whole state.
/// Blocks; the file has some 11 KB a host.
pub(super) fn last_ok(path: &Path, hosts: &HashSet<HostId>) -> Result<HashMap<HostId, i64>, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => read_last_ok(BufReader::with_capacity(64 * 1024, file), hosts).map_err(read),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(fault) => Err(read(fault)),
    }
}

pub(super) fn read_last_ok(
    mut status: impl BufRead,
    hosts: &HashSet<HostId>,
) -> io::Result<HashMap<HostId, i64>> {
    let mut found: HashMap<HostId, i64> = HashMap::new();
    // The host of the service block that the line stands in.
    let mut inside: Option<Option<HostId>> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut status).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES {
            skip_line(&mut status)?;
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text == "servicestatus {" {
            inside = Some(None);
        } else if text == "}" {
            inside = None;
        } else if let Some(host) = &mut inside {
            match text.split_once('=') {
                Some(("host_name", name)) => {
                    *host = HostId::parse(name).ok().filter(|id| hosts.contains(id));
                }
                // 0 for never.
                Some(("last_time_ok", time)) => {
                    let time: i64 = time.parse().unwrap_or(0);
                    if let Some(id) = host.as_ref().filter(|_| time > 0) {
                        let last = found.entry(id.clone()).or_insert(time);
                        *last = time.max(*last);
                    }
                }
                _ => (),
            }
        }
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        let Some(first) = memchr::memchr(b'\n', buffer) else {
            let all = buffer.len();
            if all == 0 {
                return Ok(());
            }
            from.consume(all);
            continue;
        };
        from.consume(first + 1);
        return Ok(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ok_of_any_service_counts() {
        let long = "x".repeat(3 * LINE_BYTES as usize);
        let status = format!(
            "info {{\n\tcreated=1\n\t}}\n
hoststatus {{\n\thost_name=a\n\tlast_time_ok=99\n\t}}\n
servicestatus {{\n\thost_name=a\n\tservice_description=Load\n\tlast_time_ok=10\n\t}}\n
servicestatus {{\n\thost_name=a\n\tplugin_output=}} {long}\n\tlast_time_ok=30\n\t}}\n
servicestatus {{\n\thost_name=b\n\tlast_time_ok=0\n\t}}\n
servicestatus {{\n\thost_name=c\n\tlast_time_ok=40\n\t}}\n
servicestatus {{\n\thost_name=d\n\tplugin_output=host_name=c\n\tlast_time_ok=50\n\t}}\n"
        );
        let ids = |names: &[&str]| names.iter().map(|name| HostId::parse(name).unwrap()).collect();
        let found = read_last_ok(status.as_bytes(), &ids(&["a", "b", "d"])).unwrap();
        let want = [("a", 30), ("d", 50)].map(|(id, at)| (HostId::parse(id).unwrap(), at));
        assert_eq!(found, HashMap::from(want));
        assert_eq!(read_last_ok(&b""[..], &ids(&["a"])).unwrap(), HashMap::new());
    }
}
