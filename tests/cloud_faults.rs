//! Each fault of a cloud's answers through the whole process: what is not a
//! whole listing changes neither the ledger nor Nagios, and what happened
//! meanwhile is on record to the second once the cloud behaves again.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::appliance::Appliance;
use common::cloud::{
    QUICK, everything, gone, section, segments, start, status, sync, unix_now, wait_polled,
    watched, write_password,
};
use common::http::{Request, Step};
use common::nagios::{Nagios, Settings};
use common::openstack::{Answer, OpenStack, State, later};
use serde_json::{Value, json};
use weather_balloon::rpc::client::{CloudBlame, UsageQuestion};

const WEST: &str = "West";
/// Of the walk: two full pages and an empty one here, one and an empty one
/// there, and what changed in both.
const PAGES: usize = 7;

type Meddler = Box<dyn FnMut(&mut State, &Request, usize, Answer) -> Vec<Step> + Send>;

/// A cloud of two regions whose last pages are exactly full, one appliance and
/// one real Nagios.
struct House {
    nagios: Nagios,
    fake: OpenStack,
    appliance: Appliance,
    fleet: BTreeSet<String>,
    /// One is stopped or started before each fourth fault, as each restart of
    /// Nagios takes its time.
    toggled: String,
    /// When that was, oldest first.
    toggles: Vec<i64>,
    faults: usize,
}

fn is_page(request: &Request) -> bool {
    request.line.contains("servers/detail")
}

/// Meddles with the pages of servers, which are counted from 0.
fn on_pages(
    mut meddler: impl FnMut(&mut State, usize, &Request, Answer) -> Vec<Step> + Send + 'static,
) -> Meddler {
    let mut count = 0;
    Box::new(move |state, request, _, answer| {
        if !is_page(request) {
            return answer.steps();
        }
        count += 1;
        meddler(state, count - 1, request, answer)
    })
}

impl House {
    fn new() -> Self {
        let nagios = Nagios::start_new(Settings::default());
        let fake = OpenStack::start();
        let fleet: BTreeSet<String> = {
            let mut state = fake.state();
            state.clock = Some(unix_now() - 100_000);
            state.regions.push(WEST.to_owned());
            state.max_limit = 3;
            let home: Vec<_> = (0..6).map(|_| state.boot(Some("carol"), 0)).collect();
            let west = (0..3).map(|_| state.boot_in(WEST, Some("dave"), 1));
            home.into_iter().chain(west).collect()
        };
        let mut appliance = Appliance::new(&nagios, QUICK, "");
        let password = write_password(&appliance);
        let section = section("east", &fake, &password);
        let keys = format!("{section}regions = [\"RegionOne\", \"{WEST}\"]\nmax_wait = \"2s\"\n");
        appliance.configure(&nagios, QUICK, &keys);
        appliance.start();
        wait_polled(&appliance, "east");
        let toggled = fleet.first().unwrap().clone();
        let toggles = Vec::new();
        let house = Self { nagios, fake, appliance, fleet, toggled, toggles, faults: 0 };
        house.assert_right("at the start");
        house
    }

    fn toggle(&mut self) {
        let mut state = self.fake.state();
        state.pass(60);
        self.faults += 1;
        if self.faults % 4 != 1 {
            return;
        }
        let runs = self.toggles.len().is_multiple_of(2);
        if runs {
            state.stop(&self.toggled)
        } else {
            state.power_on(&self.toggled)
        }
        self.toggles.push(state.now());
        state.pass(60);
    }

    fn running(&self) -> BTreeSet<String> {
        let mut running = self.fleet.clone();
        if !self.toggles.len().is_multiple_of(2) {
            running.remove(&self.toggled);
        }
        running
    }

    /// After a whole listing.
    fn assert_right(&self, what: &str) {
        assert_eq!(watched(&self.appliance, &self.nagios, "east"), self.running(), "{what}");
        assert_eq!(gone(&self.appliance), [], "{what}");
        for id in &self.fleet {
            let own = if *id == self.toggled { self.toggles.as_slice() } else { &[] };
            let segments = segments(&self.appliance, "east", id);
            let cuts: Vec<_> = segments.iter().filter_map(|(_, _, to)| *to).collect();
            assert_eq!(cuts, own, "{what}: {id}");
            let counted =
                segments.iter().enumerate().all(|(n, (counts, ..))| *counts == (n % 2 == 0));
            assert!(counted && segments.last().unwrap().2.is_none(), "{what}: {id} {segments:?}");
        }
    }

    /// Something happens, the walk goes wrong and changes nothing, and the next
    /// one brings all of it.
    fn fails(&mut self, what: &str, meddler: Meddler) -> CloudBlame {
        let before = (watched(&self.appliance, &self.nagios, "east"), everything(&self.appliance));
        self.toggle();
        self.fake.meddle(meddler);
        assert!(sync(&self.appliance, "east").is_err(), "{what}");
        let shown = status(&self.appliance, "east");
        assert!(shown.error.is_some(), "{what}");
        let after = (watched(&self.appliance, &self.nagios, "east"), everything(&self.appliance));
        assert_eq!(before, after, "{what}");
        self.fake.behave();
        self.listed(what);
        shown.blame.unwrap()
    }

    /// The walk ends well all the same.
    fn succeeds(&mut self, what: &str, meddler: Meddler) {
        self.toggle();
        self.fake.meddle(meddler);
        self.listed(what);
        self.fake.behave();
    }

    fn listed(&self, what: &str) {
        let told = sync(&self.appliance, "east");
        let told = told.unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
        assert_eq!((told.missing_count, told.held_count), (Some(0), Some(0)), "{what}");
        self.assert_right(what);
    }
}

#[test]
fn pages_of_any_kind_are_one_listing() {
    let mut house = House::new();
    // Nova gives fewer than were asked for, and the last page is exactly full.
    for limit in [1, 2, 4, 9, 1000, 3] {
        house.fake.state().max_limit = limit;
        house.succeeds(&format!("{limit} a page"), on_pages(|_, _, _, answer| answer.steps()));
    }
    let mut last = Value::Null;
    house.succeeds(
        "one on two pages",
        on_pages(move |_, _, request, mut answer| {
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
            let servers = body["servers"].as_array_mut().unwrap();
            if !last.is_null() && !request.line.contains("changes-since") {
                servers.insert(0, last.take());
            }
            last = servers.last().cloned().unwrap_or_default();
            answer.body = body.to_string().into_bytes();
            answer.steps()
        }),
    );
    house.succeeds(
        "a token that ends on the way",
        on_pages(|state, page, _, answer| {
            if page == 1 {
                state.pass(4_000);
            }
            answer.steps()
        }),
    );
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        house.succeeds(
            status,
            on_pages(move |_, page, _, answer| match page % 2 {
                0 => later(status, "0").steps(),
                _ => answer.steps(),
            }),
        );
    }
}

#[test]
fn what_is_no_whole_listing_changes_nothing() {
    let mut house = House::new();
    for bad in 0..PAGES {
        let blame = house.fails(
            &format!("500 on page {bad}"),
            on_pages(move |_, page, _, answer| match page == bad {
                true => Answer {
                    status: "500 Internal Server Error",
                    headers: vec![],
                    body: b"oh".to_vec(),
                }
                .steps(),
                false => answer.steps(),
            }),
        );
        assert_eq!(blame, CloudBlame::TROUBLE);
    }
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        for bad in [0, 1, 4] {
            let meddler = on_pages(move |_, page, _, answer| match page >= bad {
                true => later(status, "3000").steps(),
                false => answer.steps(),
            });
            let blame = house.fails(&format!("{status} from page {bad}"), meddler);
            assert_eq!(blame, CloudBlame::THROTTLING);
        }
    }
    let lost = json!({"badRequest": {"code": 400, "message": "marker [x] not found"}});
    house.fails(
        "an unknown marker",
        on_pages(move |_, _, request, answer| match request.line.contains("marker=") {
            true => Answer::json("400 Bad Request", &lost).steps(),
            false => answer.steps(),
        }),
    );
    for down in ["RegionOne", WEST] {
        house.fails(
            &format!("{down} is down"),
            Box::new(move |_, request, _, answer| match request.line.contains(down) {
                true => vec![Step::Close],
                false => answer.steps(),
            }),
        );
    }
    let refused = json!({"error": {"code": 401, "message": "no"}});
    let blame = house.fails(
        "no token is good",
        on_pages(move |_, _, _, _| Answer::json("401 Unauthorized", &refused).steps()),
    );
    assert_eq!(blame, CloudBlame::CREDENTIALS);
}

#[test]
fn a_page_that_is_cut_changes_nothing() {
    let mut house = House::new();
    let length = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&length);
    house.succeeds(
        "a look at the page",
        on_pages(move |_, page, _, answer| {
            if page == 1 {
                seen.store(answer.body.len(), Ordering::SeqCst);
            }
            answer.steps()
        }),
    );
    let length = length.load(Ordering::SeqCst);
    assert!(length > 3_000, "{length}");
    house.toggle();
    let before = (watched(&house.appliance, &house.nagios, "east"), everything(&house.appliance));
    // Every byte is cut at where the provider alone is asked, in its own tests.
    for cut in (0..length).step_by(1 + length / 60) {
        house.fake.meddle(on_pages(move |_, page, _, mut answer| {
            if page == 1 {
                answer.body.truncate(cut);
            }
            answer.steps()
        }));
        sync(&house.appliance, "east").expect_err("a cut page");
        // Broken off, and once more when it is asked for again.
        house.fake.meddle(on_pages(move |_, page, _, answer| {
            let mut bytes = answer.bytes();
            if page == 0 {
                return vec![Step::Send(bytes)];
            }
            bytes.truncate(bytes.len() - answer.body.len() + cut.min(answer.body.len() - 1));
            vec![Step::Send(bytes), Step::Close]
        }));
        sync(&house.appliance, "east").expect_err("a page that was broken off");
        assert_eq!(everything(&house.appliance), before.1, "cut at {cut}");
    }
    assert_eq!(watched(&house.appliance, &house.nagios, "east"), before.0);
    house.fake.behave();
    house.listed("after the cuts");
}

#[test]
fn a_marker_that_is_deleted_between_pages_leaves_alone() {
    let mut house = House::new();
    house.toggle();
    let told = Arc::new(Mutex::new(None));
    let there = Arc::clone(&told);
    house.fake.meddle(on_pages(move |state, page, _, answer| {
        if page == 0 {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let marker = body["servers"][2]["id"].as_str().unwrap().to_owned();
            state.pass(7);
            state.delete(&marker);
            *there.lock().unwrap() = Some((marker, state.now()));
            state.pass(5);
        }
        answer.steps()
    }));
    sync(&house.appliance, "east").unwrap();
    house.fake.behave();
    let (marker, at) = told.lock().unwrap().take().unwrap();
    assert!(house.fleet.remove(&marker));
    assert_eq!(watched(&house.appliance, &house.nagios, "east"), house.running());
    assert_eq!(gone(&house.appliance), [(marker.clone(), at)]);
    assert_eq!(segments(&house.appliance, "east", &marker).last().unwrap().2, Some(at));
}

/// The cloud's clock runs a day ahead in a moment; ours is set back in what the
/// ledger remembers of it.
#[test]
fn a_day_without_a_cloud_is_a_gap_and_nothing_else() {
    const DAY: i64 = 86_400;
    let nagios = Nagios::start_new(Settings::default());
    let (east, west) = (OpenStack::start(), OpenStack::start());
    let began = unix_now() - DAY - 7_200;
    let [eastern, western] = [&east, &west].map(|fake| {
        let mut state = fake.state();
        state.clock = Some(began);
        (0..3).map(|_| state.boot(Some("carol"), 0)).collect::<Vec<_>>()
    });
    let appliance = start(&nagios, &[("east", &east), ("west", &west)], "");
    wait_polled(&appliance, "east");
    wait_polled(&appliance, "west");
    east.meddle(|_, _, _, _| vec![Step::Close]);
    let mut there = western.clone();
    for hour in 1..=24 {
        west.state().pass(3_600);
        east.state().pass(3_600);
        match hour {
            8 => east.state().stop(&eastern[0]),
            9 => east.state().power_on(&eastern[0]),
            10 => east.state().delete(&eastern[1]),
            _ => (),
        }
        if hour % 6 == 0 {
            west.state().delete(&there.remove(0));
            there.push(west.state().boot(Some("dave"), 1));
            sync(&appliance, "east").unwrap_err();
            sync(&appliance, "west").unwrap();
            assert_eq!(watched(&appliance, &nagios, "west"), there.iter().cloned().collect());
            assert_eq!(watched(&appliance, &nagios, "east"), eastern.iter().cloned().collect());
        }
    }
    let ledger = rusqlite::Connection::open(appliance.path("state/ledger.db")).unwrap();
    ledger.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let earlier = "UPDATE cloud SET noticed_at = noticed_at - ?1 WHERE name = 'east'";
    assert_eq!(ledger.execute(earlier, [DAY]).unwrap(), 1);
    let gaps = || {
        let question = UsageQuestion {
            start_time: Some(0),
            end_time: None,
            username: None,
            cloud: Some("east".to_owned()),
            flavor: None,
            staff: None,
            group_by: None,
            order: None,
            limit: None,
        };
        let report = appliance.client().get_usage(&question).unwrap();
        let gaps = report.gaps.unwrap().into_iter();
        let gaps: Vec<_> =
            gaps.map(|gap| (gap.start_time.unwrap(), gap.end_time.unwrap())).collect();
        (gaps, report.counted_until.unwrap())
    };
    let (going_on, until) = gaps();
    assert_eq!(going_on, [(began, until)]);

    east.behave();
    sync(&appliance, "east").unwrap();
    assert_eq!(gaps().0, [(began, began + DAY)]);
    let left = [&eastern[0], &eastern[2]].map(String::clone).into();
    assert_eq!(watched(&appliance, &nagios, "east"), left);
    // The cloud told what happened meanwhile.
    let hour = |hour: i64| began + hour * 3_600;
    assert_eq!(
        segments(&appliance, "east", &eastern[0]),
        [(true, began, Some(hour(8))), (false, hour(8), Some(hour(9))), (true, hour(9), None)]
    );
    assert_eq!(segments(&appliance, "east", &eastern[1]), [(true, began, Some(hour(10)))]);
    assert_eq!(segments(&appliance, "east", &eastern[2]), [(true, began, None)]);
}
