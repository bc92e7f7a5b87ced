use axum::extract::State;
use form_urlencoded::Serializer;
use maud::{Markup, html};

use super::sheet::{Sheet, Tab, wide};
use super::words::{count, host_state, service_state, several};
use super::{Fault, Query};
use crate::hosts::WatchedHost;
use crate::http::App;
use crate::http::api::{Around, Find, Found, STATES, find};
use crate::model::{ServiceCounts, ServiceState, Source, Standing};

pub(super) async fn hosts(
    State(app): State<App>,
    Query(wanted): Query<Find>,
) -> Result<Sheet, Fault> {
    let view = app.services.hosts.view();
    let around = Around::of(&app.services).await;
    let found = find(&view, &around, &wanted)?;
    let body = html! {
        (form(&wanted, &app.services.hosts.sources()))
        @if let Some(trouble) = around.trouble() { p.notice { "How they are is not known: " (trouble) } }
        p role="status" {
            (several(found.total, "host"))
            @if found.total > found.page.len() { ", " (count(found.page.len())) " of them here" }
            "."
        }
        @if !found.page.is_empty() { (wide("Hosts", table(&found, &around))) }
        (steps(&wanted, &found))
    };
    Ok(Sheet::new(Some(Tab::Hosts), "Hosts", body))
}

fn form(wanted: &Find, sources: &[Source]) -> Markup {
    let chosen = |given: &Option<String>, value: &str| given.as_deref() == Some(value);
    html! {
        form.fields method="get" action="/hosts" role="search" {
            p {
                label for="search" { "Part of a name, an id or an address" }
                input #search type="search" name="search" maxlength="255" autocomplete="off"
                    value=(wanted.search.as_deref().unwrap_or(""));
            }
            p {
                label for="source" { "Source" }
                select #source name="source" {
                    option value="" { "All" }
                    @for source in sources {
                        @let source = source.to_string();
                        option value=(source) selected[chosen(&wanted.source, &source)] { (source) }
                    }
                }
            }
            p {
                label for="owner" { "Owner" }
                input #owner name="owner" maxlength="255" autocomplete="off"
                    value=(wanted.owner.as_deref().unwrap_or(""));
            }
            p {
                label for="state" { "State" }
                select #state name="state" {
                    option value="" { "All" }
                    @for (state, called) in STATES {
                        option value=(state) selected[chosen(&wanted.state, state)] { (called) }
                    }
                }
            }
            p { button type="submit" { "Find" } }
        }
    }
}

fn table(found: &Found<'_>, around: &Around) -> Markup {
    html! {
        table {
            caption.unseen { "Hosts in order of id" }
            thead {
                tr {
                    th scope="col" { "Id" }
                    th scope="col" { "Name" }
                    th scope="col" { "Owner" }
                    th scope="col" { "State" }
                    th scope="col" { "Services" }
                    th scope="col" { "Address" }
                    th scope="col" { "Source" }
                }
            }
            tbody {
                @for one in &found.page {
                    tr {
                        th.mono scope="row" { a href={ "/hosts/" (one.host.id) } { (one.host.id) } }
                        td { (one.host.display_name) }
                        td { @if let Some(owner) = around.owner(one) { bdi { (owner) } } }
                        @let standing = around.standing(one);
                        td { (state(one, standing)) }
                        td { @if let Some(standing) = standing { (services(standing.services)) } }
                        td.mono { (one.host.address) }
                        td { (one.source) }
                    }
                }
            }
        }
    }
}

fn state(one: &WatchedHost, standing: Option<Standing>) -> Markup {
    html! {
        @if !one.watched { span.alarm { "not watched" } }
        @else if let Some(standing) = standing { (host_state(standing.host)) }
        @else { span.quiet { "not read yet" } }
    }
}

/// Those that are not OK first.
fn services(counts: ServiceCounts) -> Markup {
    let ServiceCounts { pending, ok, warning, critical, unknown } = counts;
    let told = [
        (critical, ServiceState::Critical),
        (warning, ServiceState::Warning),
        (unknown, ServiceState::Unknown),
        (ok, ServiceState::Ok),
        (pending, ServiceState::Pending),
    ];
    let told = told.into_iter().filter(|(number, _)| *number > 0).enumerate();
    html! {
        @for (place, (number, state)) in told {
            @if place > 0 { ", " }
            (count(number)) " " (service_state(state))
        }
    }
}

fn steps(wanted: &Find, found: &Found<'_>) -> Markup {
    let further = wanted.after.as_deref().is_some_and(|after| !after.is_empty());
    if !further && found.next.is_none() {
        return html! {};
    }
    html! {
        nav.steps aria-label="Pages" {
            @if further { a href=(link(wanted, None)) { "First page" } }
            @if let Some(next) = found.next { a rel="next" href=(link(wanted, Some(next))) { "Next page" } }
        }
    }
}

fn link(wanted: &Find, after: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    let limit = wanted.limit.map(|limit| limit.to_string());
    for (name, value) in [
        ("search", wanted.search.as_deref()),
        ("source", wanted.source.as_deref()),
        ("owner", wanted.owner.as_deref()),
        ("state", wanted.state.as_deref()),
        ("limit", limit.as_deref()),
        ("after", after),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    format!("/hosts?{}", query.finish())
}
