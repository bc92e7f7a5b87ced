//! What every view has around it.

use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::NAMES;
use super::words::moment;
use crate::http::api::now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Hosts,
    Usage,
    Clouds,
    Held,
    Generations,
}

const TABS: [(Tab, &str, &str); 6] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Hosts, "/hosts", "Hosts"),
    (Tab::Usage, "/usage", "Usage"),
    (Tab::Clouds, "/clouds", "Clouds"),
    (Tab::Held, "/held", "Held"),
    (Tab::Generations, "/generations", "Generations"),
];

pub(super) struct Sheet {
    tab: Option<Tab>,
    title: String,
    body: Markup,
    /// The script may ask for it again from time to time.
    fresh: bool,
}

impl Sheet {
    /// `title` is the heading, too.
    pub(super) fn new(tab: Option<Tab>, title: impl Into<String>, body: Markup) -> Self {
        Self { tab, title: title.into(), body, fresh: false }
    }

    pub(super) fn kept_fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    fn markup(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Weather Balloon" }
                    link rel="stylesheet" href={ "/assets/" (NAMES.style) };
                    link rel="icon" type="image/svg+xml" href={ "/assets/" (NAMES.icon) };
                    script src={ "/assets/" (NAMES.script) } defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.name href="/" { "Weather Balloon" }
                        nav aria-label="Views" { ul { (self.tabs()) } }
                    }
                    main #main tabindex="-1" data-fresh=[self.fresh.then_some("30")] {
                        h1 { (self.title) }
                        (self.body)
                    }
                    (foot())
                }
            }
        }
    }

    fn tabs(&self) -> Markup {
        html! {
            @for (tab, path, name) in TABS {
                li { a href=(path) aria-current=[(self.tab == Some(tab)).then_some("page")] { (name) } }
            }
        }
    }
}

fn foot() -> Markup {
    html! {
        footer.bottom {
            p { "Version " (env!("CARGO_PKG_VERSION")) " · asked at " (moment(now())) }
            p {
                a href="/v1/openapi.json" { "JSON" }
                " · "
                a href="/metrics" { "For Prometheus" }
            }
        }
    }
}

impl IntoResponse for Sheet {
    fn into_response(self) -> Response {
        Html(self.markup().into_string()).into_response()
    }
}

/// A table that scrolls by itself where the screen is narrow.
pub(super) fn wide(label: &str, table: Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (table) } }
}
