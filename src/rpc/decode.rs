//! From the bytes of a message's arguments to a call.

use thrift::protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TType};
use thrift::{ApplicationErrorKind, TConfiguration};

use crate::model::{GivenHost, HostFaults, HostSet};

use super::archive;
use super::call::{Call, Failure, Method};
use super::detect::Encoding;
use super::fields::{each_element, each_field, expect, invalid};
use super::limits::Limits;
use super::wire::cloud::{CloudOrder, UsageGroup, UsageOrder, UsageQuestion};
use super::wire::hosts::{MetricsQuestion, MetricsSource};

/// `arguments` is all of a message behind its head, and was scanned.
pub(super) fn decode(
    method: Method,
    encoding: Encoding,
    arguments: &[u8],
    limits: &Limits,
) -> Result<Call, Failure> {
    let config = TConfiguration::builder()
        .max_message_size(Some(arguments.len()))
        .max_frame_size(None)
        .max_string_size(Some(limits.string))
        .max_container_size(Some(limits.container as usize))
        .max_recursion_depth(Some(limits.depth))
        .build()
        .unwrap_or_default();
    let read = match encoding {
        Encoding::Compact => {
            read(method, &mut TCompactInputProtocol::with_config(arguments, config))
        }
        Encoding::Binary | Encoding::OldBinary => {
            read(method, &mut TBinaryInputProtocol::with_config(arguments, true, config))
        }
    };
    read.map_err(|fault| {
        Failure::Application(
            ApplicationErrorKind::ProtocolError,
            format!("the arguments of {} cannot be read: {}", method.name(), text(fault)),
        )
    })
}

/// The crate's `Display` of these says only "protocol error" and the like.
pub(super) fn text(fault: thrift::Error) -> String {
    match fault {
        thrift::Error::Transport(fault) => fault.message,
        thrift::Error::Protocol(fault) => fault.message,
        thrift::Error::Application(fault) => fault.message,
        thrift::Error::User(fault) => fault.to_string(),
    }
}

fn read(method: Method, from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    match method {
        Method::SetHosts => Ok(Call::SetHosts(hosts_and_force(from)?.0)),
        Method::GetMetrics => get_metrics(from),
        Method::ReplaceHosts => {
            hosts_and_force(from).map(|(set, force)| Call::ReplaceHosts(set, force))
        }
        Method::DiffHosts => Ok(Call::DiffHosts(hosts_and_force(from)?.0)),
        Method::GetHosts => Ok(Call::GetHosts),
        Method::GetStatus => Ok(Call::GetStatus),
        Method::GetPerfdataStatus => Ok(Call::GetPerfdataStatus),
        Method::GetHistory => get_history(from),
        Method::Rollback => rollback(from),
        Method::QueryMetrics => query_metrics(from),
        Method::GetLeaderboard => {
            let ((start, end), _) = window_and_user(from)?;
            Ok(Call::GetLeaderboard { start, end })
        }
        Method::GetUserStats => {
            let ((start, end), username) = window_and_user(from)?;
            let username = username.ok_or_else(|| invalid("there is no username".to_owned()))?;
            Ok(Call::GetUserStats { start, end, username })
        }
        Method::GetUsage => get_usage(from),
        Method::Inspect => Ok(Call::Inspect(one_text("part", from)?)),
        Method::TraceHost => Ok(Call::TraceHost(one_text("host_name", from)?)),
        Method::GetClouds => Ok(Call::GetClouds),
        Method::SyncCloud => Ok(Call::SyncCloud(cloud_order(from)?)),
        Method::ReleaseCloud => Ok(Call::ReleaseCloud(cloud_order(from)?)),
        Method::GetArchiveStatus => Ok(Call::GetArchiveStatus),
        Method::PruneMetrics => archive::read_prune(from),
        Method::ImportMetrics => archive::read_import(from),
    }
}

type Set = Result<HostSet, HostFaults>;

/// A call without a list is no call for an empty one.
fn hosts_and_force(from: &mut dyn TInputProtocol) -> thrift::Result<(Set, bool)> {
    let (mut hosts, mut force) = (None, false);
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => {
                expect("hosts", TType::List, kind)?;
                hosts = Some(given_hosts(from)?);
            }
            2 => force = boolean("force", kind, from)?,
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    let hosts = hosts.ok_or_else(|| invalid("there is no list of hosts".to_owned()))?;
    Ok((HostSet::parse(&hosts), force))
}

/// A field that is left out is empty.
fn given_hosts(from: &mut dyn TInputProtocol) -> thrift::Result<Vec<GivenHost>> {
    let mut hosts = Vec::new();
    each_element(from, TType::Struct, &mut |from| {
        let mut host = GivenHost::default();
        each_field(from, &mut |id, kind, from| {
            match id {
                1 => host.id = tenants_text("id", kind, from)?,
                2 => host.display_name = tenants_text("display_name", kind, from)?,
                3 => host.address = tenants_text("address", kind, from)?,
                _ => from.skip(kind)?,
            }
            Ok(())
        })?;
        hosts.push(host);
        Ok(())
    })?;
    Ok(hosts)
}

/// Old clients pass on whatever bytes a tenant chose. What is no UTF-8 becomes
/// U+FFFD: in a display name it is shown, in an id or address it is a fault
/// that is named like any other.
fn tenants_text(what: &str, kind: TType, from: &mut dyn TInputProtocol) -> thrift::Result<String> {
    expect(what, TType::String, kind)?;
    let text = String::from_utf8(from.read_bytes()?);
    Ok(text.unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned()))
}

/// Callers of 2014 may leave the key out.
fn get_metrics(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let (mut host_name, mut key) = (String::new(), String::new());
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => host_name = string("host_name", kind, from)?,
            2 => key = string("key", kind, from)?,
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(Call::GetMetrics { host_name, key })
}

fn get_history(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let mut limit = 0;
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => {
                expect("limit", TType::I32, kind)?;
                limit = from.read_i32()?;
            }
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(Call::GetHistory(limit))
}

fn rollback(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let (mut generation, mut force) = (None, false);
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => generation = Some(long("generation", kind, from)?),
            2 => force = boolean("force", kind, from)?,
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    let generation = generation.ok_or_else(|| invalid("there is no generation".to_owned()))?;
    Ok(Call::Rollback(generation, force))
}

fn query_metrics(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let mut asked = MetricsQuestion::new(None, None, None, None, None, None);
    each_field(from, &mut |id, kind, from| {
        if id != 1 {
            return from.skip(kind);
        }
        expect("question", TType::Struct, kind)?;
        each_field(from, &mut |id, kind, from| {
            match id {
                1 => asked.host_name = Some(string("host_name", kind, from)?),
                2 => asked.key = Some(string("key", kind, from)?),
                3 => asked.start_time = Some(long("start_time", kind, from)?),
                4 => asked.end_time = Some(long("end_time", kind, from)?),
                5 => {
                    expect("max_points", TType::I32, kind)?;
                    asked.max_points = Some(from.read_i32()?);
                }
                6 => {
                    expect("source", TType::I32, kind)?;
                    asked.source = Some(MetricsSource(from.read_i32()?));
                }
                _ => from.skip(kind)?,
            }
            Ok(())
        })
    })?;
    Ok(Call::QueryMetrics(asked))
}

/// The one argument; absent, it is empty.
fn one_text(what: &str, from: &mut dyn TInputProtocol) -> thrift::Result<String> {
    let mut text = String::new();
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => text = string(what, kind, from)?,
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(text)
}

/// A window with an end left out is none: 0 would be taken for 1970.
fn window_and_user(from: &mut dyn TInputProtocol) -> thrift::Result<((i32, i32), Option<String>)> {
    let (mut start, mut end, mut username) = (None, None, None);
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => start = Some(int("start_time", kind, from)?),
            2 => end = Some(int("end_time", kind, from)?),
            3 => username = Some(string("username", kind, from)?),
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    let start = start.ok_or_else(|| invalid("there is no start_time".to_owned()))?;
    let end = end.ok_or_else(|| invalid("there is no end_time".to_owned()))?;
    Ok(((start, end), username))
}

fn cloud_order(from: &mut dyn TInputProtocol) -> thrift::Result<CloudOrder> {
    let mut order = CloudOrder { name: None, held_token: None };
    each_field(from, &mut |id, kind, from| {
        if id != 1 {
            return from.skip(kind);
        }
        expect("order", TType::Struct, kind)?;
        each_field(from, &mut |id, kind, from| {
            match id {
                1 => order.name = Some(string("name", kind, from)?),
                2 => order.held_token = Some(long("held_token", kind, from)?),
                _ => from.skip(kind)?,
            }
            Ok(())
        })
    })?;
    Ok(order)
}

fn get_usage(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let mut asked = UsageQuestion::new(None, None, None, None, None, None, None, None, None);
    each_field(from, &mut |id, kind, from| {
        if id != 1 {
            return from.skip(kind);
        }
        expect("question", TType::Struct, kind)?;
        each_field(from, &mut |id, kind, from| {
            match id {
                1 => asked.start_time = Some(long("start_time", kind, from)?),
                2 => asked.end_time = Some(long("end_time", kind, from)?),
                3 => asked.username = Some(string("username", kind, from)?),
                4 => asked.cloud = Some(string("cloud", kind, from)?),
                5 => asked.flavor = Some(string("flavor", kind, from)?),
                6 => asked.staff = Some(boolean("staff", kind, from)?),
                7 => asked.group_by = Some(UsageGroup(int("group_by", kind, from)?)),
                8 => asked.order = Some(UsageOrder(int("order", kind, from)?)),
                9 => asked.limit = Some(int("limit", kind, from)?),
                _ => from.skip(kind)?,
            }
            Ok(())
        })
    })?;
    Ok(Call::GetUsage(asked))
}

fn int(what: &str, kind: TType, from: &mut dyn TInputProtocol) -> thrift::Result<i32> {
    expect(what, TType::I32, kind)?;
    from.read_i32()
}

fn string(what: &str, kind: TType, from: &mut dyn TInputProtocol) -> thrift::Result<String> {
    expect(what, TType::String, kind)?;
    from.read_string()
}

fn long(what: &str, kind: TType, from: &mut dyn TInputProtocol) -> thrift::Result<i64> {
    expect(what, TType::I64, kind)?;
    from.read_i64()
}

fn boolean(what: &str, kind: TType, from: &mut dyn TInputProtocol) -> thrift::Result<bool> {
    expect(what, TType::Bool, kind)?;
    from.read_bool()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::samples::{calls, forms, release_order, usage_question};
    use crate::rpc::scan::Scan;
    use crate::rpc::wire::hosts::PruneQuestion;

    #[test]
    fn what_the_generated_client_writes_is_what_is_read() {
        for form in forms() {
            let read: Vec<_> = calls(form)
                .into_iter()
                .map(|(name, bytes)| {
                    let limits = Limits::default();
                    let found = Scan::new(form).advance(&bytes, &limits).unwrap().unwrap();
                    let method = Method::named(name).unwrap();
                    decode(method, form.encoding, &bytes[found.header.arguments..], &limits)
                        .unwrap()
                })
                .collect();
            assert!(matches!(read[0], Call::GetHosts));
            assert!(
                matches!(&read[1], Call::GetMetrics { host_name, key } if host_name == "vm-1" && key == "load.*")
            );
            let Call::SetHosts(Ok(set)) = &read[2] else { panic!("{:?}", read[2]) };
            let last = set.iter().last().unwrap();
            assert_eq!((set.len(), last.id.as_str()), (20, "i-00000013"));
            assert_eq!(last.display_name.as_str(), "Büro 19 ✓");
            assert_eq!(last.address.as_str(), "10.0.0.19");
            assert!(matches!(&read[3], Call::SetHosts(Ok(set)) if set.is_empty()));
            assert!(matches!(&read[4], Call::ReplaceHosts(Ok(set), true) if set.len() == 2));
            assert!(matches!(read[5], Call::Rollback(-5, false)));
            assert!(matches!(read[6], Call::GetHistory(i32::MIN)));
            let Call::QueryMetrics(asked) = &read[7] else { panic!("{:?}", read[7]) };
            let want = MetricsQuestion::new(
                "vm-1".to_owned(),
                "*.*".to_owned(),
                -1,
                i64::MAX,
                7,
                MetricsSource::ARCHIVE,
            );
            assert_eq!(*asked, want);
            assert!(matches!(read[8], Call::GetLeaderboard { start: i32::MIN, end: i32::MAX }));
            assert!(
                matches!(&read[9], Call::GetUserStats { start: 0, end: 1, username } if username == "Zoë")
            );
            let Call::GetUsage(asked) = &read[10] else { panic!("{:?}", read[10]) };
            assert_eq!(*asked, usage_question());
            let Call::PruneMetrics(asked) = &read[11] else { panic!("{:?}", read[11]) };
            assert_eq!(*asked, PruneQuestion::new(vec!["a".to_owned()], i64::MIN, true));
            let Call::ImportMetrics(Ok(given)) = &read[12] else { panic!("{:?}", read[12]) };
            assert_eq!((given.len(), given[0].node.as_str()), (2, "vm_1"));
            assert_eq!((given[1].start, given[1].step), (-5, 600));
            assert!(given[1].values[1].is_nan() && given[1].values[2] == 1.5);
            let Call::ImportMetrics(Err(told)) = &read[13] else { panic!("{:?}", read[13]) };
            assert!(told.contains("not that of one series"), "{told}");
            assert!(matches!(&read[14], Call::Inspect(part) if part == "nagios"));
            assert!(matches!(&read[15], Call::TraceHost(name) if name == "vm-1"));
            assert!(matches!(read[16], Call::GetClouds));
            let Call::SyncCloud(order) = &read[17] else { panic!("{:?}", read[17]) };
            assert_eq!(*order, CloudOrder { name: None, held_token: None });
            let Call::ReleaseCloud(order) = &read[18] else { panic!("{:?}", read[18]) };
            assert_eq!(*order, release_order());
        }
    }

    #[test]
    fn a_wrong_type_is_never_read_as_the_right_one() {
        for (method, arguments, words) in [
            (Method::SetHosts, &b"\x0a\0\x01\0\0\0\0\0\0\0\0\0"[..], "hosts is of type"),
            (Method::SetHosts, b"\x0e\0\x01\x0c\0\0\0\0\0", "hosts is of type"),
            (Method::SetHosts, b"\0", "there is no list of hosts"),
            (Method::SetHosts, b"\x0f\0\x01\x03\0\0\0\x01\0\0", "an element is of type"),
            (Method::ReplaceHosts, b"\x0f\0\x01\x0c\0\0\0\0\x03\0\x02\x01\0", "force is of type"),
            (Method::SetHosts, b"\x0f\0\x01\x0c\0\0\0\x01\x08\0\x01\0\0\0\0\0\0", "id is of type"),
            (Method::GetMetrics, b"\x0a\0\x01\0\0\0\0\0\0\0\0\0", "host_name is of type"),
            (Method::GetHistory, b"\x0a\0\x01\0\0\0\0\0\0\0\0\0", "limit is of type"),
            (Method::Rollback, b"\x08\0\x01\0\0\0\0\0", "generation is of type"),
            (Method::Rollback, b"\0", "there is no generation"),
            (Method::GetLeaderboard, b"\0", "there is no start_time"),
            (Method::GetLeaderboard, b"\x08\0\x01\0\0\0\0\0", "there is no end_time"),
            (Method::GetLeaderboard, b"\x0a\0\x01\0\0\0\0\0\0\0\0\0", "start_time is of type"),
            (
                Method::GetUserStats,
                b"\x08\0\x01\0\0\0\0\x08\0\x02\0\0\0\0\0",
                "there is no username",
            ),
            (Method::GetUsage, b"\x0b\0\x01\0\0\0\0\0", "question is of type"),
            (Method::GetUsage, b"\x0c\0\x01\x08\0\x01\0\0\0\0\0\0", "start_time is of type"),
            (Method::PruneMetrics, b"\x0b\0\x01\0\0\0\0\0", "question is of type"),
            (Method::ImportMetrics, b"\x0c\0\x01\0\0", "series is of type"),
            (Method::QueryMetrics, b"\x0b\0\x01\0\0\0\0\0", "question is of type"),
            (Method::SyncCloud, b"\x0b\0\x01\0\0\0\0\0", "order is of type"),
            (Method::ReleaseCloud, b"\x0c\0\x01\x08\0\x01\0\0\0\0\0\0", "name is of type"),
        ] {
            match decode(method, Encoding::Binary, arguments, &Limits::default()) {
                Err(Failure::Application(ApplicationErrorKind::ProtocolError, text)) => {
                    assert!(text.contains(words), "{method:?}: {text}");
                }
                other => panic!("{method:?}: {other:?}"),
            }
        }
    }
}
