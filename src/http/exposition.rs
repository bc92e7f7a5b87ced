//! What Prometheus reads, and whether this process is alive and ready.

use std::fmt;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::{App, Services};
use crate::cloud::Standing;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("weather_balloon");
    let services = &app.services;
    services.calls.register(&mut registry, "rpc_call_seconds", "Thrift calls");
    registry.register_collector(Box::new(Views(services.clone())));
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|_| Problem::unavailable("the counters could not be written"))?;
    Ok(([("content-type", TEXT)], text).into_response())
}

/// Nagios watches what it was told to.
async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let status = app.services.hosts.view().status;
    match status.trouble {
        None => Ok("ready\n"),
        Some(trouble) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, trouble)),
    }
}

/// The parts' own counters, read when they are asked for.
#[derive(Debug)]
struct Views(Services);

struct Page<'a>(DescriptorEncoder<'a>);

type Label<'a> = [(&'static str, &'a str)];

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, i64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            let gauge = ConstGauge::new(value);
            gauge.encode(family.encode_family(&Labels(&labels))?)?;
        }
        Ok(())
    }

    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            let counter = ConstCounter::new(value);
            counter.encode(family.encode_family(&Labels(&labels))?)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Labels<'a>(&'a Label<'a>);

impl EncodeLabelSet for Labels<'_> {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> fmt::Result {
        self.0.encode(encoder)
    }
}

fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Collector for Views {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        page.gauges("build", "The version that runs", [(version, 1)])?;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let tasks = runtime.metrics().num_alive_tasks();
            page.gauge("tasks", "What it does side by side", count(tasks))?;
        }
        self.hosts(&mut page)?;
        self.perfdata(&mut page)?;
        self.clouds(&mut page)
    }
}

impl Views {
    fn hosts(&self, page: &mut Page<'_>) -> fmt::Result {
        let status = self.0.hosts.view().status;
        page.gauge("hosts_watched", "Hosts that Nagios is to watch", count(status.watched))?;
        page.gauge("hosts_unwatched", "Hosts over max_hosts", count(status.unwatched))?;
        page.gauge("in_step", "Nagios has read the file on disk", status.in_step.into())?;
        page.gauge("restart_due", "Nagios has yet to read it", status.restart_due.into())?;
        page.gauge(
            "trouble",
            "Something keeps the hosts from Nagios",
            status.trouble.is_some().into(),
        )?;
        page.gauge("generation", "The newest on disk", status.live_generation.unwrap_or(0))?;
        page.counter("nagios_restarts", "Restarts that were asked for", status.restarts)
    }

    fn perfdata(&self, page: &mut Page<'_>) -> fmt::Result {
        let view = self.0.shipping.view();
        if let Some(spool) = &view.spool {
            page.gauge("spool_files", "Files that a sink still needs", long(spool.files))?;
            page.gauge("spool_bytes", "What they take of the disk", long(spool.bytes))?;
            page.counter("spool_lost_files", "Files lost to the limit", spool.lost_files)?;
        }
        let sinks = || view.sinks.iter();
        fn label(address: &str) -> Vec<(&'static str, &str)> {
            vec![("sink", address)]
        }
        page.counters(
            "perfdata_samples",
            "Samples with a receipt",
            sinks().map(|(name, sink)| (label(name), sink.samples)),
        )?;
        page.counters(
            "perfdata_bad_lines",
            "Lines that were passed over",
            sinks().map(|(name, sink)| (label(name), sink.bad_lines)),
        )?;
        page.counters(
            "perfdata_failures",
            "Lost connections and refused batches",
            sinks().map(|(name, sink)| (label(name), sink.failures)),
        )?;
        page.gauges(
            "perfdata_trouble",
            "Nothing goes through now",
            sinks().map(|(name, sink)| (label(name), sink.trouble.is_some().into())),
        )
    }

    fn clouds(&self, page: &mut Page<'_>) -> fmt::Result {
        let views = self.0.clouds.view();
        let now = super::api::now();
        fn label(name: &str) -> Vec<(&'static str, &str)> {
            vec![("cloud", name)]
        }
        let all = || views.iter();
        page.gauges(
            "cloud_lag_seconds",
            "Since the last complete listing",
            all().filter_map(|view| {
                let lag = now.saturating_sub(view.last_success?).max(0);
                Some((label(&view.name), lag))
            }),
        )?;
        page.counters(
            "cloud_polls",
            "Polls that are over",
            all().map(|view| (label(&view.name), view.polls)),
        )?;
        page.counters(
            "cloud_failed_polls",
            "Those of them that gave nothing",
            all().map(|view| (label(&view.name), view.failed_polls)),
        )?;
        page.gauges(
            "cloud_failing",
            "The last poll gave nothing",
            all().map(|view| (label(&view.name), view.error.is_some().into())),
        )?;
        page.gauges(
            "cloud_running",
            "Running instances in the last listing",
            all().map(|view| (label(&view.name), count(view.shown.running))),
        )?;
        page.gauges(
            "cloud_held",
            "Absences that wait for a release",
            all().map(|view| (label(&view.name), count(view.held_total))),
        )?;
        self.store(page)
    }

    /// Nothing where no ledger is kept.
    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let standing = self.0.clouds.standing();
        let told = |is: bool| standing.as_ref().map(|_| (Vec::new(), i64::from(is)));
        let writes = matches!(standing, Some(Standing::Mine(_)));
        let reached = writes || matches!(standing, Some(Standing::Theirs));
        page.gauges("store_reached", "The ledger can be used", told(reached))?;
        page.gauges("store_written_here", "This appliance writes it", told(writes))
    }
}
