use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::Batch;
use super::chunk::{Change, Chunk, RUNNING, Row};
use super::instances::Instances;
use super::names::{Names, Shape, Shapes};
use crate::model::SegmentRow;

/// Every segment of the ledger that counts. A clone shares all of it; applying
/// a batch to the clone copies only what the batch touches.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// By id; no two overlap.
    chunks: Vec<Arc<Chunk>>,
    /// By id: what a row of a chunk cannot hold.
    odd: Arc<BTreeMap<i64, OddRow>>,
    instances: Arc<Instances>,
    users: Arc<Names>,
    clouds: Arc<Names>,
    flavors: Arc<Names>,
    shapes: Arc<Shapes>,
    through: Option<i64>,
}

/// A segment with a time, an id or a shape beyond what rows are made for. Any
/// value is answered exactly; it only takes more room and time.
#[derive(Clone, Copy, Debug)]
pub(super) struct OddRow {
    pub(super) instance: i64,
    pub(super) user: u32,
    pub(super) shape: u32,
    pub(super) from: i64,
    pub(super) to: Option<i64>,
}

enum Kept {
    Not,
    Row(Row),
    Odd(OddRow),
}

impl Columns {
    /// The store's revision up to which every row is here.
    pub fn through(&self) -> Option<i64> {
        self.through
    }

    /// How many segments count.
    pub fn segments(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>() + self.odd.len()
    }

    pub(super) fn apply(&mut self, batch: &Batch) {
        self.apply_names(batch);
        let through = self.through;
        let fresh = |revision: i64| through.is_none_or(|through| revision > through);
        let mut rows: Vec<&SegmentRow> =
            batch.segments.iter().filter(|row| fresh(row.revision)).collect();
        // The newest row of each id comes first, and dedup keeps the first.
        rows.sort_by_key(|row| (row.id, std::cmp::Reverse(row.revision)));
        rows.dedup_by_key(|row| row.id);
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let kept = self.kept(row);
            if self.odd.contains_key(&row.id) {
                Arc::make_mut(&mut self.odd).remove(&row.id);
            }
            changes.push((row.id, if let Kept::Row(row) = kept { Some(row) } else { None }));
            if let Kept::Odd(odd) = kept {
                self.insert_odd(row.id, odd);
            }
        }
        if !changes.is_empty() {
            self.merge(&changes);
        }
        if batch.through > self.through {
            self.through = batch.through;
        }
    }

    fn apply_names(&mut self, batch: &Batch) {
        let through = self.through;
        let fresh = |revision: i64| through.is_none_or(|through| revision > through);
        for user in batch.users.iter().filter(|user| fresh(user.revision)) {
            Arc::make_mut(&mut self.users).set(
                user.id,
                user.revision,
                &user.name,
                user.is_staff == Some(true),
            );
        }
        for cloud in &batch.clouds {
            if self.clouds.name_of(cloud.id).is_none_or(|known| **known != *cloud.name) {
                Arc::make_mut(&mut self.clouds).set(cloud.id, cloud.revision, &cloud.name, false);
            }
        }
        for flavor in &batch.flavors {
            if self.flavors.name_of(flavor.id).is_none_or(|known| **known != *flavor.name) {
                Arc::make_mut(&mut self.flavors).set(
                    flavor.id,
                    flavor.revision,
                    &flavor.name,
                    false,
                );
            }
        }
    }

    fn kept(&mut self, row: &SegmentRow) -> Kept {
        let empty = row.to.is_some_and(|to| to <= row.from);
        if row.deleted || !row.counted || empty {
            return Kept::Not;
        }
        let user = number(&mut self.users, row.user);
        let shape = Shape {
            cloud: number(&mut self.clouds, row.cloud),
            flavor: number(&mut self.flavors, row.flavor),
            vcpus: row.vcpus,
        };
        let shape = match self.shapes.find(&shape) {
            Some(number) => number,
            None => Arc::make_mut(&mut self.shapes).number(shape),
        };
        let to = match row.to {
            None => Some(RUNNING),
            Some(to) => u32::try_from(to).ok().filter(|to| *to != RUNNING),
        };
        let small = (u32::try_from(row.from), to, Instances::markable(row.instance));
        let fits = match small {
            (Ok(from), Some(to), Some(instance)) => Row::new(from, to, instance, user, shape),
            _ => None,
        };
        let (instance, from, to) = (row.instance, row.from, row.to);
        fits.map_or(Kept::Odd(OddRow { instance, user, shape, from, to }), Kept::Row)
    }

    fn insert_odd(&mut self, id: i64, odd: OddRow) {
        Arc::make_mut(&mut self.odd).insert(id, odd);
        if let Some(instance) = Instances::markable(odd.instance) {
            Arc::make_mut(&mut self.instances).mark(instance);
        }
    }

    /// `changes` are by id, each id once.
    fn merge(&mut self, changes: &[Change]) {
        let old = std::mem::take(&mut self.chunks);
        let (mut arrived, mut room) = (Vec::new(), Vec::new());
        let mut chunks = Vec::with_capacity(old.len() + changes.len() / 512 + 1);
        let mut lay = |chunk: Option<&Chunk>,
                       changes: &[Change],
                       last: bool,
                       chunks: &mut Vec<Arc<Chunk>>| {
            let merged =
                Chunk::merge(chunk, changes, last, &mut room, |instance| arrived.push(instance));
            chunks.extend(merged.into_iter().map(Arc::new));
        };
        let mut left = changes;
        let mut old = old.into_iter().peekable();
        // Each is let go of before the next is laid: a first reading lays all of
        // them many times over, and should need no room for two of each.
        while let Some(chunk) = old.next() {
            let next = old.peek().map(|next| next.first_id());
            let (mine, rest) = left.split_at(match next {
                Some(next) => left.partition_point(|(id, _)| *id < next),
                None => left.len(),
            });
            left = rest;
            if mine.is_empty() {
                chunks.push(chunk);
            } else {
                lay(Some(&chunk), mine, next.is_none(), &mut chunks);
            }
        }
        if !left.is_empty() {
            lay(None, left, true, &mut chunks);
        }
        self.chunks = chunks;
        if !arrived.is_empty() {
            let instances = Arc::make_mut(&mut self.instances);
            arrived.into_iter().for_each(|instance| instances.mark(instance));
        }
    }

    /// Must come after the last batch and before the next answer.
    pub(super) fn settle(&mut self) {
        for names in [&mut self.users, &mut self.clouds, &mut self.flavors] {
            if !names.is_settled() {
                Arc::make_mut(names).settle();
            }
        }
        if !self.instances.is_settled() {
            Arc::make_mut(&mut self.instances).settle();
        }
    }

    pub(super) fn users(&self) -> &Names {
        &self.users
    }

    pub(super) fn clouds(&self) -> &Names {
        &self.clouds
    }

    pub(super) fn flavors(&self) -> &Names {
        &self.flavors
    }

    pub(super) fn shapes(&self) -> &[Shape] {
        self.shapes.all()
    }

    pub(super) fn instances(&self) -> &Instances {
        &self.instances
    }

    /// When the first segment begins.
    pub(super) fn earliest(&self) -> Option<i64> {
        let rows = self.chunks.iter().filter_map(|chunk| chunk.earliest()).min().map(i64::from);
        let odd = self.odd.values().map(|odd| odd.from).min();
        rows.into_iter().chain(odd).min()
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().map(|chunk| &**chunk)
    }

    pub(super) fn odd(&self) -> impl Iterator<Item = &OddRow> {
        self.odd.values()
    }
}

/// The number of what has this id; the table is copied only for a new one.
fn number(names: &mut Arc<Names>, id: i64) -> u32 {
    match names.find(id) {
        Some(number) => number,
        None => Arc::make_mut(names).number(id),
    }
}
