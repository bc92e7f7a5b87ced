use async_trait::async_trait;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row as Found, params_from_iter};

use super::told;
use crate::sqlite::Database;
use crate::store::Error;
use crate::store::whole::{Cell, Kind, Row, Table, Whole};

/// Closing its connection gives up what was not committed.
pub(in crate::store) struct SqliteWhole {
    database: Database,
}

impl SqliteWhole {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.database.call(work).await.map_err(|fault| told(self.database.path(), fault))
    }
}

#[async_trait]
impl Whole for SqliteWhole {
    async fn begin_reading(&mut self) -> Result<(), Error> {
        // The moment is that of the first read.
        self.call(|db| {
            db.execute_batch("BEGIN")?;
            db.query_row("SELECT revision FROM ledger", [], |_| Ok(()))
        })
        .await
    }

    async fn begin_writing(&mut self) -> Result<(), Error> {
        self.call(|db| db.execute_batch("BEGIN IMMEDIATE")).await
    }

    async fn commit(&mut self) -> Result<(), Error> {
        self.call(|db| db.execute_batch("COMMIT")).await?;
        // All of a large copy is in the log now. Where a reader is in the way,
        // it stays there until another time.
        self.call(|db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))).await
    }

    async fn ask(&mut self, sql: &str, values: Row, kinds: Vec<Kind>) -> Result<Vec<Row>, Error> {
        let sql = sql.to_owned();
        self.call(move |db| {
            db.prepare_cached(&sql)?
                .query_map(params_from_iter(values), |row| read(row, &kinds))?
                .collect()
        })
        .await
    }

    async fn tell(&mut self, sql: &str, values: Row) -> Result<(), Error> {
        let sql = sql.to_owned();
        self.call(move |db| db.execute(&sql, params_from_iter(values)).map(drop)).await
    }

    async fn insert(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), Error> {
        let marks = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", table.name, table.names());
        self.call(move |db| {
            let mut statement = db.prepare_cached(&sql)?;
            for row in rows {
                statement.execute(params_from_iter(row))?;
            }
            Ok(())
        })
        .await
    }
}

fn read(row: &Found<'_>, kinds: &[Kind]) -> rusqlite::Result<Row> {
    kinds
        .iter()
        .enumerate()
        .map(|(place, kind)| {
            Ok(match kind {
                Kind::Int => row.get::<_, Option<i64>>(place)?.into(),
                Kind::Flag => row.get::<_, Option<bool>>(place)?.into(),
                Kind::Text => row.get::<_, Option<String>>(place)?.map_or(Cell::Null, Cell::Text),
            })
        })
        .collect()
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Flag(flag) => ValueRef::Integer(i64::from(*flag)),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
