use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ledger::View;
use crate::model::{CloudRow, FlavorRow, GapRow, ListedRow, SegmentRow, UserRow, Window};
use crate::store::kept::{self, COLUMNS, CloudState, KnownRow, LastRow, TABLES};
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

/// `named`: the ids, with their creation, whose gone incarnations matter.
pub(super) fn view(
    db: &mut Connection,
    cloud: &str,
    named: &[(String, Option<i64>)],
) -> rusqlite::Result<Result<View, Error>> {
    let tx = db.transaction()?;
    let found = tx
        .prepare_cached("SELECT id, listing, listed_at, noticed_at FROM cloud WHERE name = ?1")?
        .query_row([cloud], |row| {
            let state = CloudState {
                listing: row.get(1)?,
                listed_at: row.get(2)?,
                noticed_at: row.get(3)?,
            };
            Ok((row.get::<_, i64>(0)?, state))
        })
        .optional()?;
    let Some((id, state)) = found else {
        return Ok(kept::view(cloud, CloudState::default(), Vec::new(), Vec::new()));
    };
    let live = tx
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE i.cloud = ?1 AND i.gone_at IS NULL"
        ))?
        .query_map([id], known_row)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut gone = Vec::new();
    if !named.is_empty() {
        let living: std::collections::HashMap<&str, Option<i64>> =
            live.iter().map(|row| (row.key.as_str(), row.created)).collect();
        let mut statement = tx.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {TABLES}
             WHERE i.cloud = ?1 AND i.key = ?2 AND i.gone_at IS NOT NULL"
        ))?;
        for (key, created) in named {
            // Most ids of a listing are those of the living.
            if living.get(key.as_str()).is_none_or(|lives| lives != created) {
                for row in statement.query_map(params![id, key], known_row)? {
                    gone.push(row?);
                }
            }
        }
    }
    Ok(kept::view(cloud, state, live, gone))
}

fn known_row(row: &Row<'_>) -> rusqlite::Result<KnownRow> {
    let segment = match row.get(15)? {
        None => None,
        Some(id) => Some(LastRow {
            id,
            flavor_key: row.get(16)?,
            flavor_name: row.get(17)?,
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
        key: row.get(1)?,
        incarnation: row.get(2)?,
        created: row.get(3)?,
        owner: row.get(4)?,
        owner_rank: row.get(5)?,
        name: row.get(6)?,
        image: row.get(7)?,
        status: row.get(8)?,
        addresses: row.get(9)?,
        missing: [row.get(10)?, row.get(11)?, row.get(12)?],
        gone_at: row.get(13)?,
        gone_explained: row.get(14)?,
        segment,
    })
}
