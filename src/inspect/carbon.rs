//! Each Carbon that performance data goes to, and the limits of a local one.

use std::sync::Arc;

use crate::carbon::{Destination, LocalFiles};
use crate::shipping::SinkStatus;

use super::{Finding, Number, Part, Subjects};

const PART: Part = Part::Carbon;
/// New series in a minute under which a cloud's growth loses points.
const FEW_CREATES: u64 = 1000;

pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    let addresses: Vec<&Destination> = subjects.carbon.address.iter().collect();
    if addresses.is_empty() {
        let text = "performance data goes to no Carbon: [carbon] address is empty";
        return vec![Finding::ok(PART, "address", text)];
    }
    let shipping = subjects.running.as_ref().map(|running| running.shipping.view());
    let mut found = Vec::new();
    for address in &addresses {
        let sink = shipping.as_ref().and_then(|view| {
            view.sinks.iter().find(|(name, _)| name == address.as_str()).map(|(_, sink)| sink)
        });
        found.push(destination(&subjects, address, sink).await);
    }
    if let Some(trouble) = shipping.and_then(|view| view.read_back_trouble) {
        found.push(Finding::warn(PART, "read back", trouble).fix(
            "raise MAX_CREATES_PER_MINUTE in carbon.conf (`weather-balloon setup` does) and restart carbon-cache",
        ));
    }
    if addresses.iter().any(|address| address.is_loopback()) {
        found.extend(local(&subjects).await);
    }
    found
}

async fn destination(
    subjects: &Subjects,
    address: &Destination,
    sink: Option<&SinkStatus>,
) -> Finding {
    const FIX: &str = "start carbon-cache (on Debian with CARBON_CACHE_ENABLED=true in /etc/default/graphite-carbon), or correct [carbon] address; what waits in the spool goes out by itself";
    let hop = address.as_str();
    let limit = subjects.carbon.connect_timeout;
    let reached = tokio::time::timeout(limit, tokio::net::TcpStream::connect(hop)).await;
    let found = match (reached, sink.and_then(|sink| sink.trouble.as_deref())) {
        (Ok(Ok(_)), None) => Finding::ok(PART, hop, "it takes connections"),
        (Ok(Ok(_)), Some(trouble)) => {
            Finding::warn(PART, hop, trouble).fix("it answers again; what waits goes out by itself")
        }
        (Ok(Err(fault)), _) => {
            Finding::fail(PART, hop, format!("it cannot be reached: {fault}")).fix(FIX)
        }
        (Err(_), _) => {
            Finding::fail(PART, hop, format!("it took no connection within {limit:?}")).fix(FIX)
        }
    };
    match sink {
        Some(sink) => found.number(Number::new("failures", sink.failures as f64, "c")),
        None => found,
    }
}

/// Files of a Carbon on this machine, where it has some.
async fn local(subjects: &Subjects) -> Vec<Finding> {
    let dir = subjects.carbon.config_directory.clone();
    let read = tokio::task::spawn_blocking(move || LocalFiles::find(&dir)).await;
    let Ok(Some(files)) = read else { return Vec::new() };
    let creates = match files.creates_per_minute() {
        Some(limit) if limit < FEW_CREATES => Finding::warn(
            PART,
            "creation limit",
            format!(
                "{} lets {limit} new series be made in a minute and drops the points of all others",
                files.conf.path.display()
            ),
        )
        .fix(
            "`weather-balloon setup` sets MAX_CREATES_PER_MINUTE = inf; then restart carbon-cache",
        ),
        Some(limit) => Finding::ok(
            PART,
            "creation limit",
            format!("{limit} new series can be made in a minute"),
        ),
        None => Finding::ok(PART, "creation limit", "new series are made without a limit"),
    };
    let retention = if files.has_our_retention() {
        Finding::ok(PART, "retention", "series of ours have a rule of their own")
    } else {
        Finding::warn(
            PART,
            "retention",
            format!("{} has no rule for nagios.*", files.schemas.path.display()),
        )
        .fix("`weather-balloon setup` adds 10m:90d; series that exist keep theirs (whisper-resize)")
    };
    vec![creates, retention]
}
