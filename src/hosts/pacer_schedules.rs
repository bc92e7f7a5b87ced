//! The pacer and a Nagios in every order of what can happen, up to a depth:
//! the pacer is pure, so that all schedules can be gone through, where a real
//! one shows a few.

use std::time::{Duration, Instant, SystemTime};

use super::pacer::{Pacer, Step};

const INTERVAL: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
enum Happening {
    /// Another hosts file has its name.
    Swap,
    Tick,
    /// Nagios takes the command and notes its `program_start`.
    Begin,
    /// It reads the hosts file, and its status file shows the start.
    Read,
}

const ALL: [Happening; 4] = [Happening::Swap, Happening::Tick, Happening::Begin, Happening::Read];

#[derive(Clone, Debug)]
struct World {
    pacer: Pacer,
    began: Instant,
    elapsed: Duration,
    file: u32,
    read: u32,
    /// What the status file shows.
    shown: i64,
    commanded: bool,
    starting: Option<i64>,
    last_begin: Option<Duration>,
    last_ask: Option<Duration>,
    asks: u32,
}

impl World {
    fn new() -> Self {
        Self {
            pacer: Pacer::new(INTERVAL, Duration::from_secs(60)),
            began: Instant::now(),
            // In the middle of a second, where a cut time is an earlier one.
            elapsed: Duration::from_millis(1_500),
            file: 0,
            read: 0,
            shown: 1,
            commanded: false,
            starting: None,
            last_begin: None,
            last_ask: None,
            asks: 0,
        }
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed
    }

    fn now(&self) -> Instant {
        self.began + self.elapsed
    }

    /// False where it cannot happen now.
    fn happen(&mut self, what: Happening) -> bool {
        match what {
            Happening::Swap => {
                self.file += 1;
                self.pacer.swapped(self.wall(), Some(self.shown));
            }
            Happening::Tick => self.elapsed += TICK,
            Happening::Begin => {
                // It sleeps for a second on the way to its next start.
                let rested = self.last_begin.is_none_or(|last| {
                    self.elapsed.as_secs() > last.as_secs() && self.elapsed - last >= 2 * TICK
                });
                if !self.commanded || self.starting.is_some() || !rested {
                    return false;
                }
                self.commanded = false;
                self.last_begin = Some(self.elapsed);
                self.starting = i64::try_from(self.elapsed.as_secs()).ok();
            }
            Happening::Read => {
                let Some(start) = self.starting.take() else { return false };
                (self.read, self.shown) = (self.file, start);
            }
        }
        self.turn();
        true
    }

    /// As the restarter's.
    fn turn(&mut self) {
        if self.pacer.observe(self.now(), Some(self.shown)) {
            assert_eq!(self.read, self.file, "proved, and Nagios has another file: {self:#?}");
        }
        if self.pacer.next(self.now()) == Step::Ask {
            if let Some(last) = self.last_ask {
                assert!(self.elapsed - last >= INTERVAL, "asked too soon: {self:#?}");
            }
            self.last_ask = Some(self.elapsed);
            self.asks += 1;
            self.commanded = true;
            self.pacer.asked(self.now(), Some(self.shown));
        }
    }

    /// With time and nothing new, every file is proved.
    fn must_settle(mut self) {
        for _ in 0..400 {
            if !self.pacer.is_due() {
                assert_eq!(self.read, self.file);
                return;
            }
            for what in [Happening::Tick, Happening::Begin, Happening::Read] {
                self.happen(what);
            }
        }
        panic!("a restart stays due: {self:#?}");
    }
}

/// Returns how many schedules there were.
fn explore(world: &World, depth: u32) -> u64 {
    if depth == 0 {
        world.clone().must_settle();
        return 1;
    }
    let mut schedules = 0;
    for what in ALL {
        let mut next = world.clone();
        if next.happen(what) {
            schedules += explore(&next, depth - 1);
        }
    }
    schedules
}

#[test]
fn in_every_schedule_a_proof_is_one_and_none_stays_due() {
    let schedules = explore(&World::new(), 9);
    assert!(schedules > 5_000, "only {schedules} were possible");
}

#[test]
#[ignore = "make prove-h"]
fn in_every_longer_schedule_a_proof_is_one_and_none_stays_due() {
    let began = Instant::now();
    let schedules = explore(&World::new(), 14);
    println!(
        "\nPROVED\tT-H\tthe pacer of restarts in every schedule of 14 happenings\t{schedules}\t{schedules}\t0\t{}",
        began.elapsed().as_secs()
    );
}
