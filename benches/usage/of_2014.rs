//! What the service of 2014 asked its PostgreSQL, written out on the same rows:
//! every instance there ever was, joined with users and types, its uptime by
//! CASE, summed by user, and joined with users again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use tokio_postgres::{Client, NoTls};

use crate::cloud::Cloud;
use crate::common::postgres::Postgres;
use crate::common::process::cpu_seconds;
use crate::{CPUS, Found, NOW, RUNNING, WINDOWS};

const SCHEMA: &str = "
    CREATE TABLE users (id integer PRIMARY KEY, username text, name text, is_staff boolean);
    CREATE TABLE instance_types (id integer PRIMARY KEY, name text, cpu integer);
    CREATE TABLE instances (
        id bigint PRIMARY KEY, uuid text, address text, cloud_id integer, image_id integer,
        type_id integer REFERENCES instance_types, user_id integer REFERENCES users,
        created_date timestamptz, end_date timestamptz);
    CREATE UNLOGGED TABLE given (id bigint, user_id integer, cpu integer, created bigint, ended bigint);";

const FILL: &str = "
    INSERT INTO instances
        SELECT g.id, md5(g.id::text), '10.0.0.1', 1, 1, g.cpu, g.user_id, to_timestamp(g.created),
               CASE WHEN g.ended < 4294967295 THEN to_timestamp(g.ended) END
        FROM given g ORDER BY g.id;
    DROP TABLE given;
    ANALYZE;";

/// `$1` and `$2`: the window; `$3`: now, which stood still in 2014, too.
const QUERY: &str = "
    SELECT u.id, s.cpu_seconds::bigint, s.total_uptime::bigint, s.instance_count::bigint, u.is_staff
    FROM users u JOIN (
        SELECT user_id, sum(uptime * cpu) AS cpu_seconds, sum(uptime) AS total_uptime,
               sum(CASE WHEN uptime = 0 THEN 0 ELSE 1 END) AS instance_count
        FROM (
            SELECT owner.id AS user_id, kind.cpu AS cpu,
                   CASE WHEN i.created_date > to_timestamp($2::bigint)
                             OR coalesce(i.end_date, to_timestamp($3::bigint)) < to_timestamp($1::bigint)
                        THEN 0
                        ELSE extract(epoch FROM
                            least(coalesce(i.end_date, to_timestamp($3::bigint)), to_timestamp($2::bigint))
                            - greatest(i.created_date, to_timestamp($1::bigint)))
                   END AS uptime
            FROM instances i
            JOIN users owner ON owner.id = i.user_id
            JOIN instance_types kind ON kind.id = i.type_id
        ) AS every_instance
        GROUP BY user_id ORDER BY cpu_seconds DESC
    ) AS s ON s.user_id = u.id";

/// The server's CPU milliseconds of one run, and what it found, by window.
pub fn bench(cloud: &Cloud, windows: &[&str]) -> BTreeMap<String, (f64, Found)> {
    let server = Postgres::start_with(false, "2GB");
    let database = server.database();
    server.sql(&database, SCHEMA);
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-usage-2014.tsv");
    write_rows(cloud, &scratch);
    let mut users = String::from("INSERT INTO users VALUES ");
    for id in 0..cloud.users {
        let end = if id + 1 < cloud.users { "," } else { "" };
        write!(users, "({id},'user{id}','User {id}',{}){end}", id % 50 == 0).unwrap();
    }
    let types = CPUS.map(|(cpu, _)| format!("({cpu},'m{cpu}',{cpu})")).join(",");
    server.sql(&database, &format!("INSERT INTO instance_types VALUES {types}"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let login = format!(
        "host={} port={} user=postgres dbname={database}",
        server.dir().display(),
        server.port
    );
    let (client, connection) = runtime.block_on(tokio_postgres::connect(&login, NoTls)).unwrap();
    runtime.spawn(connection);
    // Too long for a command line.
    runtime.block_on(client.batch_execute(&users)).unwrap();
    server.sql(&database, &format!("\\copy given FROM '{}'", scratch.display()));
    fs::remove_file(scratch).unwrap();
    server.sql(&database, FILL);
    runtime.block_on(ask(&client, windows))
}

async fn ask(client: &Client, windows: &[&str]) -> BTreeMap<String, (f64, Found)> {
    client
        .batch_execute(
            "SET work_mem = '256MB'; SET max_parallel_workers_per_gather = 0; SET jit = off;
             SET timezone = 'UTC'",
        )
        .await
        .unwrap();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let pid = pid.cast_unsigned();
    let mut answers = BTreeMap::new();
    for (name, start, end) in WINDOWS.iter().filter(|window| windows.contains(&window.0)) {
        let before = cpu_seconds(pid);
        let rows = client.query(QUERY, &[start, end, &NOW]).await.unwrap();
        let took = (cpu_seconds(pid) - before) * 1e3;
        // In 2014 users without uptime were listed, too.
        let used = rows.iter().filter(|row| row.get::<_, i64>(2) > 0).map(|row| {
            let user = u32::try_from(row.get::<_, i32>(0)).unwrap();
            (user, (row.get(1), row.get(2), row.get(3)))
        });
        answers.insert((*name).to_owned(), (took, used.collect()));
    }
    answers
}

fn write_rows(cloud: &Cloud, path: &Path) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    for id in 0..cloud.created.len() {
        let ended = if cloud.ended[id] == RUNNING { RUNNING } else { cloud.ended[id] };
        let (user, cpu, created) = (cloud.user[id], cloud.cpu[id], cloud.created[id]);
        writeln!(file, "{id}\t{user}\t{cpu}\t{created}\t{ended}").unwrap();
    }
    file.flush().unwrap();
}
