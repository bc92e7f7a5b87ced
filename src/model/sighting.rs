use std::collections::HashMap;

use super::{Instance, InstanceId};

/// Something that a cloud says happened to an instance at a known time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: InstanceId,
    /// UTC seconds by the cloud's clock.
    pub at: i64,
    pub kind: EventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// From here on its time counts: created, started, resumed, unshelved.
    Started,
    /// From here on it does not: stopped, suspended, paused, shelved.
    Stopped,
    /// It took the shape that the listings show afterwards.
    Resized,
    Deleted,
}

/// An instance of which the cloud itself says that it is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    pub id: InstanceId,
    /// When, if the cloud says so.
    pub at: Option<i64>,
    /// The cloud's record of it, where one is left.
    pub record: Option<Instance>,
}

/// One complete listing of one cloud, and what else the cloud told with it.
/// No id is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    cloud: Box<str>,
    began: i64,
    ended: i64,
    instances: Vec<Instance>,
    /// Where each stands among the instances.
    places: HashMap<InstanceId, usize>,
    departed: Vec<Departure>,
    events: HashMap<InstanceId, Vec<Event>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cloud's clock says {0}, which is no time of this age; compare its clock with this host's"
)]
pub struct SightingFault(i64);

impl Sighting {
    /// 1970 to the year 36812: sums of such times fit 64 bits with room to spare.
    const AGE: std::ops::Range<i64> = 0..1 << 40;

    /// `began` and `ended` are the listing's, by the cloud's clock. Of an id
    /// that is there twice the first is kept; one that is also among the
    /// departed is no more.
    pub fn new(
        cloud: &str,
        began: i64,
        ended: i64,
        given: Vec<Instance>,
        gone: Vec<Departure>,
        told: Vec<Event>,
    ) -> Result<Self, SightingFault> {
        if let Some(bad) = [began, ended].into_iter().find(|time| !Self::AGE.contains(time)) {
            return Err(SightingFault(bad));
        }
        let sane = |time: &i64| Self::AGE.contains(time);
        let mut departed = HashMap::with_capacity(gone.len());
        for mut one in gone {
            one.at = one.at.filter(sane);
            departed.entry(one.id.clone()).or_insert(one);
        }
        let mut instances = given;
        instances.iter_mut().for_each(|one| one.created = one.created.filter(sane));
        let leaves = |one: &mut Instance| departed.contains_key(&one.id);
        for one in instances.extract_if(.., leaves).collect::<Vec<_>>() {
            // A record from before the deletion still has its metadata.
            departed.entry(one.id.clone()).and_modify(|gone| gone.record = Some(one));
        }
        let mut events: HashMap<InstanceId, Vec<Event>> = HashMap::new();
        for event in told.into_iter().filter(|event| sane(&event.at)) {
            events.entry(event.id.clone()).or_default().push(event);
        }
        events.values_mut().for_each(|list| list.sort_by_key(|event| (event.at, event.kind)));
        // Stable: of an id that is there twice the first comes first.
        instances.sort_by_cached_key(|one| (head(&one.id), one.id.clone()));
        instances.dedup_by(|later, first| later.id == first.id);
        let mut departed: Vec<_> = departed.into_values().collect();
        departed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let ended = ended.max(began);
        let places = places(&instances);
        Ok(Self { cloud: cloud.into(), began, ended, instances, places, departed, events })
    }

    /// The listing with these records beside its own; of an id that it names
    /// already its own word stays.
    pub fn also(mut self, more: Vec<Instance>) -> Self {
        let mut known = HashMap::with_capacity(more.len());
        for one in more {
            if self.instance(&one.id).is_none() && !self.is_departed(&one.id) {
                known.insert(one.id.clone(), one);
            }
        }
        self.instances.extend(known.into_values());
        self.instances.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.places = places(&self.instances);
        self
    }

    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.places.get(id).map(|at| &self.instances[*at])
    }

    pub fn is_departed(&self, id: &InstanceId) -> bool {
        self.departed.binary_search_by(|one| one.id.cmp(id)).is_ok()
    }

    pub fn began(&self) -> i64 {
        self.began
    }

    pub fn ended(&self) -> i64 {
        self.ended
    }

    /// In order of id.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// In order of id; none of them is among the instances.
    pub fn departed(&self) -> &[Departure] {
        &self.departed
    }

    /// In order of time.
    pub fn events_of(&self, id: &InstanceId) -> &[Event] {
        self.events.get(id).map_or(&[], Vec::as_slice)
    }

    /// Every id that is named, and its creation as far as it is told.
    pub fn named(&self) -> impl Iterator<Item = (&InstanceId, Option<i64>)> {
        let departed = self
            .departed
            .iter()
            .map(|one| (&one.id, one.record.as_ref().and_then(|record| record.created)));
        self.instances.iter().map(|one| (&one.id, one.created)).chain(departed)
    }
}

/// The first bytes of an id, in its order: they tell most ids apart where they
/// lie side by side.
fn head(id: &InstanceId) -> [u8; 8] {
    let mut head = [0; 8];
    let length = id.as_str().len().min(8);
    head[..length].copy_from_slice(&id.as_str().as_bytes()[..length]);
    head
}

fn places(instances: &[Instance]) -> HashMap<InstanceId, usize> {
    instances.iter().enumerate().map(|(at, one)| (one.id.clone(), at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Details, Owner, OwnerRank, Shape};

    fn instance(id: &str, owner: &str) -> Instance {
        Instance {
            id: InstanceId::parse(id).unwrap(),
            created: Some(-5),
            owner: Owner::new(OwnerRank::Creator, owner).unwrap(),
            details: Details::default(),
            shape: Shape::default(),
            counted: true,
        }
    }

    #[test]
    fn an_id_is_there_once() {
        let gone = Departure {
            id: InstanceId::parse("b").unwrap(),
            at: Some(i64::MAX),
            record: Some(instance("b", "poorer")),
        };
        let given =
            vec![instance("c", "x"), instance("b", "y"), instance("a", "z"), instance("c", "w")];
        let sighting =
            Sighting::new("east", 100, 90, given, vec![gone.clone(), gone], Vec::new()).unwrap();
        let kept: Vec<_> = sighting.instances().iter().map(|one| one.owner.name()).collect();
        assert_eq!(kept, ["z", "x"]);
        assert!(sighting.instances().iter().all(|one| one.created.is_none()));
        let [departed] = sighting.departed() else { panic!("{:?}", sighting.departed()) };
        assert_eq!(departed.at, None);
        assert_eq!(departed.record.as_ref().unwrap().owner.name(), "y");
        assert_eq!((sighting.began(), sighting.ended()), (100, 100));
    }

    #[test]
    fn a_wild_clock_is_refused() {
        for bad in [-1, i64::MIN, i64::MAX] {
            assert!(Sighting::new("e", bad, 5, Vec::new(), Vec::new(), Vec::new()).is_err());
        }
    }
}
