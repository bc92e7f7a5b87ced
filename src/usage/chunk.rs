//! The segments themselves: sorted by id, in chunks that never change once
//! they are built.

/// The end of a segment that runs.
pub(super) const RUNNING: u32 = u32::MAX;

/// 20 bytes a segment; what does not fit is kept apart as an odd one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) from: u32,
    /// After `from`, or [`RUNNING`].
    pub(super) to: u32,
    pub(super) instance: u32,
    pub(super) user: u32,
    pub(super) shape: u16,
    /// The segment's id, less the chunk's first.
    offset: u16,
}

impl Row {
    pub(super) fn new(from: u32, to: u32, instance: u32, user: u32, shape: u16) -> Self {
        Self { from, to, instance, user, shape, offset: 0 }
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
    blocks: Box<[Block]>,
}

impl Chunk {
    /// A change of one row copies this many.
    const MAX_ROWS: usize = 4096;
    const BLOCK_ROWS: usize = 64;

    fn new(rows: &[(i64, Row)]) -> Option<Self> {
        let first_id = rows.first()?.0;
        let rows: Box<[Row]> = rows
            .iter()
            .map(|(id, row)| {
                let offset = u16::try_from(id.abs_diff(first_id));
                debug_assert!(offset.is_ok(), "piece() cuts before offsets grow too far");
                Row { offset: offset.unwrap_or(u16::MAX), ..*row }
            })
            .collect();
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
        Some(Self { first_id, rows, blocks })
    }

    pub(super) fn first_id(&self) -> i64 {
        self.first_id
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
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
        let (first_id, mut standing) = old.map_or((0, &[][..]), |old| (old.first_id, &old.rows));
        let with_id = |row: &Row| (first_id + i64::from(row.offset), *row);
        for (id, change) in changes {
            let before = standing.partition_point(|row| with_id(row).0 < *id);
            merged.extend(standing[..before].iter().map(with_id));
            standing = &standing[before..];
            let replaced = standing.first().filter(|row| with_id(row).0 == *id);
            standing = &standing[usize::from(replaced.is_some())..];
            if let Some(row) = change {
                if replaced.is_none_or(|old| old.instance != row.instance) {
                    arrived(row.instance);
                }
                merged.push((*id, *row));
            }
        }
        merged.extend(standing.iter().map(with_id));
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
