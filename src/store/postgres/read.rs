use std::collections::HashMap;
use std::pin::pin;

use deadpool_postgres::{Object, Transaction};
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::ledger::{Roster, View};
use crate::model::{
    CloudRow, FlavorRow, GapRow, InstanceId, ListedRow, SegmentRow, UserRow, Window,
};
use crate::store::kept::{
    self, COLUMNS, CloudState, KnownRow, LastRow, ROSTER, Reading, RosterRow, TABLES,
};
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

pub(super) async fn roster(db: &mut Object, cloud: &str) -> Asked<Result<Roster, Error>> {
    let tx = one_moment(db).await?;
    let Some((id, state)) = cloud_state(&tx, cloud).await? else {
        return Ok(Ok(Roster::default()));
    };
    let mut roster = Roster { last: state.last(), ..Roster::default() };
    let query = format!("SELECT {ROSTER} FROM instance WHERE cloud = $1 AND gone_at IS NULL");
    let entered = each(&tx, &query, &[&id], |row| {
        let row = RosterRow {
            id: row.try_get(0)?,
            key: row.try_get(1)?,
            missing_since: row.try_get(2)?,
            missing_ends: row.try_get(3)?,
        };
        Ok(kept::enter(&mut roster, &row))
    })
    .await?;
    Ok(entered.map(|()| roster))
}

/// `named`: the ids, with their creation, whose gone incarnations matter.
pub(super) async fn view(
    db: &mut Object,
    cloud: &str,
    named: &HashMap<InstanceId, Option<i64>>,
) -> Asked<Result<View, Error>> {
    let tx = one_moment(db).await?;
    let found = cloud_state(&tx, cloud).await?;
    let state = found.map(|(_, state)| state).unwrap_or_default();
    let mut reading = Reading::new(cloud, state, named);
    let Some((id, _)) = found else { return Ok(Ok(reading.done())) };
    let living = format!("SELECT {COLUMNS} FROM {TABLES} WHERE i.cloud = $1 AND i.gone_at IS NULL");
    let read = each(&tx, &living, &[&id], |row| Ok(reading.live(known_row(row)?))).await?;
    if let Err(fault) = read {
        return Ok(Err(fault));
    }
    let departed = format!(
        "SELECT {COLUMNS} FROM {TABLES}
         WHERE i.cloud = $1 AND i.key = ANY($2) AND i.gone_at IS NOT NULL"
    );
    for keys in reading.others().chunks(PAGE) {
        let take = |row: &Row| Ok(reading.gone(known_row(row)?));
        if let Err(fault) = each(&tx, &departed, &[&id, &keys], take).await? {
            return Ok(Err(fault));
        }
    }
    tx.commit().await?;
    Ok(Ok(reading.done()))
}

/// All its queries see one moment.
async fn one_moment(db: &mut Object) -> Asked<Transaction<'_>> {
    let transaction = db.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    transaction.read_only(true).start().await
}

async fn cloud_state(tx: &Transaction<'_>, cloud: &str) -> Asked<Option<(i64, CloudState)>> {
    const QUERY: &str = "SELECT id, listing, listed_at, noticed_at FROM cloud WHERE name = $1";
    let Some(row) = tx.query_opt(QUERY, &[&cloud]).await? else { return Ok(None) };
    let state = CloudState {
        listing: row.try_get(1)?,
        listed_at: row.try_get(2)?,
        noticed_at: row.try_get(3)?,
    };
    Ok(Some((row.try_get(0)?, state)))
}

/// Row by row: a large cloud's answer is not held twice.
async fn each(
    tx: &Transaction<'_>,
    query: &str,
    values: &[&(dyn ToSql + Sync)],
    mut take: impl FnMut(&Row) -> Asked<Result<(), Error>>,
) -> Asked<Result<(), Error>> {
    let mut rows = pin!(tx.query_raw(query, values.iter().copied()).await?);
    while let Some(row) = rows.try_next().await? {
        if let Err(fault) = take(&row)? {
            return Ok(Err(fault));
        }
    }
    Ok(Ok(()))
}

fn known_row(row: &Row) -> Asked<KnownRow<'_>> {
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
