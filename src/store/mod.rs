//! The ledger kept: who used what and when, in SQLite or PostgreSQL.

use crate::model::{CloudRow, FlavorRow, GapRow, SegmentRow, UserRow, Window};

#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// The ledger as its readers see it. Every list comes in order of revision and
/// in pages: ask again from the last row's revision until a page is empty.
/// Whatever is committed later has a greater revision than all that a reader
/// has seen, so that nothing is missed.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    async fn segments_since(&self, revision: i64) -> Result<Vec<SegmentRow>, Error>;
    async fn users_since(&self, revision: i64) -> Result<Vec<UserRow>, Error>;
    async fn clouds_since(&self, revision: i64) -> Result<Vec<CloudRow>, Error>;
    async fn flavors_since(&self, revision: i64) -> Result<Vec<FlavorRow>, Error>;
    /// Gaps that overlap the window, in order of time.
    async fn gaps(&self, window: Window) -> Result<Vec<GapRow>, Error>;
}
