//! The fields of a line: `KEY::value` between tabs, in Graphios's manner.
//!
//! Plugin output is a tenant's text, and a tab in it survives into the line.
//! Two orders of fields are read, and in neither can it name another host:
//!
//! * Ours has the perfdata last. A line is of this order when GRAPHITEPREFIX
//!   and GRAPHITEPOSTFIX stand before the perfdata: then nothing behind the
//!   perfdata's key is looked at for fields. All before it is Nagios's own.
//! * That of 2014 has the perfdata in the middle and both Graphite keys behind
//!   it. There the time and the host stand before the perfdata, every key is
//!   known, none comes twice and both Graphite keys must come: so whatever
//!   field a tenant makes is one too many, and the line is dropped. Where a
//!   template has left the Graphite keys out, a tenant could make them up: so
//!   the prefix of this order is one part only, and the host's node stays
//!   where readers look for it.

use memchr::{memchr, memmem};

use super::line::Dropped;

/// What of a line matters. Absent prefixes and postfixes are empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub time: &'a [u8],
    pub host: &'a [u8],
    pub prefix: &'a [u8],
    pub postfix: &'a [u8],
    pub perfdata: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    DataType,
    Time,
    HostName,
    ServiceDesc,
    ServicePerfdata,
    HostPerfdata,
    ServiceCheckCommand,
    HostCheckCommand,
    HostState,
    HostStateType,
    ServiceState,
    ServiceStateType,
    GraphitePrefix,
    GraphitePostfix,
}

impl Key {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"DATATYPE" => Self::DataType,
            b"TIMET" => Self::Time,
            b"HOSTNAME" => Self::HostName,
            b"SERVICEDESC" => Self::ServiceDesc,
            b"SERVICEPERFDATA" => Self::ServicePerfdata,
            b"HOSTPERFDATA" => Self::HostPerfdata,
            b"SERVICECHECKCOMMAND" => Self::ServiceCheckCommand,
            b"HOSTCHECKCOMMAND" => Self::HostCheckCommand,
            b"HOSTSTATE" => Self::HostState,
            b"HOSTSTATETYPE" => Self::HostStateType,
            b"SERVICESTATE" => Self::ServiceState,
            b"SERVICESTATETYPE" => Self::ServiceStateType,
            b"GRAPHITEPREFIX" => Self::GraphitePrefix,
            b"GRAPHITEPOSTFIX" => Self::GraphitePostfix,
            _ => return None,
        })
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

const GRAPHITE_KEYS: u16 = Key::GraphitePrefix.bit() | Key::GraphitePostfix.bit();
const BEFORE_PERFDATA: u16 = Key::DataType.bit() | Key::Time.bit() | Key::HostName.bit();

impl<'a> Fields<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Dropped> {
        let mut fields = Self::default();
        let mut kind = Key::DataType;
        let mut seen = 0;
        let mut at = 0;
        while at <= line.len() {
            let end = memchr(b'\t', &line[at..]).map_or(line.len(), |tab| at + tab);
            let (name, value) = split(&line[at..end]).ok_or(Dropped::NoKey)?;
            let key = Key::of(name).ok_or(Dropped::UnknownKey)?;
            if seen & key.bit() != 0 {
                return Err(Dropped::RepeatedKey);
            }
            seen |= key.bit();
            let mut next = end + 1;
            match key {
                Key::DataType => kind = perfdata_key(value)?,
                Key::Time => fields.time = value,
                Key::HostName => fields.host = value,
                Key::GraphitePrefix => fields.prefix = set_macro(value),
                Key::GraphitePostfix => fields.postfix = set_macro(value),
                Key::ServicePerfdata | Key::HostPerfdata => {
                    if key != kind || seen & BEFORE_PERFDATA != BEFORE_PERFDATA {
                        return Err(Dropped::MissingKey);
                    }
                    let start = end - value.len();
                    if seen & GRAPHITE_KEYS == GRAPHITE_KEYS {
                        fields.perfdata = whole(&line[start..])?;
                        return Ok(fields);
                    }
                    let end = end_of_perfdata(line, end);
                    fields.perfdata = whole(&line[start..end])?;
                    next = end + 1;
                }
                _ => {}
            }
            at = next;
        }
        if kind == Key::DataType || seen & kind.bit() == 0 || seen & GRAPHITE_KEYS != GRAPHITE_KEYS
        {
            return Err(Dropped::MissingKey);
        }
        if fields.prefix.contains(&b'.') {
            return Err(Dropped::DeepPrefix);
        }
        Ok(fields)
    }
}

fn split(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', field)?;
    (field.get(colon + 1) == Some(&b':')).then(|| (&field[..colon], &field[colon + 2..]))
}

fn perfdata_key(datatype: &[u8]) -> Result<Key, Dropped> {
    match datatype {
        b"SERVICEPERFDATA" => Ok(Key::ServicePerfdata),
        b"HOSTPERFDATA" => Ok(Key::HostPerfdata),
        _ => Err(Dropped::DataType),
    }
}

/// Nagios leaves the name of a custom macro that an object does not have.
fn set_macro(value: &[u8]) -> &[u8] {
    if value.starts_with(b"$_") { b"" } else { value }
}

/// In the order of 2014: pieces behind a tab that do not look like a field of
/// the template are still the plugin's.
fn end_of_perfdata(line: &[u8], first_tab: usize) -> usize {
    let mut end = first_tab;
    while end < line.len() {
        let start = end + 1;
        let next = memchr(b'\t', &line[start..]).map_or(line.len(), |tab| start + tab);
        if looks_like_field(&line[start..next]) {
            break;
        }
        end = next;
    }
    end
}

fn looks_like_field(piece: &[u8]) -> bool {
    split(piece).is_some_and(|(name, _)| name.iter().all(|b| b.is_ascii_uppercase() || *b == b'_'))
}

/// A line that was cut (a full disk, a killed Nagios) has the next one run
/// into it, and the next one's values are not this host's.
fn whole(perfdata: &[u8]) -> Result<&[u8], Dropped> {
    let joined =
        memchr(b'\t', perfdata).is_some() && memmem::find(perfdata, b"DATATYPE::").is_some();
    if joined { Err(Dropped::Joined) } else { Ok(perfdata) }
}
