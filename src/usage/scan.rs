use super::chunk::{RUNNING, Row, Rows};
use super::columns::Columns;

/// The part of a segment that lies in a window.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) instance: i64,
    pub(super) user: u32,
    pub(super) shape: u32,
    pub(super) from: i64,
    /// After `from`.
    pub(super) to: i64,
}

/// What adds up the segments that a scan finds.
pub(super) trait Tally {
    /// Rows of which some may overlap [start, end): most segments come here.
    fn rows(&mut self, rows: Rows<'_>, start: u32, end: u32);

    /// The part of one segment: any that does not come among rows.
    fn piece(&mut self, piece: &Piece);
}

/// Shows every segment near [start, end) once.
pub(super) fn scan(columns: &Columns, start: i64, end: i64, tally: &mut impl Tally) {
    let blocks = columns.chunks().flat_map(|chunk| chunk.blocks_near(start, end));
    match (u32::try_from(start.max(0)), u32::try_from(end)) {
        // The end of what runs is above any other, so the lower one is right.
        (Ok(start), Ok(end)) => blocks.for_each(|rows| tally.rows(rows, start, end)),
        // Windows that end before 1970 or after 2106.
        _ => blocks.flat_map(|block| block.rows).for_each(|row| {
            let to = if row.to == RUNNING { end } else { end.min(row.to.into()) };
            let from = start.max(row.from.into());
            if from < to {
                tally.piece(&Piece::of(row, from, to));
            }
        }),
    }
    for odd in columns.odd() {
        let (from, to) = (odd.from.max(start), odd.to.map_or(end, |to| to.min(end)));
        if from < to {
            let (instance, user, shape) = (odd.instance, odd.user, odd.shape);
            tally.piece(&Piece { instance, user, shape, from, to });
        }
    }
}

impl Piece {
    #[inline]
    pub(super) fn of(row: &Row, from: i64, to: i64) -> Self {
        Self { instance: row.instance.into(), user: row.user(), shape: row.shape(), from, to }
    }

    pub(super) fn seconds(&self) -> u64 {
        // Any span of i64 fits u64, also where the difference wraps.
        self.to.wrapping_sub(self.from).cast_unsigned()
    }
}
