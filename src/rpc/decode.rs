//! From the bytes of a message's arguments to a call.
//!
//! The generated argument structs are private to their module. So the
//! generated processor is run with a handler that only catches the arguments;
//! what it then writes as its answer goes nowhere.

use std::cell::RefCell;
use std::io;

use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TCompactInputProtocol, TInputProtocol, TType,
    field_id,
};
use thrift::{ApplicationErrorKind, TConfiguration};

use crate::model::{GivenHost, HostFaults, HostSet};

use super::call::{Call, Failure, Method};
use super::detect::Encoding;
use super::limits::Limits;
use super::wire::hosts as wire;

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
    use wire::THostsProcessFunctions as Process;

    let caught = Capture::default();
    let out = &mut TBinaryOutputProtocol::new(io::sink(), true);
    match method {
        Method::GetMetrics => return read_get_metrics(from),
        Method::GetLeaderboard | Method::GetUserStats => return Ok(Call::Usage),
        Method::SetHosts => Process::process_set_hosts(&caught, 0, from, out),
        Method::ReplaceHosts => Process::process_replace_hosts(&caught, 0, from, out),
        Method::DiffHosts => Process::process_diff_hosts(&caught, 0, from, out),
        Method::GetHosts => Process::process_get_hosts(&caught, 0, from, out),
        Method::GetStatus => Process::process_get_status(&caught, 0, from, out),
        Method::GetHistory => Process::process_get_history(&caught, 0, from, out),
        Method::Rollback => Process::process_rollback(&caught, 0, from, out),
        Method::QueryMetrics => Process::process_query_metrics(&caught, 0, from, out),
    }?;
    caught.0.into_inner().ok_or_else(|| "no arguments".into())
}

/// The one that is called most, and the one whose callers leave an argument
/// out, which generated code does not allow.
fn read_get_metrics(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let (mut host_name, mut key) = (String::new(), String::new());
    from.read_struct_begin()?;
    loop {
        let field = from.read_field_begin()?;
        match (field.field_type, field.id) {
            (TType::Stop, _) => break,
            (TType::String, Some(1)) => host_name = from.read_string()?,
            (TType::String, Some(2)) => key = from.read_string()?,
            (other, _) => {
                if (1..=2).contains(&field_id(&field)?) {
                    return Err(format!("an argument is a {other:?}, not a string").into());
                }
                from.skip(other)?;
            }
        }
        from.read_field_end()?;
    }
    from.read_struct_end()?;
    Ok(Call::GetMetrics { host_name, key })
}

#[derive(Default)]
struct Capture(RefCell<Option<Call>>);

impl Capture {
    fn catch<T>(&self, call: Call) -> thrift::Result<T> {
        self.0.replace(Some(call));
        Err("caught".into())
    }
}

impl wire::HostsSyncHandler for Capture {
    fn handle_set_hosts(&self, hosts: Vec<wire::Host>) -> thrift::Result<()> {
        self.catch(Call::SetHosts(parse(hosts)))
    }

    fn handle_get_metrics(&self, host_name: String, key: String) -> thrift::Result<wire::Metrics> {
        self.catch(Call::GetMetrics { host_name, key })
    }

    fn handle_replace_hosts(
        &self,
        hosts: Vec<wire::Host>,
        force: bool,
    ) -> thrift::Result<wire::Generation> {
        self.catch(Call::ReplaceHosts(parse(hosts), force))
    }

    fn handle_diff_hosts(&self, hosts: Vec<wire::Host>) -> thrift::Result<wire::HostsDiff> {
        self.catch(Call::DiffHosts(parse(hosts)))
    }

    fn handle_get_hosts(&self) -> thrift::Result<wire::HostsView> {
        self.catch(Call::GetHosts)
    }

    fn handle_get_status(&self) -> thrift::Result<wire::HostsStatus> {
        self.catch(Call::GetStatus)
    }

    fn handle_get_history(&self, limit: i32) -> thrift::Result<Vec<wire::Generation>> {
        self.catch(Call::GetHistory(limit))
    }

    fn handle_rollback(&self, generation: i64, force: bool) -> thrift::Result<wire::Generation> {
        self.catch(Call::Rollback(generation, force))
    }

    fn handle_query_metrics(
        &self,
        question: wire::MetricsQuestion,
    ) -> thrift::Result<wire::Metrics> {
        self.catch(Call::QueryMetrics(question))
    }
}

fn parse(hosts: Vec<wire::Host>) -> Result<HostSet, HostFaults> {
    let given: Vec<_> = hosts
        .into_iter()
        .map(|host| GivenHost {
            id: host.id.unwrap_or_default(),
            display_name: host.display_name.unwrap_or_default(),
            address: host.address.unwrap_or_default(),
        })
        .collect();
    HostSet::parse(&given)
}
