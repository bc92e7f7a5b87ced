//! A sighting's changes as rows, the same for every database.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::ledger::{Changes, NewInstance, Presence, Touched};
use crate::model::{Details, Label, Moment, OwnerRank, Segment, Shape, Size, TimeSource};

/// A row of the table `instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InstanceRow<'c> {
    pub id: i64,
    pub key: &'c str,
    pub incarnation: i64,
    pub created: Option<i64>,
    pub account: i64,
    pub owner_rank: i64,
    pub name: &'c str,
    pub image: &'c str,
    pub status: &'c str,
    pub addresses: String,
    pub missing_since: Option<i64>,
    pub missing_noticed: Option<i64>,
    pub missing_ends: Option<i64>,
    pub gone_at: Option<i64>,
    pub gone_explained: bool,
    pub last_segment: Option<i64>,
}

/// A row of the table `segment`, but for its cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptRow {
    pub revision: i64,
    pub id: i64,
    pub instance: i64,
    pub account: i64,
    pub flavor: i64,
    pub vcpus: Option<i64>,
    pub memory_mib: Option<i64>,
    pub disk_gib: Option<i64>,
    pub counted: bool,
    pub begins: i64,
    pub begins_by: i64,
    pub ends: Option<i64>,
    pub ends_by: Option<i64>,
    pub deleted: bool,
}

/// Names that must have a number before the rows can be made.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub accounts: BTreeSet<String>,
    /// Key and name.
    pub flavors: BTreeMap<Label, Label>,
    /// Instances whose every segment changes: the owner, or what a flavor has.
    pub whole: Vec<i64>,
}

/// What the database holds for [`Names`], and where its numbers end.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub accounts: HashMap<String, i64>,
    pub flavors: HashMap<String, i64>,
    /// All segments of the instances of [`Names::whole`].
    pub segments: Vec<KeptRow>,
    pub revision: i64,
    pub last_instance: i64,
    pub last_segment: i64,
}

#[derive(Debug, Default)]
pub(super) struct Plan<'c> {
    /// What ends; before anything else, as an id may live on in another row.
    pub ended: Vec<InstanceRow<'c>>,
    pub updated: Vec<InstanceRow<'c>>,
    pub inserted: Vec<InstanceRow<'c>>,
    pub segments_updated: Vec<KeptRow>,
    pub segments_inserted: Vec<KeptRow>,
    /// The greatest one given.
    pub revision: i64,
}

impl Names {
    pub(super) fn of(changes: &Changes) -> Self {
        let mut names = Self::default();
        for new in &changes.new {
            names.accounts.insert(new.instance.owner.name().to_owned());
            names.flavors_of(&new.segments);
        }
        for touched in &changes.touched {
            names.accounts.insert(touched.after.owner.name().to_owned());
            names.flavors_of(&touched.opened);
            let rewritten = touched.rewritten.iter().filter_map(|one| one.segment.as_ref());
            names.flavors_of(
                rewritten.chain(touched.before.segment.iter().map(|kept| &kept.segment)),
            );
            if touched.owner_replaced() || touched.learned {
                names.whole.push(touched.before.row);
            }
        }
        names
    }

    fn flavors_of<'a>(&mut self, segments: impl IntoIterator<Item = &'a Segment>) {
        for segment in segments {
            let flavor = &segment.shape.flavor;
            if !self.flavors.contains_key(&flavor.key) {
                self.flavors.insert(flavor.key.clone(), flavor.name.clone());
            }
        }
    }
}

impl<'c> Plan<'c> {
    /// Absent where the ground lacks a name, which no caller lets happen.
    pub(super) fn of(changes: &'c Changes, ground: &Ground) -> Option<Self> {
        let mut whole: HashMap<i64, Vec<KeptRow>> = HashMap::new();
        for row in &ground.segments {
            whole.entry(row.instance).or_default().push(row.clone());
        }
        let plan = Self { revision: ground.revision, ..Self::default() };
        let mut maker = Maker {
            ground,
            plan,
            last_instance: ground.last_instance,
            last_segment: ground.last_segment,
        };
        for touched in &changes.touched {
            let kept = whole.remove(&touched.before.row).unwrap_or_default();
            maker.touched(touched, kept)?;
        }
        for new in &changes.new {
            maker.appeared(new)?;
        }
        Some(maker.plan)
    }
}

struct Maker<'a, 'c> {
    ground: &'a Ground,
    plan: Plan<'c>,
    last_instance: i64,
    last_segment: i64,
}

impl<'c> Maker<'_, 'c> {
    fn appeared(&mut self, new: &'c NewInstance) -> Option<()> {
        let instance = &new.instance;
        self.last_instance += 1;
        let id = self.last_instance;
        let account = self.account(instance.owner.name())?;
        let last_segment = self.opened(id, account, &new.segments)?;
        self.plan.inserted.push(InstanceRow {
            created: instance.created,
            last_segment,
            ..instance_row(
                id,
                (instance.id.as_str(), new.incarnation),
                (account, instance.owner.rank()),
                &instance.details,
                new.presence,
            )
        });
        Some(())
    }

    fn touched(&mut self, touched: &'c Touched, kept: Vec<KeptRow>) -> Option<()> {
        let Touched { before, after, .. } = touched;
        let account = self.account(after.owner.name())?;
        let mut last_segment = before.segment.as_ref().map(|kept| kept.id);
        let mut done = HashSet::new();
        if let Some(rewritten) = &touched.rewritten {
            let before = &before.segment.as_ref()?.segment;
            let segment = rewritten.segment.as_ref().unwrap_or(before);
            let mut row = self.segment(rewritten.id, after.row, account, segment)?;
            row.deleted = rewritten.segment.is_none();
            last_segment = last_segment.filter(|_| !row.deleted);
            done.insert(row.id);
            self.update(row);
        }
        let learned = touched.rewritten.as_ref().and_then(|one| one.segment.as_ref());
        for row in kept {
            if done.contains(&row.id) {
                continue;
            }
            let mut changed = KeptRow { account, ..row.clone() };
            if let Some(segment) = learned.filter(|_| touched.learned) {
                self.learn(&mut changed, &segment.shape)?;
            }
            if changed != row {
                self.update(changed);
            }
        }
        if let Some(opened) = self.opened(after.row, account, &touched.opened)? {
            last_segment = Some(opened);
        }
        let row = InstanceRow {
            created: after.created,
            last_segment,
            ..instance_row(
                after.row,
                ("", after.incarnation),
                (account, after.owner.rank()),
                &after.details,
                after.presence,
            )
        };
        match row.gone_at {
            Some(_) => self.plan.ended.push(row),
            None => self.plan.updated.push(row),
        }
        Some(())
    }

    fn learn(&self, row: &mut KeptRow, shape: &Shape) -> Option<()> {
        if row.flavor == *self.ground.flavors.get(shape.flavor.key.as_str())? {
            let (vcpus, memory_mib, disk_gib) = columns(shape.size);
            row.vcpus = row.vcpus.or(vcpus);
            row.memory_mib = row.memory_mib.or(memory_mib);
            row.disk_gib = row.disk_gib.or(disk_gib);
        }
        Some(())
    }

    fn update(&mut self, row: KeptRow) {
        self.plan.revision += 1;
        self.plan.segments_updated.push(KeptRow { revision: self.plan.revision, ..row });
    }

    fn opened(&mut self, instance: i64, account: i64, segments: &[Segment]) -> Option<Option<i64>> {
        let mut last = None;
        for segment in segments {
            self.last_segment += 1;
            last = Some(self.last_segment);
            let row = self.segment(self.last_segment, instance, account, segment)?;
            self.plan.revision += 1;
            self.plan.segments_inserted.push(KeptRow { revision: self.plan.revision, ..row });
        }
        Some(last)
    }

    fn segment(&self, id: i64, instance: i64, account: i64, segment: &Segment) -> Option<KeptRow> {
        let (vcpus, memory_mib, disk_gib) = columns(segment.shape.size);
        let Moment { at: begins, by } = segment.from();
        Some(KeptRow {
            revision: 0,
            id,
            instance,
            account,
            flavor: *self.ground.flavors.get(segment.shape.flavor.key.as_str())?,
            vcpus,
            memory_mib,
            disk_gib,
            counted: segment.counted,
            begins,
            begins_by: number_of(by),
            ends: segment.to().map(|to| to.at),
            ends_by: segment.to().map(|to| number_of(to.by)),
            deleted: false,
        })
    }

    fn account(&self, name: &str) -> Option<i64> {
        self.ground.accounts.get(name).copied()
    }
}

/// A row without its creation and its last segment.
fn instance_row<'c>(
    id: i64,
    (key, incarnation): (&'c str, i64),
    (account, rank): (i64, OwnerRank),
    details: &'c Details,
    presence: Presence,
) -> InstanceRow<'c> {
    let addresses: Vec<_> = details.addresses().iter().map(|one| one.as_str()).collect();
    let (missing, gone) = match presence {
        Presence::Here => (None, None),
        Presence::Missing { since, noticed, ends } => (Some((since, noticed, ends)), None),
        Presence::Gone { at, explained } => (None, Some((at, explained))),
    };
    InstanceRow {
        id,
        key,
        incarnation,
        created: None,
        account,
        owner_rank: match rank {
            OwnerRank::Id => 0,
            OwnerRank::UserName => 1,
            OwnerRank::Creator => 2,
        },
        name: details.name.as_str(),
        image: details.image.as_str(),
        status: details.status.as_str(),
        addresses: addresses.join(" "),
        missing_since: missing.map(|missing| missing.0),
        missing_noticed: missing.map(|missing| missing.1),
        missing_ends: missing.map(|missing| missing.2),
        gone_at: gone.map(|gone| gone.0),
        gone_explained: gone.is_some_and(|gone| gone.1),
        last_segment: None,
    }
}

fn number_of(source: TimeSource) -> i64 {
    match source {
        TimeSource::Estimate => 0,
        TimeSource::Listing => 1,
        TimeSource::Event => 2,
    }
}

fn columns(size: Size) -> (Option<i64>, Option<i64>, Option<i64>) {
    (size.vcpus().map(i64::from), size.memory_mib().map(i64::from), size.disk_gib().map(i64::from))
}
