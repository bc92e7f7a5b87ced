//! How the appliance is, all parts together: what doctor, check and both doors
//! show. How it is shown is theirs.
//!
//! A part is looked at by probes. Each is one future that ends in findings,
//! has a bounded time, and stands in the list of `Inspector::probes`: a new
//! part adds its handle to `Subjects` and its probe there.

mod archive;
mod carbon;
mod clouds;
mod finding;
mod graphite;
mod hosts;
mod ledger;
mod machine;
mod nagios;
mod perfdata;
mod range;
mod trace;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;

use crate::cloud::Clouds;
use crate::hosts::Hosts;
use crate::metrics::Metrics;
use crate::nagios::Nagios;
use crate::shipping::Shipping;

pub use finding::{Finding, Number, Part, Verdict};
pub use range::Range;

/// What is looked at. Without the handles of the daemon's running parts it is
/// what can be seen from outside.
#[derive(Clone, Debug)]
pub struct Subjects {
    pub nagios: Nagios,
    pub perfdata: crate::perfdata::Config,
    pub carbon: crate::carbon::Config,
    pub graphite: Option<crate::graphite::Client>,
    pub store: crate::store::Config,
    pub directory: crate::directory::Config,
    pub state_directory: PathBuf,
    /// Absent: nobody runs them here.
    pub running: Option<Running>,
}

/// Handles of the parts that the daemon runs.
#[derive(Clone, Debug)]
pub struct Running {
    pub hosts: Hosts,
    pub shipping: Shipping,
    pub metrics: Metrics,
    pub clouds: Clouds,
    /// Absent: none is kept.
    pub ledger: Option<crate::store::Handle>,
}

/// The handle that doors hold. Clones look at the same.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    /// Guards which subjects are looked at; held to read or replace them only.
    subjects: Arc<RwLock<Option<Arc<Subjects>>>>,
}

type Probe = Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>;

/// For one probe. A network file system that hangs must not hold the answer.
const PATIENCE: Duration = Duration::from_secs(8);

impl Inspector {
    pub fn new(subjects: Subjects) -> Self {
        Self { subjects: Arc::new(RwLock::new(Some(Arc::new(subjects)))) }
    }

    /// Changes what is looked at, from the next look on.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Subjects)) {
        let mut kept = self.subjects.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(subjects) = kept.as_mut() {
            change(Arc::make_mut(subjects));
        }
    }

    /// Findings about one part or all, in the order of the parts. A part that
    /// is off says so.
    pub async fn inspect(&self, part: Option<Part>) -> Vec<Finding> {
        let Some(subjects) = self.subjects() else { return Vec::new() };
        let probes = probes(&subjects);
        let asked = probes.into_iter().filter(|(of, _)| part.is_none_or(|part| part == *of));
        let looks = asked.map(|(part, probe)| async move {
            tokio::time::timeout(PATIENCE, probe).await.unwrap_or_else(|_| {
                let text = format!("no answer within {} seconds", PATIENCE.as_secs());
                let fix = "look for a file system or a server that hangs, and at the load";
                vec![Finding::fail(part, "time", text).fix(fix)]
            })
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// Follows one host from its source to its newest measurement.
    pub async fn trace(&self, host: &crate::model::HostId) -> Vec<Finding> {
        match self.subjects() {
            Some(subjects) => trace::follow(&subjects, host).await,
            None => Vec::new(),
        }
    }

    fn subjects(&self) -> Option<Arc<Subjects>> {
        self.subjects.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Every look that is taken, in the order in which it is told.
fn probes(subjects: &Arc<Subjects>) -> Vec<(Part, Probe)> {
    let of = || Arc::clone(subjects);
    vec![
        (Part::Nagios, Box::pin(nagios::look(of()))),
        (Part::Hosts, Box::pin(hosts::look(of()))),
        (Part::Sync, Box::pin(hosts::sync(of()))),
        (Part::Brake, Box::pin(clouds::brake(of()))),
        (Part::Perfdata, Box::pin(perfdata::look(of()))),
        (Part::Carbon, Box::pin(carbon::look(of()))),
        (Part::Graphite, Box::pin(graphite::look(of()))),
        (Part::Archive, Box::pin(archive::look(of()))),
        (Part::Store, Box::pin(ledger::store(of()))),
        (Part::Clouds, Box::pin(clouds::look(of()))),
        (Part::Directory, Box::pin(ledger::directory(of()))),
        (Part::Clock, Box::pin(machine::clock(of()))),
        (Part::Disk, Box::pin(machine::disk(of()))),
    ]
}

/// Seconds from then to now; negative for a time to come.
fn age(now: std::time::SystemTime, then: std::time::SystemTime) -> f64 {
    match now.duration_since(then) {
        Ok(since) => since.as_secs_f64().round(),
        Err(ahead) => -ahead.duration().as_secs_f64().round(),
    }
}
