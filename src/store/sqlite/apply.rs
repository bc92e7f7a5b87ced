use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, params};

use crate::ledger::Changes;
use crate::store::plan::{Ground, InstanceRow, KeptRow, Names, Plan};
use crate::store::{Applied, Error, Lease, RUNS_KEPT};

/// Either the value or why the transaction was given up.
type Outcome<T> = rusqlite::Result<Result<T, Error>>;

pub(super) fn apply(
    db: &mut Connection,
    lease: &Lease,
    run: &str,
    changes: &Changes,
) -> Outcome<Applied> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Err(lost) = held(&tx, lease)? {
        return Ok(Err(lost));
    }
    let before = tx
        .prepare_cached("SELECT revision FROM run WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    if let Some(revision) = before {
        return Ok(Ok(Applied::Before(revision)));
    }
    let mut revision = read_revision(&tx)?;
    let (cloud, listing) = cloud_row(&tx, &changes.cloud, &mut revision)?;
    if listing != changes.listing {
        return Ok(Err(Error::Moved { cloud: changes.cloud.to_string() }));
    }
    let ground = lay_ground(&tx, cloud, &Names::of(changes), revision)?;
    let Some(plan) = Plan::of(changes, &ground) else {
        return Ok(Err(Error::Spoiled("a name has no number".to_owned())));
    };
    write_instances(&tx, cloud, &plan)?;
    write_segments(&tx, cloud, &plan)?;
    tx.execute(
        "UPDATE cloud SET listing = ?2, listed_at = ?3, noticed_at = ?4 WHERE id = ?1",
        params![cloud, listing + 1, changes.at, changes.now],
    )?;
    if let Some(gap) = changes.gap {
        tx.execute(
            "INSERT OR IGNORE INTO gap (cloud, begins, ends) VALUES (?1, ?2, ?3)",
            params![cloud, gap.start(), gap.end()],
        )?;
    }
    tx.execute(
        "INSERT INTO run (id, cloud, listing, listed_at, revision) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run, cloud, listing, changes.at, plan.revision],
    )?;
    tx.execute("DELETE FROM run WHERE cloud = ?1 AND listing < ?2", [cloud, listing - RUNS_KEPT])?;
    write_revision(&tx, plan.revision)?;
    tx.commit()?;
    Ok(Ok(Applied::Now(plan.revision)))
}

pub(super) fn set_staff(db: &mut Connection, lease: &Lease, users: &[(i64, bool)]) -> Outcome<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Err(lost) = held(&tx, lease)? {
        return Ok(Err(lost));
    }
    let mut revision = read_revision(&tx)?;
    for (id, is_staff) in users {
        revision += i64::try_from(
            tx.prepare_cached(
                "UPDATE account SET is_staff = ?2, revision = ?3
                 WHERE id = ?1 AND is_staff IS NOT ?2",
            )?
            .execute(params![id, is_staff, revision + 1])?,
        )
        .unwrap_or_default();
    }
    write_revision(&tx, revision)?;
    tx.commit()?;
    Ok(Ok(()))
}

/// SQLite's clock is the host's; one file has one host.
const NOW_MILLIS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

pub(super) fn take_lease(
    db: &mut Connection,
    holder: String,
    length: Duration,
) -> Outcome<Option<Lease>> {
    let epoch = db
        .prepare_cached(&format!(
            "UPDATE lease SET epoch = epoch + 1, holder = ?1, expires = {NOW_MILLIS} + ?2
             WHERE expires <= {NOW_MILLIS} OR holder = ?1 RETURNING epoch"
        ))?
        .query_row(params![holder, millis(length)], |row| row.get(0))
        .optional()?;
    Ok(Ok(epoch.map(|epoch| Lease { holder, epoch })))
}

pub(super) fn extend_lease(db: &mut Connection, lease: &Lease, length: Duration) -> Outcome<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Err(lost) = held(&tx, lease)? {
        return Ok(Err(lost));
    }
    tx.execute(&format!("UPDATE lease SET expires = {NOW_MILLIS} + ?1"), [millis(length)])?;
    tx.commit()?;
    Ok(Ok(()))
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

fn held(tx: &Transaction<'_>, lease: &Lease) -> Outcome<()> {
    let (epoch, holder) = tx
        .prepare_cached("SELECT epoch, holder FROM lease")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    Ok(if epoch == lease.epoch { Ok(()) } else { Err(Error::LeaseLost { holder }) })
}

fn read_revision(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    tx.query_row("SELECT revision FROM ledger", [], |row| row.get(0))
}

fn write_revision(tx: &Transaction<'_>, revision: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE ledger SET revision = ?1", [revision]).map(drop)
}

fn cloud_row(tx: &Transaction<'_>, name: &str, revision: &mut i64) -> rusqlite::Result<(i64, i64)> {
    let found = tx
        .prepare_cached("SELECT id, listing FROM cloud WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some(found) = found {
        return Ok(found);
    }
    *revision += 1;
    tx.execute(
        "INSERT INTO cloud (revision, name, listing) VALUES (?1, ?2, 0)",
        params![*revision, name],
    )?;
    Ok((tx.last_insert_rowid(), 0))
}

fn lay_ground(
    tx: &Transaction<'_>,
    cloud: i64,
    names: &Names,
    mut revision: i64,
) -> rusqlite::Result<Ground> {
    let mut ground = Ground::default();
    for name in &names.accounts {
        let found = tx
            .prepare_cached("SELECT id FROM account WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                revision += 1;
                tx.prepare_cached("INSERT INTO account (revision, name) VALUES (?1, ?2)")?
                    .insert(params![revision, name])?
            }
        };
        ground.accounts.insert(name.clone(), id);
    }
    for (key, name) in &names.flavors {
        let (key, name) = (key.as_str(), name.as_str());
        let found = tx
            .prepare_cached("SELECT id, name FROM flavor WHERE cloud = ?1 AND key = ?2")?
            .query_row(params![cloud, key], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
            .optional()?;
        let id = match found {
            Some((id, kept)) if kept == name => id,
            Some((id, _)) => {
                revision += 1;
                tx.prepare_cached("UPDATE flavor SET revision = ?2, name = ?3 WHERE id = ?1")?
                    .execute(params![id, revision, name])?;
                id
            }
            None => {
                revision += 1;
                tx.prepare_cached(
                    "INSERT INTO flavor (revision, cloud, key, name) VALUES (?1, ?2, ?3, ?4)",
                )?
                .insert(params![revision, cloud, key, name])?
            }
        };
        ground.flavors.insert(key.to_owned(), id);
    }
    let mut segments = tx.prepare_cached(
        "SELECT revision, id, instance, account, flavor, vcpus, memory_mib, disk_gib, counted,
                begins, begins_by, ends, ends_by, deleted
         FROM segment WHERE instance = ?1 AND deleted = 0 ORDER BY id",
    )?;
    for instance in &names.whole {
        for row in segments.query_map([instance], kept_row)? {
            ground.segments.push(row?);
        }
    }
    let last = |table: &str| {
        tx.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))
    };
    ground.revision = revision;
    ground.last_instance = last("instance")?;
    ground.last_segment = last("segment")?;
    Ok(ground)
}

fn kept_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeptRow> {
    Ok(KeptRow {
        revision: row.get(0)?,
        id: row.get(1)?,
        instance: row.get(2)?,
        account: row.get(3)?,
        flavor: row.get(4)?,
        vcpus: row.get(5)?,
        memory_mib: row.get(6)?,
        disk_gib: row.get(7)?,
        counted: row.get(8)?,
        begins: row.get(9)?,
        begins_by: row.get(10)?,
        ends: row.get(11)?,
        ends_by: row.get(12)?,
        deleted: row.get(13)?,
    })
}

fn write_instances(tx: &Transaction<'_>, cloud: i64, plan: &Plan<'_>) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached(
        "UPDATE instance SET created = ?2, account = ?3, owner_rank = ?4, name = ?5, image = ?6,
            status = ?7, addresses = ?8, missing_since = ?9, missing_noticed = ?10,
            missing_ends = ?11, gone_at = ?12, gone_explained = ?13, last_segment = ?14
         WHERE id = ?1",
    )?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO instance (id, created, account, owner_rank, name, image, status, addresses,
            missing_since, missing_noticed, missing_ends, gone_at, gone_explained, last_segment,
            cloud, key, incarnation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    for row in plan.ended.iter().chain(&plan.updated) {
        update.execute(instance_values(row).as_slice())?;
    }
    for row in &plan.inserted {
        let mut values = instance_values(row).to_vec();
        values.extend::<[&dyn ToSql; 3]>([&cloud, &row.key, &row.incarnation]);
        insert.execute(values.as_slice())?;
    }
    Ok(())
}

fn instance_values<'a>(row: &'a InstanceRow<'_>) -> [&'a dyn ToSql; 14] {
    [
        &row.id,
        &row.created,
        &row.account,
        &row.owner_rank,
        &row.name,
        &row.image,
        &row.status,
        &row.addresses,
        &row.missing_since,
        &row.missing_noticed,
        &row.missing_ends,
        &row.gone_at,
        &row.gone_explained,
        &row.last_segment,
    ]
}

fn write_segments(tx: &Transaction<'_>, cloud: i64, plan: &Plan<'_>) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached(
        "UPDATE segment SET revision = ?2, account = ?3, flavor = ?4, vcpus = ?5, memory_mib = ?6,
            disk_gib = ?7, counted = ?8, begins = ?9, begins_by = ?10, ends = ?11, ends_by = ?12,
            deleted = ?13
         WHERE id = ?1",
    )?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO segment (id, revision, account, flavor, vcpus, memory_mib, disk_gib, counted,
            begins, begins_by, ends, ends_by, deleted, instance, cloud)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    for row in &plan.segments_updated {
        update.execute(segment_values(row).as_slice())?;
    }
    for row in &plan.segments_inserted {
        let mut values = segment_values(row).to_vec();
        values.extend::<[&dyn ToSql; 2]>([&row.instance, &cloud]);
        insert.execute(values.as_slice())?;
    }
    Ok(())
}

fn segment_values(row: &KeptRow) -> [&dyn ToSql; 13] {
    [
        &row.id,
        &row.revision,
        &row.account,
        &row.flavor,
        &row.vcpus,
        &row.memory_mib,
        &row.disk_gib,
        &row.counted,
        &row.begins,
        &row.begins_by,
        &row.ends,
        &row.ends_by,
        &row.deleted,
    ]
}
