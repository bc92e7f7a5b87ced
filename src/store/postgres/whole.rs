use async_trait::async_trait;
use tokio_postgres::types::ToSql;

use super::server::{Lent, Server};
use crate::store::Error;
use crate::store::whole::{Cell, Kind, Row, Table, Whole};

/// A connection that is closed in the midst of a transaction gives it up.
pub(in crate::store) struct PostgresWhole {
    server: Server,
    /// Absent after the commit.
    lent: Option<Lent>,
}

impl PostgresWhole {
    pub(super) fn new(server: Server) -> Self {
        Self { server, lent: None }
    }

    async fn begin(&mut self, how: &str) -> Result<(), Error> {
        let mut lent = self.server.lend().await?;
        let millis = self.server.several_limit().as_millis();
        // While the other side takes its page, this one waits in a transaction.
        let sql = format!(
            "BEGIN {how}; SET LOCAL statement_timeout = {millis};
             SET LOCAL lock_timeout = {millis};
             SET LOCAL idle_in_transaction_session_timeout = {}",
            millis * 2
        );
        self.server.several(lent.client().batch_execute(&sql)).await?;
        self.lent = Some(lent);
        Ok(())
    }

    fn parts(&mut self) -> Result<(&Server, &mut Lent), Error> {
        match &mut self.lent {
            Some(lent) => Ok((&self.server, lent)),
            None => Err(Error::Spoiled("no transaction is open".to_owned())),
        }
    }
}

#[async_trait]
impl Whole for PostgresWhole {
    async fn begin_reading(&mut self) -> Result<(), Error> {
        self.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin_writing(&mut self) -> Result<(), Error> {
        self.begin("").await?;
        self.tell("SELECT revision FROM ledger FOR UPDATE", Row::new()).await?;
        self.tell("SELECT epoch FROM lease FOR SHARE", Row::new()).await
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let (server, lent) = self.parts()?;
        server.several(lent.client().batch_execute("COMMIT")).await?;
        if let Some(lent) = self.lent.take() {
            lent.done();
        }
        Ok(())
    }

    async fn ask(&mut self, sql: &str, values: Row, kinds: Vec<Kind>) -> Result<Vec<Row>, Error> {
        let (server, lent) = self.parts()?;
        let values = values.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
        let rows = server.several(lent.client().query(sql, &values)).await?;
        let read = |row: &tokio_postgres::Row| -> Result<Row, tokio_postgres::Error> {
            kinds
                .iter()
                .enumerate()
                .map(|(place, kind)| {
                    Ok(match kind {
                        Kind::Int => row.try_get::<_, Option<i64>>(place)?.into(),
                        Kind::Flag => row.try_get::<_, Option<bool>>(place)?.into(),
                        Kind::Text => {
                            row.try_get::<_, Option<String>>(place)?.map_or(Cell::Null, Cell::Text)
                        }
                    })
                })
                .collect()
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Postgres { server: server.name.clone(), source })
    }

    async fn tell(&mut self, sql: &str, values: Row) -> Result<(), Error> {
        let (server, lent) = self.parts()?;
        let values = values.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
        server.several(lent.client().execute(sql, &values)).await.map(drop)
    }

    /// One statement: a round trip each would take minutes.
    async fn insert(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), Error> {
        let (server, lent) = self.parts()?;
        let mut types = Vec::with_capacity(table.columns.len());
        let mut columns: Vec<Box<dyn ToSql + Sync + Send>> =
            Vec::with_capacity(table.columns.len());
        for (place, (_, kind)) in table.columns.iter().enumerate() {
            let cells = rows.iter().map(|row| &row[place]);
            let number = place + 1;
            match kind {
                Kind::Int => {
                    types.push(format!("${number}::bigint[]"));
                    columns.push(Box::new(cells.map(Cell::int).collect::<Vec<_>>()));
                }
                Kind::Text => {
                    types.push(format!("${number}::text[]"));
                    let texts = cells.map(|cell| cell.text().map(str::to_owned));
                    columns.push(Box::new(texts.collect::<Vec<_>>()));
                }
                Kind::Flag => {
                    types.push(format!("${number}::boolean[]"));
                    let flags = cells.map(|cell| match cell {
                        Cell::Flag(flag) => Some(*flag),
                        _ => None,
                    });
                    columns.push(Box::new(flags.collect::<Vec<_>>()));
                }
            }
        }
        let sql = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({})",
            table.name,
            table.names(),
            types.join(", ")
        );
        let values: Vec<&(dyn ToSql + Sync)> =
            columns.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect();
        server.several(lent.client().execute(&sql, &values)).await.map(drop)
    }
}

/// A NULL has no type here that the server would take; queries say it in SQL.
fn parameter(cell: &Cell) -> Result<&(dyn ToSql + Sync), Error> {
    match cell {
        Cell::Null => Err(Error::Spoiled("a query has no value".to_owned())),
        Cell::Int(number) => Ok(number),
        Cell::Flag(flag) => Ok(flag),
        Cell::Text(text) => Ok(text),
    }
}
