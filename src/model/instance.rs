use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Address;

/// Text that a cloud or its tenants chose, made fit to be kept and shown: no
/// control characters, no space at its ends, at most [`Label::MAX_BYTES`].
/// Clones share the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    pub const MAX_BYTES: usize = 255;

    pub fn tame(given: &str) -> Self {
        let start = given.trim_start();
        let cut = &start[..start.floor_char_boundary(Self::MAX_BYTES)];
        if !cut.contains(char::is_control) {
            return Self(cut.trim_end().into());
        }
        let tamed: String = cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self(tamed.trim().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Label {
    fn from(given: &str) -> Self {
        Self::tame(given)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cloud's own id of an instance. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    pub const MAX_BYTES: usize = 255;

    /// Kept as it is: two ids must never become one.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > Self::MAX_BYTES {
            return Err("is longer than 255 bytes");
        }
        if text.contains(char::is_control) {
            return Err("has a control character");
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for InstanceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Labels of one listing: thousands of instances have the same few flavors,
/// images, states and owners, and share their texts.
#[derive(Debug, Default)]
pub struct Labels(HashMap<Box<str>, Label>);

impl Labels {
    /// As [`Label::tame`].
    pub fn tame(&mut self, given: &str) -> Label {
        if let Some(known) = self.0.get(given) {
            return known.clone();
        }
        let label = Label::tame(given);
        self.0.insert(given.into(), label.clone());
        label
    }
}

/// Where an owner's name was found; the greater one knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnerRank {
    /// The cloud's id of the user or the account.
    Id,
    /// The name that the cloud has for that id.
    UserName,
    /// The instance's metadata.
    Creator,
}

impl OwnerRank {
    pub const ALL: [Self; 3] = [Self::Id, Self::UserName, Self::Creator];
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    rank: OwnerRank,
    name: Label,
}

impl Owner {
    /// Absent where nothing is left of the name.
    pub fn new(rank: OwnerRank, name: &str) -> Option<Self> {
        Self::named(rank, Label::tame(name))
    }

    /// The same.
    pub fn named(rank: OwnerRank, name: Label) -> Option<Self> {
        (!name.is_empty()).then_some(Self { rank, name })
    }

    pub fn rank(&self) -> OwnerRank {
        self.rank
    }

    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub fn label(&self) -> &Label {
        &self.name
    }
}

/// The kind of an instance in its cloud: the id (or, where the cloud gives
/// none, the name) by which it is known, and a name for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flavor {
    pub key: Label,
    pub name: Label,
}

/// What an instance is given to use, as far as the cloud says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    vcpus: Option<u32>,
    memory_mib: Option<u32>,
    disk_gib: Option<u32>,
}

impl Size {
    /// A number that no machine has is taken for unknown, so that sums over
    /// centuries of seconds still fit 64 bits.
    pub const MAX_VCPUS: u32 = 1 << 20;

    pub fn new(vcpus: Option<u64>, memory_mib: Option<u64>, disk_gib: Option<u64>) -> Self {
        let small = |number: Option<u64>| number.and_then(|number| i32::try_from(number).ok());
        Self {
            vcpus: small(vcpus).map(i32::unsigned_abs).filter(|number| *number <= Self::MAX_VCPUS),
            memory_mib: small(memory_mib).map(i32::unsigned_abs),
            disk_gib: small(disk_gib).map(i32::unsigned_abs),
        }
    }

    pub fn vcpus(self) -> Option<u32> {
        self.vcpus
    }

    pub fn memory_mib(self) -> Option<u32> {
        self.memory_mib
    }

    pub fn disk_gib(self) -> Option<u32> {
        self.disk_gib
    }

    /// This size, with what it does not say taken from `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.or(other.vcpus),
            memory_mib: self.memory_mib.or(other.memory_mib),
            disk_gib: self.disk_gib.or(other.disk_gib),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub flavor: Flavor,
    pub size: Size,
}

/// What is shown of an instance and has no part in its accounting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: Label,
    pub image: Label,
    /// The cloud's own word for its state.
    pub status: Label,
    addresses: Box<[Address]>,
}

impl Details {
    pub const MAX_ADDRESSES: usize = 32;

    pub fn new(
        name: impl Into<Label>,
        image: impl Into<Label>,
        status: impl Into<Label>,
        mut addresses: Vec<Address>,
    ) -> Self {
        addresses.truncate(Self::MAX_ADDRESSES);
        Self {
            name: name.into(),
            image: image.into(),
            status: status.into(),
            addresses: addresses.into(),
        }
    }

    /// Best first, as the cloud's part gave them.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }
}

/// One instance as a cloud shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    /// UTC seconds; of a time that never moves while the instance lives, or
    /// absent. An id that comes with another one is another instance.
    pub created: Option<i64>,
    pub owner: Owner,
    pub details: Details,
    pub shape: Shape,
    /// It is in a state whose time counts.
    pub counted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_plain() {
        assert_eq!(Label::tame("  a\0b\n").as_str(), "a b");
        assert_eq!(Label::tame(" josé ").as_str(), "josé");
        assert_eq!(Label::tame(&"é".repeat(1000)).as_str().len(), 254);
        assert!(Label::tame("\u{85}\n ").is_empty());
    }

    #[test]
    fn labels_of_a_listing_share_their_texts() {
        let mut labels = Labels::default();
        let first = labels.tame(" a\n");
        assert_eq!(first, Label::tame(" a\n"));
        assert!(std::ptr::eq(first.as_str(), labels.tame(" a\n").as_str()));
        assert_ne!(labels.tame("b"), first);
    }

    #[test]
    fn an_owner_has_a_name() {
        assert_eq!(Owner::new(OwnerRank::Creator, "\n"), None);
        assert_eq!(Owner::new(OwnerRank::Id, " a ").unwrap().name(), "a");
        assert!(OwnerRank::Creator > OwnerRank::UserName && OwnerRank::UserName > OwnerRank::Id);
    }

    #[test]
    fn ids_are_kept_or_refused() {
        assert_eq!(InstanceId::parse(" i-1 ").unwrap().as_str(), " i-1 ");
        for bad in ["", "a\nb", "\0", &"x".repeat(256)] {
            assert!(InstanceId::parse(bad).is_err(), "{bad:?} was taken for an id");
        }
    }

    #[test]
    fn absurd_sizes_are_unknown() {
        assert_eq!(Size::new(Some(4), Some(8192), None).vcpus(), Some(4));
        let absurd = Size::new(Some(u64::MAX), Some(1 << 31), Some(u64::MAX));
        assert_eq!(absurd, Size::default());
        assert_eq!(Size::new(Some(1 << 21), None, None).vcpus(), None);
        let learned = Size::default().or(Size::new(Some(2), None, Some(1)));
        assert_eq!((learned.vcpus(), learned.disk_gib()), (Some(2), Some(1)));
    }
}
