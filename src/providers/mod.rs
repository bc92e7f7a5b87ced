//! What a cloud says that it has: one complete listing, or an error that says
//! whose fault it is. A listing that did not end normally is an error; there
//! is no such thing as a part of one.

pub mod ec2;
pub mod http;
pub mod openstack;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{InstanceId, Label, Sighting};

/// What is known when a cloud is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// When the last listing that was kept began, by the cloud's clock. What
    /// happened from then on is wanted too; absent where nothing was kept yet.
    pub since: Option<i64>,
    /// What lived in this cloud at that time. Of those that its walk does not
    /// show, a provider asks the cloud whether they are gone, as far as its
    /// bounds allow.
    pub living: HashSet<InstanceId>,
    /// Of which the last listings had no record that could be read, and when
    /// the last one began that had: what happened to them since then was not
    /// told yet.
    pub unseen: HashMap<InstanceId, i64>,
}

/// What a cloud answered.
#[derive(Clone, Debug)]
pub struct Listing {
    pub sighting: Sighting,
    /// Records that could not be read. Their instances are neither shown nor
    /// absent: a provider that cannot read their ids fails instead.
    pub skipped: Vec<Skipped>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub id: InstanceId,
    pub reason: Label,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The administrator, in our configuration file.
    Configuration,
    /// The administrator: the cloud does not take the credentials.
    Credentials,
    /// Nobody: the cloud wants to be asked later.
    Throttling,
    /// The cloud's people, or the network between.
    Trouble,
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    pub blame: Blame,
    /// What failed and what to do; it holds no secret and nothing that a
    /// cloud said without being made fit to be shown.
    what: String,
    /// When the cloud wants to be asked again.
    pub retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(blame: Blame, what: impl Into<String>) -> Self {
        Self { blame, what: what.into(), retry_after: None, source: None }
    }

    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}

/// A cloud that can be asked what it has.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One complete listing. It is bounded in pages, bytes and instances, not
    /// in time: whoever asks limits that, by dropping the future.
    async fn list(&self, question: &Question) -> Result<Listing, Error>;
}
