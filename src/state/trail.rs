//! One host in all generations that are kept.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::generations::{COLUMNS, generation};
use super::host_set::{self, SetDigest};
use super::{Error, Generation, State};
use crate::model::{Host, HostId};

impl State {
    /// Every generation that is kept, oldest first, with the host as it has it.
    pub async fn appearances(&self, id: &HostId) -> Result<Vec<(Generation, Option<Host>)>, Error> {
        let kept = self.database.call(|db| all(db)).await?;
        let mut known: HashMap<SetDigest, Option<Host>> = HashMap::new();
        let mut found = Vec::with_capacity(kept.len());
        for (generation, digest) in kept {
            let host = match known.get(&digest) {
                Some(host) => host.clone(),
                None => {
                    // A set at a time: who replaces one waits for no more than that.
                    let wanted = id.clone();
                    let look = move |db: &mut Connection| in_set(db, digest, &wanted);
                    // It may have gone meanwhile, and its generation with it.
                    let Some(host) = self.database.call(look).await? else { continue };
                    known.insert(digest, host.clone());
                    host
                }
            };
            found.push((generation, host));
        }
        Ok(found)
    }
}

fn all(db: &Connection) -> rusqlite::Result<Vec<(Generation, SetDigest)>> {
    db.prepare_cached(&format!("SELECT {COLUMNS}, set_digest FROM generation ORDER BY number"))?
        .query_map([], |row| Ok((generation(row)?, row.get("set_digest")?)))?
        .collect()
}

/// Absent: the set is not kept any more.
fn in_set(
    db: &Connection,
    digest: SetDigest,
    id: &HostId,
) -> rusqlite::Result<Option<Option<Host>>> {
    db.prepare_cached("SELECT hosts FROM host_set WHERE digest = ?1")?
        .query_row([digest], |row| {
            host_set::find(row.get_ref(0)?.as_str()?, id).map_err(|fault| {
                let text = rusqlite::types::Type::Text;
                rusqlite::Error::FromSqlConversionFailure(0, text, fault.into())
            })
        })
        .optional()
}
