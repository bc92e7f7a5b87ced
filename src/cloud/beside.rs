//! What Nagios is to watch where this appliance does not write the ledger:
//! because it cannot be reached, or because another one does. Pure.
//!
//! Nothing leaves here that is not explained: by the listing's own word, or by
//! the ledger's.

use std::collections::HashSet;

use crate::ledger::View;
use crate::model::{Host, HostId, HostSet, InstanceId};
use crate::providers::Listing;
use crate::state::Absence;

use super::CloudName;
use super::round::Shown;
use super::wanted::Wanted;

/// After a listing, without the ledger: what it shows comes in, what it says
/// has stopped or gone leaves, the rest stays.
pub fn without_ledger(
    cloud: &CloudName,
    listing: &Listing,
    watched: &HostSet,
    absences: &[Absence],
) -> (HostSet, Vec<Absence>, Shown) {
    let wanted = Wanted::of(cloud, listing, watched);
    let asked: HashSet<&HostId> = wanted.hosts.iter().map(|host| &host.id).collect();
    let sighting = &listing.sighting;
    let unreadable: HashSet<_> = listing.skipped.iter().map(|one| &one.id).collect();
    let explained = |id: &InstanceId| {
        !unreadable.contains(id)
            && (sighting.is_departed(id) || sighting.instance(id).is_some_and(|one| !one.counted))
    };
    let stays = |host: &&Host| {
        let id = cloud.instance_of(&host.id);
        !asked.contains(&host.id) && !id.is_some_and(|id| explained(&id))
    };
    let staying: Vec<Host> = watched.iter().filter(stays).cloned().collect();
    let is_over = |id: &InstanceId| explained(id) || sighting.instance(id).is_some();
    let absences = absences.iter().filter(|one| !is_over(&one.instance)).cloned().collect();
    let shown = Shown {
        listed: wanted.listed,
        running: wanted.running,
        without_address: wanted.without_address,
        missing: staying.len(),
        skipped: wanted.skipped,
        skipped_total: wanted.skipped_total,
        ..Shown::default()
    };
    (HostSet::of_first(wanted.hosts.into_iter().chain(staying)), absences, shown)
}

/// By the ledger that another one writes. `view` must have what is gone of the
/// instances that Nagios watches: what the ledger never knew stays.
pub fn following(cloud: &CloudName, view: &View, watched: &HostSet) -> (HostSet, Shown) {
    let mut shown = Shown { listed: view.live.len(), ..Shown::default() };
    let mut hosts = Vec::new();
    for (id, known) in &view.live {
        let runs = known.segment.as_ref().is_some_and(|kept| kept.segment.counted);
        if !runs {
            continue;
        }
        shown.running += 1;
        match known.details.addresses().first() {
            None => shown.without_address += 1,
            Some(address) => hosts.extend(cloud.host(id, address)),
        }
    }
    let asked: HashSet<HostId> = hosts.iter().map(|host| host.id.clone()).collect();
    let stays = |host: &&Host| {
        let Some(id) = cloud.instance_of(&host.id) else { return true };
        if asked.contains(&host.id) {
            return false;
        }
        match view.live.get(&id) {
            // It runs and has lost its address.
            Some(known) => known.segment.as_ref().is_some_and(|kept| kept.segment.counted),
            None => !view.gone.contains_key(&id),
        }
    };
    let staying: Vec<Host> = watched.iter().filter(stays).cloned().collect();
    (HostSet::of_first(hosts.into_iter().chain(staying)), shown)
}

/// The instances that Nagios watches and the view says nothing of: whether
/// they are gone is yet to be asked.
pub fn unknown_to(cloud: &CloudName, view: &View, watched: &HostSet) -> Vec<InstanceId> {
    let keys = watched.iter().filter_map(|host| cloud.key_of(&host.id));
    let unknown = keys.filter(|key| !view.live.contains_key(*key) && !view.gone.contains_key(*key));
    unknown.filter_map(|key| InstanceId::parse(key).ok()).collect()
}
