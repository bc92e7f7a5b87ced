//! The hosts file's text: written here and nowhere else, and known again by
//! its trailer.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

use crate::model::{Host, HostId};

const HEADER: &str = "\
# Written by Weather Balloon. Do not edit: the next change of hosts replaces it.
# See which hosts are watched, and why: weather-balloon hosts list
";

const TRAILER: &str = "# weather-balloon generation=";

const BEGIN_HOST: &str = "define host {\n";
const HOST_NAME: &str = "    host_name     ";

/// The rendered hosts file: one complete generation, with a trailer that tells
/// a whole file from a cut one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsFile {
    pub bytes: Vec<u8>,
    /// Of everything before the trailer: equal digests mean equal hosts,
    /// whatever the generation.
    pub digest: Digest,
    pub count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the trailer of the live file says, after it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    pub generation: i64,
    pub digest: Digest,
    pub count: usize,
}

/// The names that hosts of ours refer to where they have none of their own.
pub(super) struct Names<'a> {
    pub hostgroup: &'a str,
    pub host_template: &'a str,
}

pub(super) fn render<'a>(
    names: &Names<'_>,
    generation: i64,
    hosts: impl IntoIterator<Item = (&'a Host, Option<&'a str>)>,
) -> HostsFile {
    let mut hosts: Vec<(&Host, Option<&str>)> = hosts.into_iter().collect();
    hosts.sort_unstable_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let mut text = String::with_capacity(HEADER.len() + 256 * hosts.len() + 128);
    text.push_str(HEADER);
    for (host, template) in &hosts {
        write_host(&mut text, host, template.unwrap_or(names.host_template), names.hostgroup);
    }
    let digest = Digest::of(text.as_bytes());
    let count = hosts.len();
    push(&mut text, format_args!("{TRAILER}{generation} count={count} sha256={digest}\n"));
    HostsFile { bytes: text.into_bytes(), digest, count }
}

fn write_host(text: &mut String, host: &Host, template: &str, hostgroup: &str) {
    // The alias is the id and not the display name: Nagios puts the alias on
    // the command lines of notifications, which go through a shell.
    push(
        text,
        format_args!(
            "{BEGIN_HOST}    use           {}\n{HOST_NAME}{id}\n    alias         {id}\n    display_name  {}\n    address       {}\n    hostgroups    {}\n}}\n",
            template,
            host.display_name,
            host.address,
            hostgroup,
            id = host.id,
        ),
    );
}

fn push(text: &mut String, what: fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(what);
}

/// What the trailer says, if the file is whole; else what is wrong with it.
pub(super) fn check(bytes: &[u8]) -> Result<LiveFile, &'static str> {
    let body = bytes.strip_suffix(b"\n").ok_or("does not end in a whole line")?;
    let start = memchr::memrchr(b'\n', body).map_or(0, |at| at + 1);
    let trailer = std::str::from_utf8(&body[start..]).map_err(|_| "has no trailer")?;
    let body = &bytes[..start];
    let live = parse_trailer(trailer).ok_or("has no trailer")?;
    if Digest::of(body) != live.digest {
        return Err("is not what its trailer's sha256 says");
    }
    if memchr::memmem::find_iter(body, BEGIN_HOST.as_bytes()).count() != live.count {
        return Err("does not hold as many hosts as its trailer says");
    }
    Ok(live)
}

/// The ids in a whole file.
pub(super) fn ids(bytes: &[u8]) -> impl Iterator<Item = HostId> {
    let names = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line.strip_prefix(HOST_NAME.as_bytes())?).ok());
    names.filter_map(|id| HostId::parse(id).ok())
}

fn parse_trailer(line: &str) -> Option<LiveFile> {
    let mut fields = line.strip_prefix(TRAILER)?.split(' ');
    let generation = fields.next()?.parse().ok()?;
    let count = fields.next()?.strip_prefix("count=")?.parse().ok()?;
    let digest = Digest::parse(fields.next()?.strip_prefix("sha256=")?)?;
    fields.next().is_none().then_some(LiveFile { generation, digest, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GivenHost, HostSet};

    const NAMES: Names<'static> = Names { hostgroup: "atmo-vms", host_template: "atmo_vm" };

    fn render<'a>(
        names: &Names<'_>,
        generation: i64,
        hosts: impl IntoIterator<Item = &'a Host>,
    ) -> HostsFile {
        super::render(names, generation, hosts.into_iter().map(|host| (host, None)))
    }

    fn set(ids: &[&str]) -> HostSet {
        let given: Vec<_> = ids
            .iter()
            .map(|id| GivenHost {
                id: (*id).to_owned(),
                display_name: format!("vm {id}"),
                address: "127.0.0.1".to_owned(),
            })
            .collect();
        HostSet::parse(&given).unwrap()
    }

    #[test]
    fn the_text_is_canonical() {
        let hosts = set(&["b", "a"]);
        let file = render(&NAMES, 7, hosts.iter().rev());
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        let body = format!(
            "{HEADER}define host {{
    use           atmo_vm
    host_name     a
    alias         a
    display_name  vm a
    address       127.0.0.1
    hostgroups    atmo-vms
}}
define host {{
    use           atmo_vm
    host_name     b
    alias         b
    display_name  vm b
    address       127.0.0.1
    hostgroups    atmo-vms
}}
"
        );
        assert_eq!(
            text,
            format!("{body}# weather-balloon generation=7 count=2 sha256={}\n", file.digest)
        );
        assert_eq!(file.count, 2);
        assert_eq!(file, render(&NAMES, 7, &hosts));
    }

    #[test]
    fn the_digest_knows_hosts_and_not_generations() {
        let one = render(&NAMES, 1, &set(&["a"]));
        let two = render(&NAMES, 2, &set(&["a"]));
        assert_eq!(one.digest, two.digest);
        assert_ne!(one.bytes, two.bytes);
        assert_ne!(one.digest, render(&NAMES, 1, &set(&["b"])).digest);
        let other = Names { host_template: "other", ..NAMES };
        assert_ne!(one.digest, render(&other, 1, &set(&["a"])).digest);
    }

    #[test]
    fn a_whole_file_is_known_again() {
        for ids in [&[][..], &["a"], &["a", "b", "c"]] {
            let file = render(&NAMES, -3, &set(ids));
            let live = check(&file.bytes).unwrap();
            assert_eq!(live, LiveFile { generation: -3, digest: file.digest, count: ids.len() });
            let found: Vec<_> = super::ids(&file.bytes).collect();
            assert!(found.iter().map(HostId::as_str).eq(ids.iter().copied()));
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_seen() {
        let file = render(&NAMES, 12, &set(&["a", "b"]));
        for end in 0..file.bytes.len() {
            assert!(check(&file.bytes[..end]).is_err(), "cut at {end} passed");
        }
        let known = check(&file.bytes).unwrap();
        for at in 0..file.bytes.len() {
            let mut bytes = file.bytes.clone();
            bytes[at] ^= 1;
            // The generation is no part of the digest, so it may differ.
            if let Ok(live) = check(&bytes) {
                assert_eq!((live.digest, live.count), (known.digest, known.count));
            }
        }
    }
}
