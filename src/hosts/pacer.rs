//! When to ask Nagios for a restart, and when its proof has come. Pure: the
//! clocks are handed in.

use std::time::{Duration, Instant, SystemTime};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nagios has read the newest file.
    Rest,
    /// Look at the status file again after this long.
    Watch(Duration),
    /// Ask for a restart now.
    Ask,
    /// The restart that was asked for has not come in time.
    TimedOut(Duration),
}

/// Bursts of changes become few restarts: the first is asked for at once, the
/// next not before the interval, and each covers every change until then.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    min_interval: Duration,
    confirm_timeout: Duration,
    due: Option<Due>,
    flight: Option<Flight>,
    last_asked: Option<Instant>,
    last_took: Option<Duration>,
    retry_at: Option<Instant>,
    retry_delay: Duration,
}

/// A file that Nagios has yet to read.
#[derive(Clone, Debug)]
struct Due {
    /// UTC seconds, cut, of the moment the file had its name.
    swapped: i64,
    seen: Option<i64>,
    starts_since: u32,
}

/// A restart that was asked for.
#[derive(Clone, Debug)]
struct Flight {
    /// Later by the time for which nobody could look.
    asked: Instant,
    before: Option<i64>,
    looked: Instant,
}

/// Looks come twice a second. Where one came later than this, it was we who were
/// held up (stopped, or moved to another machine), and not Nagios.
const MISSED_LOOK: Duration = Duration::from_secs(2);

const FIRST_RETRY: Duration = Duration::from_millis(250);
const MAX_RETRY: Duration = Duration::from_secs(5);

impl Pacer {
    pub(super) fn new(min_interval: Duration, confirm_timeout: Duration) -> Self {
        Self {
            min_interval,
            confirm_timeout,
            due: None,
            flight: None,
            last_asked: None,
            last_took: None,
            retry_at: None,
            retry_delay: FIRST_RETRY,
        }
    }

    pub(super) fn reconfigure(&mut self, min_interval: Duration, confirm_timeout: Duration) {
        self.min_interval = min_interval;
        self.confirm_timeout = confirm_timeout;
    }

    /// A new file has its name. `program_start` is what the status file says
    /// after that.
    pub(super) fn swapped(&mut self, at: SystemTime, program_start: Option<i64>) {
        let swapped = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let swapped = i64::try_from(swapped).unwrap_or(i64::MAX);
        self.due = Some(Due { swapped, seen: program_start, starts_since: 0 });
        self.retry_at = None;
        self.retry_delay = FIRST_RETRY;
    }

    /// What is live needs no restart.
    pub(super) fn settled(&mut self) {
        self.due = None;
        self.flight = None;
    }

    /// Takes in what the status file says; true when that proves that Nagios
    /// has read the due file.
    ///
    /// Nagios takes `program_start` before it reads its object files and after
    /// a sleep of a second, so a start in a later second than the change of
    /// names has read it. Where the clock was set back, two starts since then
    /// prove it as well: the second began after the first was seen.
    pub(super) fn observe(&mut self, now: Instant, program_start: Option<i64>) -> bool {
        if let Some(flight) = &mut self.flight {
            flight.asked += now.saturating_duration_since(flight.looked + MISSED_LOOK);
            flight.looked = now;
            if program_start.is_some_and(|start| flight.before != Some(start)) {
                self.last_took = Some(now.saturating_duration_since(flight.asked));
                self.flight = None;
            }
        }
        let Some(start) = program_start else { return false };
        let Some(due) = &mut self.due else { return false };
        if due.seen.is_some_and(|seen| seen != start) {
            due.starts_since += 1;
        }
        due.seen = Some(start);
        let proved = start > due.swapped || due.starts_since >= 2;
        if proved {
            self.settled();
        }
        proved
    }

    pub(super) fn next(&mut self, now: Instant) -> Step {
        if self.due.is_none() {
            return Step::Rest;
        }
        if let Some(flight) = &self.flight {
            let waited = now.saturating_duration_since(flight.asked);
            if waited >= self.confirm_within() {
                self.flight = None;
                return Step::TimedOut(waited);
            }
            return Step::Watch(look_again_after(waited));
        }
        let paced = self.last_asked.map(|asked| asked + self.interval());
        match paced.max(self.retry_at) {
            Some(earliest) if now < earliest => {
                Step::Watch((earliest - now).min(Duration::from_millis(500)))
            }
            _ => Step::Ask,
        }
    }

    /// The command is in Nagios's FIFO.
    pub(super) fn asked(&mut self, now: Instant, program_start: Option<i64>) {
        self.flight = Some(Flight { asked: now, before: program_start, looked: now });
        self.last_asked = Some(now);
        self.retry_at = None;
        self.retry_delay = FIRST_RETRY;
    }

    /// The command did not get into the FIFO.
    pub(super) fn not_asked(&mut self, now: Instant) {
        self.retry_at = Some(now + self.retry_delay);
        self.retry_delay = (self.retry_delay * 2).min(MAX_RETRY);
    }

    /// The restart in flight will not come: Nagios is gone.
    pub(super) fn gone(&mut self) {
        self.flight = None;
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_some()
    }

    pub(super) fn last_took(&self) -> Option<Duration> {
        self.last_took
    }

    /// Restarts that take long are asked for less often: no checks run in one.
    fn interval(&self) -> Duration {
        self.min_interval.max(self.pace())
    }

    fn confirm_within(&self) -> Duration {
        self.confirm_timeout.max(self.pace())
    }

    /// What took longer than the time to confirm was a Nagios that hung; the
    /// next change is not to wait for that, and ever longer.
    fn pace(&self) -> Duration {
        self.last_took.unwrap_or_default().min(self.confirm_timeout) * 5
    }
}

fn look_again_after(waited: Duration) -> Duration {
    (waited / 40).clamp(Duration::from_millis(25), Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const CONFIRM: Duration = Duration::from_secs(60);

    fn wall(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 500)
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn the_first_change_asks_at_once_and_a_later_start_proves() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        assert_eq!(pacer.next(t0), Step::Rest);
        pacer.swapped(wall(100), Some(50));
        assert_eq!(pacer.next(t0), Step::Ask);
        pacer.asked(t0, Some(50));
        assert!(matches!(pacer.next(t0), Step::Watch(_)));
        assert!(!pacer.observe(after(t0, 500), Some(50)));
        assert!(pacer.observe(after(t0, 1500), Some(101)));
        assert_eq!(pacer.next(after(t0, 1500)), Step::Rest);
        assert_eq!(pacer.last_took(), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_start_in_the_second_of_the_change_proves_nothing() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(100), Some(50));
        assert!(!pacer.observe(t0, Some(100)));
        assert!(pacer.observe(t0, Some(101)));
    }

    #[test]
    fn after_a_step_back_of_the_clock_two_starts_prove() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(5000), Some(4000));
        pacer.asked(t0, Some(4000));
        assert!(!pacer.observe(t0, Some(1000)), "this start may have read the old file");
        assert!(pacer.observe(t0, Some(1012)));
    }

    #[test]
    fn a_burst_becomes_two_restarts() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        let mut asks = 0;
        let mut asked = 0;
        let mut start = 50;
        for millis in (0..30_000).step_by(10) {
            let now = after(t0, millis);
            if millis < 1000 {
                pacer.swapped(wall(100), Some(start));
            }
            match pacer.next(now) {
                Step::Ask => {
                    asks += 1;
                    asked = millis;
                    pacer.asked(now, Some(start));
                }
                Step::TimedOut(_) => panic!("the restart came"),
                _ => {}
            }
            if pacer.is_in_flight() && millis == asked + 1500 {
                // The first restart began before the last change of the burst.
                start = if asks == 1 { 100 } else { 115 };
                pacer.observe(now, Some(start));
            }
        }
        assert_eq!(asks, 2);
        assert!(!pacer.is_due());
    }

    #[test]
    fn a_restart_that_does_not_come_is_asked_for_again() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(100), Some(50));
        pacer.asked(t0, Some(50));
        assert!(matches!(pacer.next(after(t0, 59_000)), Step::Watch(_)));
        assert!(matches!(pacer.next(after(t0, 60_000)), Step::TimedOut(_)));
        assert_eq!(pacer.next(after(t0, 60_001)), Step::Ask);
    }

    #[test]
    fn a_dead_nagios_is_asked_again_without_waiting_for_the_interval() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(100), None);
        assert_eq!(pacer.next(t0), Step::Ask);
        pacer.not_asked(t0);
        assert!(matches!(pacer.next(t0), Step::Watch(_)));
        assert_eq!(pacer.next(after(t0, 250)), Step::Ask);
        // It came back by itself: no restart is needed.
        assert!(pacer.observe(after(t0, 251), Some(140)));
    }

    #[test]
    fn slow_restarts_stretch_the_interval() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(100), Some(50));
        pacer.asked(t0, Some(50));
        restarts_after(&mut pacer, t0, 20_000, 119);
        pacer.swapped(wall(130), Some(119));
        assert!(matches!(pacer.next(after(t0, 99_000)), Step::Watch(_)));
        assert_eq!(pacer.next(after(t0, 100_000)), Step::Ask);
    }

    /// Looked at all the time, it has restarted after so long.
    fn restarts_after(pacer: &mut Pacer, asked: Instant, millis: u64, start: i64) {
        for look in (0..millis).step_by(500) {
            assert!(!pacer.observe(after(asked, look), Some(50)));
        }
        assert!(pacer.observe(after(asked, millis), Some(start)));
    }

    #[test]
    fn while_we_stood_still_nagios_was_not_slow() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(100), Some(50));
        pacer.asked(t0, Some(50));
        assert!(!pacer.observe(after(t0, 500), Some(50)));
        assert!(pacer.observe(after(t0, 180_000), Some(102)));
        assert_eq!(pacer.last_took(), Some(Duration::from_millis(2_500)));
        pacer.swapped(wall(281), Some(102));
        assert_eq!(pacer.next(after(t0, 181_000)), Step::Ask);

        // Nagios stood still with us: it is not hanging.
        let t1 = after(t0, 181_000);
        pacer.asked(t1, Some(102));
        assert!(!pacer.observe(after(t1, 180_000), Some(102)));
        assert!(matches!(pacer.next(after(t1, 180_000)), Step::Watch(_)));
    }

    #[test]
    fn a_nagios_that_hung_holds_up_no_later_change_for_longer_and_longer() {
        let t0 = Instant::now();
        let mut pacer = Pacer::new(INTERVAL, CONFIRM);
        pacer.swapped(wall(100), Some(50));
        pacer.asked(t0, Some(50));
        restarts_after(&mut pacer, t0, 290_000, 391);
        pacer.swapped(wall(400), Some(391));
        assert_eq!(pacer.next(after(t0, 300_000)), Step::Ask);
    }
}
