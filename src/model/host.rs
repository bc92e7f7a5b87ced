use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::{Address, DisplayName, MetricNode};

/// The appliance's own host in Nagios. It keeps a configuration without any
/// other host valid, so no caller may take its name.
pub const SENTINEL_HOST: &str = "weather-balloon";

/// A host's name in Nagios. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(Arc<str>);

impl HostId {
    pub const MAX_BYTES: usize = 128;

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > Self::MAX_BYTES {
            return Err("is longer than 128 bytes");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err("must begin with a letter or a digit (A-Z a-z 0-9)");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@+-".contains(&b)) {
            return Err("has a character other than A-Z a-z 0-9 . _ : @ + -");
        }
        if text == "null" || text == SENTINEL_HOST {
            return Err("is a reserved name");
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host as a caller gave it, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenHost {
    pub id: String,
    pub display_name: String,
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub id: HostId,
    pub display_name: DisplayName,
    pub address: Address,
    /// The name as it was given, where taming changed it; at most
    /// [`Host::MAX_GIVEN_NAME_BYTES`] of it.
    pub given_name: Option<Box<str>>,
}

impl Host {
    pub const MAX_GIVEN_NAME_BYTES: usize = 1024;

    /// Names every field that is at fault, not just the first.
    pub fn parse(given: &GivenHost) -> Result<Self, Vec<(HostField, &'static str)>> {
        let id = HostId::parse(&given.id);
        let address = Address::parse(&given.address);
        match (id, address) {
            (Ok(id), Ok(address)) => {
                let display_name = DisplayName::tame(&given.display_name, &id);
                let given_name = (display_name.as_str() != given.display_name)
                    .then(|| cut(&given.display_name, Self::MAX_GIVEN_NAME_BYTES).into());
                Ok(Self { id, display_name, address, given_name })
            }
            (id, address) => Err([
                id.err().map(|reason| (HostField::Id, reason)),
                address.err().map(|reason| (HostField::Address, reason)),
            ]
            .into_iter()
            .flatten()
            .collect()),
        }
    }

    /// One that goes by its id.
    pub fn of_id(id: HostId, address: Address) -> Self {
        let display_name = DisplayName::tame(id.as_str(), &id);
        Self { id, display_name, address, given_name: None }
    }

    /// A host as it was kept, so that its names come back as they were.
    pub fn restore(
        id: &str,
        address: &str,
        display_name: &str,
        given_name: Option<String>,
    ) -> Result<Self, String> {
        let given = GivenHost {
            id: id.to_owned(),
            display_name: display_name.to_owned(),
            address: address.to_owned(),
        };
        let host = Self::parse(&given).map_err(|faults| {
            let told: Vec<_> = faults.iter().map(|(field, why)| format!("{field} {why}")).collect();
            format!("host {id:?}: {}", told.join(", "))
        })?;
        Ok(Self { given_name: given_name.map(String::into_boxed_str), ..host })
    }

    pub fn node(&self) -> MetricNode {
        MetricNode::of(&self.id)
    }
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostField {
    Id,
    Address,
}

impl fmt::Display for HostField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostField::Id => "id",
            HostField::Address => "address",
        })
    }
}

/// What is wrong with one host of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFault {
    /// Its place in the caller's list, from 0; absent where the fault lies
    /// between the list and what is there already.
    pub index: Option<usize>,
    pub field: HostField,
    /// The start of the field's text, escaped.
    pub value: String,
    pub reason: String,
}

impl HostFault {
    pub fn new(
        index: impl Into<Option<usize>>,
        field: HostField,
        value: &str,
        reason: impl Into<String>,
    ) -> Self {
        const SHOWN_BYTES: usize = 80;
        let shown = cut(value, SHOWN_BYTES);
        let more = if shown.len() < value.len() { "..." } else { "" };
        let value = format!("\"{}\"{more}", shown.escape_debug());
        Self { index: index.into(), field, value, reason: reason.into() }
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index {
            write!(f, "host {index}: ")?;
        }
        write!(f, "{} {} {}", self.field, self.value, self.reason)
    }
}

/// Every fault of a list. The first ones are kept, all are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFaults {
    first: Vec<HostFault>,
    total: usize,
}

impl HostFaults {
    pub const MAX_KEPT: usize = 100;

    pub fn push(&mut self, fault: HostFault) {
        self.total += 1;
        if self.first.len() < Self::MAX_KEPT {
            self.first.push(fault);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub fn total(&self) -> usize {
        self.total
    }

    pub fn first(&self) -> &[HostFault] {
        &self.first
    }
}

impl fmt::Display for HostFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.total == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun} in the list of hosts; nothing was changed", self.total)?;
        for fault in self.first.iter().take(10) {
            write!(f, "; {fault}")?;
        }
        if self.total > 10 {
            write!(f, "; and {} more", self.total - 10)?;
        }
        Ok(())
    }
}

impl std::error::Error for HostFaults {}

/// A whole set of hosts: sorted by id, no id twice, and no two ids that would
/// share a series in Graphite. Clones share the hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSet(Arc<Vec<Host>>);

impl HostSet {
    pub fn parse(given: &[GivenHost]) -> Result<Self, HostFaults> {
        let mut faults = HostFaults::default();
        let mut hosts = Vec::with_capacity(given.len());
        for (index, one) in given.iter().enumerate() {
            match Host::parse(one) {
                Ok(host) => hosts.push((index, host)),
                Err(wrong) => {
                    for (field, reason) in wrong {
                        let value = match field {
                            HostField::Id => &one.id,
                            HostField::Address => &one.address,
                        };
                        faults.push(HostFault::new(index, field, value, reason));
                    }
                }
            }
        }
        Self::collect(hosts, faults)
    }

    /// A set of hosts that are each valid.
    pub fn restore(hosts: Vec<Host>) -> Result<Self, HostFaults> {
        Self::collect(hosts.into_iter().enumerate().collect(), HostFaults::default())
    }

    fn collect(hosts: Vec<(usize, Host)>, mut faults: HostFaults) -> Result<Self, HostFaults> {
        let mut by_node: HashMap<MetricNode, &str> = HashMap::with_capacity(hosts.len());
        for (index, host) in &hosts {
            let id = host.id.as_str();
            let reason = match by_node.insert(host.node(), id) {
                None => continue,
                Some(other) if other == id => "is there twice".to_owned(),
                Some(other) => shares_node(other, host),
            };
            faults.push(HostFault::new(*index, HostField::Id, id, reason));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self::sorted(hosts.into_iter().map(|(_, host)| host).collect()))
    }

    /// A set of these, each valid, without those that would share the metrics
    /// of one before.
    pub fn of_first(hosts: impl IntoIterator<Item = Host>) -> Self {
        let mut taken = HashSet::new();
        Self::sorted(hosts.into_iter().filter(|host| taken.insert(host.node())).collect())
    }

    fn sorted(mut hosts: Vec<Host>) -> Self {
        hosts.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Self(Arc::new(hosts))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Host> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, id: &HostId) -> Option<&Host> {
        self.0.binary_search_by(|host| host.id.cmp(id)).ok().map(|at| &self.0[at])
    }

    /// The set without the hosts that `keep` turns down.
    pub fn retain(mut self, mut keep: impl FnMut(&Host) -> bool) -> Self {
        if !self.0.iter().all(&mut keep) {
            Arc::make_mut(&mut self.0).retain(keep);
        }
        self
    }
}

fn shares_node(other: &str, host: &Host) -> String {
    format!("would share its metrics with \"{other}\": both are {} in Graphite", host.node())
}

impl<'a> IntoIterator for &'a HostSet {
    type Item = &'a Host;
    type IntoIter = std::slice::Iter<'a, Host>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str, address: &str) -> GivenHost {
        GivenHost { id: id.into(), display_name: format!("vm {id}"), address: address.into() }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = HostSet::parse(&[
            given("ok", "127.0.0.1"),
            given("", "x y"),
            given("a.b", "127.0.0.1"),
            given("a_b", "127.0.0.1"),
            given("ok", "127.0.0.2"),
            given(SENTINEL_HOST, "127.0.0.1"),
        ])
        .unwrap_err();
        assert_eq!(faults.total(), 5);
        let text = faults.to_string();
        for part in [
            "5 faults in the list of hosts; nothing was changed",
            "host 1: id \"\" is empty",
            "host 1: address \"x y\" is neither",
            "host 3: id \"a_b\" would share its metrics with \"a.b\"",
            "host 4: id \"ok\" is there twice",
            "host 5: id \"weather-balloon\" is a reserved name",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn faults_are_bounded() {
        let many: Vec<_> = (0..5000).map(|_| given(&"\n".repeat(1_000), "")).collect();
        let faults = HostSet::parse(&many).unwrap_err();
        assert_eq!(faults.total(), 10_000);
        assert_eq!(faults.first().len(), HostFaults::MAX_KEPT);
        assert!(faults.to_string().len() < 4_000);
    }

    #[test]
    fn a_set_is_sorted_and_searchable() {
        let set =
            HostSet::parse(&[given("b", "::1"), given("B", "::1"), given("a", "::1")]).unwrap();
        let ids: Vec<_> = set.iter().map(|h| h.id.as_str()).collect();
        assert_eq!(ids, ["B", "a", "b"]);
        assert!(set.get(&HostId::parse("a").unwrap()).is_some());
        assert!(set.get(&HostId::parse("c").unwrap()).is_none());
    }

    #[test]
    fn of_those_that_share_metrics_the_first_stays() {
        let hosts = ["b", "a.c", "a_c", "b"].map(|id| Host::parse(&given(id, "::1")).unwrap());
        let set = HostSet::of_first(hosts);
        let ids: Vec<_> = set.iter().map(|h| h.id.as_str()).collect();
        assert_eq!(ids, ["a.c", "b"]);
        let left = set.clone().retain(|host| host.id.as_str() != "b");
        assert_eq!((left.len(), set.len()), (1, 2));
    }

    #[test]
    fn the_given_name_is_kept_when_tamed() {
        let host = Host::parse(&GivenHost {
            id: "a".into(),
            display_name: "x;\u{e9}".repeat(1000),
            address: "::1".into(),
        })
        .unwrap();
        assert!(host.given_name.unwrap().len() <= Host::MAX_GIVEN_NAME_BYTES);
        let plain = Host::parse(&given("a", "::1")).unwrap();
        assert_eq!(plain.given_name, None);
    }
}
