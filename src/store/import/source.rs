//! The tables of 2014 as they lie in PostgreSQL.

use super::report::Imported;
use super::untangle::{Ended, Record};
use crate::store::postgres::PostgresStore;
use crate::store::whole::{self, Cell, Kind, Row, Whole};
use crate::store::{Config, Error, PAGE, Target};

/// One row, with the names of what it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub cloud: Option<String>,
    pub key: String,
    pub user_name: Option<String>,
    pub is_staff: Option<bool>,
    pub image: String,
    pub address: String,
    pub record: Record,
}

pub(super) struct Source {
    whole: Box<dyn Whole>,
    now: i64,
}

const TABLES: [&str; 5] = ["cloud", "image", "instance", "instancetype", "user"];

impl Source {
    /// All that is read is of this moment.
    pub(super) async fn open(config: &Config, now: i64) -> Result<Self, Error> {
        let database = config.name();
        let refuse = |reason: &str| Error::NoTables {
            database: database.clone(),
            reason: reason.to_owned(),
        };
        let target = config.target().map_err(|reason| Error::Config { key: "url", reason })?;
        let Target::Postgres(server) = target else {
            return Err(refuse("they are in a PostgreSQL database; give its postgresql:// URL"));
        };
        let mut whole: Box<dyn Whole> = Box::new(PostgresStore::foreign(config, *server)?);
        whole.begin_reading().await?;
        for table in TABLES {
            let sql = format!(
                "SELECT count(*) FROM pg_class WHERE oid = to_regclass('weather_balloon_{table}')"
            );
            if whole::number(&mut *whole, &sql).await? == 0 {
                return Err(refuse(&format!("there is no table weather_balloon_{table}")));
            }
        }
        Ok(Self { whole, now })
    }

    pub(super) async fn count(&mut self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM weather_balloon_instance";
        Ok(whole::number(&mut *self.whole, sql).await?.unsigned_abs())
    }

    /// Names that several rows have.
    pub(super) async fn doubles(&mut self, table: &str, column: &str) -> Result<Vec<i64>, Error> {
        let sql = format!(
            "SELECT max(id)::bigint FROM weather_balloon_{table}
             GROUP BY btrim({column}) HAVING count(*) > 1 ORDER BY 1 LIMIT 1000"
        );
        let rows = self.whole.ask(&sql, Row::new(), vec![Kind::Int]).await?;
        Ok(rows.iter().filter_map(|row| row[0].int()).collect())
    }

    /// The last sign of life of each cloud's poll.
    pub(super) async fn last_signs(&mut self) -> Result<Vec<(String, i64)>, Error> {
        let now = self.now;
        let sql = format!(
            "SELECT btrim(c.name), floor(extract(epoch FROM max(t.at)))::bigint
             FROM weather_balloon_instance i JOIN weather_balloon_cloud c ON c.id = i.cloud_id
             CROSS JOIN LATERAL (VALUES (i.created_date), (i.end_date)) AS t(at)
             WHERE isfinite(t.at) AND t.at BETWEEN to_timestamp(0) AND to_timestamp({now})
             GROUP BY 1"
        );
        let rows = self.whole.ask(&sql, Row::new(), vec![Kind::Text, Kind::Int]).await?;
        Ok(rows.iter().filter_map(|row| Some((row[0].text()?.to_owned(), row[1].int()?))).collect())
    }

    /// In the order of cloud, instance and row; [`Self::next`] gives them.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let now = self.now;
        // A row was made after every creation that an earlier row tells, and
        // before every end that a later row tells.
        let sql = format!(
            r#"DECLARE story NO SCROLL CURSOR FOR
            WITH timed AS (
                SELECT i.*, btrim(c.name) AS cloud_name,
                    CASE WHEN isfinite(i.created_date)
                        THEN floor(extract(epoch FROM i.created_date))::bigint END AS created,
                    CASE WHEN isfinite(i.end_date)
                        THEN floor(extract(epoch FROM i.end_date))::bigint END AS ended
                FROM weather_balloon_instance i
                LEFT JOIN weather_balloon_cloud c ON c.id = i.cloud_id
            )
            SELECT t.cloud_name, t.instance_id::text, t.id::bigint, t.created, t.ended,
                t.end_date IS NOT NULL,
                max(t.created) FILTER (WHERE t.created BETWEEN 0 AND {now}) OVER
                    (PARTITION BY t.cloud_name ORDER BY t.id ROWS UNBOUNDED PRECEDING),
                min(t.ended) FILTER (WHERE t.ended BETWEEN t.created AND {now}) OVER
                    (PARTITION BY t.cloud_name ORDER BY t.id
                     ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING),
                t.user_id::bigint, u.username::text, u.is_staff, y.name::text, y.cpu::bigint,
                y.memory::bigint, y.disk::bigint, m.image_id::text, host(t.address)
            FROM timed t
            LEFT JOIN weather_balloon_user u ON u.id = t.user_id
            LEFT JOIN weather_balloon_instancetype y ON y.id = t.type_id
            LEFT JOIN weather_balloon_image m ON m.id = t.image_id
            ORDER BY t.cloud_name COLLATE "C", t.instance_id COLLATE "C", t.id"#
        );
        self.whole.tell(&sql, Row::new()).await
    }

    /// The next page; empty at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Found>, Error> {
        use Kind::{Flag, Int, Text};
        let kinds = vec![
            Text, Text, Int, Int, Int, Flag, Int, Int, Int, Text, Flag, Text, Int, Int, Int, Text,
            Text,
        ];
        let rows = self.whole.ask(&format!("FETCH {PAGE} FROM story"), Row::new(), kinds).await?;
        Ok(rows.iter().map(found).collect())
    }
}

fn found(row: &Row) -> Found {
    let text = |place: usize| row[place].text().map(str::to_owned);
    let int = |place: usize| row[place].int();
    let ended = match (int(4), &row[5]) {
        (Some(at), _) => Ended::At(at),
        (None, Cell::Flag(true)) => Ended::Never,
        (None, _) => Ended::Open,
    };
    Found {
        cloud: text(0).filter(|name| !name.is_empty()),
        key: text(1).unwrap_or_default(),
        user_name: text(9),
        is_staff: if let Cell::Flag(flag) = row[10] { Some(flag) } else { None },
        image: text(15).unwrap_or_default(),
        address: text(16).unwrap_or_default(),
        record: Record {
            id: int(2).unwrap_or_default(),
            created: int(3),
            ended,
            made: (int(6), int(7)),
            user: int(8).unwrap_or_default(),
            flavor: text(11).unwrap_or_default(),
            vcpus: int(12),
            memory: int(13),
            disk: int(14),
        },
    }
}

/// Seconds that the query of 2014 counts for a row.
pub(super) fn claimed(record: &Record, now: i64) -> i64 {
    let to = if let Ended::At(at) = record.ended { at } else { now };
    record.created.map_or(0, |created| to.saturating_sub(created))
}

pub(super) fn note_doubles(told: &mut Imported, wrong: super::Wrong, ids: &[i64]) {
    for id in ids {
        told.note(wrong, *id, 0);
    }
}
