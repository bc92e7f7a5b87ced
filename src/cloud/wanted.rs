//! Which hosts a listing asks Nagios to watch. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::model::{Host, HostId, HostSet, Label, MetricNode};
use crate::providers::{Listing, Skipped};

use super::CloudName;

/// What a listing has for Nagios.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub hosts: Vec<Host>,
    /// What could not be read, or cannot be a host; the first of them.
    pub skipped: Vec<Skipped>,
    pub skipped_total: usize,
    pub listed: usize,
    /// In a state whose time counts.
    pub running: usize,
    /// Running, and at no address to be checked at.
    pub without_address: usize,
}

/// Skipped instances that are shown; all are counted.
pub const MAX_SKIPPED: usize = 100;

impl Wanted {
    pub(super) fn of(cloud: &CloudName, listing: &Listing, watched: &HostSet) -> Self {
        let mut wanted = Self::default();
        for one in &listing.skipped {
            wanted.skip(one.clone());
        }
        let kept: HashMap<&HostId, &Host> = watched.iter().map(|host| (&host.id, host)).collect();
        for instance in listing.sighting.instances() {
            wanted.listed += 1;
            if !instance.counted {
                continue;
            }
            wanted.running += 1;
            match instance.details.addresses().first() {
                None => wanted.without_address += 1,
                Some(address) => match cloud.host(&instance.id, address) {
                    // What is watched already shares its texts.
                    Ok(host) => wanted.hosts.push(match kept.get(&host.id) {
                        Some(kept) if **kept == host => (*kept).clone(),
                        _ => host,
                    }),
                    Err(skipped) => wanted.skip(skipped),
                },
            }
        }
        wanted.part_nodes(cloud, watched);
        wanted
    }

    fn skip(&mut self, one: Skipped) {
        self.skipped_total += 1;
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(one);
        }
    }

    /// Of two that would share their metrics the one that is watched stays,
    /// else the first.
    fn part_nodes(&mut self, cloud: &CloudName, watched: &HostSet) {
        let mut taken: HashMap<MetricNode, usize> = HashMap::with_capacity(self.hosts.len());
        let mut losers = Vec::new();
        for (at, host) in self.hosts.iter().enumerate() {
            match taken.entry(host.node()) {
                Entry::Vacant(place) => drop(place.insert(at)),
                Entry::Occupied(_) if watched.get(&host.id).is_none() => losers.push(at),
                Entry::Occupied(mut place) => losers.push(place.insert(at)),
            }
        }
        losers.sort_unstable();
        for at in losers.into_iter().rev() {
            let host = self.hosts.remove(at);
            if let Some(id) = cloud.instance_of(&host.id) {
                let node = host.node();
                let reason = format!("its metrics would be those of another: both are {node}");
                self.skip(Skipped { id, reason: Label::tame(&reason) });
            }
        }
    }
}
