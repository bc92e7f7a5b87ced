//! The client of Graphite against a real Carbon and a real graphite-web.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::graphite::{Graphite, STEP, last_step};
use weather_balloon::graphite::{Client, Config, Error};
use weather_balloon::model::{Datapoint, HostId, KeyFault, MetricKey, MetricNode, Series, Window};

fn client(graphite: &Graphite) -> Client {
    let config =
        Config { url: graphite.url(), timeout: Duration::from_secs(60), ..Config::default() };
    Client::new(&config).unwrap().unwrap()
}

fn node(id: &str) -> MetricNode {
    MetricNode::of(&HostId::parse(id).unwrap())
}

async fn ask(graphite: &Graphite, id: &str, key: &str) -> Result<Vec<Series>, Error> {
    client(graphite).render(&node(id), &MetricKey::parse(key).unwrap(), None, None).await
}

fn names(series: &[Series]) -> Vec<&str> {
    series.iter().map(|one| one.name.as_str()).collect()
}

fn measured(series: &Series) -> Vec<(i64, f64)> {
    series.points.iter().filter_map(|p| Some((p.time, p.value?))).collect()
}

fn value_at(series: &Series, time: i64) -> Option<&Datapoint> {
    series.points.iter().find(|point| point.time == time)
}

#[tokio::test]
async fn points_come_back_as_they_were_written() {
    let graphite = Graphite::shared();
    let last = last_step();
    let values = [0.1, 1e-300, -12.5, 123_456_789.123_456_7, 0.0];
    let points: Vec<_> = (0..)
        .zip(values)
        .map(|(n, value)| ("nagios.back.load.load1".to_owned(), last - (n + 1) * 2 * STEP, value))
        .collect();
    graphite.store(&points);

    let series = ask(graphite, "back", "load.load1").await.unwrap();
    assert_eq!(names(&series), ["load.load1"]);
    let mut written: Vec<_> = points.iter().map(|(_, time, value)| (*time, *value)).collect();
    written.reverse();
    assert_eq!(measured(&series[0]), written);
    // A day of ten-minute steps, ascending, with absent values between ours.
    let points = &series[0].points;
    assert!((143..=145).contains(&points.len()), "{} points", points.len());
    assert!(points.windows(2).all(|two| two[1].time - two[0].time == STEP));
    assert!(points.iter().all(|point| point.time % STEP == 0));
    assert_eq!(value_at(&series[0], last - 3 * STEP).unwrap().value, None);
}

#[tokio::test]
async fn wildcards_choose_by_depth() {
    let graphite = Graphite::shared();
    let time = last_step() - STEP;
    let name = |tail: &str| format!("nagios.wild.{tail}");
    let tails = ["load.load1", "load.load5", "disk._", "ping.rta", "a.b.c"];
    let points: Vec<_> = tails.iter().map(|tail| (name(tail), time, 1.0)).collect();
    graphite.store(&points);
    for (key, found) in [
        ("", &["disk._", "load.load1", "load.load5", "ping.rta"][..]),
        ("*.*", &["disk._", "load.load1", "load.load5", "ping.rta"]),
        ("load.*", &["load.load1", "load.load5"]),
        ("*.load5", &["load.load5"]),
        ("*.*.*", &["a.b.c"]),
        ("a.*.c", &["a.b.c"]),
        ("*", &[]),
        ("load", &[]),
        ("no.such", &[]),
        ("*.*.*.*.*.*.*.*", &[]),
    ] {
        assert_eq!(names(&ask(graphite, "wild", key).await.unwrap()), found, "{key:?}");
    }
    assert_eq!(ask(graphite, "nobody", "").await.unwrap(), []);
}

#[tokio::test]
async fn a_window_chooses_what_lies_after_its_start_up_to_its_end() {
    let graphite = Graphite::shared();
    let last = last_step();
    let day = 86_400;
    let times = [last - 60 * day, last - 10 * STEP, last - 9 * STEP, last - 8 * STEP];
    let name = "nagios.window.load.load1";
    let points: Vec<_> =
        (0_u8..).zip(times).map(|(n, time)| (name.to_owned(), time, n.into())).collect();
    graphite.store(&points);
    let client = client(graphite);
    let (node, key) = (node("window"), MetricKey::parse("load.load1").unwrap());
    let ask = async |start, end, max_points| {
        let window = Window::new(start, end).unwrap();
        client.render(&node, &key, Some(window), max_points).await.unwrap()
    };
    let measured_in = async |start, end| {
        ask(start, end, None).await.iter().flat_map(measured).collect::<Vec<_>>()
    };

    assert_eq!(measured_in(times[1], times[3]).await, [(times[2], 2.0), (times[3], 3.0)]);
    assert_eq!(measured_in(times[1] - 1, times[2] + 1).await, [(times[1], 1.0), (times[2], 2.0)]);
    assert_eq!(measured_in(times[0] - STEP, times[0]).await, [(times[0], 0.0)]);
    let all = measured_in(i64::MIN, i64::MAX).await;
    assert_eq!(all.len(), 4, "{all:?}");
    // Before all that is kept, before what can be said, and after now.
    for (start, end) in [(1_000_000_000, 1_000_000_001), (i64::MIN, -1), (20_200_101, 20_210_101)] {
        assert_eq!(measured_in(start, end).await, [], "{start} to {end}");
    }
    for (start, end) in [(last + day, last + 2 * day), (i64::MAX - 1, i64::MAX)] {
        assert_eq!(measured_in(start, end).await, [], "{start} to {end}");
    }

    let whole = ask(last - 89 * day, last, None).await;
    assert!((12_814..=12_818).contains(&whole[0].points.len()), "{}", whole[0].points.len());
    for max in [1, 2, 100, 1_000, 12_960] {
        let fewer = ask(last - 89 * day, last, Some(max)).await;
        let count = fewer[0].points.len();
        assert!((1..=max as usize).contains(&count), "{count} points of at most {max}");
        assert!(fewer[0].points.windows(2).all(|two| two[0].time < two[1].time));
    }
    let short = ask(times[1] - 1, times[3], Some(1)).await;
    assert_eq!(measured(&short[0]).iter().map(|(_, value)| *value).collect::<Vec<_>>(), [2.0]);
    // 0 stands for no limit; graphite-web itself would fail on it.
    assert_eq!(ask(times[1], times[3], Some(0)).await[0].points.len(), 2);
}

#[tokio::test]
async fn a_host_is_found_under_the_node_of_its_id() {
    let graphite = Graphite::shared();
    let time = last_step() - STEP;
    let ids = ["i-0a.b:c@d+e", "10.0.0.7", "A_b-C"];
    let points: Vec<_> = (0_u8..)
        .zip(ids)
        .map(|(n, id)| (format!("nagios.{}.load.v", node(id)), time, n.into()))
        .collect();
    graphite.store(&points);
    for (n, id) in (0_u8..).zip(ids) {
        let series = ask(graphite, id, "").await.unwrap();
        assert_eq!(names(&series), ["load.v"], "{id}");
        assert_eq!(measured(&series[0]), [(time, n.into())], "{id}");
    }
}

/// What a hostile caller would like Graphite to read, and what it would read:
/// asked of graphite-web directly, so that the corpus is known to bite.
#[tokio::test]
async fn no_key_reaches_the_series_of_another_host() {
    let graphite = Graphite::shared();
    let time = last_step() - STEP;
    graphite.store(&[
        ("nagios.mine.load.load1".to_owned(), time, 1.0),
        ("nagios.mine2.load.load1".to_owned(), time, 666.0),
        ("nagios.yours.load.load1".to_owned(), time, 666.0),
        ("secret.yours.load.load1".to_owned(), time, 666.0),
    ]);
    let mut taken = 0;
    for key in [
        "load.load1",
        "*.*",
        "*",
        "**",
        "load.load1)",
        "load.load1,nagios.yours.load.load1",
        "load.load1&target=nagios.yours.load.load1",
        "load.load1%26target=nagios.yours.load.load1",
        "load|group(nagios.yours.load.load1)",
        "load.load1|alias('nagios.mine.x')",
        "load.load1 nagios.yours.load.load1",
        "{load.load1,../yours}",
        "load.load1{",
        "load.load[1]",
        "load.load?",
        "../yours/load/load1",
        "..yours.load.load1",
        ".load.load1",
        "load.load1;host=yours",
        "load.load1\n",
        "load.load1\0",
        "lo\u{e4}d.load1",
        "#A",
        "$x",
        "-1",
        "_",
    ] {
        let Ok(key) = MetricKey::parse(key) else { continue };
        taken += 1;
        let series = client(graphite).render(&node("mine"), &key, None, None).await.unwrap();
        for one in &series {
            assert_eq!(one.name, "load.load1", "{key}");
            assert_eq!(measured(one), [(time, 1.0)], "{key}");
        }
    }
    assert_eq!(taken, 5, "the grammar of keys has changed");

    // The corpus bites: without the grammar, graphite-web answers for others.
    let raw = "/render?format=json&target=nagios.mine.load.load1|group(nagios.yours.load.load1)";
    let (status, body) = graphite.get(raw).unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("666.0"), "{body}");
    // The longest key that there is passes gunicorn's limits.
    let long = vec!["x".repeat(128); 8].join(".");
    assert_eq!(ask(graphite, "mine", &long).await.unwrap(), []);
    assert!(matches!(MetricKey::parse("a.".repeat(8).as_str()), Err(KeyFault::TooDeep(9))));
}

#[tokio::test]
async fn infinity_in_carbon_is_absent_and_spoils_nothing() {
    let graphite = Graphite::shared();
    let last = last_step();
    let point = |n: i64, value| ("nagios.inf.load.v".to_owned(), last - n * STEP, value);
    graphite.store(&[
        point(4, f64::INFINITY),
        point(3, 1.5),
        point(2, f64::NEG_INFINITY),
        point(1, 2.5),
    ]);
    let (_, raw) = graphite.get("/render?format=json&target=nagios.inf.load.v").unwrap();
    assert!(raw.contains("[1e9999, ") && raw.contains("[-1e9999, "), "{raw}");
    let series = ask(graphite, "inf", "").await.unwrap();
    assert_eq!(measured(&series[0]), [(last - 3 * STEP, 1.5), (last - STEP, 2.5)]);
}

#[tokio::test]
async fn another_prefix() {
    let graphite = Graphite::shared();
    let time = last_step() - STEP;
    graphite.store(&[("dc1.rack-2.h.load.v".to_owned(), time, 3.0)]);
    let config = Config {
        url: graphite.url(),
        prefix: "dc1.rack-2".to_owned(),
        timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let client = Client::new(&config).unwrap().unwrap();
    let key = MetricKey::parse("").unwrap();
    assert_eq!(names(&client.render(&node("h"), &key, None, None).await.unwrap()), ["load.v"]);
    assert_eq!(client.render(&node("wild"), &key, None, None).await.unwrap(), []);
}

#[tokio::test]
async fn a_wrong_url_is_told_by_graphite_itself() {
    let config = Config {
        url: format!("{}/no/such/place", Graphite::shared().url()),
        timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let client = Client::new(&config).unwrap().unwrap();
    let fault = client.render(&node("h"), &MetricKey::parse("").unwrap(), None, None).await;
    let text = fault.unwrap_err().to_string();
    assert!(text.contains("HTTP status 404 Not Found"), "{text}");
    assert!(text.ends_with("; check that [graphite] url is that of graphite-web"), "{text}");
    assert!(!text.contains('<'), "{text}");
}

#[tokio::test]
async fn graphite_goes_and_comes_back() {
    let mut graphite = Graphite::start();
    let time = last_step() - STEP;
    graphite.store(&[("nagios.h.load.v".to_owned(), time, 1.0)]);
    let client = client(&graphite);
    let (node, key) = (node("h"), MetricKey::parse("").unwrap());
    assert_eq!(client.render(&node, &key, None, None).await.unwrap().len(), 1);

    graphite.stop_web();
    let fault = client.render(&node, &key, None, None).await.unwrap_err();
    assert!(matches!(fault, Error::Unreachable { .. }), "{fault:?}");

    graphite.start_web();
    assert_eq!(client.render(&node, &key, None, None).await.unwrap().len(), 1);

    // Without Carbon graphite-web answers from the files.
    graphite.stop_carbon();
    assert_eq!(client.render(&node, &key, None, None).await.unwrap().len(), 1);
}
