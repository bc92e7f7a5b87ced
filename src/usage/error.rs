use std::sync::Arc;
use std::time::Duration;

use super::query::TooManyDays;
use crate::store;

/// Why there is no answer. Askers of one refresh share one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("this appliance keeps no usage; set [store] url")]
    Off,
    #[error("the ledger is being opened; ask again in a moment")]
    Opening,
    #[error(
        "the ledger is being read ({percent} % of it so far, {segments} segments); ask again in a moment"
    )]
    Reading { percent: u8, segments: usize },
    #[error("who used what cannot be told now")]
    Store(#[source] Arc<store::Error>),
    #[error("the ledger did not answer within {0:?}; its disk or its server is slow or hangs")]
    Late(Duration),
    #[error(transparent)]
    Question(#[from] TooManyDays),
    #[error("the leaderboard failed inside; the log says more")]
    Inside,
    #[error("the process is stopping")]
    Stopping,
}

impl Error {
    /// Another question can be answered, and this one will not be by asking
    /// again.
    pub fn blames_question(&self) -> bool {
        matches!(self, Self::Question(_))
    }
}

impl From<store::NotOpen> for Error {
    fn from(fault: store::NotOpen) -> Self {
        match fault {
            store::NotOpen::Yet => Self::Opening,
            store::NotOpen::Failed(fault) => Self::Store(fault),
        }
    }
}

impl From<store::Error> for Error {
    fn from(fault: store::Error) -> Self {
        Self::Store(Arc::new(fault))
    }
}
