//! The statements on metrics.db. Each row is written with its checksum and
//! proved when it is read.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::batch::Position;
use super::checksum::{self, Table, sum};

/// One point of the journal: series, slot and value.
pub(super) type Journalled = (u32, u32, f64);

const POINT_BYTES: usize = 16;
const POINTS_A_ROW: usize = 65_536;

/// The row is not what was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

#[derive(Clone, Copy)]
pub(super) enum Meta {
    /// Seconds.
    Step,
    /// The first run of ids that was never given out.
    NextRun,
    /// The number of the next seal.
    NextSeal,
    /// When the last seal was done, in UTC seconds.
    LastSeal,
}

impl Meta {
    fn key(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::NextRun => "next_run",
            Self::NextSeal => "next_seal",
            Self::LastSeal => "last_seal",
        }
    }

    fn sum(self, value: i64) -> u32 {
        sum(Table::Meta, &[value], self.key().as_bytes())
    }
}

/// A row that nothing works without: one that is broken is damage of the file.
fn vital(table: &str) -> rusqlite::Error {
    let reason = format!("a row of the table {table} is missing or has a wrong checksum");
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(corrupt, Some(reason))
}

/// None in a new file only.
pub(super) fn step(db: &Connection) -> rusqlite::Result<Option<i64>> {
    let rows: i64 = db.query_row(
        "SELECT (SELECT count(*) FROM meta) + EXISTS (SELECT 1 FROM series)",
        [],
        |row| row.get(0),
    )?;
    if rows == 0 { Ok(None) } else { meta(db, Meta::Step).map(Some) }
}

pub(super) fn meta(db: &Connection, meta: Meta) -> rusqlite::Result<i64> {
    let row = db
        .prepare_cached("SELECT value, sum FROM meta WHERE key = ?1")?
        .query_row([meta.key()], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?)))
        .optional()?;
    match row {
        Some((value, sum)) if sum == meta.sum(value) => Ok(value),
        _ => Err(vital("meta")),
    }
}

pub(super) fn set_meta(db: &Connection, meta: Meta, value: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value, sum) VALUES (?1, ?2, ?3)")?
        .execute(params![meta.key(), value, meta.sum(value)])?;
    Ok(())
}

fn series_sum(id: u32, newest: u32, path: &str) -> u32 {
    sum(Table::Series, &[id.into(), newest.into()], path.as_bytes())
}

pub(super) fn put_series(
    db: &Connection,
    id: u32,
    path: &str,
    newest: u32,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO series (id, path, newest, sum) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![id, path, newest, series_sum(id, newest, path)])?;
    Ok(())
}

pub(super) fn delete_series(db: &Connection, id: u32) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM series WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn series_count(db: &Connection) -> rusqlite::Result<usize> {
    db.query_row("SELECT count(*) FROM series", [], |row| row.get(0))
}

/// Every series by id: its id, path and newest slot.
pub(super) fn each_series(
    db: &Connection,
    mut each: impl FnMut(Result<(u32, &str, u32), Broken>),
) -> rusqlite::Result<()> {
    let mut statement = db.prepare("SELECT id, path, newest, sum FROM series ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A type or a range that was never written is a broken row as well.
        let read = (|| {
            let (id, newest): (u32, u32) = (row.get(0).ok()?, row.get(2).ok()?);
            let path = row.get_ref(1).ok()?.as_str().ok()?;
            let sum: u32 = row.get(3).ok()?;
            (sum == series_sum(id, newest, path)).then_some((id, path, newest))
        })();
        each(read.ok_or(Broken));
    }
    Ok(())
}

pub(super) fn append_journal(tx: &Transaction<'_>, points: &[Journalled]) -> rusqlite::Result<()> {
    let last: i64 = journal_end(tx)?;
    let mut insert = tx.prepare_cached("INSERT INTO journal (seq, points) VALUES (?1, ?2)")?;
    for (seq, row) in (last + 1..).zip(points.chunks(POINTS_A_ROW)) {
        let mut bytes = Vec::with_capacity(row.len() * POINT_BYTES + 4);
        for (series, slot, value) in row {
            bytes.extend_from_slice(&series.to_le_bytes());
            bytes.extend_from_slice(&slot.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        insert.execute(params![seq, checksum::seal(Table::Journal, &[seq], bytes)])?;
    }
    Ok(())
}

/// The last row's number; 0 where there is none.
pub(super) fn journal_end(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM journal")?.query_row([], |row| row.get(0))
}

/// Every point, in order of arrival. One call for each broken row.
pub(super) fn each_journalled(
    db: &Connection,
    mut each: impl FnMut(Result<Journalled, Broken>),
) -> rusqlite::Result<()> {
    let mut statement = db.prepare("SELECT seq, points FROM journal ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let Some(bytes) = checksum::open(Table::Journal, &[seq], blob(row, 1)?) else {
            each(Err(Broken));
            continue;
        };
        for point in bytes.as_chunks::<POINT_BYTES>().0 {
            let [a, b, c, d, e, f, g, h, value @ ..] = *point;
            let series = u32::from_le_bytes([a, b, c, d]);
            let slot = u32::from_le_bytes([e, f, g, h]);
            each(Ok((series, slot, f64::from_le_bytes(value))));
        }
    }
    Ok(())
}

pub(super) fn trim_journal(db: &Connection, through: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM journal WHERE seq <= ?1", [through])?;
    Ok(())
}

fn position_sum(file: &str, offset: i64) -> u32 {
    sum(Table::Position, &[offset], file.as_bytes())
}

pub(super) fn put_position(db: &Connection, position: &Position) -> rusqlite::Result<()> {
    // No file is larger.
    let offset = i64::try_from(position.offset).unwrap_or(i64::MAX);
    db.prepare_cached("INSERT OR REPLACE INTO position (file, offset, sum) VALUES (?1, ?2, ?3)")?
        .execute(params![position.file, offset, position_sum(&position.file, offset)])?;
    Ok(())
}

pub(super) fn delete_position(db: &Connection, file: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM position WHERE file = ?1")?.execute([file])?;
    Ok(())
}

pub(super) fn positions(db: &Connection) -> rusqlite::Result<Vec<Position>> {
    let mut statement =
        db.prepare_cached("SELECT file, offset, sum FROM position ORDER BY file")?;
    let rows = statement.query_map([], |row| {
        let (file, offset): (String, i64) = (row.get(0)?, row.get(1)?);
        if row.get::<_, u32>(2)? != position_sum(&file, offset) {
            return Err(vital("position"));
        }
        Ok(Position { file, offset: offset.unsigned_abs() })
    })?;
    rows.collect()
}

/// A day in which a seal wrote rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub number: i64,
    pub block: u32,
}

pub(super) fn put_sealed(db: &Connection, sealed: Sealed) -> rusqlite::Result<()> {
    let sum = sum(Table::Seal, &[sealed.number, sealed.block.into()], &[]);
    db.prepare_cached("INSERT OR REPLACE INTO seal (number, block, sum) VALUES (?1, ?2, ?3)")?
        .execute(params![sealed.number, sealed.block, sum])?;
    Ok(())
}

pub(super) fn delete_sealed(db: &Connection, block: u32) -> rusqlite::Result<()> {
    db.execute("DELETE FROM seal WHERE block = ?1", [block])?;
    Ok(())
}

/// By number.
pub(super) fn sealed(db: &Connection) -> rusqlite::Result<Vec<Sealed>> {
    let mut statement =
        db.prepare_cached("SELECT number, block, sum FROM seal ORDER BY number, block")?;
    let rows = statement.query_map([], |row| {
        let one = Sealed { number: row.get(0)?, block: row.get(1)? };
        let right = sum(Table::Seal, &[one.number, one.block.into()], &[]);
        if row.get::<_, u32>(2)? == right { Ok(one) } else { Err(vital("seal")) }
    })?;
    rows.collect()
}

/// Where the bytes of a series' points in a day are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Segment(i64),
    Block,
}

pub(super) fn put_points(
    tx: &Transaction<'_>,
    home: Home,
    block: u32,
    series: u32,
    data: Vec<u8>,
) -> rusqlite::Result<()> {
    let data = checksum::seal(home.table(), &home.key(block, series), data);
    match home {
        Home::Segment(number) => tx
            .prepare_cached("INSERT OR REPLACE INTO segment (number, series, block, data) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![number, series, block, data]),
        Home::Block => tx
            .prepare_cached("INSERT OR REPLACE INTO block (block, series, data) VALUES (?1, ?2, ?3)")?
            .execute(params![block, series, data]),
    }?;
    Ok(())
}

impl Home {
    fn table(self) -> Table {
        match self {
            Self::Segment(_) => Table::Segment,
            Self::Block => Table::Block,
        }
    }

    fn key(self, block: u32, series: u32) -> [i64; 3] {
        let number = if let Self::Segment(number) = self { number } else { 0 };
        [number, series.into(), block.into()]
    }
}

/// Which rows of one day are read: of series in a range, by id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub block: u32,
    pub first: u32,
    /// Belongs to it.
    pub last: u32,
    pub limit: usize,
}

/// Calls with each series and its bytes; tells how many rows there were.
pub(super) fn each_points(
    db: &Connection,
    home: Home,
    range: Range,
    mut each: impl FnMut(u32, Result<&[u8], Broken>),
) -> rusqlite::Result<usize> {
    const OF_SEGMENT: &str = "SELECT series, data FROM segment
        WHERE number = ?1 AND series BETWEEN ?2 AND ?3 AND block = ?4 ORDER BY series LIMIT ?5";
    const OF_BLOCK: &str = "SELECT series, data FROM block
        WHERE block = ?1 AND series BETWEEN ?2 AND ?3 ORDER BY series LIMIT ?4";
    let Range { block, first, last, limit } = range;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(match home {
        Home::Segment(_) => OF_SEGMENT,
        Home::Block => OF_BLOCK,
    })?;
    let mut rows = match home {
        Home::Segment(number) => statement.query(params![number, first, last, block, limit])?,
        Home::Block => statement.query(params![block, first, last, limit])?,
    };
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        let series: u32 = row.get(0)?;
        let bytes = checksum::open(home.table(), &home.key(block, series), blob(row, 1)?);
        each(series, bytes.ok_or(Broken));
    }
    Ok(count)
}

/// A value of another type than was written has no bytes, and so no checksum
/// that is right.
fn blob<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(row.get_ref(column)?.as_bytes().unwrap_or_default())
}

/// Deletes some of the oldest day's rows; false where none are left.
pub(super) fn delete_some_of_block(
    db: &Connection,
    block: u32,
    count: usize,
) -> rusqlite::Result<bool> {
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let next: Option<u32> = db
        .prepare_cached(
            "SELECT series FROM block WHERE block = ?1 ORDER BY series LIMIT 1 OFFSET ?2",
        )?
        .query_row(params![block, limit], |row| row.get(0))
        .optional()?;
    match next {
        Some(next) => db
            .prepare_cached("DELETE FROM block WHERE block = ?1 AND series < ?2")?
            .execute(params![block, next])?,
        None => db.prepare_cached("DELETE FROM block WHERE block = ?1")?.execute([block])?,
    };
    Ok(next.is_some())
}

pub(super) fn oldest_block(db: &Connection) -> rusqlite::Result<Option<u32>> {
    db.prepare_cached("SELECT min(block) FROM block")?.query_row([], |row| row.get(0))
}

/// The days that blocks are of, in order. A seek each.
pub(super) fn blocks(db: &Connection) -> rusqlite::Result<Vec<u32>> {
    let mut next = db.prepare_cached("SELECT min(block) FROM block WHERE block > ?1")?;
    let mut found = Vec::new();
    let mut last = -1_i64;
    while let Some(block) = next.query_row([last], |row| row.get::<_, Option<u32>>(0))? {
        found.push(block);
        last = block.into();
    }
    Ok(found)
}

/// The numbers that rows of segment have. A seek each.
pub(super) fn segments(db: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut next = db.prepare_cached("SELECT min(number) FROM segment WHERE number > ?1")?;
    let mut found = Vec::new();
    let mut last = i64::MIN;
    while let Some(number) = next.query_row([last], |row| row.get::<_, Option<i64>>(0))? {
        found.push(number);
        last = number;
    }
    Ok(found)
}

/// Deletes some rows of a segment; false where none are left.
pub(super) fn delete_some_of_segment(
    db: &Connection,
    number: i64,
    count: usize,
) -> rusqlite::Result<bool> {
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let next: Option<i64> = db
        .prepare_cached(
            "SELECT series FROM segment WHERE number = ?1 ORDER BY series LIMIT 1 OFFSET ?2",
        )?
        .query_row(params![number, limit], |row| row.get(0))
        .optional()?;
    match next {
        Some(next) => db
            .prepare_cached("DELETE FROM segment WHERE number = ?1 AND series <= ?2")?
            .execute(params![number, next])?,
        None => db.prepare_cached("DELETE FROM segment WHERE number = ?1")?.execute([number])?,
    };
    Ok(next.is_some())
}

/// Deletes what series in a range of ids have in one place.
pub(super) fn delete_points(
    db: &Connection,
    home: Home,
    block: u32,
    first: u32,
    last: u32,
) -> rusqlite::Result<()> {
    match home {
        Home::Segment(number) => db
            .prepare_cached("DELETE FROM segment WHERE number = ?1 AND series BETWEEN ?2 AND ?3")?
            .execute(params![number, first, last])?,
        Home::Block => db
            .prepare_cached("DELETE FROM block WHERE block = ?1 AND series BETWEEN ?2 AND ?3")?
            .execute(params![block, first, last])?,
    };
    Ok(())
}
