//! Whose the hosts of a cloud are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ledger::View;
use crate::model::{HostId, InstanceId, Label, Owner};
use crate::providers::Listing;

use super::CloudName;

/// The owners of one cloud's hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// What the ids of its hosts begin with.
    head: Box<str>,
    of_instances: HashMap<InstanceId, Label>,
}

impl Owners {
    pub fn new(cloud: &str, of_instances: HashMap<InstanceId, Label>) -> Self {
        Self { head: format!("{cloud}_").into(), of_instances }
    }

    fn get(&self, host: &HostId) -> Option<&Label> {
        self.of_instances.get(host.as_str().strip_prefix(&*self.head)?)
    }
}

/// Of all clouds together.
#[derive(Clone, Debug, Default)]
pub struct Ownership(Vec<Arc<Owners>>);

impl Ownership {
    pub(super) fn new(of_clouds: impl IntoIterator<Item = Arc<Owners>>) -> Self {
        Self(of_clouds.into_iter().collect())
    }

    /// Absent: no cloud has named one, as none does for what callers set.
    pub fn owner_of(&self, host: &HostId) -> Option<&Label> {
        self.0.iter().find_map(|owners| owners.get(host))
    }
}

/// The owner that the ledger keeps of the same incarnation goes before one that
/// the listing knows no better.
pub(super) fn listed(cloud: &CloudName, listing: &Listing, view: Option<&View>) -> Owners {
    let instances = listing.sighting.instances().iter();
    let owners = instances.map(|one| {
        let known = view.and_then(|view| view.live.get(&one.id));
        let same = known.filter(|known| known.created == one.created).map(|known| &known.owner);
        let kept = same.filter(|kept| kept.rank() >= one.owner.rank());
        (&one.id, kept.unwrap_or(&one.owner))
    });
    collect(cloud, owners)
}

pub(super) fn kept(cloud: &CloudName, view: &View) -> Owners {
    collect(cloud, view.live.iter().map(|(id, known)| (id, &known.owner)))
}

fn collect<'a>(
    cloud: &CloudName,
    owners: impl Iterator<Item = (&'a InstanceId, &'a Owner)>,
) -> Owners {
    let of_instances = owners.map(|(id, owner)| (id.clone(), owner.label().clone())).collect();
    Owners::new(cloud.as_str(), of_instances)
}
