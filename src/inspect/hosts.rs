//! The set of hosts: what was asked for, what is on disk, what Nagios read.

use std::sync::Arc;

use crate::hosts::View;

use super::{Finding, Number, Part, Subjects};

fn view(subjects: &Subjects) -> Option<View> {
    subjects.running.as_ref().map(|running| running.hosts.view())
}

/// Is the set on disk the one that was asked for?
pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "set on disk";
    let Some(view) = view(&subjects) else { return Vec::new() };
    let status = &view.status;
    let (watched, over) = (status.watched, status.unwatched);
    let skipped: usize = view.skipped.values().map(|faults| faults.first().len()).sum();
    // While a restart is due the trouble is that of the part "sync".
    let trouble =
        status.trouble.as_ref().filter(|_| status.in_step || status.live_generation.is_none());
    let found = match (trouble, status.live_generation) {
        (Some(trouble), _) => Finding::fail(Part::Hosts, HOP, trouble.as_str())
            .fix("mend what it names; the set is tried again by itself, or set it again"),
        (None, None) => Finding::ok(Part::Hosts, HOP, "no hosts were set yet"),
        (None, Some(_)) if over > 0 => {
            Finding::warn(Part::Hosts, HOP, format!("{over} hosts over max_hosts are not watched"))
                .fix("raise [nagios] max_hosts if Nagios can carry them")
        }
        (None, Some(_)) if skipped > 0 => Finding::warn(
            Part::Hosts,
            HOP,
            format!("{skipped} machines of clouds cannot be watched as they are"),
        )
        .fix("`weather-balloon clouds list` names them"),
        (None, Some(number)) => Finding::ok(
            Part::Hosts,
            HOP,
            format!("{watched} hosts of generation {number} are watched"),
        ),
    };
    let found = found
        .number(Number::count("watched", watched as u64))
        .number(Number::count("unwatched", over as u64));
    vec![found]
}

/// Has Nagios read it?
pub(super) async fn sync(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "proof of Nagios";
    let Some(view) = view(&subjects) else { return Vec::new() };
    let status = &view.status;
    let in_step = status.in_step || status.live_generation.is_none();
    let found = match (in_step, status.trouble.as_deref()) {
        (true, _) => Finding::ok(Part::Sync, HOP, "Nagios has read the newest hosts"),
        (false, Some(trouble)) => Finding::fail(Part::Sync, HOP, trouble)
            .fix("the lines about nagios say what keeps it; it is asked again by itself"),
        (false, None) => Finding::ok(Part::Sync, HOP, "Nagios is about to read the newest hosts"),
    };
    let out_of_step = u64::from(!in_step);
    let found = found.number(Number::count("out_of_step", out_of_step));
    vec![found.number(Number::new("restarts", status.restarts as f64, "c"))]
}
