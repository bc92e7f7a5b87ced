//! A page with an appliance behind it: hosts that a real Nagios has read, a
//! ledger of a month, measurements of a day, and clouds that say what they are
//! told to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and its tasks end with its runtime"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use weather_balloon::cloud::{CloudView, Clouds, HeldView, Owners, Role, Shown};
use weather_balloon::hosts::{self, Hosts};
use weather_balloon::http::Services;
use weather_balloon::ledger::{Rhythm, reconcile};
use weather_balloon::metrics::Metrics;
use weather_balloon::model::{
    Address, Datapoint, GivenHost, HostId, HostSet, InstanceId, Label, Series, Source,
};
use weather_balloon::providers::Skipped;
use weather_balloon::shipping::Shipping;
use weather_balloon::state::{self, HeldBy, State};
use weather_balloon::store;
use weather_balloon::telemetry::Calls;
use weather_balloon::usage::Usage;

use super::demo;
use super::ledger::{Ground, created, seen, vm};
use super::nagios::{Nagios, Settings, wait_until};
use super::page::{Page, runtime};

const DAY: i64 = 86_400;
const DAYS: i64 = 30;
const SLOT: i64 = 600;

/// What the sample is made of.
pub struct Plan {
    /// Display names of the callers' hosts, in each of their generations.
    pub callers: Vec<Vec<String>>,
    /// Names of clouds that have hosts, and how many each has.
    pub clouds: Vec<(String, usize)>,
    pub owners: Vec<String>,
    pub metrics: Vec<String>,
    /// What plugins say, service by service; nothing was checked where empty.
    pub outputs: Vec<String>,
    /// What the last cloud says of its last poll.
    pub error: String,
    pub held: Vec<String>,
}

impl Plan {
    /// As it may be anywhere.
    pub fn usual() -> Self {
        let of = |count| (1..=count).map(|n| demo::machine(n).1).collect();
        Self {
            callers: vec![of(16), of(20), of(19)],
            clouds: vec![(demo::CLOUD.to_owned(), 74), ("west".to_owned(), 31)],
            owners: demo::PEOPLE.map(str::to_owned).to_vec(),
            metrics: demo::METRICS.map(str::to_owned).to_vec(),
            outputs: [
                "OK - 3 established",
                "DISK OK - free space: / 21043 MiB (54% inode=88%);",
                "OK - idle 12.5 %",
                "OK - load average: 0.42, 0.31, 0.22",
                "MEM OK",
                "PROCS OK: 112 processes",
                "USERS OK - 2 users currently logged in",
                "PROCS OK: 0 processes with STATE = Z",
            ]
            .map(str::to_owned)
            .to_vec(),
            error: "https://west.example:5000/v3 did not answer within 30s; the last listing stays"
                .to_owned(),
            held: ["i-1000", "i-104a", "i-1128"].map(str::to_owned).to_vec(),
        }
    }

    /// With so many hosts of one cloud.
    pub fn large(hosts: usize) -> Self {
        let clouds = vec![("east".to_owned(), hosts)];
        Self { clouds, outputs: Vec::new(), ..Self::usual() }
    }

    /// Everything that somebody else may choose is one of these texts.
    pub fn hostile(texts: &[&str]) -> Self {
        let all: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            callers: vec![all.clone()],
            // One that has hosts, whose owners chose their names.
            clouds: [("north".to_owned(), all.len())]
                .into_iter()
                .chain(all.iter().map(|name| (name.clone(), 0)))
                .collect(),
            owners: all.clone(),
            metrics: all.clone(),
            outputs: all.clone(),
            error: all.join(" "),
            held: all,
        }
    }
}

pub struct Sample {
    pub page: Page,
    pub services: Services,
    pub nagios: Nagios,
    _scratch: tempfile::TempDir,
}

impl Sample {
    /// Stands when Nagios has read the newest hosts.
    pub fn of(plan: &Plan) -> Self {
        // Of many hosts the status takes long to write.
        let status_update_interval = if plan.outputs.is_empty() { 10 } else { 1 };
        let nagios = Nagios::start_new(Settings { status_update_interval, ..Settings::default() });
        let scratch = tempfile::Builder::new().prefix("wbs-").tempdir_in("/tmp").unwrap();
        let runtime = runtime();
        let hosts = runtime.block_on(hosts(plan, &nagios, scratch.path()));
        let usage = runtime.block_on(usage(plan, scratch.path()));
        let services = Services {
            hosts,
            metrics: Metrics::in_memory(series(&plan.metrics)),
            shipping: Shipping::off(),
            usage,
            clouds: Clouds::showing(views(plan)),
            calls: Calls::default(),
        };
        let page = Page::of(runtime, "", services.clone());
        wait_until("a page in step", || page.get("/").contains("In step.").then_some(()));
        wait_until("a board", || page.get("/v1/usage").contains("200 OK").then_some(()));
        let sample = Self { page, services, nagios, _scratch: scratch };
        if !plan.outputs.is_empty() {
            sample.check(&plan.outputs);
        }
        sample
    }

    /// Tells Nagios what plugins said of every host. Stands when its status has
    /// it.
    fn check(&self, outputs: &[String]) {
        let ids: Vec<String> =
            self.services.hosts.view().hosts.iter().map(|one| one.host.id.to_string()).collect();
        let services = wait_until("Nagios's services", || {
            let services = self.services_of(&ids[0]);
            (services.len() == outputs.len()).then_some(services)
        });
        let mut orders = String::new();
        for (place, id) in ids.iter().enumerate() {
            // Some are down, some have one service that is not as it should be.
            let down = place % 30 == 6;
            let said = if down { "PING CRITICAL - Packet loss = 100%" } else { &outputs[0] };
            writeln!(orders, "PROCESS_HOST_CHECK_RESULT;{id};{};{said}", u8::from(down)).unwrap();
            for (at, (service, output)) in services.iter().zip(outputs).enumerate() {
                let code = match (down, place % 17 == 3 && at == place % outputs.len()) {
                    (true, _) => 2,
                    (false, true) => 1 + at % 3,
                    _ => 0,
                };
                writeln!(orders, "PROCESS_SERVICE_CHECK_RESULT;{id};{service};{code};{output}")
                    .unwrap();
            }
        }
        let orders: String = orders.lines().map(|line| format!("[{}] {line}\n", now())).collect();
        let mut fifo = std::fs::OpenOptions::new().write(true).open(self.nagios.fifo()).unwrap();
        fifo.write_all(orders.as_bytes()).unwrap();
        let last = ids.last().unwrap();
        wait_until("what was said of the last host", || {
            let whole = self.host(last);
            let services = whole["nagios"]["services"].as_array()?;
            services.iter().all(|one| one["state"] != "pending").then_some(())
        });
    }

    /// As `/v1/hosts/ID` tells it.
    pub fn host(&self, id: &str) -> Value {
        let answer = self.page.get(&format!("/v1/hosts/{id}"));
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn services_of(&self, id: &str) -> Vec<String> {
        let whole = self.host(id);
        let services = whole["nagios"]["services"].as_array();
        let named = services.into_iter().flatten().map(|one| one["description"].as_str().unwrap());
        named.map(str::to_owned).collect()
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn set(given: impl IntoIterator<Item = GivenHost>) -> HostSet {
    HostSet::parse(&given.into_iter().collect::<Vec<_>>()).unwrap()
}

async fn hosts(plan: &Plan, nagios: &Nagios, scratch: &std::path::Path) -> Hosts {
    let state = State::open(&state::Config { directory: scratch.join("state") }).unwrap();
    let config = hosts::Config {
        min_restart_interval: Duration::from_secs(1),
        first_checks_per_second: 0,
        ..hosts::Config::default()
    };
    let parts = Hosts::start(config, nagios.part(), Arc::new(state)).await.unwrap();
    let (hosts, keeper, restarter, first_checks) = parts;
    let never = CancellationToken::new();
    tokio::spawn(keeper.run(never.clone()));
    tokio::spawn(restarter.run(never.clone()));
    tokio::spawn(first_checks.run(never));
    for names in &plan.callers {
        let given = (1..).zip(names).map(|(n, name)| {
            let (id, _, address) = demo::machine(n);
            GivenHost { id, display_name: name.clone(), address }
        });
        hosts.replace(Source::Rpc, set(given), false).await.unwrap();
    }
    for (place, (name, count)) in plan.clouds.iter().enumerate().filter(|(_, of)| of.1 > 0) {
        let given = (0..*count).map(|n| GivenHost {
            id: instance_host(name, n),
            display_name: instance_host(name, n),
            address: format!("10.{}.{}.{}", 30 + place, n / 250, n % 250 + 1),
        });
        hosts.replace(Source::Cloud(name.as_str().into()), set(given), false).await.unwrap();
    }
    hosts
}

/// Looked at once a day for a month; the owners have more of it the earlier
/// they come.
async fn usage(plan: &Plan, scratch: &std::path::Path) -> Usage {
    let url = format!("sqlite:{}", scratch.join("ledger.db").display());
    let config = store::Config { url, ..store::Config::default() };
    let ground = Ground::at(config.clone()).await;
    let start = now() - DAYS * DAY;
    for day in 0..=DAYS {
        let at = start + day * DAY;
        let owners = plan.owners.iter().enumerate();
        let instances = owners.flat_map(|(place, owner)| {
            let place = i64::try_from(place).unwrap();
            let many = 1 + (day + place * 5) % (8 - place.min(6)).max(2);
            (0..many).map(move |n| {
                let id = format!("i-{place}-{n}-{}", (day + place * 5) / 8);
                created(at, vm(&id, owner, [8, 4, 2, 1][usize::try_from(place % 4).unwrap()]))
            })
        });
        let sighting = seen(at, instances.collect());
        let view = ground.store.view(&sighting).await.unwrap();
        let changes = reconcile(&view, &sighting, at, Rhythm::of_seconds(DAY as u32));
        let run = format!("day {day}");
        ground.store.apply(&ground.lease, &run, Arc::new(changes)).await.unwrap();
    }
    let (ledger, opener) = store::Handle::opening(config);
    let (usage, refresher) = Usage::start(ledger, Default::default());
    let never = CancellationToken::new();
    tokio::spawn(opener.run(never.clone(), never.clone()));
    tokio::spawn(refresher.run(never));
    usage
}

/// A day in slots of ten minutes; one slot lacks its value, and later twelve.
pub fn series(names: &[String]) -> Vec<Series> {
    let end = now() / SLOT * SLOT;
    let one = |(place, name): (usize, &String)| {
        let points = (0..144i32).map(|n| {
            let wave = f64::from(n + 7 * place as i32) / 11.0;
            let value = 40.0 + 25.0 * wave.sin() + 8.0 * (wave * 5.3).sin();
            let measured = n != 30 && !(60..72).contains(&n);
            let value = measured.then_some(value / f64::from(1 + 9 * (place as i32 % 3)));
            Datapoint { time: end - i64::from(143 - n) * SLOT, value }
        });
        Series { name: name.clone(), points: points.collect() }
    };
    names.iter().enumerate().map(one).collect()
}

/// The host of a cloud's n-th instance.
fn instance_host(cloud: &str, n: usize) -> String {
    format!("{cloud}_{}", instance(n))
}

fn instance(n: usize) -> String {
    format!("i-{:04x}", n * 37 + 4096)
}

fn views(plan: &Plan) -> Vec<CloudView> {
    let now = now();
    let last = plan.clouds.len().saturating_sub(1);
    let view = |(place, (name, count)): (usize, &(String, usize))| {
        let owned = (0..*count).map(|n| {
            let id = InstanceId::parse(&instance(n)).unwrap();
            (id, Label::tame(&plan.owners[n % plan.owners.len()]))
        });
        let whole = CloudView {
            owners: Arc::new(Owners::new(name, owned.collect())),
            name: name.clone(),
            kind: "openstack".to_owned(),
            configured: true,
            role: Role::Polls,
            last_attempt: Some(now - 190),
            last_success: Some(now - 190),
            took_ms: Some(2310),
            next_poll: Some(now + 410),
            shown: Shown { listed: count + 9, running: *count, ..Shown::default() },
            watched: *count,
            ..CloudView::default()
        };
        if place < last {
            return whole;
        }
        let skipped = plan.held.iter().map(|id| Skipped {
            id: InstanceId::parse(&format!("{id}0")).unwrap(),
            reason: Label::tame("it has no image"),
        });
        CloudView {
            last_success: Some(now - 4000),
            error: Some(plan.error.clone()),
            trouble: (count == &0).then(|| plan.error.clone()),
            shown: Shown { skipped: skipped.collect(), skipped_total: 3, ..whole.shown },
            held: (1..).zip(&plan.held).map(|(n, id)| held(now, name, id, n)).collect(),
            held_total: plan.held.len(),
            held_token: 77,
            ..whole
        }
    };
    plan.clouds.iter().enumerate().map(view).collect()
}

fn held(now: i64, cloud: &str, id: &str, nth: i64) -> HeldView {
    HeldView {
        instance: InstanceId::parse(id).unwrap(),
        host: HostId::parse(&format!("{cloud}_{id}")).ok(),
        address: Address::parse(&format!("10.31.0.{nth}")).ok(),
        since: now - 7300 - 600 * nth,
        held_at: now - 6700 - 600 * nth,
        by: HeldBy::Brake,
    }
}
