//! Measurements from elsewhere, into the gaps of the archive.

use crate::archive::{Archive, Batch, Nodes, Pattern};
use crate::model::{MetricKey, MetricNode, Window};

use super::{Error, Metrics};

/// A series in even steps.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenSeries {
    pub node: MetricNode,
    /// Its name below the node, without `*`.
    pub key: MetricKey,
    /// The first value's time, UTC seconds.
    pub start: i64,
    /// Seconds, more than 0.
    pub step: i64,
    /// NaN is none.
    pub values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub kept: u64,
    /// The archive has a value for that slot, which stays.
    pub known: u64,
    /// Of series for which there is no room.
    pub refused: u64,
    /// Older than what is kept, or to come.
    pub untimely: u64,
}

impl Metrics {
    /// Takes what the archive has no value for; durable when it returns. The
    /// same series once more change nothing.
    pub async fn import(&self, series: Vec<GivenSeries>) -> Result<Imported, Error> {
        let archive = self.archive()?.clone();
        let grid = archive.stats().await?.step;
        let mut imported = Imported::default();
        let mut batch = Batch::default();
        for one in &series {
            imported.known += fill(&archive, grid, one, &mut batch).await?;
            if batch.is_full() {
                take(&archive, &mut batch, &mut imported).await?;
            }
        }
        take(&archive, &mut batch, &mut imported).await?;
        Ok(imported)
    }
}

async fn take(archive: &Archive, batch: &mut Batch, imported: &mut Imported) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let receipt = archive.ingest(std::mem::take(batch), Vec::new()).await?;
    imported.kept += receipt.kept as u64;
    imported.refused += receipt.refused as u64;
    imported.untimely += receipt.untimely as u64;
    Ok(())
}

/// Returns how many values are passed over.
async fn fill(
    archive: &Archive,
    grid: i64,
    one: &GivenSeries,
    batch: &mut Batch,
) -> Result<u64, Error> {
    let GivenSeries { node, key, start, step, values } = one;
    let end = start.saturating_add(step.saturating_mul(values.len() as i64));
    // The slot of the first value may have begun before it.
    let first = start.saturating_sub(start.rem_euclid(grid)).saturating_sub(1);
    let there = match Window::new(first, end) {
        Ok(window) => {
            let pattern = Pattern { nodes: Nodes::One(node.clone()), key: key.clone() };
            archive.answer(pattern, Some(window), None).await?
        }
        Err(_) => Vec::new(),
    };
    let there = there.into_iter().next().map_or(Vec::new(), |series| series.points);
    let path = format!("{}.{node}.{key}", archive.prefix());
    let mut passed = 0;
    // Both ascend.
    let mut known = there.iter().peekable();
    // The slot of a time is the last one that is not after it.
    let mut slot = None;
    for (number, value) in (0..).zip(values).filter(|(_, value)| value.is_finite()) {
        let time = start.saturating_add(step.saturating_mul(number));
        while let Some(point) = known.next_if(|point| point.time <= time) {
            slot = Some(point);
        }
        match slot {
            Some(point) if point.value.is_some() && time < point.time + grid => passed += 1,
            _ => batch.push(&path, time, *value),
        }
    }
    Ok(passed)
}

impl GivenSeries {
    /// A series of names as a caller wrote them; `host` is an id or a node.
    pub fn new(
        host: &str,
        name: &str,
        start: i64,
        step: i64,
        values: Vec<f64>,
    ) -> Result<Self, String> {
        let node = MetricNode::of_name(host.as_bytes())
            .ok_or_else(|| "a host's name is empty or longer than 128 bytes".to_owned())?;
        let key = MetricKey::parse(name).map_err(|fault| fault.to_string())?;
        if name.is_empty() || name.contains('*') {
            return Err(format!("the name {name:?} is not that of one series"));
        }
        if step <= 0 {
            return Err(format!("the step {step} is not above 0"));
        }
        Ok(Self { node, key, start, step, values })
    }
}
