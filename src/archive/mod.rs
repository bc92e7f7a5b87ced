//! The measurements of the last days, kept in one file, `metrics.db`: what
//! Graphite would keep with one retention, and nothing more.
//!
//! Points arrive in the order of the spool. A batch becomes a row of the
//! journal, in one transaction with the spool's position, and goes into memory.
//! Every two hours memory is written out (`seal`), a piece of each series' day
//! after the other; a day that is over is put together into one compressed
//! block a series (`days`), and a day past keeping is deleted as one range. So
//! the disk sees long runs of writing, and a question finds a day with one
//! search.
//!
//! Each row has a checksum. A row that is broken is left out and counted; a
//! file that is broken is put aside and a new one begun.

mod answer;
mod batch;
mod block;
mod checksum;
mod config;
mod days;
mod error;
mod grid;
mod handle;
mod head;
mod index;
mod ingest;
mod seal;
mod store;
mod tables;
mod window;

use std::path::PathBuf;

use crate::model::{MetricKey, MetricNode};

pub use batch::{Batch, Position, Receipt};
pub use config::{Config, Enabled};
pub use error::Error;
pub use handle::Archive;

refinery::embed_migrations!("src/archive/migrations");

/// In the state directory.
pub const DATABASE_NAME: &str = "metrics.db";
/// In one answer.
pub const MAX_SERIES: usize = 10_000;
/// In one answer, of all its series.
pub const MAX_POINTS: usize = 2_000_000;

/// Which series are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub nodes: Nodes,
    pub key: MetricKey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Names in the answer begin behind the node.
    One(MetricNode),
    /// Names in the answer begin with the node.
    All,
}

/// A host that has series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    pub node: String,
    pub series: usize,
    /// UTC seconds. After a start it may be an earlier point of the same day.
    pub newest: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub path: PathBuf,
    /// Seconds between two points of a series.
    pub step: i64,
    /// Of the file and its journal.
    pub bytes: u64,
    pub series: usize,
    pub nodes: usize,
    /// Points that are in memory and the journal only.
    pub head_points: usize,
    /// UTC seconds of the newest point, if there is any.
    pub newest: Option<i64>,
    /// UTC seconds.
    pub last_seal: i64,
    /// Series that found no room since the start, at most 65,536.
    pub refused_series: usize,
    pub refused_points: u64,
    /// Points too old, too new or no number, since the start.
    pub untimely_points: u64,
    /// Rows with a wrong checksum that were met since the start.
    pub broken_rows: u64,
    /// The damaged file that was put aside last, if one is there.
    pub put_aside: Option<PathBuf>,
}

/// Reads a copy of metrics.db as a restore would, and gives its schema's
/// version. Blocks.
pub fn check_backup(file: &std::path::Path) -> Result<i32, crate::sqlite::SnapshotFault> {
    crate::sqlite::examine(file, &migrations::runner())
}
