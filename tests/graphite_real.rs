//! The client of Graphite against a real Carbon and a real graphite-web.

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
