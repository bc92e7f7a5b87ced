//! One question about a host's measurements, and who answers it: Graphite when
//! its url is set, else the archive, and never one in place of the other.

mod import;
mod prune;

use std::sync::{Arc, PoisonError, RwLock};

use crate::archive::{self, Archive, Nodes, Pattern};
use crate::graphite;
use crate::model::{MetricKey, MetricNode, Series, Window};

pub use import::{GivenSeries, Imported};
pub use prune::{Pruned, Selection};

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
    pub source: Source,
}

/// Who is to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Graphite when its url is set, else the archive.
    #[default]
    Configured,
    Graphite,
    Archive,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "nothing keeps metrics: [archive] enabled is false and [graphite] url is empty; change one of them"
    )]
    Off,
    #[error("no Graphite is configured; set [graphite] url")]
    NoGraphite,
    #[error(
        "the archive is off; set [archive] enabled = true (\"auto\" is off beside a [graphite] url) and restart weather-balloon"
    )]
    NoArchive,
    #[error(transparent)]
    Graphite(#[from] graphite::Error),
    #[error(transparent)]
    Archive(#[from] archive::Error),
}

impl Error {
    /// Another question can be answered, and this one will not be by asking
    /// again.
    pub fn blames_question(&self) -> bool {
        match self {
            Self::Off | Self::NoGraphite | Self::NoArchive => false,
            Self::Graphite(fault) => fault.blames_question(),
            Self::Archive(fault) => fault.blames_question(),
        }
    }
}

/// The handle that doors hold. Clones ask the same sources.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Guards which Graphite is asked; held to read or replace the handle only.
    graphite: Arc<RwLock<Option<graphite::Client>>>,
    archive: Option<Archive>,
    memory: Option<Arc<[Series]>>,
}

impl Metrics {
    /// Without both every question is answered by [`Error::Off`].
    pub fn new(graphite: Option<graphite::Client>, archive: Option<Archive>) -> Self {
        Self { graphite: Arc::new(RwLock::new(graphite)), archive, memory: None }
    }

    /// Asks another Graphite, or none, from the next question on.
    pub fn reconfigure(&self, graphite: Option<graphite::Client>) {
        *self.graphite.write().unwrap_or_else(PoisonError::into_inner) = graphite;
    }

    /// Answers every question with these series: for benchmarks and tests of
    /// the doors.
    #[doc(hidden)]
    pub fn in_memory(series: Vec<Series>) -> Self {
        Self { memory: Some(series.into()), ..Self::new(None, None) }
    }

    /// The nodes above every host's node in the archive.
    pub fn archive_prefix(&self) -> Option<&str> {
        self.archive.as_ref().map(Archive::prefix)
    }

    /// How the archive stands.
    pub async fn archive_stats(&self) -> Result<archive::Stats, Error> {
        Ok(self.archive()?.stats().await?)
    }

    fn archive(&self) -> Result<&Archive, Error> {
        self.archive.as_ref().ok_or(Error::NoArchive)
    }

    /// Series sorted by name; times ascending. A host that nobody measured has
    /// none.
    pub async fn answer(&self, question: &Question) -> Result<Vec<Series>, Error> {
        if let Some(series) = &self.memory {
            return Ok(series.to_vec());
        }
        let graphite = self.graphite.read().unwrap_or_else(PoisonError::into_inner).clone();
        match (question.source, graphite, &self.archive) {
            (Source::Configured | Source::Graphite, Some(client), _) => {
                let Question { node, key, window, max_points, .. } = question;
                Ok(client.render(node, key, *window, *max_points).await?)
            }
            (Source::Configured | Source::Archive, _, Some(archive)) => {
                let Question { node, key, window, max_points, .. } = question.clone();
                let pattern = Pattern { nodes: Nodes::One(node), key };
                Ok(archive.answer(pattern, window, max_points).await?)
            }
            (Source::Configured, None, None) => Err(Error::Off),
            (Source::Graphite, None, _) => Err(Error::NoGraphite),
            (Source::Archive, _, None) => Err(Error::NoArchive),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostId;

    #[tokio::test]
    async fn without_a_source_the_error_says_what_to_set() {
        let mut question = Question {
            node: MetricNode::of(&HostId::parse("a").unwrap()),
            key: MetricKey::parse("").unwrap(),
            window: None,
            max_points: None,
            source: Source::Configured,
        };
        for (source, words) in [
            (Source::Configured, "[archive] enabled is false and [graphite] url is empty"),
            (Source::Graphite, "set [graphite] url"),
            (Source::Archive, "the archive is off"),
        ] {
            question.source = source;
            let fault = Metrics::new(None, None).answer(&question).await.unwrap_err();
            assert!(fault.to_string().contains(words) && !fault.blames_question(), "{fault}");
        }
        let series = vec![Series { name: "x".to_owned(), points: Vec::new() }];
        assert_eq!(Metrics::in_memory(series.clone()).answer(&question).await.unwrap(), series);
    }

    #[tokio::test]
    async fn one_never_stands_in_for_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::new(dir.path(), &archive::Config::default(), "nagios");
        archive.tend_blocking(1_700_000_000).unwrap();
        // Nobody listens there.
        let config =
            graphite::Config { url: "http://127.0.0.1:1".to_owned(), ..Default::default() };
        let graphite = graphite::Client::new(&config).unwrap();
        let both = Metrics::new(graphite.clone(), Some(archive.clone()));
        let question = |source| Question {
            node: MetricNode::of(&HostId::parse("a").unwrap()),
            key: MetricKey::parse("").unwrap(),
            window: None,
            max_points: None,
            source,
        };
        for source in [Source::Configured, Source::Graphite] {
            assert!(matches!(both.answer(&question(source)).await, Err(Error::Graphite(_))));
        }
        assert_eq!(both.answer(&question(Source::Archive)).await.unwrap(), []);
        both.reconfigure(None);
        assert_eq!(both.answer(&question(Source::Configured)).await.unwrap(), []);
        let alone = Metrics::new(graphite, None);
        assert!(matches!(alone.answer(&question(Source::Archive)).await, Err(Error::NoArchive)));
    }
}
