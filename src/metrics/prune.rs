//! Forgetting what the archive has of hosts that are gone.

use std::collections::HashSet;

use crate::archive::KnownNode;
use crate::model::MetricNode;

use super::{Error, Metrics};

/// Which hosts' measurements are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    Hosts(Vec<MetricNode>),
    /// Those that are not watched now and have no point at or after this time
    /// (UTC seconds). A host that is measured without us is not among them.
    Gone {
        before: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    pub node: KnownNode,
    /// It is watched now: new points will come.
    pub watched: bool,
}

impl Metrics {
    /// The hosts of the archive that are selected, by name; with `apply` they
    /// are forgotten with all their points. `watched` are nodes.
    pub async fn prune(
        &self,
        selection: &Selection,
        watched: &HashSet<Box<str>>,
        apply: bool,
    ) -> Result<Vec<Pruned>, Error> {
        let archive = self.archive()?;
        let is_selected = |known: &KnownNode| match selection {
            Selection::Hosts(nodes) => nodes.iter().any(|node| node.as_str() == known.node),
            Selection::Gone { before } => {
                !watched.contains(known.node.as_str()) && known.newest < *before
            }
        };
        let mut pruned = Vec::new();
        for node in archive.nodes().await?.into_iter().filter(is_selected) {
            if apply {
                let Some(name) = MetricNode::of_name(node.node.as_bytes()) else { continue };
                archive.forget(name).await?;
            }
            pruned.push(Pruned { watched: watched.contains(node.node.as_str()), node });
        }
        Ok(pruned)
    }
}
