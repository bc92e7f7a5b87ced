//! The tables of the 2014 service, with everything that is wrong in them, into
//! both kinds of ledger.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::commands::Commands;
use common::ledger::{Ground, assert_sound, created, seen, usage, vm};
use common::postgres::Postgres;
use serde_json::Value;
use weather_balloon::model::{Sighting, Window};
use weather_balloon::store::{Config, Error, Imported, Wrong, import};

const DAY: i64 = 86_400;
const NOW: i64 = 100 * DAY;

const SCHEMA: &str = "SET ROLE weather;
    CREATE TABLE weather_balloon_cloud (id serial PRIMARY KEY, name varchar(45) NOT NULL,
        hostgroup_name varchar(45) NOT NULL);
    CREATE TABLE weather_balloon_image (id serial PRIMARY KEY, image_id varchar(36) NOT NULL,
        type varchar(32) NOT NULL, cloud_id integer NOT NULL);
    CREATE TABLE weather_balloon_instancetype (id serial PRIMARY KEY, name varchar(45) NOT NULL,
        cpu integer, memory integer, disk integer, price numeric(6,3), cloud_id integer NOT NULL);
    CREATE TABLE weather_balloon_user (id serial PRIMARY KEY, username varchar(45) NOT NULL,
        name varchar(100), mail varchar(100), is_staff boolean);
    CREATE TABLE weather_balloon_instance (id serial PRIMARY KEY, instance_id varchar(36) NOT NULL,
        address inet, created_date timestamptz NOT NULL, start_date timestamptz,
        end_date timestamptz, cloud_id integer NOT NULL, user_id integer NOT NULL,
        type_id integer NOT NULL, image_id integer NOT NULL, client_name text);
    INSERT INTO weather_balloon_cloud VALUES (1, 'east', 'x'), (2, 'west', 'x'), (3, 'east', 'x');
    INSERT INTO weather_balloon_image VALUES (1, 'debian', 'machine', 1);
    INSERT INTO weather_balloon_instancetype
        VALUES (1, 'm4', 4, 8192, 40, 1.5, 1), (2, 'bare', NULL, NULL, NULL, NULL, 1),
               (3, 'zero', 0, 0, 0, NULL, 1);
    INSERT INTO weather_balloon_user VALUES (1, 'ada', 'Ada', NULL, true), (2, 'bob', NULL, NULL, NULL),
        (3, 'ada', 'Ada', NULL, NULL), (4, ' ', NULL, NULL, NULL);";

/// A database with the tables and no instances.
fn old() -> (String, Config) {
    let server = Postgres::shared();
    let database = server.database();
    server.sql(&database, SCHEMA);
    let config = server.config(&database);
    (database, config)
}

/// id, instance, beginning and end as days, cloud, user, type.
type Row<'a> = (i64, &'a str, &'a str, &'a str, i64, i64, i64);

fn rows(database: &str, rows: &[Row<'_>]) {
    let time = |day: &str| match day {
        "" => "NULL".to_owned(),
        "infinity" | "-infinity" => format!("'{day}'::timestamptz"),
        day => format!("to_timestamp({day} * {DAY})"),
    };
    for (id, key, from, to, cloud, user, kind) in rows {
        let (from, to) = (time(from), time(to));
        let sql = format!(
            "INSERT INTO weather_balloon_instance VALUES
             ({id}, '{key}', '10.0.0.{}', {from}, NULL, {to}, {cloud}, {user}, {kind}, 1, 'x')",
            id % 250
        );
        Postgres::shared().sql(database, &sql);
    }
}

async fn take(from: &Config, to: &Ground, dry: bool) -> Result<Imported, Error> {
    import(from, &to.config, NOW, dry, &|_| ()).await
}

/// Rows of each finding.
fn found(imported: &Imported) -> Vec<(Wrong, u64)> {
    imported.findings.iter().map(|(wrong, finding)| (*wrong, finding.rows)).collect()
}

async fn free(ground: &Ground) {
    ground.store.release_lease(&ground.lease).await.unwrap();
}

#[tokio::test]
async fn the_double_count_is_told_and_not_taken() {
    for ground in Ground::both().await {
        free(&ground).await;
        let (database, from) = old();
        // 4 vCPUs, active from day 0 to 10 and from 20 to 30: the second row
        // begins at the creation again. Others appear on the days 20 and 21.
        rows(
            &database,
            &[
                (1, "i-1", "0", "10", 1, 1, 1),
                (2, "i-2", "20", "22", 1, 2, 1),
                (3, "i-1", "0", "30", 1, 1, 1),
                (4, "i-3", "20", "20.01", 1, 2, 1),
            ],
        );
        let imported = take(&from, &ground, false).await.unwrap();
        let east = &imported.clouds[0];
        assert_eq!((east.name.as_str(), east.rows, east.instances), ("east", 4, 3));
        assert_eq!(found(&imported)[..2], [(Wrong::DoubleCount, 1), (Wrong::UnknownReturn, 1)]);
        let twice = &imported.findings[&Wrong::DoubleCount];
        assert_eq!((twice.seconds, &twice.examples[..]), (i128::from(10 * DAY), &[3][..]));
        assert_eq!(imported.findings[&Wrong::UnknownReturn].seconds, 864);
        let ada = ground.user_names().await.into_iter().find(|(_, name)| name == "ada").unwrap().0;
        let mine: BTreeMap<_, _> =
            ground.rows().await.into_iter().filter(|(_, row)| row.user == ada).collect();
        assert_sound(&mine);
        // 20 days but for the 864 seconds that nobody can know.
        let wanted = 20 * DAY - 864;
        assert_eq!(usage(&mine, 0, NOW), (wanted, 4 * wanted, 1), "{}", ground.name);
        // The query of 2014 says 40 days.
        assert_eq!(usage(&mine, 0, 10 * DAY), (10 * DAY, 40 * DAY, 1));
        assert_eq!(usage(&mine, 11 * DAY, 20 * DAY), (0, 0, 0));
        assert_eq!(
            east.claimed_seconds,
            i128::from(40 * DAY + 2 * DAY + 864),
            "what 2014 says is told beside it"
        );
    }
}

const WRONGS: [Row<'_>; 16] = [
    (1, "back", "10", "12", 1, 1, 1),
    (2, "back", "10", "30", 1, 1, 1),
    (3, "open", "11", "", 1, 1, 1),
    (4, "open", "11", "", 1, 1, 1),
    (5, "negative", "12", "11", 1, 1, 1),
    (6, "empty", "31", "31", 1, 1, 1),
    (7, "late", "13", "300", 1, 1, 1),
    (8, "unborn", "400", "", 1, 1, 1),
    (9, "ever", "13", "infinity", 1, 1, 1),
    (10, "never", "-infinity", "14", 1, 1, 1),
    (11, "", "13", "14", 1, 1, 1),
    (12, "lost", "13", "14", 77, 1, 1),
    (13, "nobody", "13", "14", 1, 4, 1),
    (14, "bare", "13", "14", 1, 2, 2),
    (15, "zero", "13", "14", 3, 3, 3),
    (16, "far", "13", "15", 2, 99, 1),
];

#[tokio::test]
async fn every_wrong_is_told_once_and_a_second_import_changes_nothing() {
    for ground in Ground::both().await {
        free(&ground).await;
        let (database, from) = old();
        rows(&database, &WRONGS);
        let planned = take(&from, &ground, true).await.unwrap();
        assert_eq!(ground.store.revision().await.unwrap(), 0, "a dry run changes nothing");
        assert_eq!(ground.rows().await, BTreeMap::new());
        let imported = take(&from, &ground, false).await.unwrap();
        assert_eq!(Imported { dry_run: true, ..imported.clone() }, planned);
        let wanted = [
            (Wrong::DoubleCount, 1),
            (Wrong::UnknownReturn, 1),
            (Wrong::OpenTwice, 1),
            (Wrong::EndsBeforeItBegins, 1),
            (Wrong::Empty, 1),
            (Wrong::Future, 2),
            (Wrong::NoTime, 2),
            (Wrong::BadInstanceId, 1),
            (Wrong::NoCloud, 1),
            (Wrong::NoUserName, 2),
            (Wrong::VcpusUnknown, 2),
            (Wrong::CloudTwice, 1),
            (Wrong::UserTwice, 1),
        ];
        assert_eq!(found(&imported), wanted, "{}", ground.name);
        let all = ground.rows().await;
        assert_sound(&all);
        let mut story = ground.story().await;
        story.sort();
        let day = |day: i64| day * DAY;
        let name = str::to_owned;
        assert_eq!(
            story,
            [
                (name("2014-user-4"), true, Some(4), day(13), Some(day(14))),
                (name("2014-user-99"), true, Some(4), day(13), Some(day(15))),
                (name("ada"), true, None, day(13), Some(day(14))),
                (name("ada"), true, Some(4), day(10), Some(day(12))),
                (name("ada"), true, Some(4), day(11), None),
                (name("ada"), true, Some(4), day(13), Some(NOW)),
                // Row 11 ended on day 14, and was made after row 2.
                (name("ada"), true, Some(4), day(14), Some(day(30))),
                (name("bob"), true, None, day(13), Some(day(14))),
            ],
            "{}",
            ground.name
        );
        let users = ground.store.users_since(0).await.unwrap();
        let ada = users.iter().find(|user| user.name == "ada").unwrap();
        assert_eq!(ada.is_staff, Some(true));

        let revision = ground.store.revision().await.unwrap();
        let again = take(&from, &ground, false).await.unwrap();
        assert!(again.clouds.iter().all(|cloud| cloud.before == Some(NOW)), "{again:?}");
        assert_eq!(ground.store.revision().await.unwrap(), revision);
        assert_eq!(ground.rows().await, all);
    }
}

#[tokio::test]
async fn the_poll_goes_on_where_2014_stopped() {
    for ground in Ground::both().await {
        free(&ground).await;
        let (database, from) = old();
        rows(
            &database,
            &[
                (1, "stays", "10", "", 1, 1, 1),
                (2, "goes", "11", "", 1, 2, 1),
                (3, "x", "12", "13", 1, 2, 1),
            ],
        );
        take(&from, &ground, false).await.unwrap();
        let lease =
            ground.store.take_lease("poller", Duration::from_secs(60)).await.unwrap().unwrap();
        let ground = Ground { lease, ..ground };
        let stays = created(10 * DAY, vm("stays", "ada", 4));
        ground.see("1", &seen(20 * DAY, vec![stays.clone()]), 20 * DAY).await;
        ground.see("2", &seen(20 * DAY + 600, vec![stays]), 20 * DAY + 600).await;
        let rows = ground.rows().await;
        assert_sound(&rows);
        // What is found gone counts until the last sign of life in 2014, and
        // what ran before and runs after ran in between.
        assert_eq!(usage(&rows, 0, 21 * DAY), (11 * DAY + 2 * DAY + DAY, 4 * 14 * DAY, 3));
        let gaps = ground.store.gaps(Window::new(0, NOW).unwrap()).await.unwrap();
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].from, gaps[0].to), (13 * DAY, 20 * DAY));
    }
}

#[tokio::test]
async fn the_ledgers_own_record_stands() {
    for ground in Ground::both().await {
        // The new service has polled since day 20.
        let stays = created(10 * DAY, vm("stays", "ada", 4));
        let listing = |at: i64, all: Vec<_>| Sighting::new("east", at, at, all, vec![], vec![]);
        let one = listing(20 * DAY, vec![stays.clone()]).unwrap();
        ground.see("1", &one, 20 * DAY).await;
        let two = listing(20 * DAY + 600, vec![stays]).unwrap();
        ground.see("2", &two, 20 * DAY + 600).await;
        free(&ground).await;
        let (database, from) = old();
        rows(
            &database,
            &[
                (1, "stays", "10", "", 1, 1, 1),
                (2, "went", "11", "", 1, 2, 1),
                (3, "later", "12", "30", 1, 2, 1),
                (4, "twice", "25", "26", 1, 2, 1),
                (5, "x", "17", "18", 1, 2, 1),
            ],
        );
        // Both services ran side by side for a while.
        let imported = take(&from, &ground, false).await.unwrap();
        let wrongs = [(Wrong::CloudTwice, 1), (Wrong::UserTwice, 1), (Wrong::KnownAnyway, 1)];
        assert_eq!(found(&imported), wrongs);
        let rows = ground.rows().await;
        assert_sound(&rows);
        let names = ground.user_names().await;
        let of = |name: &str| -> BTreeMap<_, _> {
            rows.iter().filter(|(_, row)| names[&row.user] == name).map(|(k, v)| (*k, *v)).collect()
        };
        assert_eq!(usage(&of("ada"), 0, 21 * DAY), (11 * DAY, 44 * DAY, 1), "{}", ground.name);
        // One is not there on day 20: until then at the latest.
        assert_eq!(usage(&of("bob"), 0, NOW), ((9 + 8 + 1) * DAY, 4 * 18 * DAY, 3));
    }
}

#[test]
fn the_command_reports_and_refuses() {
    let (database, from) = old();
    rows(&database, &WRONGS);
    let commands = Commands::new(None);
    let password = from.password_file.display().to_string();
    let words = ["store", "import", &from.url, "--password-file", &password, "--tls", "off"];
    let said = commands.refused(&words, 1);
    assert!(said.contains("there is no ledger at"), "{said}");
    weather_balloon::store::SqliteStore::open_blocking(&commands.state().join("ledger.db"))
        .unwrap();
    let dry = commands.told(&[&words[..], &["--dry-run"]].concat());
    assert_eq!(dry["dry_run"], true);
    let real = commands.told(&words);
    assert_eq!(real["findings"], dry["findings"]);
    let codes: Vec<_> =
        real["findings"].as_array().unwrap().iter().map(|one| one["found"].clone()).collect();
    assert!(codes.contains(&Value::from("double_count")), "{codes:?}");
    assert_eq!(real["clouds"][0]["cloud"], "east");
    let table = commands.run(&words);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.contains("imported before; unchanged"), "{text}");
    assert!(text.contains("Resizes were never recorded"), "{text}");

    let server = Postgres::shared();
    let empty = server.config(&server.database());
    let words = ["store", "import", &empty.url, "--password-file", &password, "--tls", "off"];
    let said = commands.refused(&words, 1);
    assert!(said.contains("there is no table weather_balloon_cloud"), "{said}");
    // It is not made a ledger by being looked at.
    let made = server.sql(
        empty.url.rsplit('/').next().unwrap(),
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
    );
    assert_eq!(made.trim(), "0");
}
