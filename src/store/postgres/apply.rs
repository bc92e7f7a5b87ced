use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::{Row, Transaction};

use super::write::{write_instances, write_segments};
use crate::ledger::Changes;
use crate::store::plan::{Ground, KeptRow, Names, Plan};
use crate::store::{Applied, Error, Lease, RUNS_KEPT};

/// Either the value or why the transaction was given up.
type Outcome<T> = Result<Result<T, Error>, tokio_postgres::Error>;
type Asked<T> = Result<T, tokio_postgres::Error>;

pub(super) async fn apply(
    db: &mut Object,
    lease: &Lease,
    run: &str,
    changes: &Changes,
) -> Outcome<Applied> {
    let tx = db.transaction().await?;
    let mut revision = lock_ledger(&tx).await?;
    if let Err(lost) = held(&tx, lease).await? {
        return Ok(Err(lost));
    }
    if let Some(row) = tx.query_opt("SELECT revision FROM run WHERE id = $1", &[&run]).await? {
        return Ok(Ok(Applied::Before(row.try_get(0)?)));
    }
    let (cloud, listing) = cloud_row(&tx, &changes.cloud, &mut revision).await?;
    if listing != changes.listing {
        return Ok(Err(Error::Moved { cloud: changes.cloud.to_string() }));
    }
    let ground = lay_ground(&tx, cloud, &Names::of(changes), revision).await?;
    let Some(plan) = Plan::of(changes, &ground) else {
        return Ok(Err(Error::Spoiled("a name has no number".to_owned())));
    };
    write_instances(&tx, cloud, &plan).await?;
    write_segments(&tx, cloud, &plan).await?;
    tx.execute(
        "UPDATE cloud SET listing = $2, listed_at = $3, noticed_at = $4 WHERE id = $1",
        &[&cloud, &(listing + 1), &changes.at, &changes.now],
    )
    .await?;
    if let Some(gap) = changes.gap {
        tx.execute(
            "INSERT INTO gap (cloud, begins, ends) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[&cloud, &gap.start(), &gap.end()],
        )
        .await?;
    }
    tx.execute(
        "INSERT INTO run (id, cloud, listing, listed_at, revision) VALUES ($1, $2, $3, $4, $5)",
        &[&run, &cloud, &listing, &changes.at, &plan.revision],
    )
    .await?;
    tx.execute(
        "DELETE FROM run WHERE cloud = $1 AND listing < $2",
        &[&cloud, &(listing - RUNS_KEPT)],
    )
    .await?;
    write_revision(&tx, plan.revision).await?;
    tx.commit().await?;
    Ok(Ok(Applied::Now(plan.revision)))
}

pub(super) async fn set_staff(
    db: &mut Object,
    lease: &Lease,
    users: &[(i64, bool)],
) -> Outcome<()> {
    let tx = db.transaction().await?;
    let mut revision = lock_ledger(&tx).await?;
    if let Err(lost) = held(&tx, lease).await? {
        return Ok(Err(lost));
    }
    let statement = tx
        .prepare(
            "UPDATE account SET is_staff = $2, revision = $3
             WHERE id = $1 AND is_staff IS DISTINCT FROM $2",
        )
        .await?;
    for (id, is_staff) in users {
        let changed = tx.execute(&statement, &[id, is_staff, &(revision + 1)]).await?;
        revision += i64::from(changed > 0);
    }
    write_revision(&tx, revision).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// The database's clock, which all appliances share. Not now(): that stands
/// still while a transaction waits for a lock.
const NOW_MILLIS: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

pub(super) async fn take_lease(
    db: &Object,
    holder: &str,
    length: Duration,
) -> Asked<Option<Lease>> {
    let row = db
        .query_opt(
            &format!(
                "UPDATE lease SET epoch = epoch + 1, holder = $1, expires = {NOW_MILLIS} + $2
                 WHERE expires <= {NOW_MILLIS} OR holder = $1 RETURNING epoch"
            ),
            &[&holder, &millis(length)],
        )
        .await?;
    row.map(|row| Ok(Lease { holder: holder.to_owned(), epoch: row.try_get(0)? })).transpose()
}

pub(super) async fn extend_lease(db: &mut Object, lease: &Lease, length: Duration) -> Outcome<()> {
    let tx = db.transaction().await?;
    let changed = tx
        .execute(
            &format!("UPDATE lease SET expires = {NOW_MILLIS} + $2 WHERE epoch = $1"),
            &[&lease.epoch, &millis(length)],
        )
        .await?;
    if changed == 0 {
        return held(&tx, lease).await;
    }
    tx.commit().await?;
    Ok(Ok(()))
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

/// One writer at a time, until its commit is seen by all: a revision that is
/// given later is also committed later.
async fn lock_ledger(tx: &Transaction<'_>) -> Asked<i64> {
    tx.query_one("SELECT revision FROM ledger FOR UPDATE", &[]).await?.try_get(0)
}

/// Nobody takes the lease until this transaction ends.
async fn held(tx: &Transaction<'_>, lease: &Lease) -> Outcome<()> {
    let row = tx.query_one("SELECT epoch, holder FROM lease FOR SHARE", &[]).await?;
    let epoch: i64 = row.try_get(0)?;
    let holder = row.try_get(1)?;
    Ok(if epoch == lease.epoch { Ok(()) } else { Err(Error::LeaseLost { holder }) })
}

async fn write_revision(tx: &Transaction<'_>, revision: i64) -> Asked<()> {
    tx.execute("UPDATE ledger SET revision = $1", &[&revision]).await.map(drop)
}

async fn cloud_row(tx: &Transaction<'_>, name: &str, revision: &mut i64) -> Asked<(i64, i64)> {
    let found = tx.query_opt("SELECT id, listing FROM cloud WHERE name = $1", &[&name]).await?;
    if let Some(row) = found {
        return Ok((row.try_get(0)?, row.try_get(1)?));
    }
    *revision += 1;
    let row = tx
        .query_one(
            "INSERT INTO cloud (id, revision, name, listing)
             SELECT coalesce(max(id), 0) + 1, $1, $2, 0 FROM cloud RETURNING id",
            &[&*revision, &name],
        )
        .await?;
    Ok((row.try_get(0)?, 0))
}

async fn lay_ground(
    tx: &Transaction<'_>,
    cloud: i64,
    names: &Names,
    revision: i64,
) -> Asked<Ground> {
    let mut ground = Ground { revision, ..Ground::default() };
    number_accounts(tx, names, &mut ground).await?;
    number_flavors(tx, cloud, names, &mut ground).await?;
    let rows = tx
        .query(
            "SELECT revision, id, instance, account, flavor, vcpus, memory_mib, disk_gib, counted,
                    begins, begins_by, ends, ends_by, deleted
             FROM segment WHERE instance = ANY($1) AND NOT deleted ORDER BY id",
            &[&names.whole],
        )
        .await?;
    ground.segments = rows.iter().map(kept_row).collect::<Asked<_>>()?;
    ground.last_instance = last(tx, "instance").await?;
    ground.last_segment = last(tx, "segment").await?;
    Ok(ground)
}

async fn number_accounts(tx: &Transaction<'_>, names: &Names, ground: &mut Ground) -> Asked<()> {
    let wanted: Vec<&str> = names.accounts.iter().map(String::as_str).collect();
    let rows = tx.query("SELECT name, id FROM account WHERE name = ANY($1)", &[&wanted]).await?;
    for row in rows {
        ground.accounts.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let new: Vec<&str> =
        wanted.into_iter().filter(|name| !ground.accounts.contains_key(*name)).collect();
    let first = last(tx, "account").await? + 1;
    let ids: Vec<i64> = (first..).take(new.len()).collect();
    let revisions: Vec<i64> = (ground.revision + 1..).take(new.len()).collect();
    tx.execute(
        "INSERT INTO account (id, revision, name)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])",
        &[&ids, &revisions, &new],
    )
    .await?;
    ground.revision = revisions.last().copied().unwrap_or(ground.revision);
    ground.accounts.extend(new.into_iter().map(str::to_owned).zip(ids));
    Ok(())
}

async fn number_flavors(
    tx: &Transaction<'_>,
    cloud: i64,
    names: &Names,
    ground: &mut Ground,
) -> Asked<()> {
    for (key, name) in &names.flavors {
        let (key, name) = (key.as_str(), name.as_str());
        let found = tx
            .query_opt("SELECT id, name FROM flavor WHERE cloud = $1 AND key = $2", &[&cloud, &key])
            .await?;
        let next = ground.revision + 1;
        let id = match found {
            Some(row) if row.try_get::<_, &str>(1)? == name => row.try_get(0)?,
            Some(row) => {
                let id: i64 = row.try_get(0)?;
                tx.execute(
                    "UPDATE flavor SET revision = $2, name = $3 WHERE id = $1",
                    &[&id, &next, &name],
                )
                .await?;
                ground.revision = next;
                id
            }
            None => {
                let id = last(tx, "flavor").await? + 1;
                tx.execute(
                    "INSERT INTO flavor (id, revision, cloud, key, name) VALUES ($1, $2, $3, $4, $5)",
                    &[&id, &next, &cloud, &key, &name],
                )
                .await?;
                ground.revision = next;
                id
            }
        };
        ground.flavors.insert(key.to_owned(), id);
    }
    Ok(())
}

async fn last(tx: &Transaction<'_>, table: &str) -> Asked<i64> {
    let query = format!("SELECT coalesce(max(id), 0) FROM {table}");
    tx.query_one(&query, &[]).await?.try_get(0)
}

fn kept_row(row: &Row) -> Asked<KeptRow> {
    Ok(KeptRow {
        revision: row.try_get(0)?,
        id: row.try_get(1)?,
        instance: row.try_get(2)?,
        account: row.try_get(3)?,
        flavor: row.try_get(4)?,
        vcpus: row.try_get(5)?,
        memory_mib: row.try_get(6)?,
        disk_gib: row.try_get(7)?,
        counted: row.try_get(8)?,
        begins: row.try_get(9)?,
        begins_by: row.try_get(10)?,
        ends: row.try_get(11)?,
        ends_by: row.try_get(12)?,
        deleted: row.try_get(13)?,
    })
}
