//! The PostgreSQL tables of the 2014 service into the ledger. They count time
//! twice and worse; what is wrong with them is told, and not taken over.

mod book;
mod report;
mod source;
mod untangle;

use std::collections::HashMap;

use super::copy::{Fence, Progress, Watch, exists};
use super::{Config, Error};
use crate::model::{InstanceId, Label, Size};
use book::{Book, KnownCloud, NewStretch, Owner};
use source::{Found, Source};
use untangle::{Clock, Record, Stretch};

pub use report::{Finding, Imported, ImportedCloud, UNKNOWABLE, Wrong};

/// Takes the tables of the database `from` over into the ledger `to`, all or
/// nothing. A cloud that was imported before stays as it is. `now` is in UTC
/// seconds. A dry run changes nothing and may be made beside a running service.
pub async fn import(
    from: &Config,
    to: &Config,
    now: i64,
    dry_run: bool,
    watch: Watch<'_>,
) -> Result<Imported, Error> {
    exists(to)?;
    let mut source = Source::open(from, now).await?;
    if dry_run {
        return Importer::run(&mut source, Book::look(to).await?, now, watch).await;
    }
    let fence = Fence::take(to).await?;
    let imported = async {
        let book = Book::open(to).await?;
        Importer::run(&mut source, book, now, watch).await
    };
    let imported = imported.await;
    fence.release().await;
    imported
}

struct Importer {
    book: Book,
    now: i64,
    last_signs: HashMap<String, i64>,
    told: Imported,
    /// The one whose rows are being read.
    current: Option<Current>,
}

struct Current {
    known: KnownCloud,
    clock: Clock,
    sums: ImportedCloud,
}

impl Importer {
    async fn run(
        source: &mut Source,
        book: Book,
        now: i64,
        watch: Watch<'_>,
    ) -> Result<Imported, Error> {
        let told = Imported { dry_run: book.is_dry(), ..Imported::default() };
        let last_signs = source.last_signs().await?.into_iter().collect();
        let mut importer = Self { book, now, last_signs, told, current: None };
        let clouds = source.doubles("cloud", "name").await?;
        source::note_doubles(&mut importer.told, Wrong::CloudTwice, &clouds);
        let users = source.doubles("user", "username").await?;
        source::note_doubles(&mut importer.told, Wrong::UserTwice, &users);
        let of = source.count().await?;
        source.start().await?;
        let (mut group, mut done) = (Vec::<Found>::new(), 0);
        loop {
            let page = source.next().await?;
            if page.is_empty() {
                break;
            }
            done += page.len() as u64;
            for found in page {
                let same = group
                    .first()
                    .is_none_or(|first| (&first.cloud, &first.key) == (&found.cloud, &found.key));
                if !same {
                    importer.instance(std::mem::take(&mut group)).await?;
                }
                group.push(found);
            }
            watch(Progress { what: "instance rows of 2014", done, of });
        }
        importer.instance(group).await?;
        importer.end_cloud().await?;
        importer.book.finish().await?;
        Ok(importer.told)
    }

    /// All rows of one instance.
    async fn instance(&mut self, group: Vec<Found>) -> Result<(), Error> {
        let Some(first) = group.first() else { return Ok(()) };
        let Some(cloud) = &first.cloud else {
            for found in &group {
                self.told.note(Wrong::NoCloud, found.record.id, 0);
            }
            return Ok(());
        };
        let name = Label::tame(cloud).to_string();
        if self.current.as_ref().is_none_or(|current| current.sums.name != name) {
            self.end_cloud().await?;
            self.begin_cloud(name, cloud).await?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        current.sums.rows += group.len() as u64;
        for found in &group {
            current.sums.claimed_seconds += i128::from(source::claimed(&found.record, self.now));
        }
        if current.known.imported.is_some() {
            return Ok(());
        }
        if InstanceId::parse(&first.key).is_err() {
            for found in &group {
                self.told.note(Wrong::BadInstanceId, found.record.id, 0);
            }
            return Ok(());
        }
        let records: Vec<Record> = group.iter().map(|found| found.record.clone()).collect();
        let stretches = untangle::untangle(&records, current.clock, &mut self.told);
        self.keep(&group, stretches).await
    }

    async fn begin_cloud(&mut self, name: String, raw: &str) -> Result<(), Error> {
        let last = self.last_signs.get(raw).copied().unwrap_or(self.now);
        let known = self.book.cloud(&name, last, self.now).await?;
        let sums = ImportedCloud { name, before: known.imported, ..ImportedCloud::default() };
        self.current = Some(Current { known, clock: Clock { now: self.now, last }, sums });
        Ok(())
    }

    async fn end_cloud(&mut self) -> Result<(), Error> {
        let Some(Current { known, clock, sums }) = self.current.take() else { return Ok(()) };
        if known.imported.is_none() {
            self.book.close_cloud(&known, &sums.name, clock.last, self.now).await?;
        }
        self.told.clouds.push(sums);
        Ok(())
    }

    async fn keep(&mut self, group: &[Found], stretches: Vec<Stretch>) -> Result<(), Error> {
        let (Some(current), Some(first)) = (&mut self.current, group.first()) else {
            return Ok(());
        };
        let mut creations: Vec<_> =
            stretches.iter().filter_map(|one| group[one.record].record.created).collect();
        creations.dedup();
        // An id whose creation moves is the same instance all the same.
        let created = if let [created] = creations[..] { Some(created) } else { None };
        let home = self.book.home(&current.known, &first.key, created).await?;
        let mut kept = Vec::new();
        for stretch in stretches {
            let found = &group[stretch.record];
            let Some(stretch) = current.known.before_its_own(&stretch, &home, current.clock.last)
            else {
                self.told.note(Wrong::KnownAnyway, found.record.id, 0);
                continue;
            };
            let name = found.user_name.as_deref().map(Label::tame);
            let name = name.filter(|name| !name.is_empty()).map(|name| name.to_string());
            if name.is_none() {
                self.told.note(Wrong::NoUserName, found.record.id, 0);
            }
            let name = name.unwrap_or_else(|| format!("2014-user-{}", found.record.user));
            let owner = Owner { name, is_staff: found.is_staff };
            let positive =
                |number: Option<i64>| number.filter(|number| *number > 0).map(i64::unsigned_abs);
            let Record { vcpus, memory, disk, .. } = found.record;
            let size = Size::new(positive(vcpus), positive(memory), positive(disk));
            let seconds = stretch.to.unwrap_or(current.clock.last) - stretch.from;
            if size.vcpus().is_none() {
                self.told.note(Wrong::VcpusUnknown, found.record.id, seconds);
            }
            current.sums.segments += 1;
            current.sums.seconds += i128::from(seconds);
            current.sums.cpu_seconds +=
                i128::from(seconds) * i128::from(size.vcpus().unwrap_or_default());
            kept.push(NewStretch { stretch, owner, size, flavor: found.record.flavor.clone() });
        }
        if let Some(last) = group.last()
            && !kept.is_empty()
        {
            current.sums.instances += 1;
            self.book.add(current.known.id, home, last, created, kept).await?;
        }
        Ok(())
    }
}
