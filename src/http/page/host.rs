use axum::extract::State;
use form_urlencoded::Serializer;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::Line;
use super::sheet::{Sheet, Tab, wide};
use super::words::{ago, host_state, service_state, stamp, time};
use super::{Fault, Path, Query, seconds};
use crate::hosts::{Deed, GenerationState, Step};
use crate::http::App;
use crate::http::api::{Whole, now};
use crate::http::problem::Problem;
use crate::metrics::{Question, Source};
use crate::model::{Host, HostId, HostSeen, MetricKey, MetricNode, Series, Window, WindowFault};
use crate::telemetry::sentence;

const DAY: i64 = 86_400;
/// What can be picked, and what it is called.
const SPANS: [(&str, &str, i64); 3] =
    [("24h", "24 hours", DAY), ("7d", "7 days", 7 * DAY), ("90d", "90 days", 90 * DAY)];
/// Of each line: about one for each dot of a screen.
const POINTS: u32 = 300;
const MAX_CHARTS: usize = 48;

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
    let id =
        HostId::parse(&id).map_err(|_| Problem::not_found("no source has a machine of this id"))?;
    let (whole, measured) =
        tokio::join!(Whole::of(&app.services, id.as_str()), measured(&app, &id, window));
    let whole = whole?;
    let body = html! {
        @if whole.removed {
            p.notice { "No source has it any more. This is what is kept of it." }
        }
        (facts(now, &whole))
        (services(now, &whole))
        section aria-labelledby="measured" {
            h2 #measured { "Measured in " (called) }
            (picker(&id, picked))
            @match &measured {
                Ok(series) => (charts(series, window)),
                Err(reason) => p.notice { (reason) },
            }
        }
        section aria-labelledby="trail" {
            h2 #trail { "Trail" }
            @match &whole.trail {
                Ok(steps) => (trail(now, steps)),
                Err(reason) => p.quiet { "The history cannot be read: " (reason) },
            }
        }
    };
    Ok(Sheet::new(Some(Tab::Hosts), whole.host.host.display_name.as_str(), body))
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

fn facts(now: i64, whole: &Whole) -> Markup {
    let one = &whole.host;
    html! {
        dl.facts {
            div { dt { "Id" } dd.mono { (one.host.id) } }
            div { dt { "Address" } dd.mono { (one.host.address) } }
            @if let Some(given) = &one.host.given_name {
                div { dt { "Name as it was given" } dd { bdi { (given) } } }
            }
            @if let Some(owner) = &whole.owner {
                div {
                    dt { "Owner" }
                    dd { a href=(usage_of(owner.as_str())) { bdi { (owner) } } }
                }
            }
            div { dt { "Source" } dd { (one.source) } }
            @if !whole.removed {
                div {
                    dt { "Watched" }
                    dd {
                        @if one.watched { "yes" }
                        @else { span.alarm { "no: over [nagios] max_hosts" } }
                    }
                }
            }
            div {
                dt { "In Nagios" }
                @match &whole.seen {
                    Ok(Some(seen)) => (nagios(now, seen)),
                    Ok(None) => dd { "Nagios has not read of it" },
                    Err(reason) => dd.quiet { (reason) },
                }
            }
        }
    }
}

fn usage_of(owner: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("by", "day").append_pair("user", owner);
    format!("/usage?{}", query.finish())
}

fn nagios(now: i64, seen: &HostSeen) -> Markup {
    html! {
        dd { (host_state(seen.state)) }
        @if let Some(at) = seen.last_check { dd.quiet { "checked " (ago(now, at)) } }
        @if !seen.output.is_empty() { dd.quiet.output { bdi { (seen.output) } } }
    }
}

fn services(now: i64, whole: &Whole) -> Markup {
    let Ok(Some(HostSeen { services, .. })) = &whole.seen else { return html! {} };
    let table = html! {
        table {
            caption.unseen { "Services and what their last checks said" }
            thead {
                tr {
                    th scope="col" { "Service" }
                    th scope="col" { "State" }
                    th scope="col" { "What the plugin said" }
                    th scope="col" { "Checked" }
                    th scope="col" { "Last OK" }
                }
            }
            tbody {
                @for one in services {
                    tr {
                        th scope="row" { (one.description) }
                        td { (service_state(one.state)) }
                        td.output { bdi { (one.output) } }
                        td.ago { (when(now, one.last_check)) }
                        td.ago { (when(now, one.last_ok)) }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="services" {
            h2 #services { "Services" }
            @if services.is_empty() { p.quiet { "Nagios checks none on it." } }
            @else { (wide("Services", table)) }
        }
    }
}

fn when(now: i64, at: Option<i64>) -> Markup {
    match at {
        Some(at) => html! { time datetime=(stamp(at)) { (ago(now, at)) } },
        None => html! { "never" },
    }
}

/// Newest first.
fn trail(now: i64, steps: &[Step]) -> Markup {
    if steps.is_empty() {
        return html! { p.quiet { "No generation that is kept did something to it." } };
    }
    html! {
        ol.timeline {
            @for step in steps {
                @let one = &step.generation;
                li.live[one.state == GenerationState::Live] {
                    a href={ "/generations/" (one.number) } { "Generation " (one.number) }
                    " of " (one.source) " "
                    span.what { (deed(step)) }
                    @if one.forced { ", forced" }
                    @if let Some(restored) = one.restores { ", going back to generation " (restored) }
                    @if one.state == GenerationState::Rejected { ", and was " span.alarm { "taken back" } }
                    @if !step.certain {
                        span.quiet { "; it may have been an earlier one that is not kept any more" }
                    }
                    span.at {
                        (time(now, seconds(one.created)))
                        @if let Some(caller) = &one.caller { ", asked for from " (caller) }
                    }
                }
            }
        }
    }
}

fn deed(step: &Step) -> Markup {
    let Host { display_name, address, .. } = &step.host;
    html! {
        @match step.deed {
            Deed::Added => { "brought it, as " bdi { (display_name) } " at " span.mono { (address) } }
            Deed::Changed => { "changed it to " bdi { (display_name) } " at " span.mono { (address) } }
            Deed::Removed => { "removed it" }
        }
    }
}

fn picker(id: &HostId, picked: &str) -> Markup {
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
