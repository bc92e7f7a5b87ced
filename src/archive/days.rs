//! Days that are over become one block a series; days that are past keeping go.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::block::{self, Decoder, Point};
use super::head::NONE;
use super::store::Store;
use super::tables::{self, Broken, Home, Range};
use crate::model::MetricNode;
use crate::sqlite;

/// Late points are waited for before a day is put together, in seconds.
const GRACE: i64 = 2 * 3_600;
/// Seals that a day may lie in pieces of; each costs a question one search a
/// host. Only where a step is short and series are many does a day reach it
/// before it is over.
const MAX_PIECES: usize = 32;
/// Put together in one go, and in one transaction.
const SERIES_A_PIECE: usize = 8_192;
/// Deleted in one transaction.
const ROWS_A_DELETION: usize = 20_000;

/// A day that is put together, of these seals.
struct Day<'n> {
    block: u32,
    numbers: &'n [i64],
    /// It was put together before; late points came.
    has_blocks: bool,
}

/// The bytes of one series in one place; later seals win. No bytes where the
/// row was broken.
struct Part {
    series: u32,
    number: i64,
    data: Vec<u8>,
}

impl Store {
    /// Puts together the days that are over or in too many pieces. The caller holds the maintenance.
    pub fn close_days(&self, now: i64) -> Result<(), sqlite::Error> {
        let sealed = self.read(tables::sealed)?;
        let mut days: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for one in &sealed {
            days.entry(one.block).or_default().push(one.number);
        }
        for (block, numbers) in days {
            let is_over = self.grid.end(block).saturating_add(GRACE) <= now;
            if (is_over || numbers.len() > MAX_PIECES) && !self.close_day(block, &numbers)? {
                return Ok(());
            }
        }
        self.sweep()
    }

    /// False where the process is leaving. Halfway through, points are in both
    /// places, which does no harm.
    fn close_day(&self, block: u32, numbers: &[i64]) -> Result<bool, sqlite::Error> {
        let any = Range { block, first: 0, last: u32::MAX, limit: 1 };
        let rows = self.read(|db| tables::each_points(db, Home::Block, any, |_, _| ()))?;
        let day = Day { block, numbers, has_blocks: rows > 0 };
        let mut decoder = Decoder::default();
        let mut first = 0;
        loop {
            if self.is_stopping() {
                return Ok(false);
            }
            let (parts, last) = self.read_parts(&day, first)?;
            let rows: Vec<(u32, Vec<u8>)> = parts
                .chunk_by(|a, b| a.series == b.series)
                .filter_map(|parts| {
                    let points = self.merge(&mut decoder, parts);
                    (!points.is_empty()).then(|| (parts[0].series, block::encode_day(&points)))
                })
                .collect();
            self.write(|db| {
                let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                for (series, data) in rows {
                    tables::put_points(&tx, Home::Block, block, series, data)?;
                }
                tx.commit()
            })?;
            match last.checked_add(1) {
                Some(next) => first = next,
                None => break,
            }
        }
        self.write(|db| tables::delete_sealed(db, block))?;
        Ok(true)
    }

    /// The parts of a day from one series on, by series, the latest first, and
    /// the last series for which they are complete.
    fn read_parts(&self, day: &Day<'_>, first: u32) -> Result<(Vec<Part>, u32), sqlite::Error> {
        let block = day.block;
        self.read(|db| {
            let mut parts = Vec::new();
            let mut last = u32::MAX;
            for number in day.numbers {
                let range = Range { block, first, last, limit: SERIES_A_PIECE };
                let count = self.take_parts(db, Home::Segment(*number), range, &mut parts)?;
                if count == SERIES_A_PIECE {
                    last = parts.last().map_or(last, |part| part.series);
                }
            }
            parts.retain(|part| part.series <= last);
            parts.sort_unstable_by_key(|part| (part.series, std::cmp::Reverse(part.number)));
            if day.has_blocks {
                let mut series: Vec<u32> = parts.iter().map(|part| part.series).collect();
                series.dedup();
                for one in series {
                    let range = Range { block, first: one, last: one, limit: 1 };
                    self.take_parts(db, Home::Block, range, &mut parts)?;
                }
                parts.sort_unstable_by_key(|part| (part.series, std::cmp::Reverse(part.number)));
            }
            Ok((parts, last))
        })
    }

    /// Tells how many rows there were; a broken one counts and brings nothing.
    fn take_parts(
        &self,
        db: &Connection,
        home: Home,
        range: Range,
        parts: &mut Vec<Part>,
    ) -> rusqlite::Result<usize> {
        // What is put together already is older than any seal.
        let number = if let Home::Segment(number) = home { number } else { i64::MIN };
        tables::each_points(db, home, range, |series, data| {
            let data = data.unwrap_or_else(|Broken| {
                self.counts.broke("points");
                &[]
            });
            parts.push(Part { series, number, data: data.to_vec() });
        })
    }

    fn merge(&self, decoder: &mut Decoder, parts: &[Part]) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for part in parts.iter().filter(|part| !part.data.is_empty()) {
            match decoder.read(&part.data) {
                Ok(read) => points.extend(read),
                Err(block::Malformed) => self.counts.broke("points"),
            }
        }
        // The order of equals stays: the latest part comes first.
        points.sort_by_key(|point| point.0);
        points.dedup_by_key(|point| point.0);
        points
    }

    /// Deletes segments of which no day counts: put together, or left by a seal
    /// that was cut off.
    fn sweep(&self) -> Result<(), sqlite::Error> {
        let (sealed, there) = self.read(|db| Ok((tables::sealed(db)?, tables::segments(db)?)))?;
        for number in there {
            if sealed.iter().any(|one| one.number == number) {
                continue;
            }
            while !self.is_stopping()
                && self.write(|db| tables::delete_some_of_segment(db, number, ROWS_A_DELETION))?
            {
            }
        }
        Ok(())
    }

    /// Drops the oldest day where it is past keeping. One a seal: a clock that
    /// jumps ahead and back costs days, not everything. The caller holds the
    /// maintenance.
    pub fn retire(&self, now: i64) -> Result<(), sqlite::Error> {
        let Some(limit) = self.grid.slot(now.saturating_sub(self.keep)) else { return Ok(()) };
        let limit = self.grid.block(limit);
        let Some(oldest) = self.read(tables::oldest_block)?.filter(|oldest| *oldest < limit) else {
            return self.drop_series_before(limit);
        };
        while self.write(|db| tables::delete_some_of_block(db, oldest, ROWS_A_DELETION))? {
            if self.is_stopping() {
                return Ok(());
            }
        }
        self.drop_series_before(oldest + 1)
    }

    /// Series that have no point in or after a day.
    fn drop_series_before(&self, block: u32) -> Result<(), sqlite::Error> {
        let gone: Vec<u32> = {
            let memory = self.memory();
            let is_gone = |newest: u32| self.grid.block(newest) < block;
            memory
                .index
                .iter()
                .filter(|(_, member)| is_gone(member.newest) && member.chain == NONE)
                .map(|(place, _)| place)
                .collect()
        };
        for places in gone.chunks(ROWS_A_DELETION) {
            self.write(|db| {
                // A point may have come for one of them meanwhile.
                let ids: Vec<(u32, u32)> = {
                    let memory = self.memory();
                    let of = |place: &u32| {
                        let member = memory.index.get(*place)?;
                        (self.grid.block(member.newest) < block).then_some((*place, member.id))
                    };
                    places.iter().filter_map(of).collect()
                };
                let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                for (_, id) in &ids {
                    tables::delete_series(&tx, *id)?;
                }
                tx.commit()?;
                let mut memory = self.memory_mut();
                ids.iter().for_each(|(place, _)| memory.index.remove(*place));
                Ok(())
            })?;
        }
        if !gone.is_empty() {
            self.write(|_| {
                self.memory_mut().index.shrink();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Forgets a host's series and their points; tells how many series there
    /// were. The caller holds the maintenance.
    pub fn forget(&self, node: &MetricNode) -> Result<usize, sqlite::Error> {
        let (sealed, blocks) = self.read(|db| Ok((tables::segments(db)?, tables::blocks(db)?)))?;
        self.write(|db| {
            let places = self.memory().index.of_node(node.as_str()).to_vec();
            let mut ids: Vec<u32> = {
                let memory = self.memory();
                places.iter().filter_map(|place| Some(memory.index.get(*place)?.id)).collect()
            };
            ids.sort_unstable();
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for ids in ids.chunk_by(|a, b| *b == a + 1) {
                let (first, last) = (ids[0], ids[ids.len() - 1]);
                for number in &sealed {
                    tables::delete_points(&tx, Home::Segment(*number), 0, first, last)?;
                }
                for block in &blocks {
                    tables::delete_points(&tx, Home::Block, *block, first, last)?;
                }
                for id in ids {
                    tables::delete_series(&tx, *id)?;
                }
            }
            tx.commit()?;
            let mut memory = self.memory_mut();
            places.iter().for_each(|place| memory.index.remove(*place));
            Ok(places.len())
        })
    }

    /// All that is due, in the order in which points move.
    pub fn tend(&self, now: i64) -> Result<(), sqlite::Error> {
        let _maintenance = self.maintenance();
        let before = self.counts.last_seal.load(Ordering::Relaxed);
        self.seal_if_due(now)?;
        if self.is_stopping() || before == self.counts.last_seal.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.close_days(now)?;
        if self.is_stopping() {
            return Ok(());
        }
        self.retire(now)
    }
}
