//! One question about a host's measurements, and who answers it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::graphite;
use crate::model::{MetricKey, MetricNode, Series, Window};

/// What was measured on a host, in a window, of at most so many points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub node: MetricNode,
    pub key: MetricKey,
    /// After its start, up to and with its end; absent: the 24 hours up to now.
    pub window: Option<Window>,
    /// At most this many points a series, consolidated by average; 0 counts as
    /// absent.
    pub max_points: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no source of metrics is configured; set [graphite] url")]
    NoSource,
    #[error(transparent)]
    Graphite(#[from] graphite::Error),
}

/// The handle that doors hold. Clones ask the same source.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Guards which source is asked; held to read or replace the handle only.
    source: Arc<RwLock<Source>>,
}

#[derive(Clone, Debug)]
enum Source {
    None,
    Graphite(graphite::Client),
    Memory(Arc<[Series]>),
}

impl From<Option<graphite::Client>> for Source {
    fn from(client: Option<graphite::Client>) -> Self {
        client.map_or(Self::None, Self::Graphite)
    }
}

impl Metrics {
    /// Without a Graphite every question is answered by [`Error::NoSource`].
    pub fn new(graphite: Option<graphite::Client>) -> Self {
        Self::of(graphite.into())
    }

    fn of(source: Source) -> Self {
        Self { source: Arc::new(RwLock::new(source)) }
    }

    /// Asks another Graphite, or none, from the next question on.
    pub fn reconfigure(&self, graphite: Option<graphite::Client>) {
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = graphite.into();
    }

    /// Answers every question with these series: for benchmarks and tests of
    /// the doors.
    #[doc(hidden)]
    pub fn in_memory(series: Vec<Series>) -> Self {
        Self::of(Source::Memory(series.into()))
    }

    /// Series sorted by name; times ascending. A host that nobody measured has
    /// none.
    pub async fn answer(&self, question: &Question) -> Result<Vec<Series>, Error> {
        let source = self.source.read().unwrap_or_else(PoisonError::into_inner).clone();
        match source {
            Source::None => Err(Error::NoSource),
            Source::Graphite(client) => {
                let Question { node, key, window, max_points } = question;
                Ok(client.render(node, key, *window, *max_points).await?)
            }
            Source::Memory(series) => Ok(series.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostId;

    #[tokio::test]
    async fn without_a_source_the_error_says_what_to_set() {
        let question = Question {
            node: MetricNode::of(&HostId::parse("a").unwrap()),
            key: MetricKey::parse("").unwrap(),
            window: None,
            max_points: None,
        };
        let fault = Metrics::new(None).answer(&question).await.unwrap_err();
        assert_eq!(fault.to_string(), "no source of metrics is configured; set [graphite] url");
        let series = vec![Series { name: "x".to_owned(), points: Vec::new() }];
        assert_eq!(Metrics::in_memory(series.clone()).answer(&question).await.unwrap(), series);
    }
}
