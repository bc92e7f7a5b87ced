//! Each cloud: is it seen, recorded and watched, and is something held?

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cloud::{CloudView, Role};
use crate::model::HostId;
use crate::providers::Blame;

use super::nagios::seconds;
use super::{Finding, Number, Part, Range, Subjects, Verdict};

/// Intervals without a whole listing.
const LATE: f64 = 3.0;
const TOO_LATE: f64 = 12.0;
/// A cloud that is asked each second is not late at the first failure.
const LEAST: f64 = 60.0;
/// Named in one line.
const FEW: usize = 3;

pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    let Some(running) = &subjects.running else { return Vec::new() };
    let views = running.clouds.view();
    if views.is_empty() {
        let text = "no cloud is polled: the configuration has no [[cloud]]";
        return vec![Finding::ok(Part::Clouds, "clouds", text)];
    }
    views.iter().flat_map(|view| one(view, now())).collect()
}

fn one(view: &CloudView, now: i64) -> Vec<Finding> {
    let name = view.name.as_str();
    if !view.configured {
        let what = format!(
            "it is not in the configuration, and {} hosts of it are still watched",
            view.watched
        );
        let fix = format!("`weather-balloon clouds release {name}` lets them go");
        return vec![Finding::warn(Part::Clouds, name, what).fix(fix)];
    }
    let mut found = vec![polled(view, now)];
    if let Some(trouble) = &view.trouble {
        found.push(
            Finding::warn(Part::Clouds, name, format!("nothing is recorded: {trouble}"))
                .fix("the lines about store say more; machines are watched meanwhile"),
        );
    }
    let unwatched = view.shown.skipped_total + view.clashes.len();
    if unwatched > 0 {
        let what = format!("{unwatched} of its instances cannot be watched as they are");
        found.push(
            Finding::warn(Part::Clouds, name, what).fix("`weather-balloon clouds list` names them"),
        );
    }
    found
}

fn polled(view: &CloudView, now: i64) -> Finding {
    let name = view.name.as_str();
    let found = match (&view.error, view.last_success) {
        (Some(error), _) => {
            let (verdict, fix) = match view.blame {
                Some(Blame::Configuration) => {
                    (Verdict::Fail, "correct its [[cloud]] section and restart weather-balloon")
                }
                Some(Blame::Credentials) => {
                    (Verdict::Fail, "give it credentials that the cloud takes")
                }
                Some(Blame::Throttling) => (
                    Verdict::Warn,
                    "wait: it is asked again when it wants to be, or raise interval",
                ),
                Some(Blame::Trouble) => {
                    (Verdict::Warn, "look at the cloud and the network; its hosts stay watched")
                }
                None => (Verdict::Warn, "the lines about store and hosts say more"),
            };
            Finding::new(Part::Clouds.name(), name, verdict, error.as_str()).fix(fix)
        }
        (None, None) => Finding::ok(Part::Clouds, name, "the first poll is not over"),
        (None, Some(seen)) => {
            let role = if view.role == Role::Follows { "followed" } else { "polled" };
            let what = format!(
                "{role} {} ago: {} instances, {} watched",
                seconds((now - seen) as f64),
                view.shown.listed,
                view.watched
            );
            Finding::ok(Part::Clouds, name, what)
                .fix("`weather-balloon clouds sync` polls it now and says what fails")
        }
    };
    let every = |times: f64| Range::above((view.interval as f64 * times).max(times * LEAST));
    let lag = view.last_success.map(|seen| (now - seen).max(0) as f64);
    let found = match lag {
        Some(lag) => {
            found.number(Number::new("lag", lag, "s").limits(every(LATE), every(TOO_LATE)))
        }
        None => found,
    };
    found
        .number(Number::count("instances", view.shown.listed as u64))
        .number(Number::count("held", view.held_total as u64))
}

/// What the brake or a second witness keeps, by cloud.
pub(super) async fn brake(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "held changes";
    let Some(running) = &subjects.running else { return Vec::new() };
    // The RPC's held changes are refused at once; only a cloud's wait.
    let views = running.clouds.view();
    let held: Vec<_> = views.iter().filter(|view| view.held_total > 0).map(held).collect();
    if held.is_empty() {
        let found = Finding::ok(Part::Brake, HOP, "no change is held");
        return vec![found.number(Number::count("held", 0))];
    }
    held
}

fn held(view: &CloudView) -> Finding {
    let name = view.name.as_str();
    let ids: Vec<_> = view.held.iter().take(FEW).map(|one| one.instance.as_str()).collect();
    let more = view.held_total.saturating_sub(ids.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = format!(
        "{} absences of the cloud {name} are held: {}{more}",
        view.held_total,
        ids.join(", ")
    );
    Finding::warn(Part::Brake, name, what)
        .fix(format!(
            "`weather-balloon clouds list` says why; where they are gone indeed, `weather-balloon clouds release {name}`"
        ))
        .number(Number::count("held", view.held_total as u64))
}

/// The cloud's own view of a host, where one names it or could.
pub(super) fn trace(subjects: &Subjects, host: &HostId) -> Option<Finding> {
    let views = subjects.running.as_ref()?.clouds.view();
    let (view, instance) = views.iter().find_map(|view| {
        Some((view, host.as_str().strip_prefix(view.name.as_str())?.strip_prefix('_')?))
    })?;
    Some(told(view, instance, now()))
}

fn told(view: &CloudView, instance: &str, now: i64) -> Finding {
    let name = &view.name;
    let found = |verdict, what: String| Finding::new("host", "cloud", verdict, what);
    if let Some(skipped) = view.shown.skipped.iter().find(|one| one.id.as_str() == instance) {
        return found(
            Verdict::Fail,
            format!("{name} has it, and it cannot be watched: {}", skipped.reason),
        )
        .fix("change the instance in the cloud");
    }
    let Some(seen) = view.last_success else {
        let why = view.error.as_deref().unwrap_or("the first poll is not over");
        return found(Verdict::Warn, format!("{name} was not seen yet: {why}"))
            .fix("`weather-balloon clouds list` says how it is polled");
    };
    let ago = seconds((now - seen) as f64);
    if let Some(error) = &view.error {
        return found(Verdict::Warn, format!("{name} was seen {ago} ago, and fails now: {error}"))
            .fix("`weather-balloon doctor` says what to do; its hosts stay as they were");
    }
    if view.held.iter().any(|one| one.instance.as_str() == instance) {
        return found(Verdict::Warn, format!("{name} shows it no more; it is held and watched"))
            .fix(format!("`weather-balloon clouds release {name}` where it is gone indeed"));
    }
    found(Verdict::Ok, format!("{name} was seen {ago} ago"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
