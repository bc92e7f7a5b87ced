//! What a carrier asks of the place to which it takes perfdata.

use std::time::{Duration, Instant};

use crate::model::Sample;
use crate::state::Shipped;

use super::Cursor;
use super::load::Load;

/// The archive, or one Carbon. It keeps its receipts where they cannot differ
/// from what it has.
pub(super) trait Sink: Send + 'static {
    /// Points on their way; filled on a blocking thread.
    type Batch: Send + 'static;

    fn push(batch: &mut Self::Batch, sample: &Sample<'_>);

    fn clear(batch: &mut Self::Batch);

    /// For the next batch, at most about so many.
    fn max_points(&self) -> usize;

    /// Brings the cursor in line with what the sink has: before the first
    /// batch, and after whatever puts that in doubt.
    fn resume(&mut self, cursor: &Cursor) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Whether what the sink has may have changed behind the cursor's back.
    fn in_doubt(&self) -> bool;

    /// Returns when the sink has the batch. Receipts are part of it: those of
    /// the files that the batch was filled from.
    fn take(
        &mut self,
        batch: &mut Self::Batch,
        load: &mut Load,
        receipts: &[Shipped],
    ) -> impl Future<Output = Result<Taken, Failed>> + Send;

    /// Receipts of files that are gone from the spool are of no use.
    fn forget(&mut self, gone: Vec<Shipped>) -> impl Future<Output = Result<(), String>> + Send;
}

#[derive(Debug, Default)]
pub(super) struct Taken {
    pub points: u64,
    /// It has the points; its receipts for them it could not keep.
    pub trouble: Option<String>,
}

/// The sink has nothing of the batch, or it is not known what.
#[derive(Debug)]
pub(super) struct Failed {
    pub told: String,
    pub again: Instant,
    /// It is still starting: not worth a line in the log.
    pub is_starting: bool,
}

impl Failed {
    pub(super) fn after(pause: Duration, told: String) -> Self {
        Self { told, again: Instant::now() + pause, is_starting: false }
    }
}
