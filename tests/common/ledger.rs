//! Stores to test on, clouds to see, and what the ledger then bills.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weather_balloon::ledger::{Changes, Missing, Presence, Rhythm, Roster, View, reconcile};
use weather_balloon::model::{
    Address, Departure, Details, Event, EventKind, Flavor, Instance, InstanceId, Label, Owner,
    OwnerRank, SegmentRow, Shape, Sighting, Size,
};
use weather_balloon::store::{self, Applied, Config, Error, Lease, Store};

use super::postgres::Postgres;

pub const INTERVAL: u32 = 600;
pub const LEASE: Duration = Duration::from_secs(600);

/// Who lives in a view, and who of them is missing.
pub fn roster_of(view: &View) -> Roster {
    let missing = view.live.iter().filter_map(|(id, known)| match known.presence {
        Presence::Missing { since, ends, .. } => Some(Missing { id: id.clone(), since, ends }),
        Presence::Here | Presence::Gone { .. } => None,
    });
    Roster {
        last: view.last,
        living: view.live.keys().cloned().collect(),
        missing: missing.collect(),
    }
}

/// One of the two stores, empty and leased.
pub struct Ground {
    pub name: &'static str,
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub lease: Lease,
    pub dir: tempfile::TempDir,
}

impl Ground {
    /// SQLite and PostgreSQL.
    pub async fn both() -> [Self; 2] {
        [Self::sqlite().await, Self::postgres(Postgres::shared()).await]
    }

    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("ledger.db").display());
        Self::of("SQLite", Config { url, ..Config::default() }, dir).await
    }

    pub async fn postgres(server: &Postgres) -> Self {
        let config = server.config(&server.database());
        Self::of("PostgreSQL", config, tempfile::tempdir().unwrap()).await
    }

    /// Where this configuration says.
    pub async fn at(config: Config) -> Self {
        Self::of("configured", config, tempfile::tempdir().unwrap()).await
    }

    async fn of(name: &'static str, config: Config, dir: tempfile::TempDir) -> Self {
        let store = store::open(&config).await.unwrap();
        let lease = store.take_lease("test", LEASE).await.unwrap().unwrap();
        Self { name, config, store, lease, dir }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    /// Looks once, as the poll loop does.
    pub async fn see(&self, run: &str, seen: &Sighting, now: i64) -> Changes {
        let changes = self.would(seen, now).await;
        let kept = Arc::new(changes.clone());
        let applied = self.store.apply(&self.lease, run, kept).await.unwrap();
        assert!(matches!(applied, Applied::Now(_)), "{run} had been applied before");
        self.judge_roster(seen.cloud()).await;
        changes
    }

    /// The short answer says what the long one does.
    async fn judge_roster(&self, cloud: &str) {
        let mut told = self.store.roster(cloud).await.unwrap();
        let mut right = roster_of(&self.store.living(cloud).await.unwrap());
        for roster in [&mut told, &mut right] {
            roster.missing.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        }
        assert_eq!(told, right, "{}", self.name);
    }

    pub async fn would(&self, seen: &Sighting, now: i64) -> Changes {
        let view = self.store.view(seen).await.unwrap();
        reconcile(&view, seen, now, Rhythm::of_seconds(INTERVAL))
    }

    /// Every row that a reader gets, from the first revision on, by id.
    pub async fn rows(&self) -> BTreeMap<i64, SegmentRow> {
        let mut rows = BTreeMap::new();
        self.read_on(&mut 0, &mut rows).await;
        rows
    }

    /// What is newer than `revision`.
    pub async fn read_on(&self, revision: &mut i64, rows: &mut BTreeMap<i64, SegmentRow>) {
        loop {
            let page = self.store.segments_since(*revision).await.unwrap();
            let Some(last) = page.last() else { return };
            assert!(page.is_sorted_by_key(|row| row.revision));
            *revision = last.revision;
            rows.extend(page.into_iter().map(|row| (row.id, row)));
        }
    }

    /// User name, counted, vCPUs, from, to: of every segment in order of time.
    pub async fn story(&self) -> Vec<(String, bool, Option<u32>, i64, Option<i64>)> {
        let names = self.user_names().await;
        let mut rows: Vec<_> = self.rows().await.into_values().filter(|row| !row.deleted).collect();
        rows.sort_by_key(|row| (row.instance, row.from));
        rows.iter()
            .map(|row| (names[&row.user].clone(), row.counted, row.vcpus, row.from, row.to))
            .collect()
    }

    pub async fn user_names(&self) -> BTreeMap<i64, String> {
        let (mut names, mut revision) = (BTreeMap::new(), 0);
        loop {
            let page = self.store.users_since(revision).await.unwrap();
            let Some(last) = page.last() else { return names };
            revision = last.revision;
            names.extend(page.into_iter().map(|row| (row.id, row.name)));
        }
    }

    pub async fn again(&self) -> Result<Arc<dyn Store>, Error> {
        store::open(&self.config).await
    }
}

/// Uptime and CPU seconds of `[from, to)`, and the instances with uptime.
pub fn usage(rows: &BTreeMap<i64, SegmentRow>, from: i64, to: i64) -> (i64, i64, usize) {
    let (mut uptime, mut cpu, mut instances) = (0, 0, std::collections::BTreeSet::new());
    for row in rows.values().filter(|row| row.counted && !row.deleted) {
        let overlap = row.to.unwrap_or(to).min(to) - row.from.max(from);
        if overlap > 0 {
            uptime += overlap;
            cpu += overlap * i64::from(row.vcpus.unwrap_or(0));
            instances.insert(row.instance);
        }
    }
    (uptime, cpu, instances.len())
}

/// No two segments of an instance overlap, none is empty, one at most is open.
pub fn assert_sound(rows: &BTreeMap<i64, SegmentRow>) {
    let mut by_instance: BTreeMap<i64, Vec<&SegmentRow>> = BTreeMap::new();
    for row in rows.values().filter(|row| !row.deleted) {
        assert!(row.to.is_none_or(|to| to > row.from), "{row:?} is empty");
        by_instance.entry(row.instance).or_default().push(row);
    }
    for mut rows in by_instance.into_values() {
        rows.sort_by_key(|row| row.from);
        for pair in rows.windows(2) {
            assert!(pair[0].to.is_some_and(|to| to <= pair[1].from), "{pair:?} overlap");
        }
    }
}

/// An instance to put into a listing.
pub fn vm(id: &str, owner: &str, vcpus: u64) -> Instance {
    let flavor = format!("m{vcpus}");
    Instance {
        id: InstanceId::parse(id).unwrap(),
        created: None,
        owner: Owner::new(OwnerRank::Creator, owner).unwrap(),
        details: Details::new(id, "debian", "ACTIVE", vec![Address::parse("10.0.0.1").unwrap()]),
        shape: Shape {
            flavor: Flavor { key: Label::tame(&flavor), name: Label::tame(&flavor) },
            size: Size::new(Some(vcpus), Some(vcpus * 2048), Some(10)),
        },
        counted: true,
    }
}

pub fn created(at: i64, vm: Instance) -> Instance {
    Instance { created: Some(at), ..vm }
}

pub fn off(vm: Instance) -> Instance {
    let details = Details::new(vm.id.as_str(), "debian", "SHUTOFF", Vec::new());
    Instance { counted: false, details, ..vm }
}

/// A listing of the cloud "east" that took no time.
pub fn seen(at: i64, instances: Vec<Instance>) -> Sighting {
    told(at, instances, Vec::new(), &[])
}

pub fn told(
    at: i64,
    instances: Vec<Instance>,
    departed: Vec<Departure>,
    events: &[(&str, i64, EventKind)],
) -> Sighting {
    let events = events
        .iter()
        .map(|(id, at, kind)| Event { id: InstanceId::parse(id).unwrap(), at: *at, kind: *kind })
        .collect();
    Sighting::new("east", at, at, instances, departed, events).unwrap()
}

pub fn departed(id: &str, at: Option<i64>, record: Option<Instance>) -> Departure {
    Departure { id: InstanceId::parse(id).unwrap(), at, record }
}
