//! The ledger, and who of its owners is staff.

use std::sync::Arc;
use std::time::Instant;

use crate::cloud::Standing;
use crate::sqlite;
use crate::store::{Error, NotOpen, Target};
use crate::telemetry::sentence;

use super::{Finding, Number, Part, Range, Subjects};

const LEDGER: &str = "ledger";

pub(super) async fn store(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = LEDGER;
    let Some(running) = &subjects.running else { return Vec::new() };
    let Some(ledger) = &running.ledger else {
        let text = "no ledger is kept: [store] url is empty";
        return vec![Finding::ok(Part::Store, HOP, text)];
    };
    let open = match ledger.get() {
        Ok(open) => open,
        Err(told @ NotOpen::Yet) => {
            return vec![Finding::ok(Part::Store, HOP, sentence(&told))];
        }
        Err(NotOpen::Failed(fault)) => return vec![broken(&fault)],
    };
    let asked = Instant::now();
    let revision = match open.revision().await {
        Ok(revision) => revision,
        Err(fault) => return vec![broken(&fault)],
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

fn broken(fault: &Error) -> Finding {
    let what = format!("the ledger cannot be used: {}", sentence(fault));
    Finding::fail(Part::Store, LEDGER, what).fix(remedy(fault))
}

/// Machines are watched meanwhile, and it is tried again by itself.
fn remedy(fault: &Error) -> &'static str {
    match fault {
        Error::Damaged { .. } | Error::Spoiled(_) => {
            "systemctl stop weather-balloon, keep a copy of the file, `weather-balloon restore` a backup (or move the file away to begin anew), and start it; machines are watched meanwhile"
        }
        Error::Full { .. } | Error::Sqlite(sqlite::Error::Full { .. }) => {
            "make room on that disk; it goes on by itself"
        }
        Error::Newer { .. } | Error::Sqlite(sqlite::Error::Newer { .. }) => {
            "install the newer weather-balloon again, or restore a backup of this version"
        }
        Error::Sqlite(sqlite::Error::Open { .. } | sqlite::Error::Examine { .. })
        | Error::Lock { .. } => {
            "give that file to the service (chown weather-balloon: FILE; chmod 600 FILE) and see that its directory is the service's; it is tried again by itself"
        }
        Error::Unreachable { .. }
        | Error::Waiting { .. }
        | Error::Late { .. }
        | Error::Busy { .. } => {
            "start PostgreSQL, see why it is slow or refuses, or correct [store]; it is tried again by itself, and machines are watched meanwhile"
        }
        Error::Secret(_) | Error::Tls(_) => {
            "mend the file that [store] names; it is tried again by itself"
        }
        _ => "mend what it names; it is tried again by itself, and machines are watched meanwhile",
    }
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
