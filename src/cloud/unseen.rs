//! What the last listings did not show or had no readable record of. What
//! happens to an instance meanwhile is in no list of changes once it is seen
//! again: it must be asked for, from the time when it was last seen. Pure.

use std::collections::HashMap;

use crate::ledger::{Rhythm, Roster, View};
use crate::model::InstanceId;
use crate::providers::Listing;

/// Of how many it is remembered. What happened to the others is dated by the
/// listing that shows it.
const MAX_UNSEEN: usize = 10_000;

/// After this listing, of the time `at`, each that has no readable record in
/// it and when the last one began that had. What could not be read was put in
/// as it was known.
pub(super) fn unseen(view: &View, listing: &Listing, at: i64) -> HashMap<InstanceId, i64> {
    let sighting = &listing.sighting;
    let unreadable = listing.skipped.iter().map(|one| &one.id);
    let absent = view.live.keys().filter(|id| sighting.instance(id).is_none());
    let last = view.last.map_or(at, |last| last.at);
    let since = |id: &InstanceId| view.unseen.get(id).copied().unwrap_or(last);
    let unseen: HashMap<_, _> = unreadable
        .chain(absent)
        .filter(|id| !sighting.is_departed(id))
        .take(MAX_UNSEEN)
        .map(|id| (id.clone(), since(id)))
        .collect();
    if unseen.len() == MAX_UNSEEN {
        tracing::warn!(
            cloud = sighting.cloud(),
            "{MAX_UNSEEN} instances are not seen; what happens to more of them is dated by the listings"
        );
    }
    unseen
}

/// From when on the cloud is to be asked what happened to each that was not
/// seen last. A restart of this process forgets the times; what is missing in
/// the ledger since before it was last seen at most a gap earlier.
pub fn untold(
    roster: &Roster,
    unseen: &HashMap<InstanceId, i64>,
    rhythm: Rhythm,
) -> HashMap<InstanceId, i64> {
    let mut untold = unseen.clone();
    for missing in &roster.missing {
        let earliest = missing.ends.min(missing.since.saturating_sub(rhythm.gap_after()));
        untold.entry(missing.id.clone()).or_insert(earliest);
    }
    untold
}
