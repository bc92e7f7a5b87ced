use axum::extract::State;
use form_urlencoded::Serializer;
use maud::{Markup, html};

use super::sheet::{Sheet, Tab, wide};
use super::words::{count, several};
use super::{Fault, Query};
use crate::http::App;
use crate::http::api::{Find, Found, find};
use crate::model::Source;

pub(super) async fn hosts(
    State(app): State<App>,
    Query(wanted): Query<Find>,
) -> Result<Sheet, Fault> {
    let view = app.services.hosts.view();
    let found = find(&view, &wanted)?;
    let body = html! {
        (form(&wanted, &app.services.hosts.sources()))
        p role="status" {
            (several(found.total, "host"))
            @if found.total > found.page.len() { ", " (count(found.page.len())) " of them here" }
            "."
        }
        @if !found.page.is_empty() { (wide("Hosts", table(&found))) }
        (steps(&wanted, &found))
    };
    Ok(Sheet::new(Some(Tab::Hosts), "Hosts", body))
}

fn form(wanted: &Find, sources: &[Source]) -> Markup {
    let chosen = wanted.source.as_deref().unwrap_or("");
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
                        option value=(source) selected[source == chosen] { (source) }
                    }
                }
            }
            p { button type="submit" { "Find" } }
        }
    }
}

fn table(found: &Found<'_>) -> Markup {
    html! {
        table {
            caption.unseen { "Hosts in order of id" }
            thead {
                tr {
                    th scope="col" { "Id" }
                    th scope="col" { "Name" }
                    th scope="col" { "Address" }
                    th scope="col" { "Source" }
                    th scope="col" { "Watched" }
                }
            }
            tbody {
                @for one in &found.page {
                    tr {
                        th.mono scope="row" { a href={ "/hosts/" (one.host.id) } { (one.host.id) } }
                        td { (one.host.display_name) }
                        td.mono { (one.host.address) }
                        td { (one.source) }
                        td { @if one.watched { "yes" } @else { span.alarm { "no" } } }
                    }
                }
            }
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
        ("limit", limit.as_deref()),
        ("after", after),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    format!("/hosts?{}", query.finish())
}
