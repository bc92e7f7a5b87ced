//! All rows of a ledger, in pages and in the same form for both databases.

use async_trait::async_trait;

use super::{Error, PAGE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Flag,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Flag(bool),
    Text(String),
}

pub(super) type Row = Vec<Cell>;

impl Cell {
    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A table of the schema. The key's columns come first.
#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    pub key: usize,
    pub columns: &'static [(&'static str, Kind)],
}

use Kind::{Flag, Int, Text};

/// What refers to another table comes after it. The lease is not among them:
/// it belongs to the database, not to what is in it.
pub(super) const TABLES: [&Table; 7] = [&CLOUD, &ACCOUNT, &FLAVOR, &INSTANCE, &SEGMENT, &GAP, &RUN];

pub(super) const CLOUD: Table = Table {
    name: "cloud",
    key: 1,
    columns: &[
        ("id", Int),
        ("revision", Int),
        ("name", Text),
        ("listing", Int),
        ("listed_at", Int),
        ("noticed_at", Int),
    ],
};
pub(super) const ACCOUNT: Table = Table {
    name: "account",
    key: 1,
    columns: &[("id", Int), ("revision", Int), ("name", Text), ("is_staff", Flag)],
};
pub(super) const FLAVOR: Table = Table {
    name: "flavor",
    key: 1,
    columns: &[("id", Int), ("revision", Int), ("cloud", Int), ("key", Text), ("name", Text)],
};
pub(super) const INSTANCE: Table = Table {
    name: "instance",
    key: 1,
    columns: &[
        ("id", Int),
        ("cloud", Int),
        ("key", Text),
        ("incarnation", Int),
        ("created", Int),
        ("account", Int),
        ("owner_rank", Int),
        ("name", Text),
        ("image", Text),
        ("status", Text),
        ("addresses", Text),
        ("missing_since", Int),
        ("missing_noticed", Int),
        ("missing_ends", Int),
        ("gone_at", Int),
        ("gone_explained", Flag),
        ("last_segment", Int),
    ],
};
pub(super) const SEGMENT: Table = Table {
    name: "segment",
    key: 1,
    columns: &[
        ("revision", Int),
        ("id", Int),
        ("instance", Int),
        ("account", Int),
        ("cloud", Int),
        ("flavor", Int),
        ("vcpus", Int),
        ("memory_mib", Int),
        ("disk_gib", Int),
        ("counted", Flag),
        ("begins", Int),
        ("begins_by", Int),
        ("ends", Int),
        ("ends_by", Int),
        ("deleted", Flag),
    ],
};
pub(super) const GAP: Table =
    Table { name: "gap", key: 2, columns: &[("cloud", Int), ("begins", Int), ("ends", Int)] };
pub(super) const RUN: Table = Table {
    name: "run",
    key: 1,
    columns: &[
        ("id", Text),
        ("cloud", Int),
        ("listing", Int),
        ("listed_at", Int),
        ("revision", Int),
    ],
};

impl Table {
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    fn kinds(&self) -> Vec<Kind> {
        self.columns.iter().map(|(_, kind)| *kind).collect()
    }

    /// The rows behind the one with this key, in the key's order.
    fn page_query(&self, after: bool) -> String {
        let key: Vec<_> = self.columns[..self.key].iter().map(|(name, _)| *name).collect();
        let marks: Vec<_> = (1..=self.key).map(|number| format!("${number}")).collect();
        let (key, marks) = (key.join(", "), marks.join(", "));
        let behind = if after { format!("WHERE ({key}) > ({marks})") } else { String::new() };
        format!("SELECT {} FROM {} {behind} ORDER BY {key} LIMIT {PAGE}", self.names(), self.name)
    }
}

/// One connection with one transaction, which is given up unless it is
/// committed. Placeholders are `$1`, `$2` and so on, in the order of their
/// first use.
#[async_trait]
pub(super) trait Whole: Send {
    /// Everything that is read comes from this moment on from one moment.
    async fn begin_reading(&mut self) -> Result<(), Error>;
    /// Nobody else writes until the end, nor takes the lease.
    async fn begin_writing(&mut self) -> Result<(), Error>;
    async fn commit(&mut self) -> Result<(), Error>;
    async fn ask(&mut self, sql: &str, values: Row, kinds: Vec<Kind>) -> Result<Vec<Row>, Error>;
    async fn tell(&mut self, sql: &str, values: Row) -> Result<(), Error>;
    async fn insert(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), Error>;
}

pub(super) async fn page(
    whole: &mut dyn Whole,
    table: &'static Table,
    after: Option<&Row>,
) -> Result<Vec<Row>, Error> {
    let key = after.map(|row| row[..table.key].to_vec());
    let sql = table.page_query(key.is_some());
    whole.ask(&sql, key.unwrap_or_default(), table.kinds()).await
}

/// The only number of a query's only row.
pub(super) async fn number(whole: &mut dyn Whole, sql: &str) -> Result<i64, Error> {
    let rows = whole.ask(sql, Row::new(), vec![Int]).await?;
    let first = rows.first().and_then(|row| row.first()).and_then(Cell::int);
    first.ok_or_else(|| Error::Spoiled(format!("nothing answers {sql}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::SqliteStore;

    /// What a migration adds and this list lacks would be lost by a copy.
    #[test]
    fn every_table_and_column_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.db");
        SqliteStore::open_blocking(&file).unwrap();
        let db = rusqlite::Connection::open(&file).unwrap();
        let names = |sql: &str| -> Vec<String> {
            let mut statement = db.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let found: BTreeSet<_> = names("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .into_iter()
            .filter(|name| name != "refinery_schema_history" && !name.starts_with("sqlite_"))
            .collect();
        let copied = TABLES.iter().map(|table| table.name);
        assert_eq!(found, copied.chain(["ledger", "lease"]).map(str::to_owned).collect());
        for table in TABLES {
            let found: BTreeSet<_> =
                names(&format!("SELECT name FROM pragma_table_info('{}')", table.name))
                    .into_iter()
                    .collect();
            let listed = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(found, listed, "{}", table.name);
        }
    }
}
