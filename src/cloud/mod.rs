//! The clouds: asks each what runs, keeps the ledger, and hands what runs to
//! Nagios.
//!
//! Each cloud has a task of its own, so that one that is down holds up no
//! other. What a listing means is decided in `round`, which is pure; `poller`
//! brings it from the cloud to the ledger and on to the hosts. One appliance
//! of those that share a ledger asks the clouds: who holds its lease.

mod beside;
mod config;
mod kinds;
mod lease;
mod name;
mod owners;
mod poller;
mod records;
mod round;
mod schedule;
mod staff;
mod unseen;
mod view;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::directory::Directory;
use crate::hosts::{BrakeConfig, Hosts};
use crate::model::{HostSet, Source};
use crate::providers::Provider;
use crate::state::{self, State};
use crate::store;
use crate::telemetry::sentence;

pub use beside::{following, unknown_to, without_ledger};
pub use config::Config;
pub use kinds::Kind;
pub use lease::{LeaseKeeper, Standing};
pub use name::CloudName;
pub use owners::{Owners, Ownership};
pub use poller::Poller;
pub use round::{Ground, Outcome, Round, Shown};
pub use staff::{StaffKeeper, StaffView};
pub use unseen::untold;
pub use view::{CloudView, HeldView, Role};
pub use wanted::MAX_SKIPPED;

use poller::{Request, Surroundings};
use records::Records;

/// A cloud to be polled.
pub struct Cloud {
    pub name: CloudName,
    pub kind: String,
    pub interval: Duration,
    pub timeout: Duration,
    pub provider: Arc<dyn Provider>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the cloud {cloud:?} cannot be set up: {reason}")]
    Config { cloud: String, reason: String },
    #[error("there is no cloud {0:?}; `weather-balloon clouds list` names them all")]
    Unknown(String),
    #[error("nothing of the cloud {0:?} is held")]
    NothingHeld(String),
    #[error(
        "what is held of the cloud {0:?} has changed since it was shown; nothing was released, look again"
    )]
    Changed(String),
    #[error(
        "another weather-balloon asks the cloud {0:?} and holds what it holds; release it there"
    )]
    Elsewhere(String),
    /// A sentence.
    #[error("{0}")]
    Failed(String),
    #[error("the appliance is stopping; call again when it is back")]
    Stopping,
}

/// The handle that doors hold.
#[derive(Clone, Debug)]
pub struct Clouds {
    pollers: Arc<BTreeMap<String, Line>>,
    brake: watch::Sender<BrakeConfig>,
    hosts: Hosts,
    standing: Option<watch::Receiver<Standing>>,
    staff: Option<watch::Receiver<StaffView>>,
}

/// To one poller.
#[derive(Debug)]
struct Line {
    requests: mpsc::Sender<Request>,
    view: watch::Receiver<CloudView>,
}

/// The tasks, to be run together.
pub struct Crew {
    pub pollers: Vec<Poller>,
    pub lease: Option<LeaseKeeper>,
    pub staff: Option<StaffKeeper>,
}

/// Requests of one cloud that wait; they are answered together.
const MAX_WAITING_REQUESTS: usize = 256;

impl Clouds {
    /// Without a ledger the clouds are polled for Nagios alone.
    pub async fn start(
        clouds: Vec<Cloud>,
        ledger: Option<store::Handle>,
        directory: Option<Directory>,
        state: Arc<State>,
        hosts: Hosts,
        brake: BrakeConfig,
    ) -> Result<(Self, Crew), state::Error> {
        let holder = format!("{}-{}", host_name(), state.appliance_id().await?);
        let lost = Arc::new(Notify::new());
        let (keeper, standing) = match &ledger {
            Some(ledger) if !clouds.is_empty() => {
                let (keeper, standing) =
                    LeaseKeeper::new(ledger.clone(), holder.clone(), Arc::clone(&lost));
                (Some(keeper), standing)
            }
            _ => (None, watch::channel(Standing::Unreachable(NO_LEDGER.to_owned())).1),
        };
        let (brake, brakes) = watch::channel(brake);
        let around = Surroundings {
            state: Arc::clone(&state),
            hosts: hosts.clone(),
            brake: brakes,
            standing,
            lost,
            owners: Arc::new(Notify::new()),
        };
        let (mut pollers, mut lines) = (Vec::new(), BTreeMap::new());
        for cloud in clouds {
            let (requests, inbox) = mpsc::channel(MAX_WAITING_REQUESTS);
            let (published, view) = watch::channel(CloudView {
                name: cloud.name.to_string(),
                kind: cloud.kind,
                configured: true,
                interval: cloud.interval.as_secs(),
                ..CloudView::default()
            });
            let records = ledger
                .as_ref()
                .map(|ledger| Records::new(ledger.clone(), cloud.name.clone(), holder.clone()));
            let poller = Poller {
                absences: state.absences(cloud.name.as_str()).await?,
                provider: cloud.provider,
                interval: cloud.interval,
                timeout: cloud.timeout,
                around: around.clone(),
                records,
                requests: inbox,
                published,
                name: cloud.name,
            };
            poller.show(Role::Starting, Shown::default());
            lines.insert(poller.name.to_string(), Line { requests, view });
            pollers.push(poller);
        }
        let standing = keeper.is_some().then(|| around.standing.clone());
        let staff =
            directory.zip(ledger).filter(|_| keeper.is_some()).map(|(directory, ledger)| {
                StaffKeeper::new(directory, ledger, around.standing, around.owners)
            });
        let (staff, shown) = staff.unzip();
        let clouds = Self { pollers: Arc::new(lines), brake, hosts, standing, staff: shown };
        for left in clouds.left_over() {
            tracing::warn!(
                cloud = left.name,
                "it is not in the configuration; its {} hosts stay watched until `weather-balloon clouds release {}`",
                left.watched,
                left.name
            );
        }
        Ok((clouds, Crew { pollers, lease: keeper, staff }))
    }

    /// No clouds, on an appliance without hosts.
    #[doc(hidden)]
    pub fn none() -> Self {
        let (brake, _) = watch::channel(BrakeConfig::default());
        Self {
            pollers: Arc::default(),
            brake,
            hosts: Hosts::detached(),
            standing: None,
            staff: None,
        }
    }

    /// Shows these and asks nobody: for benchmarks and tests of the doors.
    #[doc(hidden)]
    pub fn showing(views: Vec<CloudView>) -> Self {
        let lines = views.into_iter().map(|view| {
            let (requests, _) = mpsc::channel(1);
            (view.name.clone(), Line { requests, view: watch::channel(view).1 })
        });
        Self { pollers: Arc::new(lines.collect()), ..Self::none() }
    }

    /// By name; those that still have hosts and no section come last.
    pub fn view(&self) -> Vec<CloudView> {
        let skipped = self.hosts.view().skipped;
        let polled = self.pollers.values().map(|line| {
            let view = line.view.borrow().clone();
            let clashes = skipped.get(&Source::Cloud(view.name.as_str().into()));
            let clashes = clashes.map_or(&[][..], |clashes| clashes.first());
            CloudView { clashes: clashes.iter().map(ToString::to_string).collect(), ..view }
        });
        polled.chain(self.left_over()).collect()
    }

    /// Whose the hosts are, as the clouds said last.
    pub fn ownership(&self) -> Ownership {
        Ownership::new(self.pollers.values().map(|line| Arc::clone(&line.view.borrow().owners)))
    }

    /// How this appliance stands to the ledger; absent: no cloud or no ledger.
    pub fn standing(&self) -> Option<Standing> {
        self.standing.as_ref().map(|standing| standing.borrow().clone())
    }

    /// How the directory is asked; absent: it is not.
    pub fn staff(&self) -> Option<StaffView> {
        self.staff.as_ref().map(|staff| staff.borrow().clone())
    }

    fn left_over(&self) -> Vec<CloudView> {
        let sources = self.hosts.sources().into_iter();
        let names = sources.filter_map(|source| match source {
            Source::Cloud(name) if !self.pollers.contains_key(&*name) => Some(name),
            _ => None,
        });
        names
            .map(|name| CloudView {
                watched: self.hosts.set_of(&Source::Cloud(name.clone())).len(),
                name: name.to_string(),
                ..CloudView::default()
            })
            .filter(|left| left.watched > 0)
            .collect()
    }

    /// Polls one cloud, or all, now. Returns when that is over.
    pub async fn sync(&self, name: Option<&str>) -> Result<Vec<CloudView>, Error> {
        let lines: Vec<&Line> = match name {
            Some(name) => {
                vec![self.pollers.get(name).ok_or_else(|| Error::Unknown(name.to_owned()))?]
            }
            None => self.pollers.values().collect(),
        };
        let mut answers = Vec::new();
        for line in lines {
            let (reply, answer) = oneshot::channel();
            let asked = line.requests.send(Request::Sync { reply }).await;
            asked.map_err(|_| Error::Stopping)?;
            answers.push(answer);
        }
        let mut views = Vec::new();
        let mut first_fault = None;
        for answer in answers {
            match answer.await.map_err(|_| Error::Stopping)? {
                Ok(view) => views.push(view),
                Err(fault) => drop(first_fault.get_or_insert(fault)),
            }
        }
        first_fault.map_or(Ok(views), Err)
    }

    /// Lets what is held go, and polls. With `shown` only where that is still
    /// all that is held. Of a cloud that is no longer configured all hosts go.
    pub async fn release(&self, name: &str, shown: Option<i64>) -> Result<CloudView, Error> {
        let Some(line) = self.pollers.get(name) else {
            return self.release_left_over(name).await;
        };
        let (reply, answer) = oneshot::channel();
        let asked = line.requests.send(Request::Release { shown, reply }).await;
        asked.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }

    async fn release_left_over(&self, name: &str) -> Result<CloudView, Error> {
        let left = self.left_over().into_iter().find(|left| left.name == name);
        let left = left.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let source = Source::Cloud(name.into());
        let replaced = self.hosts.replace(source, HostSet::default(), false).await;
        replaced.map_err(|fault| Error::Failed(sentence(&fault)))?;
        Ok(CloudView { watched: 0, ..left })
    }

    pub fn reconfigure(&self, brake: BrakeConfig) {
        self.brake.send_replace(brake);
    }
}

const NO_LEDGER: &str = "[store] url is empty: nothing is recorded";

/// The lease shows who holds it.
fn host_name() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "unnamed".to_owned(), |name| name.to_string_lossy().into_owned())
}
