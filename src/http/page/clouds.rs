use axum::extract::State;
use maud::{Markup, html};

use super::sheet::{Sheet, Tab, wide};
use super::words::{count, several, span, time};
use crate::cloud::{CloudView, Role};
use crate::http::App;
use crate::http::api::now;

/// In a few words.
pub(super) fn standing(cloud: &CloudView) -> Markup {
    let failing = cloud.error.is_some() || cloud.trouble.is_some();
    let said = match (cloud.configured, cloud.role) {
        (false, _) => "not configured any more",
        _ if failing => "in trouble",
        (true, Role::Starting) => "first poll is running",
        (true, Role::Polls) => "polls",
        (true, Role::Follows) => "another appliance polls",
        (true, Role::NoLedger) => "polls, records nothing",
    };
    html! { span.state.alarm[failing || !cloud.configured] { (said) } }
}

pub(super) async fn clouds(State(app): State<App>) -> Sheet {
    let views = app.services.clouds.view();
    let now = now();
    let body = html! {
        @if views.is_empty() {
            p.lead { "No cloud is configured. A " code { "[[cloud]]" } " section of the configuration adds one." }
        }
        @for cloud in &views { (one(now, cloud)) }
    };
    Sheet::new(Some(Tab::Clouds), "Clouds", body).kept_fresh()
}

fn one(now: i64, cloud: &CloudView) -> Markup {
    html! {
        section.cloud aria-labelledby=(cloud.name) {
            h2 id=(cloud.name) { (cloud.name) }
            p { @if !cloud.kind.is_empty() { (cloud.kind) ", " } (standing(cloud)) }
            @if let Some(error) = &cloud.error { p.notice { (error) } }
            @if let Some(trouble) = &cloud.trouble { p.notice { (trouble) } }
            @if !cloud.configured {
                p { (several(cloud.watched, "host")) " of it stay watched until "
                    code { "weather-balloon clouds release " (cloud.name) } }
            }
            dl.facts {
                div {
                    dt { "Last complete listing" }
                    dd { @match cloud.last_success { Some(at) => (time(now, at)), None => "none yet" } }
                    @if let Some(took) = cloud.took_ms { dd.quiet { "took " (count(took)) " ms" } }
                }
                div {
                    dt { "Next poll" }
                    dd { @match cloud.next_poll { Some(at) => (time(now, at)), None => "not planned" } }
                }
                div {
                    dt { "Instances" }
                    dd { (count(cloud.shown.listed)) " listed, " (count(cloud.shown.running)) " running" }
                    dd.quiet {
                        (count(cloud.shown.missing)) " missing, "
                        (count(cloud.shown.skipped_total)) " skipped, "
                        (count(cloud.shown.without_address)) " without an address"
                    }
                }
                div {
                    dt { "Hosts" }
                    dd { a href={ "/hosts?source=cloud:" (cloud.name) } { (count(cloud.watched)) " watched" } }
                    @if cloud.held_total > 0 {
                        dd { a.alarm href="/held" { (several(cloud.held_total, "absence")) " held" } }
                    }
                }
                @if cloud.skew.abs() > 5 {
                    div {
                        dt { "Its clock" }
                        dd { (span(cloud.skew.saturating_abs())) @if cloud.skew > 0 { " ahead" } @else { " behind" } }
                    }
                }
            }
            (skipped(cloud))
        }
    }
}

fn skipped(cloud: &CloudView) -> Markup {
    if cloud.shown.skipped.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "What was skipped" }
            ul { @for one in &cloud.shown.skipped { li { code { (one.id) } ": " (one.reason) } } }
        }
    }
}

pub(super) async fn held(State(app): State<App>) -> Sheet {
    let views = app.services.clouds.view();
    let now = now();
    let holding: Vec<_> = views.iter().filter(|view| view.held_total > 0).collect();
    let body = html! {
        p.lead {
            @if holding.is_empty() { "Nothing is held." }
            @else { "These are absent from their cloud, and it does not say why. They stay watched until somebody releases them." }
        }
        @for cloud in &holding { (holds(now, cloud)) }
    };
    Sheet::new(Some(Tab::Held), "Held", body).kept_fresh()
}

fn holds(now: i64, cloud: &CloudView) -> Markup {
    let table = html! {
        table {
            caption.unseen { "Held absences of " (cloud.name) }
            thead {
                tr {
                    th scope="col" { "Instance" }
                    th scope="col" { "Host" }
                    th scope="col" { "Address" }
                    th scope="col" { "Absent since" }
                    th scope="col" { "Held by" }
                }
            }
            tbody {
                @for one in &cloud.held {
                    tr {
                        th.mono scope="row" { (one.instance) }
                        td.mono {
                            @if let Some(host) = &one.host { a href={ "/hosts/" (host) } { (host) } }
                            @else { span.quiet { "none" } }
                        }
                        td.mono { @if let Some(address) = &one.address { (address) } @else { span.quiet { "none" } } }
                        td { (time(now, one.since)) }
                        td { "the " (one.by.as_str()) }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby=(cloud.name) {
            h2 id=(cloud.name) { (cloud.name) " " span.quiet { (count(cloud.held_total)) " held" } }
            p { "To let them go, on this machine:" }
            pre.command tabindex="0" { code { "weather-balloon clouds release " (cloud.name) } }
            (wide(&cloud.name, table))
            @if cloud.held_total > cloud.held.len() {
                p.quiet { "The first " (count(cloud.held.len())) " are shown; all are released." }
            }
        }
    }
}
