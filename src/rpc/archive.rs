//! The methods about the archive: from their arguments to values of ours, what
//! answers them, and the answers on the wire.

use std::collections::HashSet;

use thrift::protocol::{TInputProtocol, TType};

use crate::archive::{self, Stats};
use crate::hosts::Hosts;
use crate::metrics::{self, GivenSeries, Imported, Metrics, Pruned, Selection};
use crate::model::MetricNode;
use crate::telemetry::sentence;

use super::call::{Call, Failure, Reply};
use super::fields::{each_element, each_field, expect};
use super::wire::hosts as wire;

/// How the archive stands; none where it is off.
#[derive(Debug)]
pub(super) struct Standing {
    prefix: String,
    stats: Result<Stats, archive::Error>,
}

pub(super) fn read_prune(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let mut asked = wire::PruneQuestion::new(None, None, None);
    each_field(from, &mut |id, kind, from| {
        if id != 1 {
            return from.skip(kind);
        }
        expect("question", TType::Struct, kind)?;
        each_field(from, &mut |id, kind, from| {
            match id {
                1 => {
                    expect("host_names", TType::List, kind)?;
                    let names = asked.host_names.insert(Vec::new());
                    each_element(from, TType::String, &mut |from| {
                        names.push(from.read_string()?);
                        Ok(())
                    })?;
                }
                2 => {
                    expect("gone_before", TType::I64, kind)?;
                    asked.gone_before = Some(from.read_i64()?);
                }
                3 => {
                    expect("apply", TType::Bool, kind)?;
                    asked.apply = Some(from.read_bool()?);
                }
                _ => from.skip(kind)?,
            }
            Ok(())
        })
    })?;
    Ok(Call::PruneMetrics(asked))
}

/// The generated code would read a value of another type as a number.
pub(super) fn read_import(from: &mut dyn TInputProtocol) -> thrift::Result<Call> {
    let mut given = Vec::new();
    each_field(from, &mut |id, kind, from| {
        if id != 1 {
            return from.skip(kind);
        }
        expect("series", TType::List, kind)?;
        each_element(from, TType::Struct, &mut |from| {
            given.push(read_series(from)?);
            Ok(())
        })
    })?;
    Ok(Call::ImportMetrics(given.into_iter().collect()))
}

fn read_series(from: &mut dyn TInputProtocol) -> thrift::Result<Result<GivenSeries, String>> {
    let (mut host, mut name, mut start, mut step) = (String::new(), String::new(), 0, 0);
    let mut values = Vec::new();
    each_field(from, &mut |id, kind, from| {
        match id {
            1 => {
                expect("host_name", TType::String, kind)?;
                host = from.read_string()?;
            }
            2 => {
                expect("key", TType::String, kind)?;
                name = from.read_string()?;
            }
            3 => {
                expect("start_time", TType::I64, kind)?;
                start = from.read_i64()?;
            }
            4 => {
                expect("step", TType::I64, kind)?;
                step = from.read_i64()?;
            }
            5 => {
                expect("values", TType::List, kind)?;
                each_element(from, TType::Double, &mut |from| {
                    values.push(from.read_double()?);
                    Ok(())
                })?;
            }
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(GivenSeries::new(&host, &name, start, step, values))
}

pub(super) async fn status(metrics: &Metrics) -> Reply {
    let Some(prefix) = metrics.archive_prefix() else { return Reply::ArchiveStatus(None) };
    let stats = match metrics.archive_stats().await {
        Ok(stats) => Ok(stats),
        Err(metrics::Error::Archive(fault)) => Err(fault),
        Err(_) => return Reply::ArchiveStatus(None),
    };
    Reply::ArchiveStatus(Some(Box::new(Standing { prefix: prefix.to_owned(), stats })))
}

pub(super) async fn prune(
    metrics: &Metrics,
    hosts: &Hosts,
    asked: wire::PruneQuestion,
) -> Result<Reply, Failure> {
    let selection = match (asked.host_names, asked.gone_before) {
        (Some(names), None) => {
            let nodes = names.iter().map(|name| MetricNode::of_name(name.as_bytes()));
            Selection::Hosts(nodes.collect::<Option<_>>().ok_or_else(|| {
                Failure::BadQuestion("a host's name is empty or longer than 128 bytes".to_owned())
            })?)
        }
        (None, Some(before)) => Selection::Gone { before },
        _ => {
            let told = "give either host_names or gone_before";
            return Err(Failure::BadQuestion(told.to_owned()));
        }
    };
    // Those over max_hosts, too: they are not gone.
    let known: HashSet<Box<str>> =
        hosts.view().hosts.iter().map(|one| one.host.node().as_str().into()).collect();
    let apply = asked.apply.unwrap_or_default();
    let pruned = metrics.prune(&selection, &known, apply).await;
    pruned.map(Reply::Pruned).map_err(|fault| failed(&fault))
}

pub(super) async fn import(
    metrics: &Metrics,
    given: Result<Vec<GivenSeries>, String>,
) -> Result<Reply, Failure> {
    let imported = metrics.import(given.map_err(Failure::BadQuestion)?).await;
    imported.map(Reply::Imported).map_err(|fault| failed(&fault))
}

pub(super) fn failed(fault: &metrics::Error) -> Failure {
    match fault.blames_question() {
        true => Failure::BadQuestion(sentence(fault)),
        false => Failure::Unavailable(sentence(fault)),
    }
}

pub(super) fn source(asked: Option<wire::MetricsSource>) -> Result<metrics::Source, Failure> {
    match asked {
        None | Some(wire::MetricsSource::AUTO) => Ok(metrics::Source::Configured),
        Some(wire::MetricsSource::GRAPHITE) => Ok(metrics::Source::Graphite),
        Some(wire::MetricsSource::ARCHIVE) => Ok(metrics::Source::Archive),
        Some(wire::MetricsSource(other)) => {
            Err(Failure::BadQuestion(format!("there is no source of metrics with number {other}")))
        }
    }
}

pub(super) fn wire_status(standing: Option<&Standing>) -> wire::ArchiveStatus {
    let long = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
    // The generated default is zeros, not absences.
    let nothing = wire::ArchiveStatus {
        enabled: Some(standing.is_some()),
        path: None,
        bytes: None,
        series_count: None,
        host_count: None,
        head_points: None,
        newest_time: None,
        last_seal_time: None,
        refused_series: None,
        refused_points: None,
        untimely_points: None,
        broken_rows: None,
        put_aside: None,
        trouble: None,
        starting: None,
        step: None,
        prefix: standing.map(|standing| standing.prefix.clone()),
    };
    match standing.map(|standing| &standing.stats) {
        None => nothing,
        Some(Err(fault)) => wire::ArchiveStatus {
            trouble: Some(sentence(fault)),
            starting: Some(matches!(fault, archive::Error::Opening)),
            ..nothing
        },
        Some(Ok(stats)) => wire::ArchiveStatus {
            path: Some(stats.path.display().to_string()),
            bytes: long(stats.bytes),
            series_count: long(stats.series as u64),
            host_count: long(stats.nodes as u64),
            head_points: long(stats.head_points as u64),
            newest_time: stats.newest,
            last_seal_time: Some(stats.last_seal),
            refused_series: long(stats.refused_series as u64),
            refused_points: long(stats.refused_points),
            untimely_points: long(stats.untimely_points),
            broken_rows: long(stats.broken_rows),
            put_aside: stats.put_aside.as_ref().map(|path| path.display().to_string()),
            step: Some(stats.step),
            ..nothing
        },
    }
}

pub(super) fn wire_pruned(one: &Pruned) -> wire::PrunedHost {
    wire::PrunedHost {
        node: Some(one.node.node.clone()),
        series_count: i64::try_from(one.node.series).ok(),
        newest_time: Some(one.node.newest),
        watched: Some(one.watched),
    }
}

pub(super) fn wire_imported(imported: &Imported) -> wire::Imported {
    let long = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
    wire::Imported {
        kept: long(imported.kept),
        known: long(imported.known),
        refused: long(imported.refused),
        untimely: long(imported.untimely),
    }
}
