use std::fmt;
use std::sync::Arc;

use crate::model::{Address, Host, HostId, InstanceId, Label, Source};
use crate::providers::Skipped;

/// A cloud's name in the configuration. It begins the ids of its hosts, so it
/// has only characters that an id may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloudName(Arc<str>);

impl CloudName {
    pub const MAX_BYTES: usize = 63;

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > Self::MAX_BYTES {
            return Err("is longer than 63 bytes");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err("must begin with a letter or a digit (A-Z a-z 0-9)");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return Err("has a character other than A-Z a-z 0-9 . _ -");
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn source(&self) -> Source {
        Source::Cloud(Arc::clone(&self.0))
    }

    /// `<cloud>_<instance id>` is both its id and its display name, as it was
    /// in 2014.
    pub(super) fn host(&self, id: &InstanceId, address: &Address) -> Result<Host, Skipped> {
        match HostId::parse(&format!("{self}_{id}")) {
            Ok(name) => Ok(Host::of_id(name, address.clone())),
            Err(reason) => {
                let reason = Label::tame(&format!("its id {reason}"));
                Err(Skipped { id: id.clone(), reason })
            }
        }
    }

    /// The instance that a host of this cloud stands for.
    pub(super) fn instance_of(&self, host: &HostId) -> Option<InstanceId> {
        InstanceId::parse(self.key_of(host)?).ok()
    }

    /// The same as text.
    pub(super) fn key_of<'h>(&self, host: &'h HostId) -> Option<&'h str> {
        host.as_str().strip_prefix(self.as_str())?.strip_prefix('_')
    }
}

impl fmt::Display for CloudName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_ids() {
        for bad in ["", "_a", "-a", ".a", "a b", "a:b", "a/b", "ä", &"a".repeat(64)] {
            assert!(CloudName::parse(bad).is_err(), "{bad:?} passed");
        }
        for good in ["a", "openstack_havana", "2-b.c", &"a".repeat(63)] {
            assert_eq!(CloudName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_host_stands_for_its_instance() {
        let cloud = CloudName::parse("east").unwrap();
        let address = Address::parse("10.0.0.1").unwrap();
        let id = InstanceId::parse("i-1_x").unwrap();
        let host = cloud.host(&id, &address).unwrap();
        assert_eq!((host.id.as_str(), host.display_name.as_str()), ("east_i-1_x", "east_i-1_x"));
        assert_eq!(cloud.instance_of(&host.id), Some(id));
        for bad in ["i;1", "i 1", &"x".repeat(130)] {
            let id = InstanceId::parse(bad).unwrap();
            let skipped = cloud.host(&id, &address).unwrap_err();
            assert!(skipped.reason.as_str().starts_with("its id "), "{skipped:?}");
        }
        let others = HostId::parse("west_i-1").unwrap();
        assert_eq!(cloud.instance_of(&others), None);
    }
}
