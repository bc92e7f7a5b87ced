//! What Nagios is to watch, from what each source owns. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use crate::model::{Host, HostFault, HostFaults, HostField, HostId, HostSet, MetricNode, Source};

use super::WatchedHost;

/// The sets of all sources. Two sources may hold the same id only with the
/// same address, which [`Sets::clashes`] sees to before a set gets in.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets(BTreeMap<Source, HostSet>);

impl Sets {
    pub(super) fn get(&self, source: &Source) -> Option<&HostSet> {
        self.0.get(source)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.keys()
    }

    pub(super) fn put(&mut self, source: Source, set: HostSet) {
        self.0.insert(source, set);
    }

    /// Every host of `set` that cannot stand beside what the other sources own
    /// and what Nagios's other files define.
    pub(super) fn clashes(
        &self,
        source: &Source,
        set: &HostSet,
        elsewhere: &HashMap<String, PathBuf>,
    ) -> Vec<(HostId, HostFault)> {
        let mut by_node: HashMap<MetricNode, (&Host, &Source)> = HashMap::new();
        for (other, hosts) in self.0.iter().filter(|(other, _)| *other != source) {
            by_node.extend(hosts.iter().map(|host| (host.node(), (host, other))));
        }
        let clash = |host: &Host| {
            let id = host.id.as_str();
            if let Some(file) = elsewhere.get(id) {
                let reason = format!("is defined already in {}", file.display());
                return Some(HostFault::new(None, HostField::Id, id, reason));
            }
            let (theirs, owner) = by_node.get(&host.node())?;
            if theirs.id != host.id {
                let reason = format!(
                    "would share its metrics with \"{}\" of {owner}: both are {} in Graphite",
                    theirs.id,
                    host.node()
                );
                return Some(HostFault::new(None, HostField::Id, id, reason));
            }
            (theirs.address != host.address).then(|| {
                let reason = format!(
                    "of \"{id}\" differs from {}, which {owner} gave first",
                    theirs.address
                );
                HostFault::new(None, HostField::Address, host.address.as_str(), reason)
            })
        };
        set.iter().filter_map(|host| clash(host).map(|fault| (host.id.clone(), fault))).collect()
    }

    /// The union, sorted by id: each host with the source that owns it. Over
    /// `max_watched`, those that are watched already keep their place.
    pub(super) fn union(
        &self,
        watched_before: &HashSet<HostId>,
        max_watched: usize,
    ) -> Vec<WatchedHost> {
        let sets =
            self.0.iter().flat_map(|(source, set)| set.iter().map(move |host| (host, source)));
        let mut union: Vec<(&Host, &Source)> = sets.collect();
        // Stable: of several sources that hold a host the first comes first.
        union.sort_by_key(|(host, _)| &host.id);
        union.dedup_by_key(|(host, _)| &host.id);
        let mut places = max_watched;
        let mut take_place = |wanted: bool| {
            let taken = wanted && places > 0;
            places -= usize::from(taken);
            taken
        };
        let mut all: Vec<WatchedHost> = union
            .into_iter()
            .map(|(host, source)| WatchedHost {
                watched: take_place(watched_before.contains(&host.id)),
                host: host.clone(),
                source: source.clone(),
            })
            .collect();
        for one in &mut all {
            one.watched = one.watched || take_place(true);
        }
        all
    }
}

/// One report of all clashes.
pub(super) fn as_faults(clashes: Vec<(HostId, HostFault)>) -> HostFaults {
    let mut faults = HostFaults::default();
    clashes.into_iter().for_each(|(_, fault)| faults.push(fault));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GivenHost;

    fn set(hosts: &[(&str, &str)]) -> HostSet {
        let given: Vec<_> = hosts
            .iter()
            .map(|(id, address)| GivenHost {
                id: (*id).into(),
                display_name: String::new(),
                address: (*address).into(),
            })
            .collect();
        HostSet::parse(&given).unwrap()
    }

    fn cloud() -> Source {
        Source::Cloud("east".into())
    }

    fn watched(union: &[WatchedHost]) -> Vec<&str> {
        union.iter().filter(|one| one.watched).map(|one| one.host.id.as_str()).collect()
    }

    #[test]
    fn one_id_one_address() {
        let mut sets = Sets::default();
        sets.put(cloud(), set(&[("a", "::1"), ("b.c", "::1")]));
        let elsewhere = HashMap::from([("localhost".to_owned(), PathBuf::from("/etc/x.cfg"))]);
        let asked = set(&[("a", "::2"), ("b_c", "::1"), ("localhost", "::1"), ("free", "::1")]);
        let told = as_faults(sets.clashes(&Source::Rpc, &asked, &elsewhere)).to_string();
        for part in [
            "3 faults",
            "address \"::2\" of \"a\" differs from ::1, which cloud:east gave first",
            "id \"b_c\" would share its metrics with \"b.c\" of cloud:east",
            "id \"localhost\" is defined already in /etc/x.cfg",
        ] {
            assert!(told.contains(part), "{part:?} is not in {told:?}");
        }
        assert!(sets.clashes(&Source::Rpc, &set(&[("a", "::1")]), &elsewhere).is_empty());
        assert!(sets.clashes(&cloud(), &set(&[("a", "::2")]), &elsewhere).is_empty());
    }

    #[test]
    fn a_shared_host_stays_until_the_last_lets_go() {
        let mut sets = Sets::default();
        sets.put(cloud(), set(&[("a", "::1"), ("b", "::1")]));
        sets.put(Source::Rpc, set(&[("a", "::1")]));
        let none = HashSet::new();
        assert_eq!(watched(&sets.union(&none, 10)), ["a", "b"]);
        sets.put(cloud(), HostSet::default());
        assert_eq!(watched(&sets.union(&none, 10)), ["a"]);
        sets.put(Source::Rpc, HostSet::default());
        assert!(sets.union(&none, 10).is_empty());
    }

    #[test]
    fn over_the_limit_the_watched_keep_their_place() {
        let mut sets = Sets::default();
        sets.put(Source::Rpc, set(&[("c", "::1"), ("d", "::1")]));
        let before: HashSet<_> = [HostId::parse("c").unwrap(), HostId::parse("d").unwrap()].into();
        sets.put(Source::Rpc, set(&[("a", "::1"), ("b", "::1"), ("c", "::1"), ("d", "::1")]));
        let union = sets.union(&before, 3);
        assert_eq!(union.len(), 4);
        assert_eq!(watched(&union), ["a", "c", "d"]);
    }
}
