//! What a cloud stopped showing without a word, and what was decided about it.

use rusqlite::{Row, params};

use super::{Error, State};
use crate::model::InstanceId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    pub instance: InstanceId,
    /// The first complete listing without it, in the ledger's time of its cloud.
    pub since: i64,
    /// The same by this host's clock.
    pub noticed: i64,
    pub held: Option<Held>,
}

/// Kept although two listings agree that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// UTC seconds by this host's clock.
    pub at: i64,
    pub by: HeldBy,
    /// When an operator let it go; the next listing without it ends it.
    pub released: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// Too many went at once.
    Brake,
    /// It answered Nagios after the cloud had stopped showing it.
    Witness,
}

impl HeldBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Brake => "brake",
            Self::Witness => "witness",
        }
    }
}

impl Absence {
    pub fn is_held(&self) -> bool {
        self.held.is_some_and(|held| held.released.is_none())
    }

    pub fn is_released(&self) -> bool {
        self.held.is_some_and(|held| held.released.is_some())
    }
}

impl State {
    /// Of one cloud, in order of instance.
    pub async fn absences(&self, cloud: &str) -> Result<Vec<Absence>, Error> {
        let cloud = cloud.to_owned();
        let found = self
            .database
            .call(move |db| {
                db.prepare_cached(
                    "SELECT instance, since, noticed, held_at, held_by, released_at
                     FROM absence WHERE cloud = ?1 ORDER BY instance",
                )?
                .query_map([cloud], absence)?
                .collect()
            })
            .await?;
        Ok(found)
    }

    /// Replaces all of one cloud, in one durable transaction.
    pub async fn put_absences(&self, cloud: &str, absences: Vec<Absence>) -> Result<(), Error> {
        let cloud = cloud.to_owned();
        self.database
            .call(move |db| {
                let tx = db.transaction()?;
                tx.execute("DELETE FROM absence WHERE cloud = ?1", [&cloud])?;
                for Absence { instance, since, noticed, held } in &absences {
                    tx.prepare_cached(
                        "INSERT INTO absence (cloud, instance, since, noticed, held_at, held_by, released_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        cloud,
                        instance.as_str(),
                        since,
                        noticed,
                        held.map(|held| held.at),
                        held.map(|held| held.by.as_str()),
                        held.and_then(|held| held.released)
                    ])?;
                }
                tx.commit()
            })
            .await?;
        Ok(())
    }

    /// A name that no other appliance's state has.
    pub async fn appliance_id(&self) -> Result<String, Error> {
        let found = self
            .database
            .call(|db| db.query_row("SELECT id FROM appliance", [], |row| row.get(0)))
            .await?;
        Ok(found)
    }
}

fn absence(row: &Row<'_>) -> rusqlite::Result<Absence> {
    let spoiled = |reason: &str| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, reason.into())
    };
    let instance: String = row.get(0)?;
    let by: Option<String> = row.get(4)?;
    let by = match by.as_deref() {
        None => None,
        Some("brake") => Some(HeldBy::Brake),
        Some("witness") => Some(HeldBy::Witness),
        Some(_) => return Err(spoiled("it is held by nothing known")),
    };
    let (at, released): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(5)?);
    Ok(Absence {
        instance: InstanceId::parse(&instance).map_err(spoiled)?,
        since: row.get(1)?,
        noticed: row.get(2)?,
        held: at.zip(by).map(|(at, by)| Held { at, by, released }),
    })
}
