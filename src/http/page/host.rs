use std::collections::HashSet;

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::Line;
use super::generations::timeline;
use super::sheet::{Sheet, Tab, wide};
use super::words::time;
use super::{Fault, Path, Query};
use crate::hosts::{Generation, WatchedHost};
use crate::http::App;
use crate::http::api::{look_up, now};
use crate::http::problem::Problem;
use crate::metrics::{Question, Source};
use crate::model::{HostId, MetricKey, MetricNode, Series, Window, WindowFault};
use crate::telemetry::sentence;

const DAY: i64 = 86_400;
/// What can be picked, and what it is called.
const SPANS: [(&str, &str, i64); 3] =
    [("24h", "24 hours", DAY), ("7d", "7 days", 7 * DAY), ("90d", "90 days", 90 * DAY)];
/// Of each line: about one for each dot of a screen.
const POINTS: u32 = 300;
const MAX_CHARTS: usize = 48;
const TRAIL: usize = 8;
const SEARCHED: usize = 200;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    span: Option<String>,
}

pub(super) async fn host(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Sheet, Fault> {
    let now = now();
    let asked = wanted.span.as_deref().unwrap_or(SPANS[0].0);
    let span = SPANS.iter().find(|span| span.0 == asked);
    let &(picked, called, length) =
        span.ok_or_else(|| Problem::bad_request("the span is one of 24h, 7d and 90d"))?;
    let window = Window::new(now.saturating_sub(length), now)
        .map_err(|fault: WindowFault| Problem::bad_request(fault.to_string()))?;
    let view = app.services.hosts.view();
    let one = look_up(&view, &id)?;
    let (measured, last_ok, trail) = tokio::join!(
        measured(&app, &one.host.id, window),
        app.services.hosts.last_ok(HashSet::from([one.host.id.clone()])),
        trail(&app, one),
    );
    let last_ok = last_ok.map(|of| of.get(&one.host.id).copied());
    let body = html! {
        (facts(now, one, last_ok.as_ref().map_err(|fault| sentence(fault))))
        section aria-labelledby="measured" {
            h2 #measured { "Measured in " (called) }
            (picker(&id, picked))
            @match &measured {
                Ok(series) => (charts(series, window)),
                Err(reason) => p.notice { (reason) },
            }
        }
        section aria-labelledby="trail" {
            h2 #trail { "Last generations of its source" }
            @match &trail {
                Ok(kept) => (timeline(now, kept)),
                Err(reason) => p.quiet { "The history cannot be read: " (reason) },
            }
        }
    };
    Ok(Sheet::new(Some(Tab::Hosts), one.host.display_name.as_str(), body))
}

async fn measured(app: &App, id: &HostId, window: Window) -> Result<Vec<Series>, String> {
    let key = MetricKey::parse("").map_err(|fault| fault.to_string())?;
    let question = Question {
        node: MetricNode::of(id),
        key,
        window: Some(window),
        max_points: Some(POINTS),
        source: Source::Configured,
    };
    app.services.metrics.answer(&question).await.map_err(|fault| sentence(&fault))
}

async fn trail(app: &App, one: &WatchedHost) -> Result<Vec<Generation>, String> {
    let kept = app.services.hosts.history(SEARCHED).await.map_err(|fault| sentence(&fault))?;
    Ok(kept.into_iter().filter(|kept| kept.source == one.source).take(TRAIL).collect())
}

fn facts(now: i64, one: &WatchedHost, last_ok: Result<&Option<i64>, String>) -> Markup {
    html! {
        dl.facts {
            div { dt { "Id" } dd.mono { (one.host.id) } }
            div { dt { "Address" } dd.mono { (one.host.address) } }
            @if let Some(given) = &one.host.given_name {
                div { dt { "Name as it was given" } dd { (given) } }
            }
            div { dt { "Source" } dd { (one.source) } }
            div {
                dt { "Watched" }
                dd {
                    @if one.watched { "yes" }
                    @else { span.alarm { "no: over [nagios] max_hosts" } }
                }
            }
            div {
                dt { "A service was last OK" }
                dd {
                    @match last_ok {
                        Ok(Some(at)) => (time(now, *at)),
                        Ok(None) => "never, as far as Nagios knows",
                        Err(reason) => span.quiet { (reason) },
                    }
                }
            }
        }
    }
}

fn picker(id: &str, picked: &str) -> Markup {
    html! {
        nav.picker aria-label="Span of the charts" {
            @for (span, called, _) in SPANS {
                a href={ "/hosts/" (id) "?span=" (span) "#measured" }
                    aria-current=[(span == picked).then_some("true")] { (called) }
            }
        }
    }
}

fn charts(series: &[Series], window: Window) -> Markup {
    if series.is_empty() {
        return html! { p.quiet { "Nothing was measured in this time." } };
    }
    let lines: Vec<Line<'_>> =
        series.iter().take(MAX_CHARTS).map(|one| Line::new(one, window)).collect();
    let table = html! {
        table {
            caption { "The same in figures" }
            thead {
                tr {
                    th scope="col" { "Metric" }
                    th.number scope="col" { "Newest" }
                    th.number scope="col" { "Lowest" }
                    th.number scope="col" { "Mean" }
                    th.number scope="col" { "Highest" }
                }
            }
            tbody {
                @for line in &lines {
                    tr {
                        th.mono scope="row" { (line.name()) }
                        @match line.figures() {
                            Some(figures) => @for figure in figures { td.number { (figure) } },
                            None => td.quiet colspan="4" { "nothing was measured" },
                        }
                    }
                }
            }
        }
    };
    html! {
        div.charts { @for line in &lines { (line.markup()) } }
        @if series.len() > MAX_CHARTS {
            p.quiet { "The first " (MAX_CHARTS) " of " (series.len()) " metrics are shown." }
        }
        (wide("Measurements in figures", table))
    }
}
