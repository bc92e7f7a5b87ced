//! What Nagios last saw of a host, as its status file tells.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};
use std::path::Path;

use super::Error;
use super::status_lines::{Line, Lines, moment};
use crate::model::HostId;

/// Blocks; the file has some 11 KB a host.
pub(super) fn last_ok(path: &Path, hosts: &HashSet<HostId>) -> Result<HashMap<HostId, i64>, Error> {
    match Lines::open(path).and_then(|lines| read_last_ok(lines, hosts)) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        told => told.map_err(|source| Error::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn read_last_ok(
    mut lines: Lines<impl BufRead>,
    hosts: &HashSet<HostId>,
) -> io::Result<HashMap<HostId, i64>> {
    let mut found: HashMap<HostId, i64> = HashMap::new();
    // The host of the service block that the line stands in.
    let mut inside: Option<Option<HostId>> = None;
    while let Some(line) = lines.next()? {
        match line {
            Line::Begin(kind) => inside = (kind == b"servicestatus").then_some(None),
            Line::End => inside = None,
            Line::Value(b"host_name", name) => {
                if let Some(host) = &mut inside {
                    let id = std::str::from_utf8(name).ok().map(HostId::parse);
                    *host = id.and_then(Result::ok).filter(|id| hosts.contains(id));
                }
            }
            Line::Value(b"last_time_ok", time) => {
                if let (Some(Some(id)), Some(time)) = (&inside, moment(time)) {
                    let last = found.entry(id.clone()).or_insert(time);
                    *last = time.max(*last);
                }
            }
            Line::Value(..) | Line::Other => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ok_of_any_service_counts() {
        let long = "x".repeat(200_000);
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
        let found = read_last_ok(Lines::of(status.as_bytes()), &ids(&["a", "b", "d"])).unwrap();
        let want = [("a", 30), ("d", 50)].map(|(id, at)| (HostId::parse(id).unwrap(), at));
        assert_eq!(found, HashMap::from(want));
        assert_eq!(read_last_ok(Lines::of(&b""[..]), &ids(&["a"])).unwrap(), HashMap::new());
    }
}
