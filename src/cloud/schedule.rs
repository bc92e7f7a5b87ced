//! When a cloud is asked next. Pure.

use std::time::Duration;

use crate::providers::Blame;

/// How a poll ended, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Done,
    /// Another try soon may do.
    Failed,
    /// An administrator must do something first.
    Hopeless,
    /// The cloud wants to be asked later.
    Wait(Duration),
}

impl Ending {
    pub fn of(blame: Blame, retry_after: Option<Duration>) -> Self {
        match (blame, retry_after) {
            (_, Some(wait)) => Self::Wait(wait),
            (Blame::Configuration | Blame::Credentials, None) => Self::Hopeless,
            (Blame::Throttling | Blame::Trouble, None) => Self::Failed,
        }
    }
}

/// How often a waiting poller looks whether the machine has slept.
pub const LOOK: Duration = Duration::from_secs(30);

/// Whether the machine has slept, or its clock was set, while a poller waited:
/// the clock that it waits by stands still in a sleep. `by_wall` is absent where
/// the wall clock went back.
pub fn has_slept(by_waiting: Duration, by_wall: Option<Duration>) -> bool {
    const SLEEP: Duration = Duration::from_secs(60);
    by_wall.is_none_or(|by_wall| by_wall > by_waiting + SLEEP)
}

#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval: Duration,
    failures: u32,
}

impl Schedule {
    const FIRST_RETRY: Duration = Duration::from_secs(30);
    /// A cloud that says a day means no more.
    const LONGEST_WAIT: Duration = Duration::from_secs(3600);

    pub fn new(interval: Duration) -> Self {
        Self { interval, failures: 0 }
    }

    /// From the end of a poll that took `took` until the next one begins.
    /// `chance` is from 0 to 1: clouds and appliances must not fall into step.
    pub fn pause(&mut self, ending: Ending, took: Duration, chance: f64) -> Duration {
        let spread = |time: Duration, share: f64| time.mul_f64(1.0 + share * (chance - 0.5));
        let steady = spread(self.interval, 0.1).saturating_sub(took);
        match ending {
            Ending::Done => {
                self.failures = 0;
                steady
            }
            // A wrong password that is tried every minute locks the account.
            Ending::Hopeless => {
                self.failures = 0;
                steady
            }
            Ending::Failed | Ending::Wait(_) => {
                let first = Self::FIRST_RETRY.min(self.interval);
                let retry = first.saturating_mul(1 << self.failures.min(16)).min(self.interval);
                self.failures = self.failures.saturating_add(1);
                let retry = spread(retry, 0.5);
                match ending {
                    Ending::Wait(asked) => {
                        let most = Self::LONGEST_WAIT.max(self.interval);
                        retry.max(asked.min(most))
                    }
                    _ => retry,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    #[test]
    fn a_steady_cloud_is_asked_by_the_interval() {
        let mut schedule = Schedule::new(INTERVAL);
        let took = Duration::from_secs(20);
        assert_eq!(schedule.pause(Ending::Done, took, 0.5), INTERVAL - took);
        assert!(schedule.pause(Ending::Done, took, 0.0) < schedule.pause(Ending::Done, took, 1.0));
        assert_eq!(schedule.pause(Ending::Done, INTERVAL * 2, 0.5), Duration::ZERO);
    }

    #[test]
    fn failures_wait_longer_up_to_the_interval() {
        let mut schedule = Schedule::new(INTERVAL);
        let pauses: Vec<_> =
            (0..8).map(|_| schedule.pause(Ending::Failed, Duration::ZERO, 0.5).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600, 600]);
        schedule.pause(Ending::Done, Duration::ZERO, 0.5);
        assert_eq!(schedule.pause(Ending::Failed, Duration::ZERO, 0.5).as_secs(), 30);
    }

    #[test]
    fn a_machine_that_slept_is_late() {
        let seconds = Duration::from_secs;
        assert!(!has_slept(seconds(30), Some(seconds(31))));
        assert!(!has_slept(seconds(30), Some(seconds(1))));
        assert!(has_slept(seconds(30), Some(seconds(91))));
        assert!(has_slept(seconds(30), None));
    }

    #[test]
    fn what_the_cloud_asks_for_is_kept_to_within_reason() {
        let mut schedule = Schedule::new(INTERVAL);
        let wait = |seconds| Ending::Wait(Duration::from_secs(seconds));
        assert_eq!(schedule.pause(wait(90), Duration::ZERO, 0.5).as_secs(), 90);
        assert_eq!(schedule.pause(wait(1), Duration::ZERO, 0.5).as_secs(), 60);
        assert_eq!(schedule.pause(wait(1 << 40), Duration::ZERO, 0.5).as_secs(), 3600);
        let blamed = Ending::of(Blame::Credentials, None);
        assert_eq!(schedule.pause(blamed, Duration::ZERO, 0.5), INTERVAL);
    }
}
