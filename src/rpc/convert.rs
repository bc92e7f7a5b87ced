//! From our values to those of the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::hosts::{Diff, Generation, GenerationState, Status, View, WatchedHost};
use crate::inspect::{Finding, Number, Verdict};
use crate::model::{Host, HostFaults};
use crate::shipping;

use super::wire::hosts as wire;

/// Counts travel as i32 and stop at its end.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

pub(super) fn generation(one: &Generation) -> wire::Generation {
    wire::Generation {
        number: Some(one.number),
        source: Some(one.source.to_string()),
        state: Some(match one.state {
            GenerationState::Pending => wire::GenerationState::PENDING,
            GenerationState::Live => wire::GenerationState::LIVE,
            GenerationState::Rejected => wire::GenerationState::REJECTED,
            GenerationState::Superseded => wire::GenerationState::SUPERSEDED,
        }),
        created_time: Some(seconds(one.created)),
        live_time: one.live.map(seconds),
        proved_time: one.proved.map(seconds),
        host_count: Some(count(one.host_count)),
        reason: one.reason.clone(),
        forced: Some(one.forced),
        restores: one.restores,
    }
}

fn host(one: &Host) -> wire::Host {
    wire::Host {
        id: Some(one.id.to_string()),
        display_name: Some(one.display_name.to_string()),
        address: Some(one.address.to_string()),
    }
}

pub(super) fn diff(diff: &Diff) -> wire::HostsDiff {
    let hosts = |hosts: &[Host]| Some(hosts.iter().map(host).collect());
    wire::HostsDiff {
        added: hosts(&diff.added),
        removed: hosts(&diff.removed),
        changed: hosts(&diff.changed),
        unchanged_count: Some(count(diff.unchanged)),
    }
}

pub(super) fn status(status: &Status) -> wire::HostsStatus {
    wire::HostsStatus {
        live_generation: status.live_generation,
        watched_count: Some(count(status.watched)),
        unwatched_count: Some(count(status.unwatched)),
        in_step: Some(status.in_step),
        restart_due: Some(status.restart_due),
        trouble: status.trouble.clone(),
        restarts: Some(i64::try_from(status.restarts).unwrap_or(i64::MAX)),
        nagios_started_time: status.nagios_started,
        last_restart_ms: status
            .last_restart
            .map(|took| i64::try_from(took.as_millis()).unwrap_or(i64::MAX)),
    }
}

pub(super) fn view(view: &View) -> wire::HostsView {
    wire::HostsView {
        status: Some(status(&view.status)),
        hosts: Some(view.hosts.iter().map(watched).collect()),
    }
}

pub(super) fn perfdata(view: &shipping::View) -> wire::PerfdataStatus {
    let long = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let spool = view.spool.clone().unwrap_or_default();
    let sink = |(address, status): &(String, shipping::SinkStatus)| wire::SinkStatus {
        address: Some(address.clone()),
        lines: long(status.lines),
        bad_lines: long(status.bad_lines),
        samples: long(status.samples),
        resent: long(status.resent),
        failures: long(status.failures),
        last_receipt_time: status.last_receipt.map(seconds),
        trouble: status.trouble.clone().filter(|_| !status.is_starting),
    };
    wire::PerfdataStatus {
        enabled: Some(view.spool.is_some()),
        files: long(spool.files),
        bytes: long(spool.bytes),
        oldest_time: spool.oldest.map(seconds),
        lost_files: long(spool.lost_files),
        lost_bytes: long(spool.lost_bytes),
        trouble: spool.trouble,
        sinks: Some(view.sinks.iter().map(sink).collect()),
        read_back_trouble: view.read_back_trouble.clone(),
    }
}

pub(super) fn finding(one: &Finding) -> wire::Finding {
    wire::Finding {
        part: Some(one.part.clone()),
        hop: Some(one.hop.clone()),
        verdict: Some(match one.verdict {
            Verdict::Ok => wire::Verdict::OK,
            Verdict::Warn => wire::Verdict::WARN,
            Verdict::Fail => wire::Verdict::FAIL,
        }),
        what: Some(one.what.clone()),
        fix: one.fix.clone(),
        figures: Some(one.numbers.iter().map(figure).collect()),
    }
}

fn figure(one: &Number) -> wire::Figure {
    wire::Figure {
        label: Some(one.label.clone()),
        value: Some(one.value.into()),
        unit: Some(one.unit.clone()),
        warn: one.warn.map(|range| range.to_string()),
        fail: one.fail.map(|range| range.to_string()),
    }
}

/// What a daemon of another version says is taken as far as it is understood.
pub(super) fn finding_of(wire: wire::Finding) -> Finding {
    let words = Option::unwrap_or_default;
    Finding {
        part: words(wire.part),
        hop: words(wire.hop),
        verdict: match wire.verdict {
            Some(wire::Verdict::OK) => Verdict::Ok,
            Some(wire::Verdict::WARN) => Verdict::Warn,
            _ => Verdict::Fail,
        },
        what: words(wire.what),
        fix: wire.fix,
        numbers: wire.figures.unwrap_or_default().into_iter().map(number_of).collect(),
    }
}

fn number_of(wire: wire::Figure) -> Number {
    let words = Option::unwrap_or_default;
    let range = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Number {
        label: words(wire.label),
        value: wire.value.map_or(0.0, f64::from),
        unit: words(wire.unit),
        warn: range(wire.warn),
        fail: range(wire.fail),
    }
}

fn watched(one: &WatchedHost) -> wire::WatchedHost {
    wire::WatchedHost {
        id: Some(one.host.id.to_string()),
        display_name: Some(one.host.display_name.to_string()),
        address: Some(one.host.address.to_string()),
        source: Some(one.source.to_string()),
        watched: Some(one.watched),
        given_name: one.host.given_name.as_deref().map(str::to_owned),
    }
}

pub(super) fn invalid(faults: &HostFaults) -> wire::InvalidHosts {
    wire::InvalidHosts {
        message: Some(faults.to_string()),
        faults: Some(faults.first().iter().map(ToString::to_string).collect()),
    }
}

pub(super) fn held(message: String, removed: usize, current: usize) -> wire::HeldByBrake {
    wire::HeldByBrake {
        message: Some(message),
        removed_count: Some(count(removed)),
        current_count: Some(count(current)),
    }
}
