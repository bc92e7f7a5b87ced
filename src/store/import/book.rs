//! The ledger while an import writes it, in one transaction.

use std::collections::HashMap;

use super::source::Found;
use super::untangle::Stretch;
use crate::model::{Address, Label, Size};
use crate::store::copy::whole_of;
use crate::store::whole::{
    self, ACCOUNT, CLOUD, Cell, FLAVOR, INSTANCE, Kind, Row, SEGMENT, Table, Whole,
};
use crate::store::{Config, Error, PAGE};

pub(super) struct Book {
    whole: Box<dyn Whole>,
    dry: bool,
    revision: i64,
    /// The last ids given.
    cloud: i64,
    account: i64,
    flavor: i64,
    instance: i64,
    segment: i64,
    accounts: HashMap<String, i64>,
    flavors: HashMap<(i64, String), i64>,
    /// Rows that are not written yet, in the order in which they must be.
    waiting: [(&'static Table, Vec<Row>); 5],
}

#[derive(Clone, Debug)]
pub(super) struct KnownCloud {
    pub id: i64,
    /// When it was imported before.
    pub imported: Option<i64>,
    /// From here on the ledger has seen the cloud itself.
    own: Option<i64>,
}

/// The instance that the rows belong to.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// The ledger's own, with its first second there.
    existing: Option<(i64, Option<i64>)>,
    incarnation: i64,
}

pub(super) struct Owner {
    pub name: String,
    pub is_staff: Option<bool>,
}

pub(super) struct NewStretch {
    pub stretch: Stretch,
    pub owner: Owner,
    pub size: Size,
    pub flavor: String,
}

impl KnownCloud {
    /// What of a stretch lies before the ledger's own record of the cloud.
    pub(super) fn before_its_own(
        &self,
        stretch: &Stretch,
        home: &Home,
        last: i64,
    ) -> Option<Stretch> {
        let Some(own) = self.own else { return Some(stretch.clone()) };
        // What ran before and runs after nobody looked ran in between.
        let went_on = home.existing.is_some_and(|(_, first)| first == Some(own));
        let end = stretch.to.unwrap_or(if went_on { own } else { last }).min(own);
        (end > stretch.from).then(|| Stretch { to: Some(end), ..stretch.clone() })
    }
}

impl Book {
    /// Only reads.
    pub(super) async fn look(config: &Config) -> Result<Self, Error> {
        let mut whole = whole_of(config).await?;
        whole.begin_reading().await?;
        Self::read(whole, true).await
    }

    /// Nobody else writes until it is finished or dropped.
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        let mut whole = whole_of(config).await?;
        whole.begin_writing().await?;
        Self::read(whole, false).await
    }

    pub(super) fn is_dry(&self) -> bool {
        self.dry
    }

    async fn read(mut whole: Box<dyn Whole>, dry: bool) -> Result<Self, Error> {
        let (mut accounts, mut flavors) = (HashMap::new(), HashMap::new());
        let mut last: Option<Row> = None;
        loop {
            let rows = whole::page(&mut *whole, &ACCOUNT, last.as_ref()).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end.clone());
            for row in &rows {
                if let (Some(id), Some(name)) = (row[0].int(), row[2].text()) {
                    accounts.insert(name.to_owned(), id);
                }
            }
        }
        let mut last: Option<Row> = None;
        loop {
            let rows = whole::page(&mut *whole, &FLAVOR, last.as_ref()).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end.clone());
            for row in &rows {
                if let (Some(id), Some(cloud), Some(key)) =
                    (row[0].int(), row[2].int(), row[3].text())
                {
                    flavors.insert((cloud, key.to_owned()), id);
                }
            }
        }
        let mut ids = [0; 5];
        for (id, table) in ids.iter_mut().zip(["cloud", "account", "flavor", "instance", "segment"])
        {
            let sql = format!("SELECT coalesce(max(id), 0) FROM {table}");
            *id = whole::number(&mut *whole, &sql).await?;
        }
        let revision = whole::number(&mut *whole, "SELECT revision FROM ledger").await?;
        let [cloud, account, flavor, instance, segment] = ids;
        let waiting = [&CLOUD, &ACCOUNT, &FLAVOR, &INSTANCE, &SEGMENT].map(|t| (t, Vec::new()));
        Ok(Self {
            whole,
            dry,
            revision,
            cloud,
            account,
            flavor,
            instance,
            segment,
            accounts,
            flavors,
            waiting,
        })
    }

    fn next_revision(&mut self) -> Cell {
        self.revision += 1;
        self.revision.into()
    }

    fn push(&mut self, table: &Table, row: Row) {
        for (waiting, rows) in &mut self.waiting {
            if waiting.name == table.name {
                rows.push(row);
                return;
            }
        }
    }

    async fn flush(&mut self, least: usize) -> Result<(), Error> {
        if self.waiting.iter().all(|(_, rows)| rows.len() < least.max(1)) {
            return Ok(());
        }
        for (table, rows) in &mut self.waiting {
            let rows = std::mem::take(rows);
            if !self.dry && !rows.is_empty() {
                self.whole.insert(table, rows).await?;
            }
        }
        Ok(())
    }

    /// The cloud of that name, made where the ledger has none. `last`: when
    /// the tables last say something of it.
    pub(super) async fn cloud(
        &mut self,
        name: &str,
        last: i64,
        now: i64,
    ) -> Result<KnownCloud, Error> {
        let sql = "SELECT c.id, r.listed_at, c.listed_at,
                (SELECT min(s.begins) FROM segment s WHERE s.cloud = c.id AND s.deleted <> $1)
             FROM cloud c LEFT JOIN run r ON r.id = $2 WHERE c.name = $3";
        let values = vec![true.into(), marker(name).as_str().into(), name.into()];
        let rows = self.whole.ask(sql, values, vec![Kind::Int; 4]).await?;
        if let Some(row) = rows.first() {
            let own = row[3].int().or(row[2].int()).unwrap_or(now);
            let id = row[0].int().unwrap_or_default();
            return Ok(KnownCloud { id, imported: row[1].int(), own: Some(own) });
        }
        self.cloud += 1;
        let id = self.cloud;
        let revision = self.next_revision();
        // As if the last sign of life had been a listing: the first real one
        // then puts the time between on record as a gap.
        let row = vec![id.into(), revision, name.into(), 1.into(), last.into(), last.into()];
        self.push(&CLOUD, row);
        Ok(KnownCloud { id, imported: None, own: None })
    }

    /// Remembers that it was imported.
    pub(super) async fn close_cloud(
        &mut self,
        cloud: &KnownCloud,
        name: &str,
        last: i64,
        now: i64,
    ) -> Result<(), Error> {
        self.flush(0).await?;
        if self.dry {
            return Ok(());
        }
        if let Some(own) = cloud.own.filter(|own| *own > last) {
            let sql = "INSERT INTO gap (cloud, begins, ends) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING";
            self.whole.tell(sql, vec![cloud.id.into(), last.into(), own.into()]).await?;
        }
        // No number of listings reaches this one, so that it stays.
        let sql = "INSERT INTO run (id, cloud, listing, listed_at, revision)
             VALUES ($1, $2, $3, $4, $5)";
        let values = vec![
            marker(name).as_str().into(),
            cloud.id.into(),
            i64::MAX.into(),
            now.into(),
            self.revision.into(),
        ];
        self.whole.tell(sql, values).await
    }

    /// Where the rows of an instance belong.
    pub(super) async fn home(
        &mut self,
        cloud: &KnownCloud,
        key: &str,
        created: Option<i64>,
    ) -> Result<Home, Error> {
        let mut home = Home { existing: None, incarnation: 1 };
        if cloud.own.is_none() {
            return Ok(home);
        }
        let sql = "SELECT i.id, i.incarnation, i.created,
                (SELECT min(s.begins) FROM segment s WHERE s.instance = i.id AND s.deleted <> $1)
             FROM instance i WHERE i.cloud = $2 AND i.key = $3 ORDER BY i.incarnation";
        let values = vec![true.into(), cloud.id.into(), key.into()];
        for row in self.whole.ask(sql, values, vec![Kind::Int; 4]).await? {
            let (id, theirs) = (row[0].int().unwrap_or_default(), row[2].int());
            home.incarnation = row[1].int().unwrap_or_default() + 1;
            let same = created.is_none() || theirs.is_none() || created == theirs;
            if same && home.existing.is_none() {
                home.existing = Some((id, row[3].int()));
            }
        }
        Ok(home)
    }

    /// `shown`: the record that knows the instance last.
    pub(super) async fn add(
        &mut self,
        cloud: i64,
        home: Home,
        shown: &Found,
        created: Option<i64>,
        stretches: Vec<NewStretch>,
    ) -> Result<(), Error> {
        let instance = match home.existing {
            Some((id, _)) => id,
            None => {
                self.instance += 1;
                self.instance
            }
        };
        let (mut end, mut account) = (None, 0);
        for NewStretch { stretch: Stretch { from, to, .. }, owner, size, flavor } in stretches {
            account = self.account(owner);
            let flavor = self.flavor(cloud, &flavor);
            self.segment += 1;
            let id = self.segment;
            let number = |number: Option<u32>| Cell::from(number.map(i64::from));
            let row = vec![
                self.next_revision(),
                id.into(),
                instance.into(),
                account.into(),
                cloud.into(),
                flavor.into(),
                number(size.vcpus()),
                number(size.memory_mib()),
                number(size.disk_gib()),
                true.into(),
                from.into(),
                // An estimate: the request's time, or the latest possible one.
                0.into(),
                to.into(),
                // The first listing that did not show it.
                to.map(|_| 1).into(),
                false.into(),
            ];
            self.push(&SEGMENT, row);
            end = Some(to);
        }
        if home.existing.is_none() {
            let address = Address::parse(&shown.address).map(|one| one.as_str().to_owned());
            let row = vec![
                instance.into(),
                cloud.into(),
                shown.key.as_str().into(),
                home.incarnation.into(),
                created.into(),
                account.into(),
                // 2014 knew no owner but the metadata's.
                2.into(),
                Label::tame(&shown.key).as_str().into(),
                Label::tame(&shown.image).as_str().into(),
                "".into(),
                address.unwrap_or_default().as_str().into(),
                Cell::Null,
                Cell::Null,
                Cell::Null,
                end.flatten().into(),
                false.into(),
                self.segment.into(),
            ];
            self.push(&INSTANCE, row);
        }
        self.flush(PAGE / 2).await
    }

    fn account(&mut self, owner: Owner) -> i64 {
        if let Some(id) = self.accounts.get(&owner.name) {
            return *id;
        }
        self.account += 1;
        let id = self.account;
        let revision = self.next_revision();
        let row = vec![id.into(), revision, owner.name.as_str().into(), owner.is_staff.into()];
        self.push(&ACCOUNT, row);
        self.accounts.insert(owner.name, id);
        id
    }

    fn flavor(&mut self, cloud: i64, name: &str) -> i64 {
        let name = Label::tame(name).to_string();
        let key = (cloud, name);
        if let Some(id) = self.flavors.get(&key) {
            return *id;
        }
        self.flavor += 1;
        let id = self.flavor;
        let revision = self.next_revision();
        let name: Cell = key.1.as_str().into();
        self.push(&FLAVOR, vec![id.into(), revision, cloud.into(), name.clone(), name]);
        self.flavors.insert(key, id);
        id
    }

    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.flush(0).await?;
        if self.dry {
            return Ok(());
        }
        let revision = self.revision.into();
        self.whole.tell("UPDATE ledger SET revision = $1", vec![revision]).await?;
        self.whole.commit().await
    }
}

/// The name of the import as a run.
fn marker(cloud: &str) -> String {
    format!("import of 2014: {cloud}")
}
