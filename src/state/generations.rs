//! The generations and what of them is on disk.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::host_set::{self, KeptSet};
use super::{Error, State, from_millis, to_millis};
use crate::model::{HostSet, Source};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// Accepted, not yet on disk.
    Pending,
    /// In the file that Nagios reads.
    Live,
    /// Refused, or put back because Nagios died of it; never resumed.
    Rejected,
    /// A later generation of its source took its place.
    Superseded,
}

impl GenerationState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Pending, Self::Live, Self::Rejected, Self::Superseded]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// One replacement of one source's whole set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: i64,
    pub source: Source,
    pub state: GenerationState,
    pub host_count: usize,
    pub created: SystemTime,
    /// When it reached the disk, if it did.
    pub live: Option<SystemTime>,
    /// When Nagios had proved that it read it, if it did.
    pub proved: Option<SystemTime>,
    /// Why it was rejected, in the operator's words.
    pub reason: Option<String>,
    /// The caller asked to pass the brake and the quarantine.
    pub forced: bool,
    /// For a rollback: the generation whose set this is.
    pub restores: Option<i64>,
    /// From where it was asked for, as the door saw it.
    pub caller: Option<Box<str>>,
}

/// A replacement that is about to be recorded.
#[derive(Clone, Debug)]
pub struct NewGeneration {
    pub source: Source,
    pub set: HostSet,
    pub forced: bool,
    pub restores: Option<i64>,
    pub caller: Option<Box<str>>,
}

/// What became of a [`NewGeneration`].
#[derive(Clone, Debug)]
pub enum Recorded {
    Pending(Generation),
    /// The set is the one that Nagios died of; nothing was recorded.
    Quarantined {
        reason: String,
    },
}

/// A source's set that is on disk.
#[derive(Clone, Debug)]
pub struct LiveSet {
    pub generation: Generation,
    pub set: HostSet,
}

/// The hosts file as it was last given its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub file_digest: String,
    /// The newest generation in it.
    pub generation: i64,
    /// Taken after the change of names.
    pub swapped: SystemTime,
    /// `program_start` of the Nagios that has read it.
    pub proved_by: Option<i64>,
}

/// What a process finds when it starts.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub live: Vec<LiveSet>,
    /// The newest pending generation of each source that has one.
    pub pending: Vec<LiveSet>,
    pub applied: Option<Applied>,
}

/// Why generations are rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub reason: String,
    /// Keep the sets out until a caller forces them.
    pub quarantine: bool,
}

impl State {
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let found = self
            .database
            .call(|db| {
                let tx = db.transaction()?;
                // A newer pending generation of the source makes an older one moot.
                tx.execute(
                    "UPDATE generation SET state = 'superseded' WHERE state = 'pending' AND number NOT IN
                     (SELECT max(number) FROM generation WHERE state = 'pending' GROUP BY source)",
                    [],
                )?;
                let snapshot = Snapshot {
                    live: sets_in(&tx, GenerationState::Live)?,
                    pending: sets_in(&tx, GenerationState::Pending)?,
                    applied: applied(&tx)?,
                };
                tx.commit()?;
                Ok(snapshot)
            })
            .await?;
        Ok(found)
    }

    /// Records replacements in one durable transaction, in order. Each makes
    /// older pending ones of its source superseded.
    pub async fn record(
        &self,
        new: Vec<NewGeneration>,
        now: SystemTime,
    ) -> Result<Vec<Recorded>, Error> {
        let recorded = self
            .database
            .call(move |db| {
                let tx = db.transaction()?;
                let recorded = new
                    .into_iter()
                    .map(|one| record(&tx, one, now))
                    .collect::<Result<Vec<_>, _>>()?;
                tx.commit()?;
                Ok(recorded)
            })
            .await?;
        Ok(recorded)
    }

    /// The file with these generations has its name: they are live, what they
    /// replace is superseded, and at most `keep` settled ones stay. Where
    /// Nagios has read that very file before, they are proved as well.
    pub async fn settle_live(
        &self,
        numbers: Vec<i64>,
        applied: Applied,
        keep: u32,
        now: SystemTime,
    ) -> Result<(), Error> {
        self.database
            .call(move |db| {
                let tx = db.transaction()?;
                let swapped = to_millis(applied.swapped);
                let proved = applied.proved_by.map(|_| to_millis(now));
                for number in numbers {
                    tx.execute(
                        "UPDATE generation SET state = 'superseded'
                         WHERE state IN ('live', 'pending') AND number < ?1
                           AND source = (SELECT source FROM generation WHERE number = ?1)",
                        [number],
                    )?;
                    tx.execute(
                        "UPDATE generation SET state = 'live', live_at = ?2, proved_at = ?3 WHERE number = ?1",
                        params![number, swapped, proved],
                    )?;
                }
                write_applied(&tx, &applied)?;
                prune(&tx, keep)?;
                tx.commit()
            })
            .await?;
        Ok(())
    }

    pub async fn settle_rejected(
        &self,
        numbers: Vec<i64>,
        judgement: Judgement,
        now: SystemTime,
    ) -> Result<(), Error> {
        self.database
            .call(move |db| {
                let tx = db.transaction()?;
                for number in numbers {
                    reject(&tx, number, &judgement, now)?;
                }
                tx.commit()
            })
            .await?;
        Ok(())
    }

    /// Nagios has proved that it read the applied file.
    pub async fn settle_proved(
        &self,
        file_digest: String,
        program_start: i64,
        now: SystemTime,
    ) -> Result<(), Error> {
        self.database
            .call(move |db| {
                let tx = db.transaction()?;
                let changed = tx.execute(
                    "UPDATE applied SET proved_by = ?2 WHERE file_digest = ?1",
                    params![file_digest, program_start],
                )?;
                if changed > 0 {
                    tx.execute(
                        "UPDATE generation SET proved_at = ?1 WHERE state = 'live' AND proved_at IS NULL",
                        [to_millis(now)],
                    )?;
                }
                tx.commit()
            })
            .await?;
        Ok(())
    }

    /// Nagios died of the live file: its unproved generations are rejected,
    /// and each source goes back to its newest proved one. Returns what is
    /// live now.
    pub async fn settle_fatal(
        &self,
        judgement: Judgement,
        now: SystemTime,
    ) -> Result<Vec<LiveSet>, Error> {
        let live = self
            .database
            .call(move |db| {
                let tx = db.transaction()?;
                let guilty = numbers(
                    &tx,
                    "SELECT number FROM generation WHERE state = 'live' AND proved_at IS NULL",
                )?;
                for number in guilty {
                    reject(&tx, number, &judgement, now)?;
                    tx.execute(
                        "UPDATE generation SET state = 'live' WHERE number =
                         (SELECT max(number) FROM generation WHERE state = 'superseded'
                          AND proved_at IS NOT NULL
                          AND source = (SELECT source FROM generation WHERE number = ?1))",
                        [number],
                    )?;
                }
                let live = sets_in(&tx, GenerationState::Live)?;
                tx.commit()?;
                Ok(live)
            })
            .await?;
        Ok(live)
    }

    /// Remembers a hosts file that came back without a new generation.
    pub async fn note_applied(&self, applied: Applied) -> Result<(), Error> {
        self.database.call(move |db| write_applied(db, &applied)).await?;
        Ok(())
    }

    /// Newest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<Generation>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self
            .database
            .call(move |db| {
                db.prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM generation ORDER BY number DESC LIMIT ?1"
                ))?
                .query_map([limit], generation)?
                .collect()
            })
            .await?;
        Ok(found)
    }

    /// The set of one generation, if it is kept.
    pub async fn set_of(&self, number: i64) -> Result<Option<LiveSet>, Error> {
        let found = self
            .database
            .call(move |db| {
                db.prepare_cached(&format!("SELECT {COLUMNS}, {SET} WHERE number = ?1"))?
                    .query_row([number], live_set)
                    .optional()
            })
            .await?;
        Ok(found)
    }

    /// The set that a generation replaced: its source's, live before it, as far
    /// as it is kept.
    pub async fn set_before(&self, of: &Generation) -> Result<Option<LiveSet>, Error> {
        let (number, source) = (of.number, of.source.to_string());
        let found = self
            .database
            .call(move |db| {
                db.prepare_cached(&format!(
                    "SELECT {COLUMNS}, {SET}
                     WHERE source = ?1 AND number < ?2 AND live_at IS NOT NULL
                     ORDER BY number DESC LIMIT 1"
                ))?
                .query_row((source, number), live_set)
                .optional()
            })
            .await?;
        Ok(found)
    }
}

pub(super) const COLUMNS: &str = "number, source, state, host_count, created_at, live_at, proved_at, \
                                  reason, forced, restores, caller";

/// A set that is not there is a fault to tell, not a row to leave out.
const SET: &str = "hosts, set_digest FROM generation LEFT JOIN host_set ON digest = set_digest";

pub(super) fn generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let spoiled = |column: usize, text: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, text.into())
    };
    let source: String = row.get(1)?;
    let state: String = row.get(2)?;
    Ok(Generation {
        number: row.get(0)?,
        source: source.parse().map_err(|_| spoiled(1, format!("{source:?} is not a source")))?,
        state: GenerationState::read(&state)
            .ok_or_else(|| spoiled(2, format!("{state:?} is not a state")))?,
        host_count: row.get(3)?,
        created: from_millis(row.get(4)?),
        live: row.get::<_, Option<i64>>(5)?.map(from_millis),
        proved: row.get::<_, Option<i64>>(6)?.map(from_millis),
        reason: row.get(7)?,
        forced: row.get(8)?,
        restores: row.get(9)?,
        caller: row.get::<_, Option<String>>(10)?.map(Into::into),
    })
}

fn live_set(row: &Row<'_>) -> rusqlite::Result<LiveSet> {
    let json: String = row.get("hosts")?;
    let set = host_set::read(&json, row.get("set_digest")?).map_err(|fault| {
        rusqlite::Error::FromSqlConversionFailure(11, rusqlite::types::Type::Text, fault.into())
    })?;
    Ok(LiveSet { generation: generation(row)?, set })
}

fn sets_in(tx: &Transaction<'_>, state: GenerationState) -> rusqlite::Result<Vec<LiveSet>> {
    tx.prepare_cached(&format!("SELECT {COLUMNS}, {SET} WHERE state = ?1 ORDER BY source"))?
        .query_map([state.as_str()], live_set)?
        .collect()
}

fn numbers(tx: &Transaction<'_>, query: &str) -> rusqlite::Result<Vec<i64>> {
    tx.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()
}

fn record(tx: &Transaction<'_>, new: NewGeneration, now: SystemTime) -> rusqlite::Result<Recorded> {
    let kept = KeptSet::of(&new.set);
    let source = new.source.to_string();
    let key = params![source, kept.digest];
    if new.forced {
        tx.execute("DELETE FROM quarantine WHERE source = ?1 AND set_digest = ?2", key)?;
    } else {
        let reason = tx
            .query_row(
                "SELECT reason FROM quarantine WHERE source = ?1 AND set_digest = ?2",
                key,
                |row| row.get(0),
            )
            .optional()?;
        if let Some(reason) = reason {
            return Ok(Recorded::Quarantined { reason });
        }
    }
    tx.execute(
        "INSERT OR IGNORE INTO host_set (digest, hosts) VALUES (?1, ?2)",
        params![kept.digest, kept.json],
    )?;
    tx.execute(
        "UPDATE generation SET state = 'superseded' WHERE state = 'pending' AND source = ?1",
        [&source],
    )?;
    let host_count = new.set.len();
    tx.execute(
        "INSERT INTO generation (source, state, set_digest, host_count, created_at, forced, restores, caller)
         VALUES (?1, 'pending', ?2, ?3, ?4, ?5, ?6, ?7)",
        params![source, kept.digest, host_count, to_millis(now), new.forced, new.restores, new.caller],
    )?;
    Ok(Recorded::Pending(Generation {
        number: tx.last_insert_rowid(),
        source: new.source,
        state: GenerationState::Pending,
        host_count,
        created: from_millis(to_millis(now)),
        live: None,
        proved: None,
        reason: None,
        forced: new.forced,
        restores: new.restores,
        caller: new.caller,
    }))
}

fn reject(
    tx: &Transaction<'_>,
    number: i64,
    judgement: &Judgement,
    now: SystemTime,
) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE generation SET state = 'rejected', reason = ?2 WHERE number = ?1",
        params![number, judgement.reason],
    )?;
    if judgement.quarantine {
        tx.execute(
            "INSERT OR REPLACE INTO quarantine (source, set_digest, since, reason)
             SELECT source, set_digest, ?2, ?3 FROM generation WHERE number = ?1",
            params![number, to_millis(now), judgement.reason],
        )?;
    }
    Ok(())
}

fn applied(db: &Connection) -> rusqlite::Result<Option<Applied>> {
    db.query_row("SELECT file_digest, generation, swapped_at, proved_by FROM applied", [], |row| {
        Ok(Applied {
            file_digest: row.get(0)?,
            generation: row.get(1)?,
            swapped: from_millis(row.get(2)?),
            proved_by: row.get(3)?,
        })
    })
    .optional()
}

fn write_applied(db: &Connection, applied: &Applied) -> rusqlite::Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO applied (one, file_digest, generation, swapped_at, proved_by)
         VALUES (1, ?1, ?2, ?3, ?4)",
        params![
            applied.file_digest,
            applied.generation,
            to_millis(applied.swapped),
            applied.proved_by
        ],
    )?;
    Ok(())
}

/// Keeps the newest `keep` generations that reached the disk or were refused,
/// and as many that a burst of calls overtook. What is live or pending stays,
/// and so does the newest proved one of a source: it would go back to that.
fn prune(tx: &Transaction<'_>, keep: u32) -> rusqlite::Result<()> {
    for overtaken in [true, false] {
        tx.execute(
            "DELETE FROM generation WHERE number IN (
                 SELECT number FROM generation
                 WHERE state IN ('rejected', 'superseded')
                   AND number NOT IN (SELECT max(number) FROM generation
                                      WHERE state = 'superseded' AND proved_at IS NOT NULL GROUP BY source)
                   AND (state = 'superseded' AND live_at IS NULL) = ?1
                 ORDER BY number DESC LIMIT -1 OFFSET ?2)",
            params![overtaken, keep],
        )?;
    }
    tx.execute(
        "DELETE FROM quarantine WHERE since < (SELECT min(created_at) FROM generation)
         AND set_digest NOT IN (SELECT set_digest FROM generation)",
        [],
    )?;
    tx.execute("DELETE FROM host_set WHERE digest NOT IN (SELECT set_digest FROM generation)", [])?;
    Ok(())
}
