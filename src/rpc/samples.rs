//! Messages for tests, as the generated client writes them.

use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TCompactOutputProtocol, TOutputProtocol,
};

use super::detect::{Encoding, Form};
use super::wire::cloud::{
    CloudOrder, CloudSyncClient, TCloudSyncClient, UsageGroup, UsageOrder, UsageQuestion,
};
use super::wire::hosts::{
    GivenSeries, Host, HostsSyncClient, MetricsQuestion, MetricsSource, PruneQuestion,
    THostsSyncClient,
};

pub(super) const ENCODINGS: [Encoding; 3] =
    [Encoding::Binary, Encoding::OldBinary, Encoding::Compact];

pub(super) fn forms() -> impl Iterator<Item = Form> {
    [false, true].into_iter().flat_map(|framed| ENCODINGS.map(|encoding| Form { framed, encoding }))
}

pub(super) fn hosts(count: usize) -> Vec<Host> {
    (0..count)
        .map(|n| {
            Host::new(
                format!("i-{n:08x}"),
                format!("Büro {n} ✓"),
                format!("10.0.{}.{}", n >> 8, n & 255),
            )
        })
        .collect()
}

/// Calls of every shape, with their method's name.
pub(super) fn calls(form: Form) -> Vec<(&'static str, Vec<u8>)> {
    let question = MetricsQuestion {
        host_name: Some("vm-1".to_owned()),
        key: Some("*.*".to_owned()),
        start_time: Some(-1),
        end_time: Some(i64::MAX),
        max_points: Some(7),
        source: Some(MetricsSource::ARCHIVE),
    };
    let prune = PruneQuestion::new(vec!["a".to_owned()], i64::MIN, true);
    let values = [0.0, f64::NAN, 1.5].map(thrift::OrderedFloat).to_vec();
    let series =
        |key: &str| GivenSeries::new("vm.1".to_owned(), key.to_owned(), -5, 600, values.clone());
    let (two, none) = (vec![series("load.load1"), series("disk._")], vec![series("load.*")]);
    vec![
        ("get_hosts", call(form, |c| drop(c.get_hosts()))),
        ("get_metrics", call(form, |c| drop(c.get_metrics("vm-1".into(), "load.*".into())))),
        ("set_hosts", call(form, |c| drop(c.set_hosts(hosts(20))))),
        ("set_hosts", call(form, |c| drop(c.set_hosts(Vec::new())))),
        ("replace_hosts", call(form, |c| drop(c.replace_hosts(hosts(2), true)))),
        ("rollback", call(form, |c| drop(c.rollback(-5, false)))),
        ("get_history", call(form, |c| drop(c.get_history(i32::MIN)))),
        ("query_metrics", call(form, |c| drop(c.query_metrics(question.clone())))),
        ("get_leaderboard", cloud_call(form, |c| drop(c.get_leaderboard(i32::MIN, i32::MAX)))),
        ("get_user_stats", cloud_call(form, |c| drop(c.get_user_stats(0, 1, "Zoë".into())))),
        ("get_usage", cloud_call(form, |c| drop(c.get_usage(usage_question())))),
        ("prune_metrics", call(form, |c| drop(c.prune_metrics(prune.clone())))),
        ("import_metrics", call(form, |c| drop(c.import_metrics(two.clone())))),
        ("import_metrics", call(form, |c| drop(c.import_metrics(none.clone())))),
        ("inspect", call(form, |c| drop(c.inspect("nagios".into())))),
        ("trace_host", call(form, |c| drop(c.trace_host("vm-1".into())))),
        ("get_clouds", cloud_call(form, |c| drop(c.get_clouds()))),
        ("sync_cloud", cloud_call(form, |c| drop(c.sync_cloud(CloudOrder::new(None, None))))),
        ("release_cloud", cloud_call(form, |c| drop(c.release_cloud(release_order())))),
    ]
}

pub(super) fn usage_question() -> UsageQuestion {
    UsageQuestion {
        start_time: Some(i64::MIN),
        end_time: Some(i64::MAX),
        username: Some("Zoë".to_owned()),
        cloud: Some("east".to_owned()),
        flavor: Some(String::new()),
        staff: Some(false),
        group_by: Some(UsageGroup::DAY),
        order: Some(UsageOrder::NAME),
        limit: Some(-1),
    }
}

pub(super) fn release_order() -> CloudOrder {
    CloudOrder { name: Some("Zürich".to_owned()), held_token: Some(i64::MIN) }
}

/// What a client writes until it waits for the reply, which never comes.
pub(super) fn call(form: Form, make: impl Fn(&mut dyn THostsSyncClient)) -> Vec<u8> {
    written(form, |out| {
        make(&mut HostsSyncClient::new(TBinaryInputProtocol::new(&[][..], true), out));
    })
}

fn cloud_call(form: Form, make: impl Fn(&mut dyn TCloudSyncClient)) -> Vec<u8> {
    written(form, |out| {
        make(&mut CloudSyncClient::new(TBinaryInputProtocol::new(&[][..], true), out));
    })
}

fn written(form: Form, write: impl Fn(Box<dyn TOutputProtocol + '_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    match form.encoding {
        Encoding::Binary => write(Box::new(TBinaryOutputProtocol::new(&mut bytes, true))),
        Encoding::OldBinary => write(Box::new(TBinaryOutputProtocol::new(&mut bytes, false))),
        Encoding::Compact => write(Box::new(TCompactOutputProtocol::new(&mut bytes))),
    }
    if form.framed {
        let length = (bytes.len() as u32).to_be_bytes();
        bytes.splice(0..0, length);
    }
    bytes
}
