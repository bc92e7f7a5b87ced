use std::num::NonZeroUsize;

use axum::extract::State;
use form_urlencoded::Serializer;
use maud::{Markup, html};
use serde::Deserialize;

use super::days;
use super::sheet::{Sheet, Tab, wide};
use super::words::{count, hours, moment, several, time};
use super::{Fault, Query};
use crate::http::App;
use crate::http::api::{By, Wanted, now};
use crate::http::problem::Problem;
use crate::model::Window;
use crate::settings::when;
use crate::usage::{Group, Report};

const DAY: i64 = 86_400;
const SPANS: [(&str, &str); 5] = [
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("90d", "90 days"),
    ("365d", "A year"),
];
const USUAL: &str = "30d";
const MAX_ROWS: usize = 200;
/// Bars of the chart; the table shows the same days.
const MAX_DAYS: i64 = 400;

/// As a form sends it: what is not filled in is empty.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    from: String,
    until: String,
    user: String,
    cloud: String,
    flavor: String,
    staff: String,
    by: String,
}

impl Asked {
    fn by(&self) -> Result<By, Problem> {
        Ok(match self.by.as_str() {
            "" | "user" => By::User,
            "cloud" => By::Cloud,
            "flavor" => By::Flavor,
            "day" => By::Day,
            _ => return Err(Problem::bad_request("by is one of user, cloud, flavor and day")),
        })
    }

    fn wanted(&self) -> Result<Wanted, Problem> {
        let staff = match self.staff.as_str() {
            "" => None,
            "true" => Some(true),
            "false" => Some(false),
            _ => return Err(Problem::bad_request("staff is true, false or left out")),
        };
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(Wanted {
            from: given(&self.from).or_else(|| self.until.is_empty().then(|| USUAL.to_owned())),
            until: given(&self.until),
            user: given(&self.user),
            cloud: given(&self.cloud),
            flavor: given(&self.flavor),
            staff,
            by: self.by()?,
            limit: None,
        })
    }

    fn link(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("from", &self.from),
            ("until", &self.until),
            ("user", &self.user),
            ("cloud", &self.cloud),
            ("flavor", &self.flavor),
            ("staff", &self.staff),
            ("by", &self.by),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        format!("/usage?{}", query.finish())
    }
}

pub(super) async fn usage(
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Sheet, Fault> {
    let by = asked.by()?;
    let mut question = asked.wanted()?.question()?;
    if by != By::Day {
        question.limit = NonZeroUsize::new(MAX_ROWS);
    }
    // A ledger that is not there yet is no reason to take the form away.
    let answered = app.services.usage.leaderboard(question).await;
    let title = match asked.user.as_str() {
        "" => "Usage".to_owned(),
        user => format!("Usage of {user}"),
    };
    let body = html! {
        (picker(&asked))
        (form(&asked, by))
        @match answered {
            Ok(report) => (board(&asked, by, &report)),
            Err(fault) => p.notice { (Problem::from(fault).detail()) },
        }
    };
    Ok(Sheet::new(Some(Tab::Usage), title, body))
}

fn picker(asked: &Asked) -> Markup {
    let picked = match asked.from.as_str() {
        "" => USUAL,
        from => from,
    };
    html! {
        nav.picker aria-label="Window" {
            @for (span, called) in SPANS {
                @let other = Asked { from: span.to_owned(), until: String::new(), ..asked.clone() };
                a href=(other.link())
                    aria-current=[(span == picked && asked.until.is_empty()).then_some("true")] { (called) }
            }
        }
    }
}

fn form(asked: &Asked, by: By) -> Markup {
    let groups =
        [(By::User, "user"), (By::Cloud, "cloud"), (By::Flavor, "flavor"), (By::Day, "day")];
    let text = |name: &str, label: &str, value: &str, hint: &str| {
        html! {
            p {
                label for=(name) { (label) }
                input id=(name) type="text" name=(name) value=(value) placeholder=(hint)
                    maxlength="255" autocomplete="off";
            }
        }
    };
    html! {
        form.fields method="get" action="/usage" {
            p {
                label for="by" { "By" }
                select #by name="by" {
                    @for (group, name) in groups { option value=(name) selected[group == by] { (name) } }
                }
            }
            (text("from", "From", &asked.from, "30d or 2026-01-31"))
            (text("until", "Until", &asked.until, "now"))
            (text("user", "User", &asked.user, ""))
            (text("cloud", "Cloud", &asked.cloud, ""))
            (text("flavor", "Flavor", &asked.flavor, ""))
            p {
                label for="staff" { "Staff" }
                select #staff name="staff" {
                    @for (value, name) in [("", "all"), ("true", "staff only"), ("false", "others only")] {
                        option value=(value) selected[value == asked.staff] { (name) }
                    }
                }
            }
            p { button type="submit" { "Show" } }
        }
    }
}

fn board(asked: &Asked, by: By, report: &Report) -> Markup {
    let counted_to = report.counted_until;
    html! {
        p role="status" {
            "From " (moment(report.window.start())) " to " (moment(counted_to)) ": "
            (several(report.group_count, name_of(by)))
            @if report.group_count > report.groups.len() {
                ", the first " (count(report.groups.len())) " here"
            }
            "."
        }
        @if by == By::Day { (chart(report)) }
        @if report.groups.is_empty() { p.quiet { "Nothing ran in this window." } }
        @else { (wide("Usage", table(asked, by, report))) }
        (gaps(report))
    }
}

fn name_of(by: By) -> &'static str {
    match by {
        By::User => "user",
        By::Cloud => "cloud",
        By::Flavor => "flavor",
        By::Day => "day",
    }
}

fn table(asked: &Asked, by: By, report: &Report) -> Markup {
    let most = report.groups.iter().map(|group| group.cpu_seconds).max().unwrap_or(0).max(1);
    html! {
        table.board {
            caption.unseen { "Usage by " (name_of(by)) }
            thead {
                tr {
                    th scope="col" { (heading(by)) }
                    th.number scope="col" { "CPU hours" }
                    th.share scope="col" { span.unseen { "Share of the most" } }
                    th.number scope="col" { "Uptime hours" }
                    th.number scope="col" { "Instances" }
                }
            }
            tbody { @for group in &report.groups { (row(asked, by, group, most)) } }
        }
    }
}

fn heading(by: By) -> &'static str {
    match by {
        By::User => "User",
        By::Cloud => "Cloud",
        By::Flavor => "Flavor",
        By::Day => "Day",
    }
}

fn row(asked: &Asked, by: By, group: &Group, most: i64) -> Markup {
    // In tenths of a percent, which are many enough for a bar.
    let share = (i128::from(group.cpu_seconds.max(0)) * 1000 / i128::from(most)) as f64 / 10.0;
    let closer = closer(asked, by, &group.name);
    html! {
        tr {
            th scope="row" {
                @match closer {
                    Some(link) => a href=(link) { (group.name) },
                    None => (group.name),
                }
                @if group.is_staff == Some(true) { " " span.tag { "staff" } }
            }
            td.number { (hours(group.cpu_seconds)) }
            td.share {
                svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                    rect.fill x="0" y="0" width=(share) height="10" {}
                }
            }
            td.number {
                (hours(group.uptime_seconds))
                @if group.unknown_vcpu_seconds > 0 {
                    div.quiet { (hours(group.unknown_vcpu_seconds)) " of unknown size" }
                }
            }
            td.number { (count(group.instance_count)) }
        }
    }
}

/// Where one looks closer: at a user's days, at a cloud's or flavor's users.
fn closer(asked: &Asked, by: By, name: &str) -> Option<String> {
    let to = |by: &str| Asked { by: by.to_owned(), ..asked.clone() };
    let asked = match by {
        By::User => Asked { user: name.to_owned(), ..to("day") },
        By::Cloud => Asked { cloud: name.to_owned(), ..to("user") },
        By::Flavor => Asked { flavor: name.to_owned(), ..to("user") },
        By::Day => return None,
    };
    Some(asked.link())
}

fn chart(report: &Report) -> Markup {
    let (start, end) = (report.window.start(), report.counted_until);
    let first = start.div_euclid(DAY).saturating_mul(DAY);
    let fits = end.saturating_sub(first) <= MAX_DAYS * DAY;
    let Some(window) = Window::new(first, end).ok().filter(|_| fits) else {
        return html! {};
    };
    let days: Vec<(i64, f64)> =
        report.groups.iter().filter_map(|group| Some((day(&group.name)?, used(group)))).collect();
    let all = report.groups.iter().map(|group| i128::from(group.cpu_seconds)).sum::<i128>();
    let told = format!(
        "{} CPU hours on {}; the table below has each",
        hours(i64::try_from(all).unwrap_or(i64::MAX)),
        several(days.len(), "day")
    );
    days::bars(&told, window, &days)
}

fn used(group: &Group) -> f64 {
    group.cpu_seconds as f64 / 3600.0
}

/// The first second of a day that is written as 2026-01-31.
fn day(name: &str) -> Option<i64> {
    when::parse(name, std::time::SystemTime::UNIX_EPOCH).ok()
}

fn gaps(report: &Report) -> Markup {
    if report.gaps.is_empty() {
        return html! {};
    }
    let now = now();
    html! {
        details {
            summary { (several(report.gap_count, "gap")) " in what was observed" }
            p.quiet { "Nothing is counted in these but what is known to have run on." }
            ul {
                @for gap in report.gaps.iter().rev().take(100) {
                    li { (gap.cloud) ": " (moment(gap.from)) " to " (time(now, gap.to)) }
                }
            }
        }
    }
}
