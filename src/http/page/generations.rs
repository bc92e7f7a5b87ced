use axum::extract::State;
use maud::{Markup, html};

use super::sheet::{Sheet, Tab, wide};
use super::words::{count, several, time};
use super::{Fault, Path, seconds};
use crate::hosts::{Change, Generation, GenerationState};
use crate::http::App;
use crate::http::api::now;
use crate::http::problem::Problem;
use crate::model::Host;

const LISTED: usize = 200;
/// Of each kind of change; all are in the JSON.
const SHOWN: usize = 500;

/// Newest first.
pub(super) fn timeline(now: i64, kept: &[Generation]) -> Markup {
    if kept.is_empty() {
        return html! { p.quiet { "There is none yet." } };
    }
    html! {
        ol.timeline {
            @for one in kept {
                li.live[one.state == GenerationState::Live] {
                    a href={ "/generations/" (one.number) } { "Generation " (one.number) }
                    ", " (state(one)) ": "
                    span.what { (several(one.host_count, "host")) " of " (one.source) }
                    " " span.at { (time(now, seconds(one.created))) }
                }
            }
        }
    }
}

fn state(one: &Generation) -> Markup {
    let alarming = one.state == GenerationState::Rejected;
    html! { span.state.alarm[alarming] { (one.state.as_str()) } }
}

pub(super) async fn list(State(app): State<App>) -> Result<Sheet, Fault> {
    let kept = app.services.hosts.history(LISTED).await?;
    let now = now();
    let table = html! {
        table {
            caption.unseen { "Generations, newest first" }
            thead {
                tr {
                    th.number scope="col" { "Number" }
                    th scope="col" { "Source" }
                    th scope="col" { "State" }
                    th.number scope="col" { "Hosts" }
                    th scope="col" { "Made" }
                    th scope="col" { "Proved by Nagios" }
                }
            }
            tbody { @for one in &kept { (row(now, one)) } }
        }
    };
    let body = html! {
        p.lead { "Each is one replacement of one source’s hosts. Nagios reads those that are live." }
        @if kept.is_empty() { p { "There is none yet." } }
        @else { (wide("Generations", table)) }
    };
    Ok(Sheet::new(Some(Tab::Generations), "Generations", body))
}

fn row(now: i64, one: &Generation) -> Markup {
    html! {
        tr {
            th.number scope="row" { a href={ "/generations/" (one.number) } { (one.number) } }
            td { (one.source) }
            td { (state(one)) }
            td.number { (count(one.host_count)) }
            td { (time(now, seconds(one.created))) }
            td {
                @match one.proved {
                    Some(at) => (time(now, seconds(at))),
                    None => span.quiet { "no" },
                }
            }
        }
    }
}

pub(super) async fn one(State(app): State<App>, Path(number): Path<i64>) -> Result<Sheet, Fault> {
    let found = app.services.hosts.change_of(number).await?;
    let change = found.ok_or_else(|| Problem::not_found("no generation of this number is kept"))?;
    let now = now();
    let body = html! {
        (facts(now, &change))
        @if let Some(reason) = &change.generation.reason { p.notice { "Rejected: " (reason) } }
        (hosts("Added", "+", &change.diff.added))
        (hosts("Removed", "−", &change.diff.removed))
        (hosts("Changed", "±", &change.diff.changed))
        p.quiet { (several(change.diff.unchanged, "host")) " unchanged. "
            a href={ "/v1/generations/" (number) } { "The whole as JSON" }
        }
    };
    Ok(Sheet::new(Some(Tab::Generations), format!("Generation {number}"), body))
}

fn facts(now: i64, change: &Change) -> Markup {
    let one = &change.generation;
    html! {
        dl.facts {
            div { dt { "Source" } dd { (one.source) } }
            div { dt { "State" } dd { (state(one)) @if one.forced { ", forced" } } }
            div { dt { "Hosts" } dd { (count(one.host_count)) } }
            div { dt { "Made" } dd { (time(now, seconds(one.created))) } }
            @if let Some(at) = one.live { div { dt { "On disk" } dd { (time(now, seconds(at))) } } }
            @if let Some(at) = one.proved {
                div { dt { "Proved by Nagios" } dd { (time(now, seconds(at))) } }
            }
            @if let Some(before) = change.replaced {
                div { dt { "Replaced" } dd { a href={ "/generations/" (before) } { "Generation " (before) } } }
            }
            @if let Some(caller) = &one.caller {
                div { dt { "Asked for from" } dd { (caller) } }
            }
            @if let Some(restored) = one.restores {
                div { dt { "Brings back" } dd { a href={ "/generations/" (restored) } { "Generation " (restored) } } }
            }
        }
    }
}

fn hosts(what: &str, mark: &str, hosts: &[Host]) -> Markup {
    if hosts.is_empty() {
        return html! {};
    }
    let table = html! {
        table.diff {
            caption.unseen { (what) " hosts" }
            thead {
                tr {
                    th scope="col" { span.unseen { "Change" } }
                    th scope="col" { "Id" }
                    th scope="col" { "Name" }
                    th scope="col" { "Address" }
                }
            }
            tbody {
                @for host in &hosts[..hosts.len().min(SHOWN)] {
                    tr {
                        td.mark { span aria-hidden="true" { (mark) } span.unseen { (what) } }
                        th.mono scope="row" { a href={ "/hosts/" (host.id) } { (host.id) } }
                        td { (host.display_name) }
                        td.mono { (host.address) }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { (what) " " span.quiet { (count(hosts.len())) } }
            (wide(what, table))
            @if hosts.len() > SHOWN { p.quiet { "The first " (count(SHOWN)) " are shown." } }
        }
    }
}
