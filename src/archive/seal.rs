//! Writing a head out: a piece of each series' day, in key order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::{self, Point};
use super::head::{Chain, Frozen};
use super::store::Store;
use super::tables::{self, Home, Meta, Sealed};
use crate::sqlite;

/// Between two seals, in seconds.
const INTERVAL: i64 = 2 * 3_600;
/// In one transaction: for so long others wait for the writer.
const SERIES_A_PIECE: usize = 20_000;

/// What one piece writes.
struct Piece {
    rows: Vec<(u32, u32, Vec<u8>)>,
    /// Series whose newest day is a later one than the file knows.
    newer: Vec<(Chain, u32)>,
}

impl Store {
    /// Seals what is due. The caller holds the maintenance.
    pub fn seal_if_due(&self, now: i64) -> Result<(), sqlite::Error> {
        let since = now.saturating_sub(self.counts.last_seal.load(Ordering::Relaxed));
        // A clock that was set back must not put it off for long.
        if self.memory().frozen.is_none() && since.abs() < INTERVAL {
            return Ok(());
        }
        self.seal(now)
    }

    pub fn seal(&self, now: i64) -> Result<(), sqlite::Error> {
        self.write(|db| {
            let is_due = {
                let memory = self.memory();
                memory.frozen.is_none() && !memory.head.is_empty()
            };
            if is_due { self.freeze(db) } else { Ok(()) }
        })?;
        let frozen = self.memory().frozen.clone();
        if let Some(frozen) = frozen {
            let number = self.read(|db| tables::meta(db, Meta::NextSeal))?;
            let mut blocks = BTreeSet::new();
            for chains in frozen.chains.chunks(SERIES_A_PIECE) {
                if self.is_stopping() {
                    return Ok(());
                }
                let piece = self.encode(&frozen, chains);
                blocks.extend(piece.rows.iter().map(|(_, block, _)| *block));
                self.write_piece(number, piece)?;
            }
            self.finish_seal(number, &blocks, &frozen, now)?;
        } else {
            self.write(|db| tables::set_meta(db, Meta::LastSeal, now))?;
        }
        self.counts.last_seal.store(now, Ordering::Relaxed);
        Ok(())
    }

    fn encode(&self, frozen: &Arc<Frozen>, chains: &[Chain]) -> Piece {
        let grid = self.grid;
        let mut piece = Piece { rows: Vec::with_capacity(chains.len()), newer: Vec::new() };
        let mut points: Vec<(u32, f64)> = Vec::new();
        let mut part: Vec<Point> = Vec::new();
        for chain in chains {
            points.clear();
            points.extend(frozen.log.walk(chain.newest));
            // Of a slot's points the one that arrived last comes first, and
            // the order of equals stays.
            points.sort_by_key(|point| point.0);
            points.dedup_by_key(|point| point.0);
            for day in points.chunk_by(|a, b| grid.block(a.0) == grid.block(b.0)) {
                part.clear();
                part.extend(day.iter().map(|(slot, value)| (grid.place(*slot), *value)));
                let data = block::encode_part(&part);
                piece.rows.push((chain.id, grid.block(day[0].0), data));
            }
            if let Some((slot, _)) = points.last() {
                piece.newer.push((*chain, *slot));
            }
        }
        let memory = self.memory();
        piece.newer.retain(|(chain, slot)| {
            memory.index.get(chain.place).is_some_and(|member| {
                member.id == chain.id && grid.block(member.kept) < grid.block(*slot)
            })
        });
        piece
    }

    fn write_piece(&self, number: i64, piece: Piece) -> Result<(), sqlite::Error> {
        let Piece { rows, newer } = piece;
        self.write(|db| {
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for (series, block, data) in rows {
                tables::put_points(&tx, Home::Segment(number), block, series, data)?;
            }
            let memory = self.memory();
            for (chain, slot) in &newer {
                if let Some(member) = memory.index.get(chain.place) {
                    tables::put_series(&tx, chain.id, &member.path, *slot)?;
                }
            }
            drop(memory);
            tx.commit()?;
            let mut memory = self.memory_mut();
            for (chain, slot) in newer {
                if let Some(member) = memory.index.get_mut(chain.place) {
                    member.kept = slot;
                }
            }
            Ok(())
        })
    }

    /// From here on the rows count and the journal's do not.
    fn finish_seal(
        &self,
        number: i64,
        blocks: &BTreeSet<u32>,
        frozen: &Frozen,
        now: i64,
    ) -> Result<(), sqlite::Error> {
        self.write(|db| {
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for block in blocks {
                tables::put_sealed(&tx, Sealed { number, block: *block })?;
            }
            tables::set_meta(&tx, Meta::NextSeal, number + 1)?;
            tables::set_meta(&tx, Meta::LastSeal, now)?;
            tables::trim_journal(&tx, frozen.through)?;
            tx.commit()?;
            self.memory_mut().frozen = None;
            Ok(())
        })
    }
}
