//! What Nagios shows of the hosts, for whoever looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Hosts, ReplaceError, Step, trail, unavailable};
use crate::model::{HostId, HostSeen, Standing};
use crate::nagios::Nagios;
use crate::telemetry::sentence;

/// By id.
pub type Standings = HashMap<Box<str>, Standing>;

/// The status file has some 11 KB a host: one look at a time reads it, and
/// what it found serves those that come soon after.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// Guards the last look at all hosts, and is the right to take a new one.
    last: Arc<Mutex<Option<Look>>>,
    /// Guards nothing but the turn of who looks at one host.
    turn: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    found: Arc<Standings>,
}

/// Nagios itself writes its status each 10 seconds or more seldom.
const FRESH: Duration = Duration::from_secs(10);

impl Hosts {
    /// How every host is, not older than ten seconds.
    pub async fn standings(&self) -> Result<Arc<Standings>, ReplaceError> {
        let mut last = self.sight.last.lock().await;
        if let Some(look) = last.as_ref().filter(|look| look.at.elapsed() < FRESH) {
            return Ok(Arc::clone(&look.found));
        }
        let found = self.nagios()?.standings().await;
        let found = Arc::new(found.map_err(|fault| cannot_tell(&fault))?);
        *last = Some(Look { at: Instant::now(), found: Arc::clone(&found) });
        Ok(found)
    }

    /// What Nagios last saw of one host; absent: it has not read of it.
    pub async fn seen(&self, id: &HostId) -> Result<Option<HostSeen>, ReplaceError> {
        let _turn = self.sight.turn.lock().await;
        self.nagios()?.last_seen(id).await.map_err(|fault| cannot_tell(&fault))
    }

    /// Which of the generations that are kept did something to a host, newest
    /// first.
    pub async fn trail(&self, id: &HostId) -> Result<Vec<Step>, ReplaceError> {
        let _turn = self.sight.turn.lock().await;
        let kept = self.state()?.appearances(id).await.map_err(unavailable)?;
        Ok(trail::steps(kept))
    }

    pub(super) fn nagios(&self) -> Result<Nagios, ReplaceError> {
        self.published.borrow().nagios.clone().ok_or_else(|| self.gone())
    }
}

fn cannot_tell(fault: &crate::nagios::Error) -> ReplaceError {
    ReplaceError::Unavailable(sentence(fault))
}
