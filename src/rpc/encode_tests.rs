use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use thrift::OrderedFloat;
use thrift::protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol};

use super::*;
use crate::cloud::CloudView;
use crate::hosts::{Diff, Status, View};
use crate::model::{Datapoint, HostFault, HostFaults, HostField, Series};
use crate::rpc::samples::forms;

/// Answers get_metrics with what it holds, and nothing else.
struct Measured(wire::Metrics);

impl wire::HostsSyncHandler for Measured {
    fn handle_get_metrics(&self, _: String, _: String) -> thrift::Result<wire::Metrics> {
        Ok(self.0.clone())
    }
    fn handle_query_metrics(&self, _: wire::MetricsQuestion) -> thrift::Result<wire::Metrics> {
        Ok(self.0.clone())
    }
    fn handle_set_hosts(&self, _: Vec<wire::Host>) -> thrift::Result<()> {
        unreachable!()
    }
    fn handle_replace_hosts(
        &self,
        _: Vec<wire::Host>,
        _: bool,
    ) -> thrift::Result<wire::Generation> {
        unreachable!()
    }
    fn handle_diff_hosts(&self, _: Vec<wire::Host>) -> thrift::Result<wire::HostsDiff> {
        unreachable!()
    }
    fn handle_get_hosts(&self) -> thrift::Result<wire::HostsView> {
        unreachable!()
    }
    fn handle_get_status(&self) -> thrift::Result<wire::HostsStatus> {
        unreachable!()
    }
    fn handle_get_perfdata_status(&self) -> thrift::Result<wire::PerfdataStatus> {
        unreachable!()
    }
    fn handle_get_history(&self, _: i32) -> thrift::Result<Vec<wire::Generation>> {
        unreachable!()
    }
    fn handle_inspect(&self, _: String) -> thrift::Result<Vec<wire::Finding>> {
        unreachable!()
    }
    fn handle_trace_host(&self, _: String) -> thrift::Result<Vec<wire::Finding>> {
        unreachable!()
    }
    fn handle_rollback(&self, _: i64, _: bool) -> thrift::Result<wire::Generation> {
        unreachable!()
    }
    fn handle_get_archive_status(&self) -> thrift::Result<wire::ArchiveStatus> {
        unreachable!()
    }
    fn handle_prune_metrics(
        &self,
        _: wire::PruneQuestion,
    ) -> thrift::Result<Vec<wire::PrunedHost>> {
        unreachable!()
    }
    fn handle_import_metrics(&self, _: Vec<wire::GivenSeries>) -> thrift::Result<wire::Imported> {
        unreachable!()
    }
}

fn generated(to: Addressee, method: Method, series: &[Series]) -> Vec<u8> {
    use wire::THostsProcessFunctions as Process;

    let point = |point: &Datapoint| wire::Datapoint {
        time: Some(point.time),
        value: point.value.map(OrderedFloat),
    };
    let held: BTreeMap<_, _> = series
        .iter()
        .map(|one| (one.name.clone(), one.points.iter().map(point).collect()))
        .collect();
    let handler = Measured(held);
    message(to, usize::MAX, &mut |out| match method {
        Method::GetMetrics => {
            let arguments = &[11, 0, 1, 0, 0, 0, 0, 11, 0, 2, 0, 0, 0, 0, 0][..];
            let from = &mut TBinaryInputProtocol::new(arguments, true);
            Process::process_get_metrics(&handler, to.sequence, from, out)
        }
        _ => {
            let from = &mut TBinaryInputProtocol::new(silent_arguments(method), true);
            Process::process_query_metrics(&handler, to.sequence, from, out)
        }
    })
    .unwrap()
}

fn series() -> impl Strategy<Value = Vec<Series>> {
    let value = prop_oneof![
        Just(None),
        any::<f64>().prop_map(Some),
        any::<u64>().prop_map(|bits| Some(f64::from_bits(bits)))
    ];
    let point = (any::<i64>(), value).prop_map(|(time, value)| Datapoint { time, value });
    let points = proptest::collection::vec(point, 0..40);
    proptest::collection::btree_map(".{0,200}", points, 0..20)
        .prop_map(|map| map.into_iter().map(|(name, points)| Series { name, points }).collect())
}

proptest! {
    #[test]
    fn metrics_are_written_as_the_generated_code_writes_them(
        series in series(),
        sequence in any::<i32>(),
    ) {
        for form in forms() {
            let to = Addressee { form, sequence };
            for method in [Method::GetMetrics, Method::QueryMetrics] {
                let by_hand = metrics_reply::encode(to, method, &series);
                prop_assert!(by_hand == generated(to, method, &series), "{:?}", to);
                prop_assert!(by_hand.len() <= metrics_reply::most_bytes(&series));
            }
        }
    }
}

/// Reads a reply's head; gives back its type, name and sequence number.
fn head(to: Addressee, message: &[u8]) -> (TMessageType, String, i32) {
    let body = if to.form.framed {
        assert_eq!(message[..4], ((message.len() - 4) as u32).to_be_bytes());
        &message[4..]
    } else {
        message
    };
    let head = match to.form.encoding {
        Encoding::Compact => TCompactInputProtocol::new(body).read_message_begin(),
        Encoding::Binary => TBinaryInputProtocol::new(body, true).read_message_begin(),
        Encoding::OldBinary => {
            assert_eq!(body[0], 0);
            TBinaryInputProtocol::new(body, false).read_message_begin()
        }
    }
    .unwrap();
    (head.message_type, head.name, head.sequence_number)
}

#[test]
fn every_method_has_its_reply_in_every_form() {
    let generation = || crate::hosts::Generation {
        number: 3,
        source: crate::model::Source::Rpc,
        state: crate::hosts::GenerationState::Live,
        created: std::time::UNIX_EPOCH,
        live: None,
        proved: None,
        host_count: 1,
        reason: Some("x".to_owned()),
        forced: true,
        restores: None,
        caller: None,
    };
    for form in forms() {
        let to = Addressee { form, sequence: -7 };
        for (method, reply) in [
            (Method::SetHosts, Reply::Done),
            (Method::GetMetrics, Reply::Metrics(Vec::new())),
            (Method::ReplaceHosts, Reply::Generation(generation())),
            (Method::DiffHosts, Reply::Diff(Diff::default())),
            (Method::GetHosts, Reply::View(View::default())),
            (Method::GetStatus, Reply::Status(Status::default())),
            (Method::GetPerfdataStatus, Reply::PerfdataStatus(crate::shipping::View::default())),
            (Method::GetHistory, Reply::History(vec![generation()])),
            (Method::Rollback, Reply::Generation(generation())),
            (Method::QueryMetrics, Reply::Metrics(Vec::new())),
            (Method::GetLeaderboard, Reply::UserStats(Vec::new())),
            (Method::GetUserStats, Reply::UserStats(Vec::new())),
            (Method::GetUsage, Reply::Usage(report())),
            (Method::Inspect, Reply::Findings(Vec::new())),
            (Method::TraceHost, Reply::Findings(Vec::new())),
            (Method::GetClouds, Reply::Clouds(vec![CloudView::default()])),
            (Method::SyncCloud, Reply::Clouds(Vec::new())),
            (Method::ReleaseCloud, Reply::Clouds(vec![CloudView::default()])),
            (Method::GetArchiveStatus, Reply::ArchiveStatus(None)),
            (Method::PruneMetrics, Reply::Pruned(Vec::new())),
        ] {
            let message = encode(to, method, Ok(reply), 10_000);
            let expected = (TMessageType::Reply, method.name().to_owned(), -7);
            assert_eq!(head(to, &message), expected, "{form:?}");
        }
    }
}

fn report() -> crate::usage::Report {
    crate::usage::Report {
        window: crate::model::Window::new(1, 2).unwrap(),
        counted_until: 2,
        groups: vec![crate::usage::Group {
            name: "a".into(),
            is_staff: Some(true),
            cpu_seconds: 1,
            uptime_seconds: 1,
            unknown_vcpu_seconds: 1,
            instance_count: 1,
        }],
        group_count: 1,
        gaps: vec![crate::usage::Gap { cloud: "east".into(), from: 1, to: 2 }],
        gap_count: 1,
    }
}

#[test]
fn failures_are_declared_where_the_file_declares_them() {
    let faults = || {
        let mut faults = HostFaults::default();
        faults.push(HostFault::new(0, HostField::Id, "x", "is bad"));
        Failure::Invalid(Arc::new(faults))
    };
    let held = || Failure::Held { message: "held".to_owned(), removed: 1, current: 2 };
    let text = || "because".to_owned();
    let to = Addressee { form: forms().next().unwrap(), sequence: 1 };
    let kind = |method, failure| head(to, &encode(to, method, Err(failure), 10_000)).0;

    type Make<'a> = &'a dyn Fn() -> Failure;
    let (invalid, held): (Make<'_>, Make<'_>) = (&faults, &held);
    let rejected: Make<'_> = &|| Failure::Rejected(text());
    let question: Make<'_> = &|| Failure::BadQuestion(text());
    let unavailable: Make<'_> = &|| Failure::Unavailable(text());
    for (method, declares) in [
        (Method::ReplaceHosts, &[invalid, held, rejected, unavailable][..]),
        (Method::DiffHosts, &[invalid, unavailable]),
        (Method::GetHosts, &[unavailable]),
        (Method::GetStatus, &[unavailable]),
        (Method::GetPerfdataStatus, &[unavailable]),
        (Method::GetHistory, &[unavailable]),
        (Method::Rollback, &[invalid, held, rejected, question, unavailable]),
        (Method::QueryMetrics, &[question, unavailable]),
        (Method::GetUsage, &[question, unavailable]),
        (Method::Inspect, &[question, unavailable]),
        (Method::TraceHost, &[question, unavailable]),
        (Method::GetClouds, &[unavailable]),
        (Method::SyncCloud, &[question, unavailable]),
        (Method::ReleaseCloud, &[question, unavailable]),
    ] {
        for failure in declares {
            assert_eq!(kind(method, failure()), TMessageType::Reply, "{method:?} {:?}", failure());
        }
        assert_eq!(kind(method, Failure::internal("x")), TMessageType::Exception);
    }
    for method in
        [Method::SetHosts, Method::GetMetrics, Method::GetLeaderboard, Method::GetUserStats]
    {
        for failure in [invalid, held, rejected, question, unavailable] {
            assert_eq!(kind(method, failure()), TMessageType::Exception, "{method:?}");
        }
    }
}

#[test]
fn a_reply_has_a_longest_length() {
    let points = vec![Datapoint { time: 1, value: Some(1.0) }; 1000];
    let series = vec![Series { name: "x".to_owned(), points }];
    let kept = crate::hosts::Status { trouble: Some("x".repeat(20_000)), ..Status::default() };
    let to = Addressee { form: forms().next().unwrap(), sequence: 1 };
    for (method, reply) in
        [(Method::GetMetrics, Reply::Metrics(series)), (Method::GetStatus, Reply::Status(kept))]
    {
        let message = encode(to, method, Ok(reply), 10_000);
        assert_eq!(head(to, &message).0, TMessageType::Exception);
        assert!(String::from_utf8_lossy(&message).contains("longer than [rpc] max_reply"));
    }
}
