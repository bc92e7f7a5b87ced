//! Which hosts a listing asks Nagios to watch. Pure.

use std::collections::HashMap;

use crate::model::{Host, HostSet, Label, MetricNode};
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
        for instance in listing.sighting.instances() {
            wanted.listed += 1;
            if !instance.counted {
                continue;
            }
            wanted.running += 1;
            match instance.details.addresses().first() {
                None => wanted.without_address += 1,
                Some(address) => match cloud.host(&instance.id, address) {
                    Ok(host) => wanted.hosts.push(host),
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
            match taken.get(&host.node()).copied() {
                None => drop(taken.insert(host.node(), at)),
                Some(_) if watched.get(&host.id).is_none() => losers.push(at),
                Some(before) => {
                    losers.push(before);
                    taken.insert(host.node(), at);
                }
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

/// A set of these, without those that would share the metrics of one before.
pub(super) fn set_of(hosts: impl IntoIterator<Item = Host>) -> HostSet {
    let mut by_node: HashMap<MetricNode, Host> = HashMap::new();
    for host in hosts {
        by_node.entry(host.node()).or_insert(host);
    }
    // No two of them share a node, so the set has no fault.
    HostSet::restore(by_node.into_values().collect()).unwrap_or_default()
}
