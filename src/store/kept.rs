//! Rows as the database gives them, made into values again.

use std::collections::HashMap;

use super::Error;
use crate::ledger::{KeptSegment, Known, Listed, Presence, View};
use crate::model::{
    Address, Details, Flavor, InstanceId, Label, Moment, Owner, OwnerRank, Segment, Shape, Size,
    TimeSource,
};

/// An instance with its owner's name and its last segment.
#[derive(Debug, Default)]
pub(super) struct KnownRow {
    pub id: i64,
    pub key: String,
    pub incarnation: i64,
    pub created: Option<i64>,
    pub owner: String,
    pub owner_rank: i64,
    pub name: String,
    pub image: String,
    pub status: String,
    pub addresses: String,
    pub missing: [Option<i64>; 3],
    pub gone_at: Option<i64>,
    pub gone_explained: bool,
    pub segment: Option<LastRow>,
}

#[derive(Debug, Default)]
pub(super) struct LastRow {
    pub id: i64,
    pub flavor_key: String,
    pub flavor_name: String,
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

pub(super) fn view(
    cloud: &str,
    state: CloudState,
    live: Vec<KnownRow>,
    gone: Vec<KnownRow>,
) -> Result<View, Error> {
    let mut view = View {
        cloud: cloud.into(),
        listing: state.listing,
        last: state.listed_at.zip(state.noticed_at).map(|(at, noticed)| Listed { at, noticed }),
        live: HashMap::with_capacity(live.len()),
        gone: HashMap::new(),
        unseen: HashMap::new(),
    };
    for row in live {
        let (id, known) = known(row)?;
        view.live.insert(id, known);
    }
    for row in gone {
        let (id, known) = known(row)?;
        view.gone.entry(id).or_default().push(known);
    }
    Ok(view)
}

pub(super) fn known(row: KnownRow) -> Result<(InstanceId, Known), Error> {
    let at = row.id;
    read(row).map_err(|reason| Error::Spoiled(format!("instance {at}: {reason}")))
}

fn read(row: KnownRow) -> Result<(InstanceId, Known), &'static str> {
    let id = InstanceId::parse(&row.key)?;
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
        owner: Owner::new(rank, &row.owner).ok_or("its owner has no name")?,
        details: Details::new(&row.name, &row.image, &row.status, addresses),
        presence,
        segment: row.segment.map(segment).transpose()?,
    };
    if known.segment.is_none() && !matches!(presence, Presence::Gone { .. }) {
        return Err("it lives and has no segment");
    }
    Ok((id, known))
}

fn segment(row: LastRow) -> Result<KeptSegment, &'static str> {
    let source = |number: i64| {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        TimeSource::ALL.get(place).copied().ok_or("a time has no source")
    };
    let [vcpus, memory_mib, disk_gib] =
        row.size.map(|number| number.and_then(|number| u64::try_from(number).ok()));
    let shape = Shape {
        flavor: Flavor { key: Label::tame(&row.flavor_key), name: Label::tame(&row.flavor_name) },
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
