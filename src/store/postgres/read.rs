use std::collections::HashMap;

use deadpool_postgres::Object;
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row, Transaction};

use crate::ledger::View;
use crate::model::{CloudRow, FlavorRow, GapRow, ListedRow, SegmentRow, UserRow, Window};
use crate::store::kept::{self, COLUMNS, CloudState, KnownRow, LastRow, TABLES};
use crate::store::{Error, MAX_GAPS, PAGE};

type Asked<T> = Result<T, tokio_postgres::Error>;

/// The page's size as the server takes it.
const LIMIT: i64 = PAGE as i64;

pub(super) async fn revision(db: &Object) -> Asked<i64> {
    let statement = db.prepare_cached("SELECT revision FROM ledger").await?;
    db.query_one(&statement, &[]).await?.try_get(0)
}

pub(super) async fn segments_since(db: &Object, revision: i64) -> Asked<Vec<SegmentRow>> {
    let statement = db
        .prepare_cached(
            "SELECT revision, id, instance, account, cloud, flavor, vcpus, begins, ends, counted, deleted
             FROM segment WHERE revision > $1 ORDER BY revision LIMIT $2",
        )
        .await?;
    let rows = db.query(&statement, &[&revision, &LIMIT]).await?;
    rows.iter()
        .map(|row| {
            Ok(SegmentRow {
                revision: row.try_get(0)?,
                id: row.try_get(1)?,
                instance: row.try_get(2)?,
                user: row.try_get(3)?,
                cloud: row.try_get(4)?,
                flavor: row.try_get(5)?,
                vcpus: row.try_get::<_, Option<i64>>(6)?.and_then(|n| u32::try_from(n).ok()),
                from: row.try_get(7)?,
                to: row.try_get(8)?,
                counted: row.try_get(9)?,
                deleted: row.try_get(10)?,
            })
        })
        .collect()
}

pub(super) async fn users_since(db: &Object, revision: i64) -> Asked<Vec<UserRow>> {
    let statement = db
        .prepare_cached(
            "SELECT revision, id, name, is_staff FROM account WHERE revision > $1
             ORDER BY revision LIMIT $2",
        )
        .await?;
    let rows = db.query(&statement, &[&revision, &LIMIT]).await?;
    rows.iter()
        .map(|row| {
            Ok(UserRow {
                revision: row.try_get(0)?,
                id: row.try_get(1)?,
                name: row.try_get(2)?,
                is_staff: row.try_get(3)?,
            })
        })
        .collect()
}

pub(super) async fn clouds_since(db: &Object, revision: i64) -> Asked<Vec<CloudRow>> {
    let statement = db
        .prepare_cached(
            "SELECT revision, id, name FROM cloud WHERE revision > $1 ORDER BY revision LIMIT $2",
        )
        .await?;
    let rows = db.query(&statement, &[&revision, &LIMIT]).await?;
    rows.iter()
        .map(|row| {
            Ok(CloudRow { revision: row.try_get(0)?, id: row.try_get(1)?, name: row.try_get(2)? })
        })
        .collect()
}

pub(super) async fn flavors_since(db: &Object, revision: i64) -> Asked<Vec<FlavorRow>> {
    let statement = db
        .prepare_cached(
            "SELECT revision, id, cloud, name FROM flavor WHERE revision > $1
             ORDER BY revision LIMIT $2",
        )
        .await?;
    let rows = db.query(&statement, &[&revision, &LIMIT]).await?;
    rows.iter()
        .map(|row| {
            Ok(FlavorRow {
                revision: row.try_get(0)?,
                id: row.try_get(1)?,
                cloud: row.try_get(2)?,
                name: row.try_get(3)?,
            })
        })
        .collect()
}

pub(super) async fn gaps(db: &Object, window: Window) -> Asked<Vec<GapRow>> {
    let statement = db
        .prepare_cached(
            "SELECT * FROM (SELECT cloud, begins, ends FROM gap WHERE begins < $2 AND ends > $1
                            ORDER BY begins DESC, cloud DESC LIMIT $3) AS latest
             ORDER BY begins, cloud",
        )
        .await?;
    let limit = i64::try_from(MAX_GAPS).unwrap_or(i64::MAX);
    let rows = db.query(&statement, &[&window.start(), &window.end(), &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(GapRow { cloud: row.try_get(0)?, from: row.try_get(1)?, to: row.try_get(2)? })
        })
        .collect()
}

pub(super) async fn listed(db: &Object) -> Asked<Vec<ListedRow>> {
    let statement = db
        .prepare_cached(
            "SELECT id, name, listed_at, noticed_at FROM cloud
             WHERE listed_at IS NOT NULL AND noticed_at IS NOT NULL ORDER BY id",
        )
        .await?;
    let rows = db.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(ListedRow {
                cloud: row.try_get(0)?,
                name: row.try_get(1)?,
                at: row.try_get(2)?,
                noticed: row.try_get(3)?,
            })
        })
        .collect()
}

/// `named`: the ids, with their creation, whose gone incarnations matter.
pub(super) async fn view(
    db: &mut Object,
    cloud: &str,
    named: &[(&str, Option<i64>)],
) -> Asked<Result<View, Error>> {
    // All queries see one moment.
    let tx = db
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let found = tx
        .query_opt(
            "SELECT id, listing, listed_at, noticed_at FROM cloud WHERE name = $1",
            &[&cloud],
        )
        .await?;
    let Some(row) = found else {
        return Ok(kept::view(cloud, CloudState::default(), Vec::new(), Vec::new()));
    };
    let id: i64 = row.try_get(0)?;
    let state = CloudState {
        listing: row.try_get(1)?,
        listed_at: row.try_get(2)?,
        noticed_at: row.try_get(3)?,
    };
    let living = format!("SELECT {COLUMNS} FROM {TABLES} WHERE i.cloud = $1 AND i.gone_at IS NULL");
    let live = known_rows(&tx, &living, &[&id]).await?;
    let lives: HashMap<&str, Option<i64>> =
        live.iter().map(|row| (row.key.as_str(), row.created)).collect();
    // Most ids of a listing are those of the living.
    let others: Vec<&str> = named
        .iter()
        .filter(|(key, created)| lives.get(key).is_none_or(|lives| lives != created))
        .map(|(key, _)| *key)
        .collect();
    let departed = format!(
        "SELECT {COLUMNS} FROM {TABLES}
         WHERE i.cloud = $1 AND i.key = ANY($2) AND i.gone_at IS NOT NULL"
    );
    let mut gone = Vec::new();
    for keys in others.chunks(PAGE) {
        gone.extend(known_rows(&tx, &departed, &[&id, &keys]).await?);
    }
    tx.commit().await?;
    Ok(kept::view(cloud, state, live, gone))
}

/// Row by row: a large cloud's answer is not held twice.
async fn known_rows(
    tx: &Transaction<'_>,
    query: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Asked<Vec<KnownRow>> {
    let rows = tx.query_raw(query, values.iter().copied()).await?;
    rows.and_then(|row| std::future::ready(known_row(&row))).try_collect().await
}

fn known_row(row: &Row) -> Asked<KnownRow> {
    let segment = match row.try_get(15)? {
        None => None,
        Some(id) => Some(LastRow {
            id,
            flavor_key: row.try_get(16)?,
            flavor_name: row.try_get(17)?,
            size: [row.try_get(18)?, row.try_get(19)?, row.try_get(20)?],
            counted: row.try_get(21)?,
            begins: row.try_get(22)?,
            begins_by: row.try_get(23)?,
            ends: row.try_get(24)?,
            ends_by: row.try_get(25)?,
        }),
    };
    Ok(KnownRow {
        id: row.try_get(0)?,
        key: row.try_get(1)?,
        incarnation: row.try_get(2)?,
        created: row.try_get(3)?,
        owner: row.try_get(4)?,
        owner_rank: row.try_get(5)?,
        name: row.try_get(6)?,
        image: row.try_get(7)?,
        status: row.try_get(8)?,
        addresses: row.try_get(9)?,
        missing: [row.try_get(10)?, row.try_get(11)?, row.try_get(12)?],
        gone_at: row.try_get(13)?,
        gone_explained: row.try_get(14)?,
        segment,
    })
}
