use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::columns::Columns;
use super::draft::Draft;
use super::error::Error;
use crate::model::SegmentRow;
use crate::store::{self, Store};
use crate::telemetry::sentence;

/// Until the ledger was read once, it is tried again after this time even if
/// nobody asks.
const RETRY: Duration = Duration::from_secs(5);

/// What the askers see.
#[derive(Clone, Debug)]
pub(super) struct Published {
    /// The refresh that `outcome` tells of began after so many had asked.
    pub(super) answered: u64,
    pub(super) outcome: Result<Arc<Columns>, Error>,
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Opening,
    /// For the first time, or anew after an older ledger took its place.
    Reading {
        percent: u8,
        segments: usize,
    },
    Read,
}

/// Reads what is new in the store when somebody asks; one refresh at a time.
#[derive(Debug)]
pub struct Refresher {
    store: store::Handle,
    asked: watch::Receiver<u64>,
    published: watch::Sender<Published>,
    draft: Draft,
    /// What was published last.
    columns: Option<Arc<Columns>>,
    read: Cursors,
    /// The last refresh did not succeed.
    failing: bool,
}

/// The revisions up to which the draft has the rows of each table. A reading
/// that was broken off goes on from here.
#[derive(Clone, Copy, Debug, Default)]
struct Cursors {
    segments: i64,
    users: i64,
    clouds: i64,
    flavors: i64,
}

impl Refresher {
    pub(super) fn new(
        store: store::Handle,
        asked: watch::Receiver<u64>,
    ) -> (Self, watch::Receiver<Published>) {
        let nothing =
            Published { answered: 0, outcome: Err(Error::Opening), standing: Standing::Opening };
        let (published, seen) = watch::channel(nothing);
        let (draft, read) = (Draft::default(), Cursors::default());
        (Self { store, asked, published, draft, columns: None, read, failing: false }, seen)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let work = async {
            loop {
                self.answer().await;
                self.wait().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = work => never,
        }
    }

    async fn answer(&mut self) {
        let answered = *self.asked.borrow_and_update();
        let outcome = self.refresh().await;
        match &outcome {
            // Each asker hears it; the log hears it once.
            Err(fault) if !self.failing => {
                tracing::error!("the leaderboard has no answers: {}", sentence(fault));
            }
            Ok(columns) if self.failing => {
                tracing::info!(segments = columns.segments(), "the leaderboard answers again");
            }
            _ => {}
        }
        self.failing = outcome.is_err();
        let standing = Standing::Read;
        self.published.send_replace(Published { answered, outcome, standing });
    }

    /// Until the next refresh is due.
    async fn wait(&mut self) {
        let untold = self.published.borrow().outcome.is_err() && self.columns.is_none();
        tokio::select! {
            asked = self.asked.changed() => {
                if asked.is_err() {
                    // Nobody can ask any more.
                    std::future::pending().await
                }
            }
            () = tokio::time::sleep(RETRY), if untold => {}
            () = self.store.changed() => {}
        }
    }

    async fn refresh(&mut self) -> Result<Arc<Columns>, Error> {
        let store = self.store.opened().await?;
        let newest = store.revision().await?;
        if self.draft.through().is_some_and(|through| through > newest)
            || self.read.segments > newest
        {
            tracing::warn!("the ledger is older than what was read of it; it is read anew");
            self.start_over();
        }
        if let Some(columns) = &self.columns
            && self.draft.through() == Some(newest)
        {
            return Ok(Arc::clone(columns));
        }
        self.read_segments(&*store, newest).await?;
        // After the segments, so that everything they name is there.
        self.read_names(&*store).await?;
        self.lay(Batch { through: Some(newest), ..Batch::default() }).await?;
        self.finish().await
    }

    fn start_over(&mut self) {
        (self.draft, self.read, self.columns) = (Draft::default(), Cursors::default(), None);
    }

    async fn read_segments(&mut self, store: &dyn Store, newest: i64) -> Result<(), Error> {
        let mut page = store.segments_since(self.read.segments).await?;
        while let Some(SegmentRow { revision, .. }) = page.last() {
            let revision = *revision;
            let batch = Batch { segments: page, ..Batch::default() };
            // The store reads the next page meanwhile.
            let (next, laid) = tokio::join!(store.segments_since(revision), self.lay(batch));
            laid?;
            self.read.segments = revision;
            if self.columns.is_none() {
                self.tell_progress(newest);
            }
            page = next?;
        }
        Ok(())
    }

    fn tell_progress(&self, newest: i64) {
        let percent = i128::from(self.read.segments) * 100 / i128::from(newest.max(1));
        let percent = u8::try_from(percent.clamp(0, 99)).unwrap_or(99);
        let standing = Standing::Reading { percent, segments: self.draft.segments() };
        self.published.send_modify(|published| published.standing = standing);
    }

    async fn read_names(&mut self, store: &dyn Store) -> Result<(), Error> {
        loop {
            let users = store.users_since(self.read.users).await?;
            let Some(last) = users.last() else { break };
            let revision = last.revision;
            self.lay(Batch { users, ..Batch::default() }).await?;
            self.read.users = revision;
        }
        loop {
            let flavors = store.flavors_since(self.read.flavors).await?;
            let Some(last) = flavors.last() else { break };
            let revision = last.revision;
            self.lay(Batch { flavors, ..Batch::default() }).await?;
            self.read.flavors = revision;
        }
        loop {
            let clouds = store.clouds_since(self.read.clouds).await?;
            let Some(last) = clouds.last() else { break };
            let revision = last.revision;
            self.lay(Batch { clouds, ..Batch::default() }).await?;
            self.read.clouds = revision;
        }
        Ok(())
    }

    async fn lay(&mut self, batch: Batch) -> Result<(), Error> {
        self.work(move |draft| draft.apply(&batch)).await
    }

    async fn finish(&mut self) -> Result<Arc<Columns>, Error> {
        let columns = self.work(Draft::finish).await?;
        self.columns = Some(Arc::clone(&columns));
        Ok(columns)
    }

    /// On a blocking thread: a page of a large ledger takes a while to lay.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Draft) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let mut draft = std::mem::take(&mut self.draft);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut draft);
            (draft, done)
        });
        match done.await {
            Ok((draft, done)) => {
                self.draft = draft;
                Ok(done)
            }
            Err(_) => {
                self.start_over();
                Err(Error::Inside)
            }
        }
    }
}
