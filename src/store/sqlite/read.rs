use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::ledger::{Roster, View};
use crate::model::{
    CloudRow, FlavorRow, GapRow, InstanceId, ListedRow, SegmentRow, UserRow, Window,
};
use crate::store::kept::{
    self, COLUMNS, CloudState, KnownRow, LastRow, ROSTER, Reading, RosterRow, TABLES,
};
use crate::store::{Error, MAX_GAPS, PAGE};

pub(super) fn revision(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT revision FROM ledger")?.query_row([], |row| row.get(0))
}

pub(super) fn segments_since(db: &Connection, revision: i64) -> rusqlite::Result<Vec<SegmentRow>> {
    db.prepare_cached(
        "SELECT revision, id, instance, account, cloud, flavor, vcpus, begins, ends, counted, deleted
         FROM segment WHERE revision > ?1 ORDER BY revision LIMIT ?2",
    )?
    .query_map(params![revision, PAGE], |row| {
        Ok(SegmentRow {
            revision: row.get(0)?,
            id: row.get(1)?,
            instance: row.get(2)?,
            user: row.get(3)?,
            cloud: row.get(4)?,
            flavor: row.get(5)?,
            vcpus: row.get(6)?,
            from: row.get(7)?,
            to: row.get(8)?,
            counted: row.get(9)?,
            deleted: row.get(10)?,
        })
    })?
    .collect()
}

pub(super) fn users_since(db: &Connection, revision: i64) -> rusqlite::Result<Vec<UserRow>> {
    db.prepare_cached(
        "SELECT revision, id, name, is_staff FROM account WHERE revision > ?1
         ORDER BY revision LIMIT ?2",
    )?
    .query_map(params![revision, PAGE], |row| {
        Ok(UserRow {
            revision: row.get(0)?,
            id: row.get(1)?,
            name: row.get(2)?,
            is_staff: row.get(3)?,
        })
    })?
    .collect()
}

pub(super) fn clouds_since(db: &Connection, revision: i64) -> rusqlite::Result<Vec<CloudRow>> {
    db.prepare_cached(
        "SELECT revision, id, name FROM cloud WHERE revision > ?1 ORDER BY revision LIMIT ?2",
    )?
    .query_map(params![revision, PAGE], |row| {
        Ok(CloudRow { revision: row.get(0)?, id: row.get(1)?, name: row.get(2)? })
    })?
    .collect()
}

pub(super) fn flavors_since(db: &Connection, revision: i64) -> rusqlite::Result<Vec<FlavorRow>> {
    db.prepare_cached(
        "SELECT revision, id, cloud, name FROM flavor WHERE revision > ?1
         ORDER BY revision LIMIT ?2",
    )?
    .query_map(params![revision, PAGE], |row| {
        Ok(FlavorRow {
            revision: row.get(0)?,
            id: row.get(1)?,
            cloud: row.get(2)?,
            name: row.get(3)?,
        })
    })?
    .collect()
}

pub(super) fn gaps(db: &Connection, window: Window) -> rusqlite::Result<Vec<GapRow>> {
    db.prepare_cached(
        "SELECT * FROM (SELECT cloud, begins, ends FROM gap WHERE begins < ?2 AND ends > ?1
                        ORDER BY begins DESC, cloud DESC LIMIT ?3)
         ORDER BY begins, cloud",
    )?
    .query_map(params![window.start(), window.end(), MAX_GAPS], |row| {
        Ok(GapRow { cloud: row.get(0)?, from: row.get(1)?, to: row.get(2)? })
    })?
    .collect()
}

pub(super) fn listed(db: &Connection) -> rusqlite::Result<Vec<ListedRow>> {
    db.prepare_cached(
        "SELECT id, name, listed_at, noticed_at FROM cloud
         WHERE listed_at IS NOT NULL AND noticed_at IS NOT NULL ORDER BY id",
    )?
    .query_map([], |row| {
        Ok(ListedRow {
            cloud: row.get(0)?,
            name: row.get(1)?,
            at: row.get(2)?,
            noticed: row.get(3)?,
        })
    })?
    .collect()
}

pub(super) fn roster(db: &mut Connection, cloud: &str) -> rusqlite::Result<Result<Roster, Error>> {
    let tx = db.transaction()?;
    let Some((id, state)) = cloud_state(&tx, cloud)? else { return Ok(Ok(Roster::default())) };
    let mut roster = Roster { last: state.last(), ..Roster::default() };
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {ROSTER} FROM instance WHERE cloud = ?1 AND gone_at IS NULL"
    ))?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let row = RosterRow {
            id: row.get(0)?,
            key: text(row, 1)?,
            missing_since: row.get(2)?,
            missing_ends: row.get(3)?,
        };
        if let Err(fault) = kept::enter(&mut roster, &row) {
            return Ok(Err(fault));
        }
    }
    Ok(Ok(roster))
}

/// `named`: the ids, with their creation, whose gone incarnations matter.
pub(super) fn view(
    db: &mut Connection,
    cloud: &str,
    named: &HashMap<InstanceId, Option<i64>>,
) -> rusqlite::Result<Result<View, Error>> {
    let tx = db.transaction()?;
    let found = cloud_state(&tx, cloud)?;
    let state = found.map(|(_, state)| state).unwrap_or_default();
    let mut reading = Reading::new(cloud, state, named);
    let Some((id, _)) = found else { return Ok(Ok(reading.done())) };
    let mut living = tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE i.cloud = ?1 AND i.gone_at IS NULL"
    ))?;
    let mut rows = living.query([id])?;
    while let Some(row) = rows.next()? {
        if let Err(fault) = reading.live(known_row(row)?) {
            return Ok(Err(fault));
        }
    }
    let mut departed = tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {TABLES}
         WHERE i.cloud = ?1 AND i.key = ?2 AND i.gone_at IS NOT NULL"
    ))?;
    for key in reading.others() {
        let mut rows = departed.query(params![id, key])?;
        while let Some(row) = rows.next()? {
            if let Err(fault) = reading.gone(known_row(row)?) {
                return Ok(Err(fault));
            }
        }
    }
    Ok(Ok(reading.done()))
}

fn cloud_state(tx: &Transaction<'_>, cloud: &str) -> rusqlite::Result<Option<(i64, CloudState)>> {
    tx.prepare_cached("SELECT id, listing, listed_at, noticed_at FROM cloud WHERE name = ?1")?
        .query_row([cloud], |row| {
            let state = CloudState {
                listing: row.get(1)?,
                listed_at: row.get(2)?,
                noticed_at: row.get(3)?,
            };
            Ok((row.get(0)?, state))
        })
        .optional()
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    Ok(row.get_ref(column)?.as_str()?)
}

fn known_row<'r>(row: &'r Row<'_>) -> rusqlite::Result<KnownRow<'r>> {
    let segment = match row.get(15)? {
        None => None,
        Some(id) => Some(LastRow {
            id,
            flavor_key: text(row, 16)?,
            flavor_name: text(row, 17)?,
            size: [row.get(18)?, row.get(19)?, row.get(20)?],
            counted: row.get(21)?,
            begins: row.get(22)?,
            begins_by: row.get(23)?,
            ends: row.get(24)?,
            ends_by: row.get(25)?,
        }),
    };
    Ok(KnownRow {
        id: row.get(0)?,
        key: text(row, 1)?,
        incarnation: row.get(2)?,
        created: row.get(3)?,
        owner: text(row, 4)?,
        owner_rank: row.get(5)?,
        name: text(row, 6)?,
        image: text(row, 7)?,
        status: text(row, 8)?,
        addresses: text(row, 9)?,
        missing: [row.get(10)?, row.get(11)?, row.get(12)?],
        gone_at: row.get(13)?,
        gone_explained: row.get(14)?,
        segment,
    })
}
