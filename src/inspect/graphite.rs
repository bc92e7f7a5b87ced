//! Does Graphite answer?

use std::sync::Arc;
use std::time::Instant;

use crate::model::{HostId, MetricKey, MetricNode};
use crate::telemetry::sentence;

use super::{Finding, Number, Part, Range, Subjects};

const PART: Part = Part::Graphite;

pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    const HOP: &str = "render API";
    let Some(client) = &subjects.graphite else {
        let text = "Graphite is not asked: [graphite] url is empty";
        return vec![Finding::ok(PART, HOP, text)];
    };
    // A host that nobody has: the smallest answer there is.
    let (Ok(host), Ok(key)) = (HostId::parse("no-such-host"), MetricKey::parse("load.load1"))
    else {
        return Vec::new();
    };
    let asked = Instant::now();
    let answer = client.render(&MetricNode::of(&host), &key, None, Some(1)).await;
    let took = asked.elapsed().as_secs_f64();
    let time = Number::new("time", (took * 1000.0).round() / 1000.0, "s")
        .limits(Range::above(5.0), Range::above(30.0));
    let found = match answer {
        Ok(_) => Finding::ok(PART, HOP, format!("Graphite answers within {took:.2} seconds")),
        Err(fault) => Finding::fail(PART, HOP, sentence(&fault))
            .fix("start graphite-web, or correct [graphite] url; get_metrics fails until then"),
    };
    vec![found.number(time)]
}
