//! Many rows in one statement: a first listing has 100,000 of them, and a
//! round trip each would take a minute.

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::store::plan::{InstanceRow, KeptRow, Plan};

type Asked<T> = Result<T, tokio_postgres::Error>;

/// Rows in one statement, which bounds its memory on both sides.
const BATCH: usize = 5_000;

const UPDATE_INSTANCES: &str =
    "UPDATE instance t SET created = v.created, account = v.account, owner_rank = v.owner_rank,
        name = v.name, image = v.image, status = v.status, addresses = v.addresses,
        missing_since = v.missing_since, missing_noticed = v.missing_noticed,
        missing_ends = v.missing_ends, gone_at = v.gone_at,
        gone_explained = v.gone_explained, last_segment = v.last_segment
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::bigint[], $13::boolean[], $14::bigint[])
        AS v(id, created, account, owner_rank, name, image, status, addresses,
        missing_since, missing_noticed, missing_ends, gone_at, gone_explained,
        last_segment)
     WHERE t.id = v.id";
const INSERT_INSTANCES: &str =
    "INSERT INTO instance (id, created, account, owner_rank, name, image, status, addresses,
        missing_since, missing_noticed, missing_ends, gone_at, gone_explained,
        last_segment, key, incarnation, cloud)
     SELECT v.*, $17::bigint FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::bigint[], $13::boolean[], $14::bigint[], $15::text[], $16::bigint[])
        AS v";
const UPDATE_SEGMENTS: &str =
    "UPDATE segment t SET revision = v.revision, account = v.account, flavor = v.flavor, vcpus = v.vcpus,
        memory_mib = v.memory_mib, disk_gib = v.disk_gib, counted = v.counted,
        begins = v.begins, begins_by = v.begins_by, ends = v.ends, ends_by = v.ends_by,
        deleted = v.deleted
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
        $6::bigint[], $7::bigint[], $8::boolean[], $9::bigint[], $10::bigint[],
        $11::bigint[], $12::bigint[], $13::boolean[])
        AS v(id, revision, account, flavor, vcpus, memory_mib, disk_gib, counted, begins,
        begins_by, ends, ends_by, deleted)
     WHERE t.id = v.id";
const INSERT_SEGMENTS: &str =
    "INSERT INTO segment (id, revision, account, flavor, vcpus, memory_mib, disk_gib, counted, begins,
        begins_by, ends, ends_by, deleted, instance, cloud)
     SELECT v.*, $15::bigint FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
        $6::bigint[], $7::bigint[], $8::boolean[], $9::bigint[], $10::bigint[],
        $11::bigint[], $12::bigint[], $13::boolean[], $14::bigint[])
        AS v";

pub(super) async fn write_instances(
    tx: &Transaction<'_>,
    cloud: i64,
    plan: &Plan<'_>,
) -> Asked<()> {
    // Apart and in this order: what ends lets go of its id.
    for rows in plan.ended.chunks(BATCH).chain(plan.updated.chunks(BATCH)) {
        tx.execute(UPDATE_INSTANCES, &InstanceColumns::of(rows).values()).await?;
    }
    for rows in plan.inserted.chunks(BATCH) {
        let columns = InstanceColumns::of(rows);
        let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
        let incarnations: Vec<i64> = rows.iter().map(|row| row.incarnation).collect();
        let mut values = columns.values().to_vec();
        values.extend::<[&(dyn ToSql + Sync); 3]>([&keys, &incarnations, &cloud]);
        tx.execute(INSERT_INSTANCES, &values).await?;
    }
    Ok(())
}

pub(super) async fn write_segments(tx: &Transaction<'_>, cloud: i64, plan: &Plan<'_>) -> Asked<()> {
    for rows in plan.segments_updated.chunks(BATCH) {
        tx.execute(UPDATE_SEGMENTS, &SegmentColumns::of(rows).values()).await?;
    }
    for rows in plan.segments_inserted.chunks(BATCH) {
        let columns = SegmentColumns::of(rows);
        let instances: Vec<i64> = rows.iter().map(|row| row.instance).collect();
        let mut values = columns.values().to_vec();
        values.extend::<[&(dyn ToSql + Sync); 2]>([&instances, &cloud]);
        tx.execute(INSERT_SEGMENTS, &values).await?;
    }
    Ok(())
}

struct InstanceColumns<'a> {
    id: Vec<i64>,
    created: Vec<Option<i64>>,
    account: Vec<i64>,
    owner_rank: Vec<i64>,
    name: Vec<&'a str>,
    image: Vec<&'a str>,
    status: Vec<&'a str>,
    addresses: Vec<&'a str>,
    missing_since: Vec<Option<i64>>,
    missing_noticed: Vec<Option<i64>>,
    missing_ends: Vec<Option<i64>>,
    gone_at: Vec<Option<i64>>,
    gone_explained: Vec<bool>,
    last_segment: Vec<Option<i64>>,
}

impl<'a> InstanceColumns<'a> {
    fn of(rows: &'a [InstanceRow<'_>]) -> Self {
        Self {
            id: rows.iter().map(|row| row.id).collect(),
            created: rows.iter().map(|row| row.created).collect(),
            account: rows.iter().map(|row| row.account).collect(),
            owner_rank: rows.iter().map(|row| row.owner_rank).collect(),
            name: rows.iter().map(|row| row.name).collect(),
            image: rows.iter().map(|row| row.image).collect(),
            status: rows.iter().map(|row| row.status).collect(),
            addresses: rows.iter().map(|row| row.addresses.as_str()).collect(),
            missing_since: rows.iter().map(|row| row.missing_since).collect(),
            missing_noticed: rows.iter().map(|row| row.missing_noticed).collect(),
            missing_ends: rows.iter().map(|row| row.missing_ends).collect(),
            gone_at: rows.iter().map(|row| row.gone_at).collect(),
            gone_explained: rows.iter().map(|row| row.gone_explained).collect(),
            last_segment: rows.iter().map(|row| row.last_segment).collect(),
        }
    }

    fn values(&self) -> [&(dyn ToSql + Sync); 14] {
        [
            &self.id,
            &self.created,
            &self.account,
            &self.owner_rank,
            &self.name,
            &self.image,
            &self.status,
            &self.addresses,
            &self.missing_since,
            &self.missing_noticed,
            &self.missing_ends,
            &self.gone_at,
            &self.gone_explained,
            &self.last_segment,
        ]
    }
}

struct SegmentColumns {
    id: Vec<i64>,
    revision: Vec<i64>,
    account: Vec<i64>,
    flavor: Vec<i64>,
    vcpus: Vec<Option<i64>>,
    memory_mib: Vec<Option<i64>>,
    disk_gib: Vec<Option<i64>>,
    counted: Vec<bool>,
    begins: Vec<i64>,
    begins_by: Vec<i64>,
    ends: Vec<Option<i64>>,
    ends_by: Vec<Option<i64>>,
    deleted: Vec<bool>,
}

impl SegmentColumns {
    fn of(rows: &[KeptRow]) -> Self {
        Self {
            id: rows.iter().map(|row| row.id).collect(),
            revision: rows.iter().map(|row| row.revision).collect(),
            account: rows.iter().map(|row| row.account).collect(),
            flavor: rows.iter().map(|row| row.flavor).collect(),
            vcpus: rows.iter().map(|row| row.vcpus).collect(),
            memory_mib: rows.iter().map(|row| row.memory_mib).collect(),
            disk_gib: rows.iter().map(|row| row.disk_gib).collect(),
            counted: rows.iter().map(|row| row.counted).collect(),
            begins: rows.iter().map(|row| row.begins).collect(),
            begins_by: rows.iter().map(|row| row.begins_by).collect(),
            ends: rows.iter().map(|row| row.ends).collect(),
            ends_by: rows.iter().map(|row| row.ends_by).collect(),
            deleted: rows.iter().map(|row| row.deleted).collect(),
        }
    }

    fn values(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.id,
            &self.revision,
            &self.account,
            &self.flavor,
            &self.vcpus,
            &self.memory_mib,
            &self.disk_gib,
            &self.counted,
            &self.begins,
            &self.begins_by,
            &self.ends,
            &self.ends_by,
            &self.deleted,
        ]
    }
}
