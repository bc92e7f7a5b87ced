use axum::extract::State;
use maud::{Markup, html};

use super::clouds::standing;
use super::generations::timeline;
use super::sheet::{Sheet, Tab, wide};
use super::words::{ago, bytes, count, several, span, time};
use crate::cloud::CloudView;
use crate::hosts::Status;
use crate::http::App;
use crate::http::api::now;
use crate::shipping::View as Shipped;

/// Of the timeline.
const LAST: usize = 12;

pub(super) async fn overview(State(app): State<App>) -> Sheet {
    let now = now();
    let services = &app.services;
    let status = services.hosts.view().status;
    let clouds = services.clouds.view();
    let shipped = services.shipping.view();
    let history = services.hosts.history(LAST).await;
    let body = html! {
        (step(&status))
        dl.facts {
            div {
                dt { "Last change" }
                dd {
                    @match history.as_ref().map(|kept| kept.first()) {
                        Ok(Some(last)) => {
                            a href={ "/generations/" (last.number) } { "Generation " (last.number) }
                            ", " (last.state.as_str())
                            div.quiet { "of " (last.source) ", " (ago(now, super::seconds(last.created))) }
                        }
                        Ok(None) => "None yet",
                        Err(_) => "Not known",
                    }
                }
            }
            (nagios(now, &status))
            (held(&clouds))
            (spool(now, &shipped))
        }
        section aria-labelledby="clouds" {
            h2 #clouds { "Clouds" }
            (lags(now, &clouds))
        }
        (sinks(now, &shipped))
        section aria-labelledby="timeline" {
            h2 #timeline { "Timeline of generations" }
            @match &history {
                Ok(kept) => (timeline(now, kept)),
                Err(fault) => p.quiet { "The history cannot be read: " (fault) },
            }
            p { a href="/generations" { "All that are kept" } }
        }
    };
    let title = format!("Nagios watches {}", several(status.watched, "host"));
    Sheet::new(Some(Tab::Overview), title, body).kept_fresh()
}

fn step(status: &Status) -> Markup {
    html! {
        @if status.in_step {
            p.lead { strong.good { "In step." } " Nagios has proved that it read the newest file." }
        } @else if status.restart_due {
            p.lead { strong.alarm { "Not in step." } " Nagios has yet to read the newest file." }
        } @else {
            p.lead { strong { "Nothing to read yet." } " No hosts file has been written." }
        }
        @if let Some(trouble) = &status.trouble {
            p.notice role="status" { (trouble) }
        }
        @if status.unwatched > 0 {
            p.notice {
                (several(status.unwatched, "host")) " more than " code { "[nagios] max_hosts" }
                " allows: recorded, not watched."
            }
        }
    }
}

fn nagios(now: i64, status: &Status) -> Markup {
    html! {
        div {
            dt { "Nagios" }
            dd {
                @match status.nagios_started {
                    Some(started) => { "Runs since " (time(now, started)) }
                    None => "Has not been seen running",
                }
            }
            dd.quiet {
                (several(status.restarts, "restart")) " asked for"
                @if let Some(took) = status.last_restart {
                    ", the last took " (span(i64::try_from(took.as_secs()).unwrap_or(i64::MAX)))
                }
            }
        }
    }
}

fn held(clouds: &[CloudView]) -> Markup {
    let held: usize = clouds.iter().map(|cloud| cloud.held_total).sum();
    html! {
        div {
            dt { "Held" }
            dd {
                @if held == 0 { "Nothing" }
                @else { a.alarm href="/held" { (several(held, "absence")) " to be released" } }
            }
        }
    }
}

fn spool(now: i64, shipped: &Shipped) -> Markup {
    html! {
        div {
            dt { "Perfdata spool" }
            @match &shipped.spool {
                None => dd { "Off" },
                Some(spool) => {
                    dd { (several(spool.files, "file")) ", " (bytes(spool.bytes)) }
                    @if let Some(oldest) = spool.oldest {
                        dd.quiet { "The oldest is " (span(now.saturating_sub(super::seconds(oldest)).max(0))) " old" }
                    }
                    @if spool.lost_files > 0 {
                        dd.alarm { (count(spool.lost_files)) " files were lost to the limit" }
                    }
                    @if let Some(trouble) = &spool.trouble { dd.alarm { (trouble) } }
                }
            }
            @if let Some(trouble) = &shipped.read_back_trouble { dd.alarm { (trouble) } }
        }
    }
}

fn lags(now: i64, clouds: &[CloudView]) -> Markup {
    if clouds.is_empty() {
        return html! { p.quiet { "No cloud is configured." } };
    }
    let table = html! {
        table {
            caption.unseen { "Clouds and how long ago each was seen" }
            thead {
                tr {
                    th scope="col" { "Cloud" }
                    th scope="col" { "Standing" }
                    th scope="col" { "Last complete listing" }
                    th.number scope="col" { "Running" }
                    th.number scope="col" { "Watched" }
                }
            }
            tbody {
                @for cloud in clouds {
                    tr {
                        th scope="row" { a href={ "/clouds#" (cloud.name) } { (cloud.name) } }
                        td { (standing(cloud)) }
                        td {
                            @match cloud.last_success {
                                Some(at) => (time(now, at)),
                                None => "none yet",
                            }
                        }
                        td.number { (count(cloud.shown.running)) }
                        td.number { (count(cloud.watched)) }
                    }
                }
            }
        }
    };
    wide("Clouds", table)
}

fn sinks(now: i64, shipped: &Shipped) -> Markup {
    if shipped.sinks.is_empty() {
        return html! {};
    }
    let table = html! {
        table {
            caption.unseen { "Where performance data goes" }
            thead {
                tr {
                    th scope="col" { "Sink" }
                    th scope="col" { "Standing" }
                    th scope="col" { "Last receipt" }
                    th.number scope="col" { "Samples" }
                    th.number scope="col" { "Bad lines" }
                }
            }
            tbody {
                @for (name, sink) in &shipped.sinks {
                    tr {
                        th scope="row" { (name) }
                        td {
                            @match &sink.trouble {
                                Some(trouble) => span.alarm { (trouble) },
                                None => "takes them",
                            }
                        }
                        td {
                            @match sink.last_receipt {
                                Some(at) => (time(now, super::seconds(at))),
                                None => "none yet",
                            }
                        }
                        td.number { (count(sink.samples)) }
                        td.number { (count(sink.bad_lines)) }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="sinks" {
            h2 #sinks { "Performance data" }
            (wide("Performance data", table))
        }
    }
}
