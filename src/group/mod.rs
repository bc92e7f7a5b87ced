//! Tasks that live and die together.
//!
//! Expected trouble (Nagios, Graphite or a cloud is down) stays inside a
//! task's own loop. A task that ends unasked is always a fault: the group
//! stops the others and reports it, so that the process leaves and the service
//! supervisor starts it again.

use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod schedules;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("the task \"{task}\" ended without being asked to")]
    Ended { task: &'static str },
    #[error("the task \"{task}\" failed")]
    Failed { task: &'static str, source: BoxError },
    #[error("the task \"{task}\" panicked: {message}")]
    Panicked { task: &'static str, message: String },
    #[error("these tasks did not stop within {grace:?}: {tasks}")]
    Stuck { tasks: String, grace: Duration },
}

pub struct Group {
    tasks: JoinSet<Result<(), BoxError>>,
    names: Vec<(Id, &'static str)>,
    stop: CancellationToken,
    grace: Duration,
}

impl Group {
    pub fn new(grace: Duration) -> Self {
        Self { tasks: JoinSet::new(), names: Vec::new(), stop: CancellationToken::new(), grace }
    }

    /// Starts a task. It is to return soon after its token is cancelled.
    pub fn add<F, E>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let work = task(self.stop.child_token());
        let handle = self.tasks.spawn(async move { work.await.map_err(Into::into) });
        self.names.push((handle.id(), name));
    }

    /// Runs until `signal` is ready or a task ends; then stops the rest.
    /// Tasks that outlast the grace period are aborted and named.
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<(), GroupError> {
        self.run(signal, tokio::time::sleep).await
    }

    /// `wait` is ready when the time that it was given is over.
    async fn run<W: Future<Output = ()>>(
        mut self,
        signal: impl Future<Output = ()>,
        wait: impl FnOnce(Duration) -> W,
    ) -> Result<(), GroupError> {
        let mut outcome = tokio::select! {
            // In this order: a task that ends just when all are asked to is at
            // no fault.
            biased;
            () = signal => Ok(()),
            Some(ended) = self.tasks.join_next_with_id() => {
                let verdict = self.verdict(ended);
                Err(verdict.1.unwrap_or(GroupError::Ended { task: verdict.0 }))
            }
        };
        self.stop.cancel();
        let mut over = std::pin::pin!(wait(self.grace));
        loop {
            let ended = tokio::select! {
                // In this order: who has ended is not stuck.
                biased;
                ended = self.tasks.join_next_with_id() => ended,
                () = &mut over => break,
            };
            let Some(ended) = ended else { return outcome };
            if let (_, Some(fault)) = self.verdict(ended) {
                outcome = outcome.and(Err(fault));
            }
        }
        let tasks = self.names.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        self.tasks.abort_all();
        outcome.and(Err(GroupError::Stuck { tasks, grace: self.grace }))
    }

    fn verdict(
        &mut self,
        ended: Result<(Id, Result<(), BoxError>), tokio::task::JoinError>,
    ) -> (&'static str, Option<GroupError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(fault) => fault.id(),
        };
        let place = self.names.iter().position(|(known, _)| *known == id);
        let task = place.map_or("unnamed", |at| self.names.remove(at).1);
        let fault = match ended {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(source))) => Some(GroupError::Failed { task, source }),
            Err(fault) => Some(GroupError::Panicked { task, message: panic_message(fault) }),
        };
        (task, fault)
    }
}

fn panic_message(fault: tokio::task::JoinError) -> String {
    match fault.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned()),
        Err(_) => "cancelled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const GRACE: Duration = Duration::from_millis(200);

    fn polite(group: &mut Group) {
        group.add("polite", |stop| async move {
            stop.cancelled().await;
            Ok::<_, Infallible>(())
        });
    }

    #[tokio::test]
    async fn a_signal_stops_all() {
        let mut group = Group::new(GRACE);
        polite(&mut group);
        polite(&mut group);
        group.run_until(async {}).await.unwrap();
    }

    #[tokio::test]
    async fn one_end_ends_all_and_is_named() {
        let mut group = Group::new(GRACE);
        polite(&mut group);
        group.add("hasty", |_| async { Ok::<_, Infallible>(()) });
        let fault = group.run_until(std::future::pending()).await.unwrap_err();
        assert_eq!(fault.to_string(), "the task \"hasty\" ended without being asked to");
    }

    #[tokio::test]
    async fn a_failure_and_a_panic_are_told() {
        let mut group = Group::new(GRACE);
        polite(&mut group);
        group.add("failing", |_| async { Err("no such thing") });
        let fault = group.run_until(std::future::pending()).await.unwrap_err();
        assert_eq!(fault.to_string(), "the task \"failing\" failed");

        let mut group = Group::new(GRACE);
        group.add("panicking", |_| async {
            if true { panic!("at the disco") } else { Ok::<_, Infallible>(()) }
        });
        let fault = group.run_until(std::future::pending()).await.unwrap_err();
        assert_eq!(fault.to_string(), "the task \"panicking\" panicked: at the disco");
    }

    #[tokio::test]
    async fn a_deaf_task_is_named_after_the_grace() {
        let mut group = Group::new(GRACE);
        polite(&mut group);
        group.add("deaf", |_| std::future::pending::<Result<(), Infallible>>());
        let fault = group.run_until(async {}).await.unwrap_err();
        assert_eq!(fault.to_string(), "these tasks did not stop within 200ms: deaf");
    }
}
