//! One record of DescribeInstances, and what it says of times.

use std::net::Ipv4Addr;
use std::time::UNIX_EPOCH;

use super::config::{AddressKind, Config};
use super::xml::Element;
use crate::model::{
    Address, Details, Event, EventKind, Flavor, Instance, InstanceId, Label, Owner, OwnerRank,
    Shape, Size,
};

/// A record that could be read. The sizes of types are learned later.
pub(super) struct Record {
    pub instance: Instance,
    pub kind: String,
    /// It is no more.
    pub terminated: bool,
    /// When it entered its state, as far as EC2 says.
    pub event: Option<Event>,
}

/// Why a record is left out.
pub(super) enum Bad {
    /// Nobody knows which one it is.
    Id(&'static str),
    Rest(InstanceId, &'static str),
}

impl Record {
    /// `account` is the owner of the record's reservation.
    pub(super) fn read(
        record: &Element,
        account: Option<&str>,
        config: &Config,
    ) -> Result<Self, Bad> {
        let id = record.text_at(&["instanceId"]).ok_or(Bad::Id("is missing"))?;
        let id = InstanceId::parse(id).map_err(Bad::Id)?;
        let Some(state) = record.text_at(&["instanceState", "name"]) else {
            return Err(Bad::Rest(id, "has no state"));
        };
        let Some(owner) = owner(record, account, config) else {
            return Err(Bad::Rest(id, "has no owner"));
        };
        let terminated = state == "terminated";
        let counted = !terminated && config.counted_states.iter().any(|known| known == state);
        let kind = record.text_at(&["instanceType"]).unwrap_or_default();
        let name = tag(record, "Name").unwrap_or_default();
        let image = record.text_at(&["imageId"]).unwrap_or_default();
        let label = Label::tame(kind);
        let event = when(record, state, counted).map(|at| Event {
            id: id.clone(),
            at,
            kind: match (terminated, counted) {
                (true, _) => EventKind::Deleted,
                (false, true) => EventKind::Started,
                (false, false) => EventKind::Stopped,
            },
        });
        let instance = Instance {
            id,
            created: created(record),
            owner,
            details: Details::new(name, image, state, addresses(record, &config.addresses)),
            shape: Shape {
                flavor: Flavor { key: label.clone(), name: label },
                size: Size::new(cores(record), None, None),
            },
            counted,
        };
        Ok(Self { instance, kind: kind.to_owned(), terminated, event })
    }
}

fn tag<'a>(record: &'a Element, key: &str) -> Option<&'a str> {
    record
        .items("tagSet")
        .find(|tag| tag.get("key").is_some_and(|name| name.text() == key))
        .and_then(|tag| tag.text_at(&["value"]))
}

fn owner(record: &Element, account: Option<&str>, config: &Config) -> Option<Owner> {
    config
        .owner_tags
        .iter()
        .find_map(|key| Owner::new(OwnerRank::Creator, tag(record, key)?))
        .or_else(|| Owner::new(OwnerRank::Id, account?))
        .or_else(|| Owner::new(OwnerRank::Id, "unknown"))
}

/// Threads that it is given, where it says so itself.
fn cores(record: &Element) -> Option<u64> {
    let number = |name| record.text_at(&["cpuOptions", name])?.parse::<u64>().ok();
    number("coreCount")?.checked_mul(number("threadsPerCore").unwrap_or(1))
}

/// A time that never moves: the attachment of the primary network interface,
/// which lasts as long as the instance, or that of the root volume, where
/// there are no interfaces. `launchTime` moves at each start.
fn created(record: &Element) -> Option<i64> {
    let interfaces = record
        .items("networkInterfaceSet")
        .filter_map(|interface| interface.get("attachment"))
        .find(|attachment| attachment.text_at(&["deviceIndex"]) == Some("0"));
    if let Some(attachment) = interfaces {
        return seconds(attachment.text_at(&["attachTime"])?);
    }
    let root = record.text_at(&["rootDeviceName"])?;
    let volume = record
        .items("blockDeviceMapping")
        .find(|device| device.text_at(&["deviceName"]) == Some(root))?;
    seconds(volume.text_at(&["ebs", "attachTime"])?)
}

/// When it entered its state. A running one has run since its latest launch;
/// the others' last change is in the reason.
fn when(record: &Element, state: &str, counted: bool) -> Option<i64> {
    match state {
        "running" if counted => seconds(record.text_at(&["launchTime"])?),
        "stopping" | "stopped" | "shutting-down" | "terminated" if !counted => {
            reason_time(record.text_at(&["reason"])?)
        }
        _ => None,
    }
}

/// "User initiated (2026-11-22 14:08:41 GMT)"; moto writes UTC.
fn reason_time(reason: &str) -> Option<i64> {
    let (_, inside) = reason.rsplit_once('(')?;
    let (inside, _) = inside.split_once(')')?;
    let text = inside.strip_suffix("GMT").or_else(|| inside.strip_suffix("UTC"))?;
    seconds(text.trim())
}

/// "2026-11-22T14:08:40.000Z" and "2026-11-22 14:08:40", in UTC.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn addresses(record: &Element, order: &[AddressKind]) -> Vec<Address> {
    let interfaces = || record.items("networkInterfaceSet");
    let mut found: Vec<Address> = Vec::new();
    for kind in order {
        let texts: Vec<Option<&str>> = match kind {
            AddressKind::Public => std::iter::once(record.text_at(&["ipAddress"]))
                .chain(interfaces().map(|one| one.text_at(&["association", "publicIp"])))
                .collect(),
            AddressKind::Private => std::iter::once(record.text_at(&["privateIpAddress"]))
                .chain(interfaces().map(|one| one.text_at(&["privateIpAddress"])))
                .collect(),
            AddressKind::Ipv6 => std::iter::once(record.text_at(&["ipv6Address"]))
                .chain(
                    interfaces()
                        .flat_map(|one| one.items("ipv6AddressesSet"))
                        .map(|one| one.text_at(&["ipv6Address"])),
                )
                .collect(),
        };
        let mut usable: Vec<_> = texts.into_iter().flatten().filter_map(address).collect();
        // Eucalyptus may have the address under the name only.
        let name = match kind {
            AddressKind::Public => record.text_at(&["dnsName"]),
            AddressKind::Private => record.text_at(&["privateDnsName"]),
            AddressKind::Ipv6 => None,
        };
        if usable.is_empty() {
            usable.extend(name.and_then(address));
        }
        for address in usable {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        if found.len() > Details::MAX_ADDRESSES {
            break;
        }
    }
    found
}

fn address(text: &str) -> Option<Address> {
    // Eucalyptus's word for none.
    let none = text.parse::<Ipv4Addr>().is_ok_and(|address| address.is_unspecified());
    Address::parse(text).ok().filter(|_| !none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str) -> Result<Record, Bad> {
        let text = format!("<item><instanceId>i-1</instanceId>{inside}</item>");
        let record = Element::parse(text.as_bytes()).unwrap();
        Record::read(&record, Some("123456789012"), &Config::default())
    }

    fn with_state(state: &str, more: &str) -> Record {
        read(&format!("<instanceState><name>{state}</name></instanceState>{more}")).ok().unwrap()
    }

    #[test]
    fn times_of_states() {
        const LAUNCH: &str = "<launchTime>2026-11-22T14:08:40.999Z</launchTime>";
        let event =
            |state, more: &str| with_state(state, more).event.map(|event| (event.at, event.kind));
        assert_eq!(event("running", LAUNCH), Some((1_795_356_520, EventKind::Started)));
        assert_eq!(event("pending", LAUNCH), None);
        for (zone, state, kind) in [
            ("GMT", "stopped", EventKind::Stopped),
            ("UTC", "stopping", EventKind::Stopped),
            ("GMT", "shutting-down", EventKind::Stopped),
            ("GMT", "terminated", EventKind::Deleted),
        ] {
            let reason = format!("{LAUNCH}<reason>User (x) (2026-11-22 14:08:41 {zone})</reason>");
            assert_eq!(event(state, &reason), Some((1_795_356_521, kind)), "{state}");
        }
        for odd in ["", "Server.SpotInstanceTermination", "(", ")(", "(yesterday GMT)", "(1 CET)"] {
            assert_eq!(event("stopped", &format!("<reason>{odd}</reason>")), None, "{odd}");
        }
    }

    #[test]
    fn creation_does_not_move_with_starts() {
        let interface = |index, time| {
            format!(
                "<item><attachment><deviceIndex>{index}</deviceIndex><attachTime>{time}</attachTime></attachment></item>"
            )
        };
        let interfaces = format!(
            "<networkInterfaceSet>{}{}</networkInterfaceSet>",
            interface(1, "2001-01-01T00:00:00Z"),
            interface(0, "2026-11-22T14:08:40.000Z")
        );
        let volume = "<rootDeviceName>/dev/a</rootDeviceName><blockDeviceMapping><item><deviceName>/dev/b</deviceName><ebs><attachTime>2001-01-01T00:00:00Z</attachTime></ebs></item><item><deviceName>/dev/a</deviceName><ebs><attachTime>2026-11-22T14:08:44Z</attachTime></ebs></item></blockDeviceMapping>";
        let launch = "<launchTime>2026-11-23T00:00:00Z</launchTime>";
        let created = |more: &str| with_state("running", more).instance.created;
        assert_eq!(created(&format!("{interfaces}{volume}{launch}")), Some(1_795_356_520));
        assert_eq!(created(&format!("{volume}{launch}")), Some(1_795_356_524));
        assert_eq!(created(launch), None);
    }

    #[test]
    fn owners() {
        let owner = |tags: &str| {
            let record = with_state("running", &format!("<tagSet>{tags}</tagSet>"));
            (record.instance.owner.rank(), record.instance.owner.name().to_owned())
        };
        let tag = |key, value| format!("<item><key>{key}</key><value>{value}</value></item>");
        let account = (OwnerRank::Id, "123456789012".to_owned());
        assert_eq!(owner(""), account);
        assert_eq!(owner(&tag("Creator", "x")), account);
        assert_eq!(owner(&tag("creator", " \n")), account);
        let hostile = tag("creator", "a&#10;}&#9;define host{") + &tag("creator", "second");
        assert_eq!(owner(&hostile), (OwnerRank::Creator, "a } define host{".to_owned()));
    }

    #[test]
    fn addresses_in_order_and_fit() {
        let of = |more: &str| {
            let record = with_state("running", more);
            record.instance.details.addresses().iter().map(Address::to_string).collect::<Vec<_>>()
        };
        let whole = "<ipAddress>203.0.113.1</ipAddress><privateIpAddress>10.0.0.1</privateIpAddress><dnsName>ec2-x.example</dnsName><networkInterfaceSet><item><association><publicIp>203.0.113.1</publicIp></association><privateIpAddress>10.0.0.2</privateIpAddress><ipv6AddressesSet><item><ipv6Address>2001:DB8::1</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet>";
        assert_eq!(of(whole), ["203.0.113.1", "10.0.0.1", "10.0.0.2", "2001:db8::1"]);
        let eucalyptus = "<dnsName>10.1.1.1</dnsName><ipAddress>0.0.0.0</ipAddress><privateDnsName>10.2.2.2</privateDnsName>";
        assert_eq!(of(eucalyptus), ["10.1.1.1", "10.2.2.2"]);
        assert_eq!(of("<ipAddress>$(id)</ipAddress><dnsName>-oEvil</dnsName>"), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read() {
        assert!(matches!(read("<instanceType>m1</instanceType>"), Err(Bad::Rest(..))));
        let record = Element::parse(b"<item><instanceState/></item>").unwrap();
        let read = Record::read(&record, None, &Config::default());
        assert!(matches!(read, Err(Bad::Id(_))));
    }

    #[test]
    fn own_cores_are_counted() {
        let vcpus = |more: &str| with_state("running", more).instance.shape.size.vcpus();
        let options =
            "<cpuOptions><coreCount>4</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>";
        assert_eq!(vcpus(options), Some(8));
        let absurd = "<cpuOptions><coreCount>18446744073709551615</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>";
        assert_eq!((vcpus(absurd), vcpus("")), (None, None));
    }
}
