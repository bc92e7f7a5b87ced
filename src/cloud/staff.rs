//! Who of the owners is staff, as the directory says: of new ones soon, of all
//! once a day.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::store::{self, Lease};
use crate::telemetry::sentence;

use super::lease::Standing;

pub struct StaffKeeper {
    directory: Directory,
    ledger: store::Handle,
    standing: watch::Receiver<Standing>,
    /// There may be new owners.
    owners: Arc<Notify>,
    /// By the ledger's id: the name and what is known.
    users: BTreeMap<i64, (String, Option<bool>)>,
    revision: i64,
    published: watch::Sender<StaffView>,
}

/// How the directory is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaffView {
    /// When it answered last.
    pub answered: Option<SystemTime>,
    /// Why it gave no answer when it was asked last; a sentence.
    pub trouble: Option<String>,
}

const REFRESH: Duration = Duration::from_secs(86_400);
/// After a failure, and while another appliance asks.
const RETRY: Duration = Duration::from_secs(300);
/// Names in one question.
const TOGETHER: usize = 500;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    NotOpen(#[from] store::NotOpen),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Directory(#[from] crate::directory::Error),
}

impl StaffKeeper {
    pub(super) fn new(
        directory: Directory,
        ledger: store::Handle,
        standing: watch::Receiver<Standing>,
        owners: Arc<Notify>,
    ) -> (Self, watch::Receiver<StaffView>) {
        let (published, seen) = watch::channel(StaffView::default());
        let (users, revision) = (BTreeMap::new(), 0);
        (Self { directory, ledger, standing, owners, users, revision, published }, seen)
    }

    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.work() => Err(never),
        }
    }

    async fn work(&mut self) -> Infallible {
        let mut told = String::new();
        let mut refresh_due = Instant::now();
        loop {
            let standing = self.standing.borrow_and_update().clone();
            let mut wait = RETRY;
            if let Standing::Mine(lease) = standing {
                let all = Instant::now() >= refresh_due;
                match self.look_up(&lease, all).await {
                    Ok(()) => {
                        if all {
                            refresh_due = Instant::now() + REFRESH;
                        }
                        wait = refresh_due.duration_since(Instant::now());
                        told.clear();
                    }
                    Err(fault) => {
                        let words = sentence(&fault);
                        if words != told {
                            tracing::error!("who is staff stays as it was: {words}");
                            told = words;
                        }
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.owners.notified() => {}
                changed = self.standing.changed() => {
                    if changed.is_err() {
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }
    }

    /// Of everybody, or of those of whom nothing is known.
    async fn look_up(&mut self, lease: &Lease, all: bool) -> Result<(), Fault> {
        self.read_on().await?;
        let asked: Vec<(i64, String)> = self
            .users
            .iter()
            .filter(|(_, (_, known))| all || known.is_none())
            .map(|(id, (name, _))| (*id, name.clone()))
            .collect();
        for some in asked.chunks(TOGETHER) {
            let names: Vec<String> = some.iter().map(|(_, name)| name.clone()).collect();
            let answer = self.directory.staff(&names).await;
            self.published.send_modify(|view| match &answer {
                Ok(_) => *view = StaffView { answered: Some(SystemTime::now()), trouble: None },
                Err(fault) => view.trouble = Some(sentence(fault)),
            });
            let answer = answer?;
            let known = some.iter().filter_map(|(id, name)| Some((*id, *answer.get(name)?)));
            let known: Vec<(i64, bool)> = known.collect();
            self.ledger.get()?.set_staff(lease, &known).await?;
            for (id, is_staff) in known {
                if let Some((_, known)) = self.users.get_mut(&id) {
                    *known = Some(is_staff);
                }
            }
        }
        Ok(())
    }

    async fn read_on(&mut self) -> Result<(), Fault> {
        let store = self.ledger.get()?;
        loop {
            let page = store.users_since(self.revision).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.revision = last.revision;
            self.users.extend(page.into_iter().map(|row| (row.id, (row.name, row.is_staff))));
        }
    }
}
