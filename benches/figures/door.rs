//! CPU time a request of get_metrics costs: 3 series of 144 points, 16
//! connections, against a server that does nothing but send the same bytes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use weather_balloon::cloud::Clouds;
use weather_balloon::hosts::Hosts;
use weather_balloon::inspect::Inspector;
use weather_balloon::metrics::Metrics;
use weather_balloon::shipping::Shipping;
use weather_balloon::usage::Usage;
use weather_balloon::{graphite, rpc};

use crate::child::{GREETING, Server};
use crate::load::{Asker, closed_loop};
use crate::report::Row;
use crate::rounds::{Scratch, median, micros};
use crate::{canned, python, wire};

const SERIES: usize = 3;
const POINTS: i64 = 144;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const RUN: Duration = Duration::from_secs(2);

/// Answers from memory, or asks the URL as it would ask Graphite.
pub async fn serve(url: Option<&str>) -> anyhow::Result<()> {
    let metrics = match url {
        None => Metrics::in_memory(canned::series(SERIES, POINTS)?),
        Some(url) => {
            let config = graphite::Config { url: url.to_owned(), ..graphite::Config::default() };
            Metrics::new(graphite::Client::new(&config)?, None)
        }
    };
    let config = rpc::Config { listen: vec!["127.0.0.1:0".to_owned()], ..rpc::Config::default() };
    let door = rpc::Door::bind(&config).await?;
    let address = door.addresses().first().context("the door has no address")?.to_string();
    println!("{GREETING}{address}");
    let services = rpc::Services {
        hosts: Hosts::detached(),
        metrics,
        shipping: Shipping::off(),
        usage: Usage::off(),
        inspector: Inspector::default(),
        clouds: Clouds::none(),
        calls: weather_balloon::telemetry::Calls::default(),
    };
    door.serve(services, CancellationToken::new()).await?;
    Ok(())
}

/// CPU time a request, in microseconds, a round each.
#[derive(Default)]
struct Costs {
    echo: Vec<f64>,
    memory: Vec<f64>,
    bare_get: Vec<f64>,
    http: Vec<f64>,
    python: Vec<f64>,
}

pub fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let scratch = Scratch::new()?;
    let json = canned::render_json(&canned::series(SERIES, POINTS)?)?;
    let upstream = Server::role(&["upstream", &scratch.put("render.json", json)?])?;
    let url = format!("http://{}", upstream.address);
    let request: Arc<[u8]> = wire::get_metrics(canned::HOST, "*.*")?.into();
    let reply = runtime.block_on(async {
        let door = Server::role(&["door", &url])?;
        let mut asker = Asker::connect(door.address).await?;
        anyhow::Ok(asker.ask(&request).await?.to_vec())
    })?;
    wire::expect_reply(&reply)?;
    let canned_reply = scratch.put("reply", &reply)?;

    let mut costs = Costs::default();
    let cost = |server: Server, connections| -> anyhow::Result<f64> {
        // The first requests open connections and fill caches.
        let warm = Duration::from_millis(200);
        let ask =
            |run| closed_loop(server.address, Arc::clone(&request), reply.len(), connections, run);
        runtime.block_on(ask(warm))?;
        let before = server.cpu()?;
        let answers = runtime.block_on(ask(RUN))?;
        Ok(micros(server.cpu()? - before) / answers.max(1) as f64)
    };
    for _ in 0..ROUNDS {
        costs.echo.push(cost(Server::role(&["echo", &canned_reply])?, CONNECTIONS)?);
        costs.memory.push(cost(Server::role(&["door", "memory"])?, CONNECTIONS)?);
        let bare = ["bare-get", &canned_reply, &format!("{url}/render")];
        costs.bare_get.push(cost(Server::role(&bare)?, CONNECTIONS)?);
        costs.http.push(cost(Server::role(&["door", &url])?, CONNECTIONS)?);
        // It serves one connection after another.
        costs.python.push(cost(python::simple_server(&url)?, 1)?);
    }
    rows(&costs)
}

fn rows(costs: &Costs) -> anyhow::Result<Vec<Row>> {
    let middle = |values: &[f64]| median(values.iter().copied()).context("no round was run");
    let ratio = |ours: &[f64], theirs: &[f64]| {
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs)).context("no round")
    };
    let what = format!(
        "get_metrics, {SERIES} x {POINTS} points, {CONNECTIONS} connections, CPU a request"
    );
    let in_memory = ratio(&costs.memory, &costs.echo)?;
    let over_http = ratio(&costs.http, &costs.bare_get)?;
    let python = ratio(&costs.python, &costs.http)?;
    let http = format!("{:.1} us", middle(&costs.http)?);
    Ok(vec![
        Row::judged(
            format!("{what}: from memory"),
            "at most 2.5 x a raw TCP echo of the same bytes",
            format!("{:.1} us, {in_memory:.2} x", middle(&costs.memory)?),
            format!("echo {:.1} us", middle(&costs.echo)?),
            in_memory <= 2.5,
        ),
        Row::judged(
            format!("{what}: from a canned HTTP upstream"),
            "at most 1.5 x (echo + bare HTTP GET)",
            format!("{http}, {over_http:.2} x"),
            format!("echo + GET {:.1} us", middle(&costs.bare_get)?),
            over_http <= 1.5,
        ),
        Row::judged(
            format!("{what}: the same beside Python"),
            "at least 20 x less than TSimpleServer with requests",
            format!("{http}, {python:.1} x less"),
            format!("Python {:.0} us", middle(&costs.python)?),
            python >= 20.0,
        ),
    ])
}
