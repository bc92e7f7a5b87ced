//! The ledger in a PostgreSQL database, which several appliances may share.

mod apply;
mod read;
mod server;
mod whole;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::kept::named;
use super::{Applied, Config, Error, Lease, Store};
use crate::ledger::{Changes, Roster, View};
use crate::model::{CloudRow, FlavorRow, GapRow, ListedRow, SegmentRow, Sighting, UserRow, Window};
use server::Server;

pub(super) use server::name_of;

refinery::embed_migrations!("src/store/postgres/migrations");

pub struct PostgresStore {
    server: Server,
}

impl PostgresStore {
    /// Reaches nothing yet.
    pub fn new(config: &Config, server: tokio_postgres::Config) -> Result<Self, Error> {
        Ok(Self { server: Server::new(config, server)? })
    }

    /// A pool of its own for all rows at once.
    pub(super) fn whole(
        config: &Config,
        server: tokio_postgres::Config,
    ) -> Result<whole::PostgresWhole, Error> {
        Ok(whole::PostgresWhole::new(Server::new(config, server)?))
    }

    /// The same on a database that is no ledger, and is not made one.
    pub(super) fn foreign(
        config: &Config,
        server: tokio_postgres::Config,
    ) -> Result<whole::PostgresWhole, Error> {
        let server = Server::new(config, server)?;
        server.leave_schema();
        Ok(whole::PostgresWhole::new(server))
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn revision(&self) -> Result<i64, Error> {
        let mut lent = self.server.lend().await?;
        let revision = self.server.one(read::revision(lent.client())).await?;
        lent.done();
        Ok(revision)
    }

    async fn segments_since(&self, revision: i64) -> Result<Vec<SegmentRow>, Error> {
        let mut lent = self.server.lend().await?;
        let rows = self.server.one(read::segments_since(lent.client(), revision)).await?;
        lent.done();
        Ok(rows)
    }

    async fn users_since(&self, revision: i64) -> Result<Vec<UserRow>, Error> {
        let mut lent = self.server.lend().await?;
        let rows = self.server.one(read::users_since(lent.client(), revision)).await?;
        lent.done();
        Ok(rows)
    }

    async fn clouds_since(&self, revision: i64) -> Result<Vec<CloudRow>, Error> {
        let mut lent = self.server.lend().await?;
        let rows = self.server.one(read::clouds_since(lent.client(), revision)).await?;
        lent.done();
        Ok(rows)
    }

    async fn flavors_since(&self, revision: i64) -> Result<Vec<FlavorRow>, Error> {
        let mut lent = self.server.lend().await?;
        let rows = self.server.one(read::flavors_since(lent.client(), revision)).await?;
        lent.done();
        Ok(rows)
    }

    async fn gaps(&self, window: Window) -> Result<Vec<GapRow>, Error> {
        let mut lent = self.server.lend().await?;
        let rows = self.server.one(read::gaps(lent.client(), window)).await?;
        lent.done();
        Ok(rows)
    }

    async fn listed(&self) -> Result<Vec<ListedRow>, Error> {
        let mut lent = self.server.lend().await?;
        let rows = self.server.one(read::listed(lent.client())).await?;
        lent.done();
        Ok(rows)
    }

    async fn view(&self, sighting: &Sighting) -> Result<View, Error> {
        let named = named(sighting);
        let mut lent = self.server.lend().await?;
        let view = self.server.several(read::view(lent.client(), sighting.cloud(), &named)).await?;
        lent.done();
        view
    }

    async fn roster(&self, cloud: &str) -> Result<Roster, Error> {
        let mut lent = self.server.lend().await?;
        let roster = self.server.several(read::roster(lent.client(), cloud)).await?;
        lent.done();
        roster
    }

    async fn living(&self, cloud: &str) -> Result<View, Error> {
        let mut lent = self.server.lend().await?;
        let none = HashMap::new();
        let view = self.server.several(read::view(lent.client(), cloud, &none)).await?;
        lent.done();
        view
    }

    async fn apply(
        &self,
        lease: &Lease,
        run: &str,
        changes: Arc<Changes>,
    ) -> Result<Applied, Error> {
        let mut lent = self.server.lend().await?;
        let done = self.server.several(apply::apply(lent.client(), lease, run, &changes)).await?;
        lent.done();
        done
    }

    async fn set_staff(&self, lease: &Lease, users: &[(i64, bool)]) -> Result<(), Error> {
        let mut lent = self.server.lend().await?;
        let done = self.server.several(apply::set_staff(lent.client(), lease, users)).await?;
        lent.done();
        done
    }

    async fn take_lease(&self, holder: &str, length: Duration) -> Result<Option<Lease>, Error> {
        let mut lent = self.server.lend().await?;
        let taken = self.server.one(apply::take_lease(lent.client(), holder, length)).await?;
        lent.done();
        Ok(taken)
    }

    async fn renew_lease(&self, lease: &Lease, length: Duration) -> Result<(), Error> {
        let mut lent = self.server.lend().await?;
        let done = self.server.one(apply::extend_lease(lent.client(), lease, length)).await?;
        lent.done();
        done
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), Error> {
        self.renew_lease(lease, Duration::ZERO).await
    }

    /// PostgreSQL looks after its own files; it is enough that it answers.
    async fn check(&self) -> Result<(), Error> {
        let mut lent = self.server.lend().await?;
        self.server.one(lent.client().simple_query("SELECT revision FROM ledger")).await?;
        lent.done();
        Ok(())
    }
}
