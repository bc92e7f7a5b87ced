//! The segments themselves: sorted by id, in chunks that never change once
//! they are built.

/// The end of a segment that runs.
pub(super) const RUNNING: u32 = u32::MAX;

/// 16 bytes a segment, because a scan waits for memory; what does not fit is
/// kept apart as an odd one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) from: u32,
    /// After `from`, or [`RUNNING`].
    pub(super) to: u32,
    pub(super) instance: u32,
    /// The user in the lower bits, the shape in the upper ones.
    what: u32,
}

impl Row {
    const USER_BITS: u32 = 19;

    /// Nothing where there are more users or shapes than a row can tell apart.
    pub(super) fn new(from: u32, to: u32, instance: u32, user: u32, shape: u32) -> Option<Self> {
        let what = shape << Self::USER_BITS | user;
        let row = Self { from, to, instance, what };
        (row.user() == user && row.shape() == shape).then_some(row)
    }

    #[inline]
    pub(super) fn user(&self) -> u32 {
        self.what % (1 << Self::USER_BITS)
    }

    #[inline]
    pub(super) fn shape(&self) -> u32 {
        self.what >> Self::USER_BITS
    }
}

/// What became of the segment with this id; absent: it counts no more.
pub(super) type Change = (i64, Option<Row>);

/// A run of rows with the hull of their times. Few segments are long, so most
/// blocks of the past lie outside a window of the present.
#[derive(Clone, Copy, Debug)]
struct Block {
    from: u32,
    to: u32,
    /// The least and the greatest.
    instances: (u32, u32),
}

/// Rows that lie beside each other.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) rows: &'a [Row],
    /// The least and the greatest of theirs.
    pub(super) instances: (u32, u32),
}

#[derive(Debug)]
pub(super) struct Chunk {
    first_id: i64,
    rows: Box<[Row]>,
    /// Each row's id, less the first one.
    offsets: Box<[u16]>,
    blocks: Box<[Block]>,
}

impl Chunk {
    /// A change of one row copies this many.
    const MAX_ROWS: usize = 1024;
    const BLOCK_ROWS: usize = 64;

    fn new(rows: &[(i64, Row)]) -> Option<Self> {
        let first_id = rows.first()?.0;
        let offsets = rows.iter().map(|(id, _)| {
            let offset = u16::try_from(id.abs_diff(first_id));
            debug_assert!(offset.is_ok(), "piece() cuts before offsets grow too far");
            offset.unwrap_or(u16::MAX)
        });
        let offsets = offsets.collect();
        let rows: Box<[Row]> = rows.iter().map(|(_, row)| *row).collect();
        let blocks = rows
            .chunks(Self::BLOCK_ROWS)
            .map(|rows| Block {
                from: rows.iter().map(|row| row.from).min().unwrap_or(0),
                to: rows.iter().map(|row| row.to).max().unwrap_or(RUNNING),
                instances: (
                    rows.iter().map(|row| row.instance).min().unwrap_or(0),
                    rows.iter().map(|row| row.instance).max().unwrap_or(u32::MAX),
                ),
            })
            .collect();
        Some(Self { first_id, rows, offsets, blocks })
    }

    pub(super) fn first_id(&self) -> i64 {
        self.first_id
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn with_ids(&self) -> impl Iterator<Item = (i64, Row)> {
        let ids = self.offsets.iter().map(|offset| self.first_id + i64::from(*offset));
        ids.zip(self.rows.iter().copied())
    }

    pub(super) fn earliest(&self) -> Option<u32> {
        self.blocks.iter().map(|block| block.from).min()
    }

    /// The rows of all blocks that may overlap [start, end).
    pub(super) fn blocks_near(&self, start: i64, end: i64) -> impl Iterator<Item = Rows<'_>> {
        self.blocks.iter().zip(self.rows.chunks(Self::BLOCK_ROWS)).filter_map(
            move |(block, rows)| {
                let near = i64::from(block.from) < end
                    && (block.to == RUNNING || i64::from(block.to) > start);
                near.then_some(Rows { rows, instances: block.instances })
            },
        )
    }

    /// What stands in the place of `old` once `changes` (by id, each id once)
    /// are laid over it. `appended`: nothing lies behind, so that chunks are
    /// best filled up. `arrived` hears the instance of each row that was not
    /// there. `merged` is room to work in.
    pub(super) fn merge(
        old: Option<&Self>,
        changes: &[Change],
        appended: bool,
        merged: &mut Vec<(i64, Row)>,
        mut arrived: impl FnMut(u32),
    ) -> Vec<Self> {
        merged.clear();
        let mut standing = old.into_iter().flat_map(Self::with_ids).peekable();
        for (id, change) in changes {
            merged.extend(std::iter::from_fn(|| standing.next_if(|(standing, _)| standing < id)));
            let replaced = standing.next_if(|(standing, _)| standing == id);
            if let Some(row) = change {
                if replaced.is_none_or(|(_, old)| old.instance != row.instance) {
                    arrived(row.instance);
                }
                merged.push((*id, *row));
            }
        }
        merged.extend(standing);
        let wanted = if appended {
            Self::MAX_ROWS
        } else {
            let pieces = merged.len().div_ceil(Self::MAX_ROWS).max(1);
            merged.len().div_ceil(pieces)
        };
        let (mut chunks, mut left) = (Vec::new(), merged.as_slice());
        while !left.is_empty() {
            let piece = piece(left, wanted);
            chunks.extend(Self::new(piece));
            left = &left[piece.len()..];
        }
        chunks
    }
}

/// The head of `rows` that fits one chunk of at most `wanted` rows.
fn piece(rows: &[(i64, Row)], wanted: usize) -> &[(i64, Row)] {
    let Some((first, _)) = rows.first() else { return rows };
    let near = rows.partition_point(|(id, _)| id.abs_diff(*first) <= u64::from(u16::MAX));
    &rows[..near.min(wanted)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_made_only_of_what_it_can_tell_again() {
        let row = |user, shape| Row::new(1, 2, 3, user, shape).map(|row| (row.user(), row.shape()));
        for (user, shape, fits) in [
            (0, 0, true),
            ((1 << 19) - 1, (1 << 13) - 1, true),
            (1 << 19, 0, false),
            (0, 1 << 13, false),
            (u32::MAX, u32::MAX, false),
        ] {
            assert_eq!(row(user, shape), fits.then_some((user, shape)));
        }
    }
}
