//! Rows as the database gives them, made into values again.

use std::collections::HashMap;

use super::Error;
use crate::ledger::{KeptSegment, Known, Listed, Missing, Presence, Roster, View};
use crate::model::{
    Address, Details, Flavor, InstanceId, Labels, Moment, Owner, OwnerRank, Segment, Shape,
    Sighting, Size, TimeSource,
};

/// An instance with its owner's name and its last segment.
#[derive(Debug, Default)]
pub(super) struct KnownRow<'r> {
    pub id: i64,
    pub key: &'r str,
    pub incarnation: i64,
    pub created: Option<i64>,
    pub owner: &'r str,
    pub owner_rank: i64,
    pub name: &'r str,
    pub image: &'r str,
    pub status: &'r str,
    pub addresses: &'r str,
    pub missing: [Option<i64>; 3],
    pub gone_at: Option<i64>,
    pub gone_explained: bool,
    pub segment: Option<LastRow<'r>>,
}

#[derive(Debug, Default)]
pub(super) struct LastRow<'r> {
    pub id: i64,
    pub flavor_key: &'r str,
    pub flavor_name: &'r str,
    pub size: [Option<i64>; 3],
    pub counted: bool,
    pub begins: i64,
    pub begins_by: i64,
    pub ends: Option<i64>,
    pub ends_by: Option<i64>,
}

/// The columns of [`KnownRow`], in its order.
pub(super) const COLUMNS: &str =
    "i.id, i.key, i.incarnation, i.created, a.name, i.owner_rank, i.name, i.image,
     i.status, i.addresses, i.missing_since, i.missing_noticed, i.missing_ends, i.gone_at,
     i.gone_explained, s.id, f.key, f.name, s.vcpus, s.memory_mib, s.disk_gib, s.counted,
     s.begins, s.begins_by, s.ends, s.ends_by";
pub(super) const TABLES: &str = "instance i JOIN account a ON a.id = i.account
     LEFT JOIN segment s ON s.id = i.last_segment LEFT JOIN flavor f ON f.id = s.flavor";

/// How the cloud's row stands, where it has one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CloudState {
    pub listing: i64,
    pub listed_at: Option<i64>,
    pub noticed_at: Option<i64>,
}

impl CloudState {
    pub(super) fn last(self) -> Option<Listed> {
        self.listed_at.zip(self.noticed_at).map(|(at, noticed)| Listed { at, noticed })
    }
}

/// An instance's id and whether it is missing.
pub(super) struct RosterRow<'r> {
    pub id: i64,
    pub key: &'r str,
    pub missing_since: Option<i64>,
    pub missing_ends: Option<i64>,
}

/// The columns of [`RosterRow`], in its order.
pub(super) const ROSTER: &str = "id, key, missing_since, missing_ends";

pub(super) fn enter(roster: &mut Roster, row: &RosterRow<'_>) -> Result<(), Error> {
    let id = InstanceId::parse(row.key).map_err(|reason| spoiled(row.id, reason))?;
    if let (Some(since), Some(ends)) = (row.missing_since, row.missing_ends) {
        roster.missing.push(Missing { id: id.clone(), since, ends });
    }
    roster.living.insert(id);
    Ok(())
}

/// Every id that a sighting names, with its creation as far as it is told.
pub(super) fn named(sighting: &Sighting) -> HashMap<InstanceId, Option<i64>> {
    sighting.named().map(|(id, created)| (id.clone(), created)).collect()
}

/// A view while its rows come in.
pub(super) struct Reading<'n> {
    view: View,
    /// With their creation; they share their texts.
    named: &'n HashMap<InstanceId, Option<i64>>,
    labels: Labels,
}

impl<'n> Reading<'n> {
    pub(super) fn new(
        cloud: &str,
        state: CloudState,
        named: &'n HashMap<InstanceId, Option<i64>>,
    ) -> Self {
        let view = View {
            cloud: cloud.into(),
            listing: state.listing,
            last: state.last(),
            live: HashMap::with_capacity(named.len()),
            gone: HashMap::new(),
            unseen: HashMap::new(),
        };
        Self { view, named, labels: Labels::default() }
    }

    pub(super) fn live(&mut self, row: KnownRow<'_>) -> Result<(), Error> {
        let (id, known) = self.known(row)?;
        self.view.live.insert(id, known);
        Ok(())
    }

    pub(super) fn gone(&mut self, row: KnownRow<'_>) -> Result<(), Error> {
        let (id, known) = self.known(row)?;
        self.view.gone.entry(id).or_default().push(known);
        Ok(())
    }

    /// Those named whose gone incarnations matter: most are of the living.
    pub(super) fn others(&self) -> Vec<&'n str> {
        let live = &self.view.live;
        let others = self
            .named
            .iter()
            .filter(|(id, created)| live.get(*id).is_none_or(|known| known.created != **created));
        others.map(|(id, _)| id.as_str()).collect()
    }

    pub(super) fn done(self) -> View {
        self.view
    }

    fn known(&mut self, row: KnownRow<'_>) -> Result<(InstanceId, Known), Error> {
        let at = row.id;
        self.read(row).map_err(|reason| spoiled(at, reason))
    }

    fn read(&mut self, row: KnownRow<'_>) -> Result<(InstanceId, Known), &'static str> {
        let id = match self.named.get_key_value(row.key) {
            Some((id, _)) => id.clone(),
            None => InstanceId::parse(row.key)?,
        };
        let labels = &mut self.labels;
        let rank = OwnerRank::ALL.get(usize::try_from(row.owner_rank).unwrap_or(usize::MAX));
        let rank = *rank.ok_or("its owner's rank is not one")?;
        let addresses =
            row.addresses.split_ascii_whitespace().map(Address::parse).collect::<Result<_, _>>()?;
        let presence = match (row.gone_at, row.missing) {
            (Some(at), _) => Presence::Gone { at, explained: row.gone_explained },
            (None, [Some(since), Some(noticed), Some(ends)]) => {
                Presence::Missing { since, noticed, ends }
            }
            (None, _) => Presence::Here,
        };
        let known = Known {
            row: row.id,
            incarnation: row.incarnation,
            created: row.created,
            owner: Owner::named(rank, labels.tame(row.owner)).ok_or("its owner has no name")?,
            details: Details::new(
                row.name,
                labels.tame(row.image),
                labels.tame(row.status),
                addresses,
            ),
            presence,
            segment: row.segment.map(|row| segment(row, labels)).transpose()?,
        };
        if known.segment.is_none() && !matches!(presence, Presence::Gone { .. }) {
            return Err("it lives and has no segment");
        }
        Ok((id, known))
    }
}

fn spoiled(row: i64, reason: &str) -> Error {
    Error::Spoiled(format!("instance {row}: {reason}"))
}

fn segment(row: LastRow<'_>, labels: &mut Labels) -> Result<KeptSegment, &'static str> {
    let source = |number: i64| {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        TimeSource::ALL.get(place).copied().ok_or("a time has no source")
    };
    let [vcpus, memory_mib, disk_gib] =
        row.size.map(|number| number.and_then(|number| u64::try_from(number).ok()));
    let shape = Shape {
        flavor: Flavor { key: labels.tame(row.flavor_key), name: labels.tame(row.flavor_name) },
        size: Size::new(vcpus, memory_mib, disk_gib),
    };
    let from = Moment { at: row.begins, by: source(row.begins_by)? };
    let open = Segment::open(shape, row.counted, from);
    let segment = match (row.ends, row.ends_by) {
        (Some(at), Some(by)) => {
            open.ended(Moment { at, by: source(by)? }).ok_or("its last segment is empty")?
        }
        (None, None) => open,
        _ => return Err("its last segment has half an end"),
    };
    Ok(KeptSegment { id: row.id, segment })
}
