use std::sync::Arc;

use super::batch::Batch;
use super::columns::Columns;

/// The next state of the columns, which takes the store's rows page by page.
/// It shares with what was finished before all that stayed as it was.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    next: Columns,
}

impl Draft {
    /// Lays a page of rows over what is there. Of several rows of one id the
    /// highest revision wins within a page, and the later page after that.
    /// Takes time with the page and the chunks that it touches, at most with
    /// all that there is: about a tenth of a second for ten million segments.
    pub fn apply(&mut self, batch: &Batch) {
        self.next.apply(batch);
    }

    /// What was laid so far, whole and never changing.
    pub fn finish(&mut self) -> Arc<Columns> {
        self.next.settle();
        Arc::new(self.next.clone())
    }

    pub(super) fn through(&self) -> Option<i64> {
        self.next.through()
    }

    pub(super) fn segments(&self) -> usize {
        self.next.segments()
    }
}
