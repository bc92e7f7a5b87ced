//! The ledger, and who of its owners is staff.

use std::sync::Arc;
use std::time::Instant;

use crate::cloud::Standing;
use crate::store::{NotOpen, Target};
use crate::telemetry::sentence;

use super::{Finding, Number, Part, Range, Subjects};

pub(super) async fn store(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "ledger";
    const FIX: &str = "mend what it names; machines are watched as before, and the ledger is tried again by itself";
    let Some(running) = &subjects.running else { return Vec::new() };
    let Some(ledger) = &running.ledger else {
        let text = "no ledger is kept: [store] url is empty";
        return vec![Finding::ok(Part::Store, HOP, text)];
    };
    let open = match ledger.get() {
        Ok(open) => open,
        Err(fault @ NotOpen::Yet) => {
            return vec![Finding::ok(Part::Store, HOP, sentence(&fault))];
        }
        Err(fault) => return vec![Finding::fail(Part::Store, HOP, sentence(&fault)).fix(FIX)],
    };
    let asked = Instant::now();
    let revision = match open.revision().await {
        Ok(revision) => revision,
        Err(fault) => return vec![Finding::fail(Part::Store, HOP, sentence(&fault)).fix(FIX)],
    };
    let took = (asked.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let kind = match subjects.store.target() {
        Ok(Target::Sqlite(path)) => format!("SQLite in {}", path.display()),
        Ok(Target::Postgres(_)) => "PostgreSQL".to_owned(),
        Err(_) => "it".to_owned(),
    };
    let ledger = Finding::ok(Part::Store, HOP, format!("{kind} answers, at revision {revision}"))
        .number(Number::new("time", took, "s").limits(Range::above(5.0), Range::above(30.0)));
    std::iter::once(ledger).chain(lease(&running.clouds.standing())).collect()
}

/// None where no cloud makes anybody ask for it.
fn lease(standing: &Option<Standing>) -> Option<Finding> {
    const HOP: &str = "lease";
    Some(match standing.as_ref()? {
        Standing::Unasked => Finding::ok(Part::Store, HOP, "nobody was asked for it yet"),
        Standing::Mine(lease) => Finding::ok(
            Part::Store,
            HOP,
            format!("this appliance writes the ledger, as {}", lease.holder),
        ),
        Standing::Theirs => Finding::ok(
            Part::Store,
            HOP,
            "another weather-balloon writes the ledger; this one follows it",
        ),
        Standing::Unreachable(told) => Finding::fail(Part::Store, HOP, told.as_str())
            .fix("nothing is recorded until the ledger can be written; see the line above"),
    })
}

pub(super) async fn directory(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "staff";
    let Some(running) = &subjects.running else { return Vec::new() };
    let url = &subjects.directory.url;
    if url.is_empty() {
        let text = "nobody is asked who is staff: [directory] url is empty";
        return vec![Finding::ok(Part::Directory, HOP, text)];
    }
    let Some(view) = running.clouds.staff() else {
        let text = format!("{url} is not asked: that takes a ledger and a cloud");
        return vec![
            Finding::warn(Part::Directory, HOP, text)
                .fix("set [store] url and a [[cloud]], or empty [directory] url"),
        ];
    };
    let found = match (view.trouble, view.answered) {
        (Some(trouble), _) => {
            Finding::warn(Part::Directory, HOP, format!("who is staff stays as it was: {trouble}"))
                .fix("mend the server or the section [directory]; it is asked again by itself")
        }
        (None, Some(_)) => {
            Finding::ok(Part::Directory, HOP, format!("{url} answered when it was asked last"))
        }
        (None, None) => {
            Finding::ok(Part::Directory, HOP, format!("there was no owner to ask {url} about yet"))
        }
    };
    vec![found]
}
