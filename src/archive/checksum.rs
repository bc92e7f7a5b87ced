//! Proof that a row is what was written, key and all.

/// Tells rows of different tables apart.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Table {
    Meta = 1,
    Series = 2,
    Position = 3,
    Journal = 4,
    Seal = 5,
    Segment = 6,
    Block = 7,
}

const SUM_BYTES: usize = 4;

pub(super) fn sum(table: Table, key: &[i64], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[table as u8]);
    for number in key {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(bytes);
    hasher.finalize()
}

/// Appends the checksum to a blob.
pub(super) fn seal(table: Table, key: &[i64], mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = sum(table, key, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The blob without its checksum, where that is right.
pub(super) fn open<'b>(table: Table, key: &[i64], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (body, tail) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
    (sum(table, key, body).to_le_bytes() == tail).then_some(body)
}
