//! The leaderboard through the whole: a ledger that another process writes, the
//! appliance that reads it, and Thrift.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, in their helpers too, and spoil plain files"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::appliance::{Appliance, fleet};
use common::histories::{
    Cloud, Life, TOGETHER, billed_by_listings, ledger_times, listed_cloud, looks, owner_of,
    sighting, told_life,
};
use common::ledger::{Ground, off, seen, told, usage, vm};
use common::nagios::{Account, Nagios, Settings, wait_until};
use common::postgres::Postgres;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{self, TestRunner};
use weather_balloon::model::{EventKind, Size};
use weather_balloon::rpc::client::{Error, UsageGroup, UsageQuestion, UsageReport};
use weather_balloon::rpc::wire::cloud::TCloudSyncClient;
use weather_balloon::store;

const QUICK: &str = "min_restart_interval = \"1s\"\nconfirm_timeout = \"5s\"";
/// A start takes about this long at most, ledger or no ledger.
const READY: Duration = Duration::from_secs(10);
const DAY: i64 = 86_400;

fn section(config: &store::Config) -> String {
    format!("[store]\nurl = \"{}\"\nconnect_timeout = \"2s\"\n", config.url)
}

/// An appliance that runs, and its ledger as another process has it.
async fn appliance_on(nagios: &Nagios, postgres: bool) -> (Appliance, Ground) {
    if postgres {
        let server = Postgres::shared();
        let config = server.local_config(&server.database());
        let appliance = Appliance::start_new(nagios, QUICK, &section(&config));
        return (appliance, Ground::at(config).await);
    }
    let appliance = Appliance::start_new(nagios, QUICK, "");
    let file = appliance.path("state/ledger.db");
    wait_until("a ledger", || appliance.client().get_usage(&question(0, 1)).ok());
    let url = format!("sqlite:{}", file.display());
    (appliance, Ground::at(store::Config { url, ..store::Config::default() }).await)
}

fn question(start: i64, end: i64) -> UsageQuestion {
    UsageQuestion {
        start_time: Some(start),
        end_time: Some(end),
        username: None,
        cloud: None,
        flavor: None,
        staff: None,
        group_by: None,
        order: None,
        limit: None,
    }
}

/// Name, CPU time, uptime, instances.
fn brief(report: &UsageReport) -> Vec<(String, i64, i64, i64)> {
    let rows = report.rows.iter().flatten();
    rows.map(|row| {
        let name = row.name.clone().unwrap();
        let times = (row.cpu_time_seconds.unwrap(), row.total_uptime_seconds.unwrap());
        (name, times.0, times.1, row.instance_count.unwrap())
    })
    .collect()
}

/// 4 vCPUs, up on the days 0 to 10 and 20 to 30: in 2014 that was 50 days.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_instance_is_counted_once_and_told_gaps() {
    let nagios = Nagios::start_new(Settings::default());
    for postgres in [false, true] {
        let (appliance, ground) = appliance_on(&nagios, postgres).await;
        let base = 1_700_006_400;
        let mine = || vm("i-1", "ada", 4);
        ground.see("0", &seen(base, vec![mine()]), base).await;
        for (day, kind) in
            [(10, EventKind::Stopped), (20, EventKind::Started), (30, EventKind::Stopped)]
        {
            let (event, at) = (base + day * DAY, base + day * DAY + 300);
            let listed = if kind == EventKind::Started { mine() } else { off(mine()) };
            let sighting = told(at, vec![listed], vec![], &[("i-1", event, kind)]);
            ground.see(&format!("{day}"), &sighting, at).await;
        }
        let mut client = appliance.client();
        let asked = question(base - 5 * DAY, base + 40 * DAY);
        let report = client.get_usage(&asked).unwrap();
        assert_eq!(brief(&report), [("ada".to_owned(), 80 * DAY, 20 * DAY, 1)]);
        // The last one goes on: nobody has looked since.
        assert_eq!((report.row_count, report.gap_count), (Some(1), Some(4)));
        let gaps: Vec<_> = report.gaps.unwrap().into_iter().collect();
        let looks = [0, 10 * DAY + 300, 20 * DAY + 300, 30 * DAY + 300, 40 * DAY];
        for (gap, look) in gaps.iter().zip(looks.windows(2)) {
            let expected = (Some(base + look[0]), Some(base + look[1]));
            assert_eq!((gap.start_time, gap.end_time), expected);
            assert_eq!(gap.cloud.as_deref(), Some("east"));
        }
        let past = client.get_usage(&question(base, base + 30 * DAY)).unwrap();
        assert_eq!(past.gap_count, Some(3), "it begins later");
        let other = UsageQuestion { cloud: Some("west".into()), ..asked.clone() };
        assert_eq!(client.get_usage(&other).unwrap().gap_count, Some(0));
        let days = UsageQuestion { group_by: Some(UsageGroup::DAY), ..asked.clone() };
        let days = brief(&client.get_usage(&days).unwrap());
        assert_eq!(days.iter().map(|day| day.1).sum::<i64>(), 80 * DAY);

        let mut of_2014 = appliance.cloud_client();
        let (start, end) = ((base - 5 * DAY) as i32, (base + 40 * DAY) as i32);
        let board = of_2014.get_leaderboard(start, end).unwrap();
        assert_eq!(board.len(), 1);
        assert_eq!(board[0].cpu_time_seconds, Some(80 * DAY as i32));
        assert_eq!(board[0].total_uptime_seconds, Some(20 * DAY as i32));
        assert_eq!((board[0].instance_count, board[0].is_staff), (Some(1), Some(false)));
        assert_eq!(board[0].exact_cpu_time_seconds, Some(80 * DAY));
        assert_eq!(of_2014.get_user_stats(start, end, "ada".to_owned()).unwrap(), board);
        assert_eq!(of_2014.get_user_stats(start, end, "bob".to_owned()).unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_window_and_filter_gets_a_clear_answer() {
    let nagios = Nagios::start_new(Settings::default());
    let (appliance, ground) = appliance_on(&nagios, false).await;
    let start = 1_000_000_000;
    let mut unknown = vm("i-2", "bob", 1);
    unknown.shape.size = Size::new(None, None, None);
    ground.see("1", &seen(start, vec![vm("i-1", "ada", 64), unknown]), start).await;
    let names = ground.user_names().await;
    let ada = *names.iter().find(|(_, name)| *name == "ada").unwrap().0;
    ground.store.set_staff(&ground.lease, &[(ada, true)]).await.unwrap();

    let mut of_2014 = appliance.cloud_client();
    for (from, to) in
        [(0, 0), (i32::MAX, i32::MAX), (i32::MIN, 0), (-5, 100), (i32::MAX - 1, i32::MAX)]
    {
        assert_eq!(of_2014.get_leaderboard(from, to).unwrap(), [], "{from} to {to}");
    }
    for (from, to) in [(1, 0), (i32::MAX, i32::MIN)] {
        match of_2014.get_leaderboard(from, to).unwrap_err() {
            thrift::Error::Application(fault) => {
                assert!(fault.message.contains("must begin before it ends"), "{fault:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // All of time, up to now: more than 2014's numbers hold.
    let board = of_2014.get_leaderboard(i32::MIN, i32::MAX).unwrap();
    let now = wait_until("now", || {
        i64::try_from(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs(),
        )
        .ok()
    });
    assert_eq!(board[0].cpu_time_seconds, Some(i32::MAX));
    let exact = board[0].exact_cpu_time_seconds.unwrap();
    assert!((exact - 64 * (now - start)).abs() <= 64 * 60, "{exact}");
    assert_eq!((board[0].is_staff, board[1].is_staff), (Some(true), Some(false)));
    assert_eq!(board[1].cpu_time_seconds, Some(0));
    assert_eq!(board[1].unknown_vcpu_seconds, board[1].exact_total_uptime_seconds);

    let mut client = appliance.client();
    let hour = question(start, start + 3600);
    let mut names = |asked: UsageQuestion| -> Vec<String> {
        brief(&client.get_usage(&asked).unwrap()).into_iter().map(|row| row.0).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(names(hour.clone()), ["ada", "bob"]);
    assert_eq!(names(UsageQuestion { staff: Some(true), ..hour.clone() }), ["ada"]);
    assert_eq!(names(UsageQuestion { staff: Some(false), ..hour.clone() }), ["bob"]);
    assert_eq!(names(UsageQuestion { username: text("bob"), ..hour.clone() }), ["bob"]);
    assert_eq!(names(UsageQuestion { cloud: text("west"), ..hour.clone() }), [""; 0]);
    assert_eq!(names(UsageQuestion { flavor: text("m64"), ..hour.clone() }), ["ada"]);
    let by = |group_by| UsageQuestion { group_by: Some(group_by), ..hour.clone() };
    assert_eq!(names(by(UsageGroup::CLOUD)), ["east"]);
    assert_eq!(names(by(UsageGroup::FLAVOR)), ["m64", "m1"]);
    assert_eq!(names(by(UsageGroup::DAY)), ["2001-09-09"]);
    assert_eq!(names(UsageQuestion { limit: Some(1), ..hour.clone() }), ["ada"]);
    let report = client.get_usage(&UsageQuestion { limit: Some(1), ..hour.clone() }).unwrap();
    assert_eq!((report.row_count, report.counted_until), (Some(2), Some(start + 3600)));
    let future = client.get_usage(&question(now + DAY, now + 2 * DAY)).unwrap();
    assert_eq!((brief(&future), future.counted_until), (vec![], Some(now + DAY)));
    for bad in [
        question(5, 5),
        question(i64::MAX, i64::MIN),
        UsageQuestion { limit: Some(-1), ..hour.clone() },
        by(UsageGroup(9)),
    ] {
        assert!(matches!(client.get_usage(&bad), Err(Error::BadQuestion(_))), "{bad:?}");
    }

    // The same at the command line.
    let said = |words: &[&str]| {
        let output = appliance.cli(words);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let window = ["--from", "1000000000", "--until", "1000003600"];
    let (table, remarks) = said(&[&["usage", "top"], &window[..]].concat());
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["USER", "CPU", "HOURS", "UP", "HOURS", "INSTANCES"]);
    assert_eq!(lines[1], ["ada", "64.0", "1.0", "1", "staff"]);
    assert_eq!(lines[2], ["bob", "0.0", "+?", "1.0", "1"]);
    assert!(remarks.contains("the vCPUs are not known"), "{remarks}");
    assert!(!table.contains('\u{1b}') && !table.contains('█'), "{table}");
    let (csv, _) = said(&[&["usage", "user", "ada", "--output", "csv"], &window[..]].concat());
    let heading =
        "name,is_staff,cpu_time_seconds,total_uptime_seconds,unknown_vcpu_seconds,instance_count";
    assert_eq!(csv, format!("{heading}\nada,true,230400,3600,0,1\n"));
    let words = ["usage", "top", "--by", "day", "--no-staff", "--output", "json"];
    let (json, _) = said(&[&words[..], &window[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"][0]["name"], "2001-09-09");
    assert_eq!(json["rows"][0]["unknown_vcpu_seconds"], 3600);
    let (nothing, remarks) = said(&["usage", "user", "nobody"]);
    assert_eq!(nothing.lines().count(), 1);
    assert!(remarks.contains("Nothing was used"), "{remarks}");
}

/// What each second of each life is billed, by its owner.
struct Billed {
    start: i64,
    lives: Vec<(String, Vec<u32>)>,
}

impl Billed {
    /// Name, CPU time, uptime, instances of everybody with uptime in [from, to).
    fn between(&self, from: i64, to: i64) -> Vec<(String, i64, i64, i64)> {
        let mut sums: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
        for (owner, seconds) in &self.lives {
            let mut up = 0;
            for (at, vcpus) in (self.start..).zip(seconds) {
                if (from..to).contains(&at) && *vcpus > 0 {
                    up += 1;
                    sums.entry(owner).or_default().0 += i64::from(*vcpus);
                }
            }
            if up > 0 {
                let sum = sums.entry(owner).or_default();
                (sum.1, sum.2) = (sum.1 + up, sum.2 + 1);
            }
        }
        let mut rows: Vec<_> =
            sums.into_iter().map(|(name, sum)| (name.to_owned(), sum.0, sum.1, sum.2)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.1));
        rows
    }
}

/// Plays a cloud as another process, and asks after every look.
async fn play(ground: &Ground, appliance: &Appliance, name: &str, cloud: &Cloud) {
    let mut client = appliance.client();
    for (index, look) in cloud.looks.iter().enumerate() {
        ground
            .see(&format!("{name} {index}"), &sighting(name, cloud, index), look.truth + look.ours)
            .await;
        let id = ground.store.clouds_since(0).await.unwrap();
        let id = id.iter().find(|one| one.name == name).unwrap().id;
        let mut rows = ground.rows().await;
        rows.retain(|_, row| row.cloud == id);
        let (from, to) = (cloud.looks[0].truth - 5_000, look.truth + look.ours + 100_000);
        let asked = UsageQuestion {
            cloud: Some(name.to_owned()),
            group_by: Some(UsageGroup::CLOUD),
            ..question(from, to)
        };
        let (uptime, cpu, instances) = usage(&rows, from, to);
        let found = brief(&client.get_usage(&asked).unwrap());
        let found = found.first().map_or((0, 0, 0), |row| (row.2, row.1, row.3));
        assert_eq!(found, (uptime, cpu, instances as i64), "{name} after look {index}");
    }
}

fn draw<T>(strategy: impl Strategy<Value = T>, runner: &mut TestRunner) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// A cloud, and what the oracles say of it.
fn invent(name: &str, told: bool, runner: &mut TestRunner) -> (Cloud, Billed) {
    let owned = |life: &Life, seconds| Some((owner_of(life, name)?, seconds));
    if told {
        let looks = draw(looks(true), runner);
        let lives = prop::collection::vec(told_life(looks.clone()), TOGETHER);
        let (lives, truths): (Vec<_>, Vec<_>) = draw(lives, runner).into_iter().unzip();
        let billed = lives.iter().zip(truths).filter_map(|(life, truth)| owned(life, truth));
        let billed = Billed { start: looks[0].truth, lives: billed.collect() };
        return (Cloud { looks, lives }, billed);
    }
    let cloud = draw(listed_cloud(), runner);
    let billed =
        cloud.lives.iter().filter_map(|life| owned(life, billed_by_listings(&cloud.looks, life)));
    let billed = Billed { start: ledger_times(&cloud.looks)[0].0, lives: billed.collect() };
    (cloud, billed)
}

async fn histories(clouds: usize) {
    let nagios = Nagios::start_new(Settings::default());
    for postgres in [false, true] {
        let (appliance, ground) = appliance_on(&nagios, postgres).await;
        let rng = test_runner::TestRng::deterministic_rng(Default::default());
        let mut runner = TestRunner::new_with_rng(test_runner::Config::default(), rng);
        for number in 0..clouds {
            let name = format!("cloud-{number}");
            let (cloud, billed) = invent(&name, number % 2 == 1, &mut runner);
            play(&ground, &appliance, &name, &cloud).await;
            let end = ledger_times(&cloud.looks).last().unwrap().0;
            // Where the clocks were set back again and again, no second passed.
            let questions = if billed.start < end { 20 } else { 0 };
            let mut client = appliance.client();
            for _ in 0..questions {
                let from = draw(billed.start..end, &mut runner);
                let to = draw(from + 1..=end, &mut runner);
                let asked = UsageQuestion { cloud: Some(name.clone()), ..question(from, to) };
                let found = brief(&client.get_usage(&asked).unwrap());
                assert_eq!(found, billed.between(from, to), "{name}, {from} to {to}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_are_answered_to_the_second() {
    histories(4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --release --test leaderboard -- --ignored"]
async fn many_random_histories_are_answered_to_the_second() {
    histories(200).await;
}

/// Many ask at once while another process writes: what was there when somebody
/// asked is in his answer.
#[tokio::test(flavor = "multi_thread")]
async fn askers_together_miss_nothing() {
    let nagios = Nagios::start_new(Settings::default());
    let (appliance, ground) = appliance_on(&nagios, false).await;
    let written = std::sync::atomic::AtomicI64::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = appliance.client();
                    let mut answers = 0;
                    while !done.load(order) {
                        let before = written.load(order);
                        let asked = UsageQuestion {
                            group_by: Some(UsageGroup::CLOUD),
                            ..question(0, 1_700_000_000)
                        };
                        let found = brief(&client.get_usage(&asked).unwrap());
                        let found = found.first().map_or(0, |row| row.3);
                        let after = written.load(order) + 1;
                        assert!((before..=after).contains(&found), "{before} {found} {after}");
                        answers += 1;
                    }
                    answers
                })
            })
            .collect();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for count in 1..=60_i64 {
                    let at = 1_600_000_000 + count * 600;
                    let all = (0..count).map(|n| vm(&format!("i-{n}"), "ada", 1)).collect();
                    ground.see(&format!("{count}"), &seen(at, all), at).await;
                    written.store(count, order);
                }
            });
        });
        done.store(true, order);
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() > 5));
    });
}

/// The hosts go on, and the leaderboard says why it does not.
fn assert_told(appliance: &mut Appliance, words: &str) {
    let took = appliance.start();
    assert!(took < READY, "READY took {took:?}");
    let began = Instant::now();
    appliance.client_of_2014().set_hosts(&fleet(3)).unwrap();
    assert!(began.elapsed() < READY, "set_hosts took {:?}", began.elapsed());
    wait_until(&format!("an answer with {words:?}"), || {
        let asked = Instant::now();
        let fault = appliance.cloud_client().get_leaderboard(0, 1).err();
        assert!(asked.elapsed() < Duration::from_secs(20), "it took {:?}", asked.elapsed());
        match fault {
            Some(thrift::Error::Application(fault)) => fault.message.contains(words).then_some(()),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    });
    match appliance.client().get_usage(&question(0, 1)) {
        Err(Error::Unavailable(told)) => assert!(told.contains(words), "{told}"),
        other => panic!("{other:?}"),
    }
    appliance.client_of_2014().set_hosts(&fleet(4)).unwrap();
    assert_eq!(appliance.wait_in_step_with(4).watched_count, Some(4));
    appliance.stop();
}

#[test]
fn a_ledger_in_trouble_leaves_the_hosts_alone() {
    let nagios = Nagios::start_new(Settings::default());
    let nobody = common::appliance::free_port();
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for (port, words) in [(nobody, "Connection refused"), (silent_port, "no answer in time")] {
        let url = format!("postgresql://u@127.0.0.1:{port}/d");
        let config = store::Config { url, ..store::Config::default() };
        let more = format!("{}tls = \"off\"\n", section(&config));
        assert_told(&mut Appliance::new(&nagios, QUICK, &more), words);
    }
    let url = "sqlite:/no/such/directory/ledger.db".to_owned();
    let config = store::Config { url, ..store::Config::default() };
    assert_told(&mut Appliance::new(&nagios, QUICK, &section(&config)), "/no/such/directory");
    let off = store::Config { url: String::new(), ..store::Config::default() };
    assert_told(&mut Appliance::new(&nagios, QUICK, &section(&off)), "keeps no usage");

    let mut spoiled = Appliance::new(&nagios, QUICK, "");
    give_ledger(&spoiled, &b"this is no ledger, but it is long enough to be one. ".repeat(200));
    assert_told(&mut spoiled, "is damaged");
}

/// Puts a file in the ledger's place.
fn give_ledger(appliance: &Appliance, bytes: &[u8]) {
    let account = Account::of_nagios();
    let state = appliance.path("state");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("ledger.db"), bytes).unwrap();
    account.give(&state);
    account.give(&state.join("ledger.db"));
}

/// A ledger that can be opened, and of which a page is turned over.
async fn hidden_damage(dir: &Path) -> Vec<u8> {
    let ground = Ground::sqlite().await;
    let listing = (0..2000).map(|number| vm(&format!("i-{number}"), "ada", 1)).collect();
    ground.see("1", &seen(1000, listing), 1000).await;
    let file = ground.file();
    let Ground { store, dir: _kept, .. } = ground;
    drop(store);
    let whole = fs::read(&file).unwrap();
    for page in (8..whole.len() / 4096).rev() {
        let mut bytes = whole.clone();
        bytes[page * 4096..][..4096].iter_mut().for_each(|byte| *byte = !*byte);
        let spoiled = dir.join("spoiled.db");
        fs::write(&spoiled, &bytes).unwrap();
        let url = format!("sqlite:{}", spoiled.display());
        let config = store::Config { url, ..store::Config::default() };
        let Ok(opened) = store::open(&config).await else { continue };
        if opened.segments_since(0).await.is_ok() && opened.check().await.is_err() {
            return bytes;
        }
    }
    panic!("all damage shows at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_only_a_check_finds_is_told() {
    let nagios = Nagios::start_new(Settings::default());
    let dir = tempfile::tempdir().unwrap();
    let bytes = hidden_damage(dir.path()).await;
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    give_ledger(&appliance, &bytes);
    assert_told(&mut appliance, "is damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_ledger_is_told_and_left_alone() {
    const NEWER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
    let nagios = Nagios::start_new(Settings::default());
    let ground = Ground::sqlite().await;
    let file = ground.file();
    let Ground { store, dir: _kept, .. } = ground;
    drop(store);
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute(NEWER, []).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    let bytes = fs::read(&file).unwrap();
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    give_ledger(&appliance, &bytes);
    assert_told(&mut appliance, "was written by a newer weather-balloon");
    assert_eq!(fs::read(appliance.path("state/ledger.db")).unwrap(), bytes);
}

/// A server that is killed and comes back, and a first reading that takes long.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_may_go_and_come_and_be_slow() {
    let nagios = Nagios::start_new(Settings::default());
    let mut server = Postgres::start(false);
    let database = server.database();
    let config = server.local_config(&database);
    let ground = Ground::at(config.clone()).await;
    let at = 1_600_000_000;
    ground.see("1", &seen(at, vec![vm("i-1", "ada", 2)]), at).await;
    let login = format!(
        "host={} port={} user=postgres dbname={database}",
        server.dir().display(),
        server.port
    );
    let (locker, connection) =
        tokio_postgres::connect(&login, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    locker.batch_execute("BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE").await.unwrap();

    let appliance = Appliance::start_new(&nagios, QUICK, &section(&config));
    let hour = question(at, at + 3600);
    let mut client = appliance.client();
    let told = wait_until("a reading that is under way", || match client.get_usage(&hour) {
        Err(Error::Unavailable(told)) => told.contains("being read").then_some(told),
        other => panic!("{other:?}"),
    });
    assert!(told.contains("% of it so far, 1 segments"), "{told}");
    appliance.client_of_2014().set_hosts(&fleet(3)).unwrap();
    locker.batch_execute("COMMIT").await.unwrap();
    drop(locker);
    connection.await.unwrap().unwrap();
    let known = vec![("ada".to_owned(), 7200, 3600, 1)];
    wait_until("an answer", || client.get_usage(&hour).ok().filter(|found| brief(found) == known));

    server.kill();
    // A back-end may outlive its server for a moment.
    wait_until("no answer", || client.get_usage(&hour).err());
    for _ in 0..3 {
        let began = Instant::now();
        match client.get_usage(&hour) {
            Err(Error::Unavailable(told)) => assert!(told.contains("PostgreSQL"), "{told}"),
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    appliance.client_of_2014().set_hosts(&fleet(4)).unwrap();
    server.start_again();
    wait_until("an answer after all", || client.get_usage(&hour).ok());
    // An older state of the same ledger takes its place: what was read of the
    // newer one is forgotten.
    server.sql(&database, "DELETE FROM segment; UPDATE ledger SET revision = 1");
    assert_eq!(brief(&client.get_usage(&hour).unwrap()), []);
}
