//! From a reply or a failure to the bytes of its message.
//!
//! The generated result structs are private to their module. So the generated
//! processor is run on arguments that say nothing, with a handler that hands
//! out what is already known; a method added to the files does not compile
//! before it is handled here. The replies that are large and frequent are
//! written straight into one buffer.

use std::cell::RefCell;
use std::io::{self, Write};

use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TCompactOutputProtocol, TMessageIdentifier,
    TMessageType, TOutputProtocol,
};
use thrift::{ApplicationError, ApplicationErrorKind};

use super::archive;
use super::call::{Failure, Method, Reply};
use super::convert;
use super::detect::{Encoding, Form};
use super::wire::cloud::TCloudProcessFunctions;
use super::wire::hosts as wire;
use super::{metrics_reply, usage_reply};

/// Whom a message answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressee {
    pub(super) form: Form,
    pub(super) sequence: i32,
}

/// About how many bytes the reply will take; of metrics, at least as many.
pub(super) fn weight(reply: &Result<Reply, Failure>) -> usize {
    const HOST: usize = 256;
    match reply {
        Ok(Reply::Metrics(series)) => metrics_reply::most_bytes(series),
        Ok(Reply::View(view)) => HOST * view.hosts.len(),
        Ok(Reply::Diff(diff)) => {
            HOST * (diff.added.len() + diff.removed.len() + diff.changed.len())
        }
        Ok(Reply::History(kept)) => HOST * kept.len(),
        Ok(Reply::UserStats(groups)) => usage_reply::most_bytes(groups),
        Ok(Reply::Usage(report)) => {
            usage_reply::most_bytes(&report.groups) + HOST * report.gaps.len()
        }
        Ok(Reply::Pruned(pruned)) => HOST * pruned.len(),
        _ => 0,
    }
}

/// The whole message, its frame's length included, of at most `most` bytes.
pub(super) fn encode(
    to: Addressee,
    method: Method,
    reply: Result<Reply, Failure>,
    most: usize,
) -> Vec<u8> {
    let bounded = |message: Vec<u8>| {
        if message.len() <= most { Ok(message) } else { Err(too_long(most)) }
    };
    let outcome = match reply {
        Ok(Reply::Metrics(series)) => bounded(metrics_reply::encode(to, method, &series)),
        Ok(Reply::UserStats(groups)) => bounded(usage_reply::encode(to, method, &groups)),
        Err(Failure::Application(kind, sentence)) => Err((kind, sentence)),
        Err(failure) if method.is_of_2014() => {
            Err((ApplicationErrorKind::InternalError, sentence(failure)))
        }
        other => replay(to, method, other, most),
    };
    outcome.unwrap_or_else(|(kind, sentence)| exception(to, method.name(), kind, &sentence))
}

/// An exception that no method declares. `name` is what the client called,
/// without its service's name.
pub(super) fn exception(
    to: Addressee,
    name: &str,
    kind: ApplicationErrorKind,
    sentence: &str,
) -> Vec<u8> {
    let fault = ApplicationError::new(kind, sentence);
    let written = message(to, usize::MAX, &mut |out| {
        out.write_message_begin(&TMessageIdentifier::new(
            name,
            TMessageType::Exception,
            to.sequence,
        ))?;
        thrift::Error::write_application_error_to_out_protocol(&fault, out)
    });
    // Writing into memory without a bound does not fail.
    written.unwrap_or_default()
}

type Sentence = (ApplicationErrorKind, String);

fn too_long(most: usize) -> Sentence {
    (
        ApplicationErrorKind::InternalError,
        format!("the answer is longer than [rpc] max_reply ({most} bytes); ask for less at once"),
    )
}

fn sentence(failure: Failure) -> String {
    match failure {
        Failure::Invalid(faults) => faults.to_string(),
        Failure::Held { message, .. }
        | Failure::Application(_, message)
        | Failure::Rejected(message)
        | Failure::BadQuestion(message)
        | Failure::Unavailable(message) => message,
    }
}

fn replay(
    to: Addressee,
    method: Method,
    reply: Result<Reply, Failure>,
    most: usize,
) -> Result<Vec<u8>, Sentence> {
    use wire::THostsProcessFunctions as Process;

    let known = Replay(RefCell::new(Some(reply)));
    let sequence = to.sequence;
    message(to, most, &mut |out| {
        let from = &mut TBinaryInputProtocol::new(silent_arguments(method), true);
        match method {
            Method::SetHosts => Process::process_set_hosts(&known, sequence, from, out),
            Method::ReplaceHosts => Process::process_replace_hosts(&known, sequence, from, out),
            Method::DiffHosts => Process::process_diff_hosts(&known, sequence, from, out),
            Method::GetHosts => Process::process_get_hosts(&known, sequence, from, out),
            Method::GetStatus => Process::process_get_status(&known, sequence, from, out),
            Method::GetPerfdataStatus => {
                Process::process_get_perfdata_status(&known, sequence, from, out)
            }
            Method::GetHistory => Process::process_get_history(&known, sequence, from, out),
            Method::Rollback => Process::process_rollback(&known, sequence, from, out),
            Method::QueryMetrics => Process::process_query_metrics(&known, sequence, from, out),
            Method::GetUsage => {
                TCloudProcessFunctions::process_get_usage(&known, sequence, from, out)
            }
            Method::Inspect => Process::process_inspect(&known, sequence, from, out),
            Method::TraceHost => Process::process_trace_host(&known, sequence, from, out),
            Method::GetClouds => {
                TCloudProcessFunctions::process_get_clouds(&known, sequence, from, out)
            }
            Method::SyncCloud => {
                TCloudProcessFunctions::process_sync_cloud(&known, sequence, from, out)
            }
            Method::ReleaseCloud => {
                TCloudProcessFunctions::process_release_cloud(&known, sequence, from, out)
            }
            Method::GetArchiveStatus => {
                Process::process_get_archive_status(&known, sequence, from, out)
            }
            Method::PruneMetrics => Process::process_prune_metrics(&known, sequence, from, out),
            Method::ImportMetrics => Process::process_import_metrics(&known, sequence, from, out),
            Method::GetMetrics | Method::GetLeaderboard | Method::GetUserStats => {
                Err("no such reply".into())
            }
        }
    })
    .map_err(|_| too_long(most))
}

/// Binary arguments of the method with nothing in them.
fn silent_arguments(method: Method) -> &'static [u8] {
    const LIST: &[u8] = &[15, 0, 1, 12, 0, 0, 0, 0, 0];
    const LIST_AND_BOOL: &[u8] = &[15, 0, 1, 12, 0, 0, 0, 0, 2, 0, 2, 0, 0];
    const I32: &[u8] = &[8, 0, 1, 0, 0, 0, 0, 0];
    const I64_AND_BOOL: &[u8] = &[10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 0];
    const STRUCT: &[u8] = &[12, 0, 1, 0, 0];
    const STRING: &[u8] = &[11, 0, 1, 0, 0, 0, 0, 0];
    match method {
        Method::SetHosts | Method::DiffHosts | Method::ImportMetrics => LIST,
        Method::ReplaceHosts => LIST_AND_BOOL,
        Method::GetHistory => I32,
        Method::Rollback => I64_AND_BOOL,
        Method::QueryMetrics
        | Method::PruneMetrics
        | Method::GetUsage
        | Method::SyncCloud
        | Method::ReleaseCloud => STRUCT,
        Method::Inspect | Method::TraceHost => STRING,
        _ => &[0],
    }
}

/// Writes one message in the addressee's form.
pub(super) fn message(
    to: Addressee,
    most: usize,
    write: &mut dyn FnMut(&mut dyn TOutputProtocol) -> thrift::Result<()>,
) -> thrift::Result<Vec<u8>> {
    let mut bounded = Bounded { bytes: Vec::with_capacity(256), most };
    if to.form.framed {
        bounded.bytes.extend([0; 4]);
    }
    match to.form.encoding {
        Encoding::Binary => write(&mut TBinaryOutputProtocol::new(&mut bounded, true)),
        Encoding::OldBinary => write(&mut TBinaryOutputProtocol::new(&mut bounded, false)),
        Encoding::Compact => write(&mut TCompactOutputProtocol::new(&mut bounded)),
    }?;
    let mut bytes = bounded.bytes;
    if to.form.framed {
        set_frame_length(&mut bytes);
    }
    Ok(bytes)
}

/// Fills in the first four bytes. `Config::check` keeps replies under 4 GiB.
pub(super) fn set_frame_length(message: &mut [u8]) {
    if let Some((frame, body)) = message.split_first_chunk_mut::<4>() {
        *frame = (body.len() as u32).to_be_bytes();
    }
}

/// Memory that takes only so much.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A handler of the generated code that hands out what it holds.
pub(super) struct Replay(RefCell<Option<Result<Reply, Failure>>>);

impl Replay {
    fn hand_out<T>(&self, pick: impl FnOnce(Reply) -> Option<T>) -> thrift::Result<T> {
        self.hand_out_or(declared, pick)
    }

    /// `declare` makes a failure the exception that the service declares.
    pub(super) fn hand_out_or<T>(
        &self,
        declare: fn(Failure) -> thrift::Error,
        pick: impl FnOnce(Reply) -> Option<T>,
    ) -> thrift::Result<T> {
        match self.0.take() {
            Some(Ok(reply)) => pick(reply).ok_or_else(|| "another method's reply".into()),
            Some(Err(failure)) => Err(declare(failure)),
            None => Err("no reply".into()),
        }
    }

    fn findings(&self) -> thrift::Result<Vec<wire::Finding>> {
        self.hand_out(|reply| match reply {
            Reply::Findings(found) => Some(found.iter().map(convert::finding).collect()),
            _ => None,
        })
    }

    fn generation(&self) -> thrift::Result<wire::Generation> {
        self.hand_out(|reply| match reply {
            Reply::Generation(one) => Some(convert::generation(&one)),
            _ => None,
        })
    }
}

/// The failure as the exception of its name. A method that does not declare it
/// sends it as a TApplicationException all the same.
fn declared(failure: Failure) -> thrift::Error {
    match failure {
        Failure::Application(kind, sentence) => ApplicationError::new(kind, sentence).into(),
        Failure::Invalid(faults) => convert::invalid(&faults).into(),
        Failure::Held { message, removed, current } => {
            convert::held(message, removed, current).into()
        }
        Failure::Rejected(message) => wire::RejectedByNagios { message: Some(message) }.into(),
        Failure::BadQuestion(message) => wire::BadQuestion { message: Some(message) }.into(),
        Failure::Unavailable(message) => wire::Unavailable { message: Some(message) }.into(),
    }
}

impl wire::HostsSyncHandler for Replay {
    fn handle_set_hosts(&self, _: Vec<wire::Host>) -> thrift::Result<()> {
        self.hand_out(|reply| matches!(reply, Reply::Done).then_some(()))
    }

    fn handle_get_metrics(&self, _: String, _: String) -> thrift::Result<wire::Metrics> {
        Err("written by hand".into())
    }

    fn handle_replace_hosts(
        &self,
        _: Vec<wire::Host>,
        _: bool,
    ) -> thrift::Result<wire::Generation> {
        self.generation()
    }

    fn handle_diff_hosts(&self, _: Vec<wire::Host>) -> thrift::Result<wire::HostsDiff> {
        self.hand_out(|reply| match reply {
            Reply::Diff(diff) => Some(convert::diff(&diff)),
            _ => None,
        })
    }

    fn handle_get_hosts(&self) -> thrift::Result<wire::HostsView> {
        self.hand_out(|reply| match reply {
            Reply::View(view) => Some(convert::view(&view)),
            _ => None,
        })
    }

    fn handle_get_status(&self) -> thrift::Result<wire::HostsStatus> {
        self.hand_out(|reply| match reply {
            Reply::Status(status) => Some(convert::status(&status)),
            _ => None,
        })
    }

    fn handle_get_perfdata_status(&self) -> thrift::Result<wire::PerfdataStatus> {
        self.hand_out(|reply| match reply {
            Reply::PerfdataStatus(view) => Some(convert::perfdata(&view)),
            _ => None,
        })
    }

    fn handle_get_history(&self, _: i32) -> thrift::Result<Vec<wire::Generation>> {
        self.hand_out(|reply| match reply {
            Reply::History(kept) => Some(kept.iter().map(convert::generation).collect()),
            _ => None,
        })
    }

    fn handle_rollback(&self, _: i64, _: bool) -> thrift::Result<wire::Generation> {
        self.generation()
    }

    fn handle_inspect(&self, _: String) -> thrift::Result<Vec<wire::Finding>> {
        self.findings()
    }

    fn handle_trace_host(&self, _: String) -> thrift::Result<Vec<wire::Finding>> {
        self.findings()
    }

    /// Called for a failure only: series are written by hand.
    fn handle_query_metrics(&self, _: wire::MetricsQuestion) -> thrift::Result<wire::Metrics> {
        self.hand_out(|_| None)
    }

    fn handle_get_archive_status(&self) -> thrift::Result<wire::ArchiveStatus> {
        self.hand_out(|reply| match reply {
            Reply::ArchiveStatus(standing) => Some(archive::wire_status(standing.as_deref())),
            _ => None,
        })
    }

    fn handle_prune_metrics(
        &self,
        _: wire::PruneQuestion,
    ) -> thrift::Result<Vec<wire::PrunedHost>> {
        self.hand_out(|reply| match reply {
            Reply::Pruned(pruned) => Some(pruned.iter().map(archive::wire_pruned).collect()),
            _ => None,
        })
    }

    fn handle_import_metrics(&self, _: Vec<wire::GivenSeries>) -> thrift::Result<wire::Imported> {
        self.hand_out(|reply| match reply {
            Reply::Imported(imported) => Some(archive::wire_imported(&imported)),
            _ => None,
        })
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
