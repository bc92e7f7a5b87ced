//! How much later an answer comes through the door than from Graphite itself.
//! A canned upstream stands for Graphite, because its own time, which varies
//! by more than what is measured here, is in both and cancels.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::child::Server;
use crate::load::Asker;
use crate::report::Row;
use crate::rounds::{Scratch, median, millis};
use crate::{canned, upstream, wire};

const RUNS: usize = 5;

pub fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows = Vec::new();
    for (points, pairs, limit) in [(144, 400, 1.0), (12_960, 100, 2.0)] {
        let scratch = Scratch::new()?;
        let json = canned::render_json(&canned::series(1, points)?)?;
        let upstream = Server::role(&["upstream", &scratch.put("render.json", json)?])?;
        let url = format!("http://{}", upstream.address);
        let door = Server::role(&["door", &url])?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(runtime.block_on(compare(&door, &url, pairs))?);
        }
        let direct = median(runs.iter().map(|run| run.0)).context("no run")?;
        let own = median(runs.iter().map(|run| run.1 - run.0)).context("no run")?;
        rows.push(Row::judged(
            format!("get_metrics, 1 x {points} points, own time over asking directly (wall)"),
            format!("under {limit} ms"),
            format!("{own:.3} ms"),
            format!("asking directly {direct:.3} ms"),
            own < limit,
        ));
    }
    Ok(rows)
}

/// Medians in milliseconds: asked directly, and through the door; by turns.
async fn compare(door: &Server, url: &str, pairs: usize) -> anyhow::Result<(f64, f64)> {
    let request = wire::get_metrics(canned::HOST, "*.*")?;
    let mut asker = Asker::connect(door.address).await?;
    let client = upstream::client();
    let url = format!("{url}/render");
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        direct
            .push(timed(async { Ok(client.get(&url).send().await?.bytes().await?.len()) }).await?);
        through.push(timed(async { Ok(asker.ask(&request).await?.len()) }).await?);
    }
    wire::expect_reply(asker.ask(&request).await?)?;
    let middle = |times: Vec<Duration>| median(times).map(millis).context("no pair");
    Ok((middle(direct)?, middle(through)?))
}

async fn timed(answer: impl Future<Output = anyhow::Result<usize>>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    answer.await?;
    Ok(start.elapsed())
}
