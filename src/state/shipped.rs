//! How far each sink has taken the files of the perfdata spool.

use std::time::SystemTime;

use rusqlite::params;

use super::{Error, State, from_millis, to_millis};

/// Names one file of the spool, and tells it from a later one of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShippedFile {
    pub name: String,
    pub inode: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

/// What a sink has given its receipt for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    pub file: ShippedFile,
    /// Offset behind the last line that it has.
    pub received: u64,
    /// When it had the whole file.
    pub done: Option<SystemTime>,
}

impl State {
    pub async fn shipped(&self, sink: String) -> Result<Vec<Shipped>, Error> {
        let found = self
            .database
            .call(move |db| {
                db.prepare_cached(
                    "SELECT file, inode, modified, received, done_at FROM shipped WHERE sink = ?1",
                )?
                .query_map([sink], |row| {
                    Ok(Shipped {
                        file: ShippedFile {
                            name: row.get(0)?,
                            // SQLite's integers are signed; the bits come back.
                            inode: row.get::<_, i64>(1)?.cast_unsigned(),
                            modified: row.get(2)?,
                        },
                        received: row.get(3)?,
                        done: row.get::<_, Option<i64>>(4)?.map(from_millis),
                    })
                })?
                .collect()
            })
            .await?;
        Ok(found)
    }

    /// Makes receipts durable, in one transaction.
    pub async fn note_shipped(&self, sink: String, receipts: Vec<Shipped>) -> Result<(), Error> {
        self.database
            .call(move |db| {
                let tx = db.transaction()?;
                for Shipped { file, received, done } in &receipts {
                    tx.prepare_cached(
                        "INSERT OR REPLACE INTO shipped (sink, file, inode, modified, received, done_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        sink,
                        file.name,
                        file.inode.cast_signed(),
                        file.modified,
                        received,
                        done.map(to_millis)
                    ])?;
                }
                tx.commit()
            })
            .await?;
        Ok(())
    }

    /// Forgets files that are no longer in the spool.
    pub async fn forget_shipped(&self, gone: Vec<ShippedFile>) -> Result<(), Error> {
        self.database
            .call(move |db| {
                let tx = db.transaction()?;
                for file in &gone {
                    tx.prepare_cached(
                        "DELETE FROM shipped WHERE file = ?1 AND inode = ?2 AND modified = ?3",
                    )?
                    .execute(params![
                        file.name,
                        file.inode.cast_signed(),
                        file.modified
                    ])?;
                }
                tx.commit()
            })
            .await?;
        Ok(())
    }
}
