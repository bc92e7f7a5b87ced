use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::columns::Columns;
use super::error::Error;
use super::query::{Query, Report};
use super::refresher::{Published, Refresher, Standing};
use crate::ledger::Rhythm;
use crate::model::{GapRow, ListedRow};
use crate::store;

/// For a refresh, and for an answer after it.
const PATIENCE: Duration = Duration::from_secs(15);
/// For a ledger that is opened or read for the first time: a small one is
/// there at once, a large one takes longer than anybody should wait.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// Answers that are worked out at once. They hold blocking threads, and a
/// ledger whose disk hangs must not take those of the hosts.
const AT_ONCE: usize = 2;
/// More segments than this are added up on a blocking thread.
const MANY_SEGMENTS: usize = 100_000;

/// The leaderboard of this process. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Usage {
    board: Option<Arc<Board>>,
}

#[derive(Debug)]
struct Board {
    store: store::Handle,
    /// How many have asked.
    asked: watch::Sender<u64>,
    published: watch::Receiver<Published>,
    turns: Arc<Semaphore>,
    rhythms: Rhythms,
}

/// How often each cloud is asked, by its name.
pub type Rhythms = BTreeMap<Box<str>, Rhythm>;

impl Usage {
    /// Without a ledger every question is answered by [`Error::Off`].
    pub fn off() -> Self {
        Self { board: None }
    }

    /// The refresher has to run for anybody to be answered.
    pub fn start(store: store::Handle, rhythms: Rhythms) -> (Self, Refresher) {
        let asked = watch::Sender::new(0);
        let (refresher, published) = Refresher::new(store.clone(), asked.subscribe());
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let board = Board { store, asked, published, turns, rhythms };
        (Self { board: Some(Arc::new(board)) }, refresher)
    }

    /// The answer from everything that was in the store when the question
    /// came, up to now.
    pub async fn leaderboard(&self, query: Query) -> Result<Report, Error> {
        let board = self.board.as_ref().ok_or(Error::Off)?;
        let columns = board.fresh().await?;
        let answered = timeout(PATIENCE, board.answer(columns, query)).await;
        answered.unwrap_or(Err(Error::Late(PATIENCE)))
    }
}

impl Board {
    /// Waits for a refresh that began after this call. All who come before it
    /// begins share it, and one who goes away stops it for nobody.
    async fn fresh(&self) -> Result<Arc<Columns>, Error> {
        let mut ticket = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            ticket = *asked;
        });
        let answered = || async {
            let mut published = self.published.clone();
            let found = published.wait_for(|published| published.answered >= ticket).await;
            found.map_or(Err(Error::Stopping), |found| found.outcome.clone())
        };
        if let Ok(outcome) = timeout(FIRST_PATIENCE, answered()).await {
            return outcome;
        }
        if let Some(not_yet) = self.not_yet() {
            return Err(not_yet);
        }
        match timeout(PATIENCE, answered()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.not_yet().unwrap_or(Error::Late(PATIENCE))),
        }
    }

    fn not_yet(&self) -> Option<Error> {
        match self.published.borrow().standing {
            Standing::Opening => Some(Error::Opening),
            Standing::Reading { percent, segments } => Some(Error::Reading { percent, segments }),
            Standing::Read => None,
        }
    }

    async fn answer(&self, columns: Arc<Columns>, query: Query) -> Result<Report, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Error::Stopping)?;
        let store = self.store.get()?;
        let listed = store.listed().await?;
        let mut gaps = store.gaps(query.window).await?;
        // A listing may have ended one meanwhile.
        let going_on: Vec<_> = going_on(&listed, &self.rhythms, now())
            .filter(|one| !gaps.iter().any(|gap| (gap.cloud, gap.from) == (one.cloud, one.from)))
            .collect();
        gaps.extend(going_on);
        let many = columns.segments() > MANY_SEGMENTS;
        let work = move || {
            let report = columns.leaderboard(&query, &gaps, now());
            // Held for as long as the work takes, whoever waits for it.
            drop(turn);
            report.map_err(Error::from)
        };
        if !many {
            return work();
        }
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Inside))
    }
}

/// The gaps that no listing has ended yet. They begin where the last listing
/// did, as they will in the ledger.
fn going_on<'a>(
    listed: &'a [ListedRow],
    rhythms: &'a Rhythms,
    now: i64,
) -> impl Iterator<Item = GapRow> + 'a {
    let is_late = move |row: &&ListedRow| {
        // One that is not configured here is asked by nobody, or elsewhere.
        let rhythm = rhythms.get(row.name.as_str()).copied().unwrap_or_default();
        now.saturating_sub(row.noticed) > rhythm.gap_after()
    };
    let late = listed.iter().filter(is_late);
    late.map(move |row| GapRow { cloud: row.cloud, from: row.at, to: now })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_goes_on_where_polls_were_lost() {
        let row =
            |cloud, name: &str, at, noticed| ListedRow { cloud, name: name.into(), at, noticed };
        let rows = [row(1, "east", 90, 100), row(2, "west", 95, 100), row(3, "gone", 1, 2)];
        let rhythms = [("east", 10), ("west", 600)]
            .map(|(name, pace)| (name.into(), Rhythm::of_seconds(pace)));
        let rhythms = Rhythms::from(rhythms);
        let found = |now| {
            let gaps = going_on(&rows, &rhythms, now);
            gaps.map(|gap| (gap.cloud, gap.from, gap.to)).collect::<Vec<_>>()
        };
        assert_eq!(found(130), []);
        assert_eq!(found(131), [(1, 90, 131)]);
        assert_eq!(found(1803), [(1, 90, 1803), (3, 1, 1803)]);
        assert_eq!(found(1901).len(), 3);
        assert_eq!(found(i64::MIN), []);
    }
}
