//! Asks an LDAP directory who is staff.
//!
//! The directory is believed only where it answers whole and plainly: whoever
//! it does not answer for stays as they were. What it sends is bounded before
//! the LDAP library reads it, and referrals are not followed.

mod config;
mod dn;
mod error;
mod group;
mod people;
mod session;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

pub use config::Config;
pub use error::{Error, Malformed};
use people::Round;
use session::Server;

/// Clones share the configuration; every look-up has its own connection.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    config: Config,
}

impl Directory {
    /// For all names of one look-up. A round takes a millisecond a name.
    const ROUND: Duration = Duration::from_secs(600);

    /// Nothing where no `url` is configured. Connects to nobody yet.
    pub fn new(config: &Config) -> Result<Option<Self>, Error> {
        if config.url.is_empty() {
            return Ok(None);
        }
        if let Some((key, reason)) = config.check().into_iter().next() {
            return Err(Error::Config { key, reason });
        }
        let server = Server::new(config)?;
        Ok(Some(Self(Arc::new(Inner { server, config: config.clone() }))))
    }

    /// Whether each of them is staff. A name that the directory does not know
    /// is not; one that it did not answer for is absent.
    ///
    /// A user's name is compared byte for byte: `Alice` is not `alice`, though
    /// the directory takes one for the other.
    pub async fn staff(&self, names: &[String]) -> Result<HashMap<String, bool>, Error> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let inner = self.0.clone();
        let names = names.to_vec();
        // The LDAP library panics at answers that no server gives; a task of
        // its own keeps that to itself, and ends when this future is dropped.
        let mut task = JoinSet::new();
        task.spawn(async move {
            let round = Round::open(&inner.server, &inner.config).await?;
            round.ask(&names, Self::ROUND).await
        });
        match task.join_next().await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) | None => {
                Err(Error::Malformed { url: self.0.config.url.clone(), source: Malformed::Shape })
            }
        }
    }
}
