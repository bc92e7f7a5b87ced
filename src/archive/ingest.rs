//! Taking points in: into the journal and into memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::head::{Chain, Frozen, NONE};
use super::store::{Memory, Store};
use super::tables::{self, Meta};
use super::{Batch, Error, Position, Receipt};

/// Points in memory; with so many a head is sealed at once, and no more are
/// taken while another is being sealed.
pub(super) const HEAD_POINTS: usize = 8_000_000;

/// A point whose series has a place.
struct Placed {
    place: u32,
    slot: u32,
    value: f64,
}

impl Store {
    /// Makes the points durable, together with how far each file is read, in
    /// one transaction. On any error neither is kept.
    pub fn ingest<'p>(
        &self,
        batch: &Batch,
        positions: impl IntoIterator<Item = &'p Position>,
        now: i64,
    ) -> Result<Receipt, Error> {
        let positions: Vec<_> = positions.into_iter().collect();
        let lengths = positions.iter().map(|position| position.file.len());
        if let Some(length) = lengths.max().filter(|length| *length > Position::MAX_FILE_BYTES) {
            return Err(Error::LongFileName(length));
        }
        self.write(|db| {
            if !self.make_room(db)? {
                return Ok(None);
            }
            let mut receipt = Receipt::default();
            let (placed, added) = self.place(batch, now, &mut receipt);
            if let Err(fault) = self.commit(db, &placed, &added, &positions) {
                let mut memory = self.memory_mut();
                added.iter().for_each(|place| memory.index.remove(*place));
                return Err(fault);
            }
            self.append(&placed);
            receipt.kept = placed.len();
            Ok(Some(receipt))
        })?
        .ok_or_else(|| Error::Behind { path: self.path().to_owned(), points: 2 * HEAD_POINTS })
    }

    /// False while a full head waits behind one that is being sealed.
    fn make_room(&self, db: &Connection) -> rusqlite::Result<bool> {
        let (is_full, is_sealing) = {
            let memory = self.memory();
            (memory.head.len() >= HEAD_POINTS, memory.frozen.is_some())
        };
        if is_full && !is_sealing {
            self.freeze(db)?;
        }
        Ok(!(is_full && is_sealing))
    }

    /// Gives the head to the seal and begins an empty one. The caller holds the
    /// writer and has seen that no other head is frozen.
    pub fn freeze(&self, db: &Connection) -> rusqlite::Result<()> {
        let through = tables::journal_end(db)?;
        let mut memory = self.memory_mut();
        let Memory { index, head, frozen } = &mut *memory;
        let mut chains = Vec::new();
        for (place, member) in index.iter_mut().filter(|(_, member)| member.chain != NONE) {
            let newest = std::mem::replace(&mut member.chain, NONE);
            chains.push(Chain { id: member.id, place, newest });
        }
        chains.sort_unstable_by_key(|chain| chain.id);
        *frozen = Some(Arc::new(Frozen { log: std::mem::take(head), chains, through }));
        Ok(())
    }

    /// Finds or makes the series of every point that may be kept. Also the
    /// places of the series that were made.
    fn place(&self, batch: &Batch, now: i64, receipt: &mut Receipt) -> (Vec<Placed>, Vec<u32>) {
        let oldest = self.grid.slot(now.saturating_sub(self.keep).max(0)).unwrap_or(0);
        let newest = self.grid.slot(now).unwrap_or(0) + 1;
        let mut placed = Vec::with_capacity(batch.len());
        let mut unknown = Vec::new();
        {
            let memory = self.memory();
            for (path, time, value) in batch.iter() {
                let slot = self.grid.slot(time).filter(|slot| (oldest..=newest).contains(slot));
                let Some(slot) = slot.filter(|_| value.is_finite()) else {
                    receipt.untimely += 1;
                    continue;
                };
                let place = memory.index.find(path).unwrap_or(NONE);
                if place == NONE {
                    unknown.push((placed.len(), path));
                }
                placed.push(Placed { place, slot, value });
            }
        }
        self.counts.untimely.fetch_add(receipt.untimely as u64, Ordering::Relaxed);
        let added = self.add(&unknown, &mut placed, receipt);
        (placed, added)
    }

    fn add(
        &self,
        unknown: &[(usize, &str)],
        placed: &mut Vec<Placed>,
        receipt: &mut Receipt,
    ) -> Vec<u32> {
        let mut added = Vec::new();
        if unknown.is_empty() {
            return added;
        }
        let mut memory = self.memory_mut();
        for (at, path) in unknown {
            let point = &mut placed[*at];
            point.place = memory.index.find(path).unwrap_or_else(|| {
                let place = memory.index.add(path, point.slot).unwrap_or(NONE);
                if place != NONE {
                    added.push(place);
                }
                place
            });
            if point.place == NONE {
                receipt.refused += 1;
                self.counts.refuse(path);
            }
        }
        drop(memory);
        placed.retain(|point| point.place != NONE);
        added
    }

    fn commit(
        &self,
        db: &mut Connection,
        placed: &[Placed],
        added: &[u32],
        positions: &[&Position],
    ) -> rusqlite::Result<()> {
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let journalled = {
            let memory = self.memory();
            for place in added {
                if let Some(member) = memory.index.get(*place) {
                    tables::put_series(&tx, member.id, &member.path, member.kept)?;
                }
            }
            if !added.is_empty() {
                tables::set_meta(&tx, Meta::NextRun, memory.index.next_run().into())?;
            }
            let id = |point: &Placed| memory.index.get(point.place).map(|member| member.id);
            placed
                .iter()
                .filter_map(|point| Some((id(point)?, point.slot, point.value)))
                .collect::<Vec<_>>()
        };
        tables::append_journal(&tx, &journalled)?;
        for position in positions {
            tables::put_position(&tx, position)?;
        }
        tx.commit()
    }

    fn append(&self, placed: &[Placed]) {
        let mut memory = self.memory_mut();
        let Memory { index, head, .. } = &mut *memory;
        for point in placed {
            if let Some(member) = index.get_mut(point.place) {
                head.push(&mut member.chain, point.slot, point.value);
                member.newest = member.newest.max(point.slot);
            }
        }
    }
}
