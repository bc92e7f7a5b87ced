use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::columns::Columns;
use super::rows::Batch;

/// The leaderboard of this process. Clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    published: Arc<watch::Sender<Arc<Columns>>>,
    /// Held by the one refresh that may be under way.
    refreshing: Arc<Mutex<()>>,
}

impl Usage {
    /// What was published last: whole and never changing.
    pub fn columns(&self) -> Arc<Columns> {
        Arc::clone(&self.published.borrow())
    }

    /// Begins a refresh, after the one that is under way. Readers go on with
    /// what is published until this one is.
    pub async fn refresh(&self) -> Refresh {
        let turn = Arc::clone(&self.refreshing).lock_owned().await;
        let next = Columns::clone(&self.columns());
        Refresh { next, published: Arc::clone(&self.published), _turn: turn }
    }
}

/// The next state of the columns, which takes the store's pages. Dropped
/// unpublished, it changes nothing.
#[derive(Debug)]
pub struct Refresh {
    next: Columns,
    published: Arc<watch::Sender<Arc<Columns>>>,
    _turn: OwnedMutexGuard<()>,
}

impl Refresh {
    /// The store's revision up to which every row is here already; read on
    /// from it.
    pub fn through(&self) -> Option<i64> {
        self.next.through()
    }

    /// Lays a page of rows over what is there. Of several rows of one id the
    /// highest revision wins within a page, and the later page after that.
    /// Takes time with the page and the chunks that it touches, at most with
    /// all that there is: about a tenth of a second for ten million segments.
    pub fn apply(&mut self, batch: &Batch) {
        self.next.apply(batch);
    }

    pub fn publish(mut self) -> Arc<Columns> {
        self.next.settle();
        let next = Arc::new(self.next);
        self.published.send_replace(Arc::clone(&next));
        next
    }
}
