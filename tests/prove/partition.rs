//! T-N: two appliances on one PostgreSQL. Their cables to it and to the cloud
//! are cut and healed, and one of them is stopped for minutes, while the fleet
//! changes. One of them writes at any time, by the lease's epoch, and in the
//! end the ledger has all that happened, to the second.

use std::time::{Duration, Instant};

use super::common::network::Cut;
use super::common::row::Row;
use super::sites::{Sites, wait_for};

/// After everything is well again, until the next listing is kept: the lease of
/// another runs out in 60 s and is looked at every 20; a connection that fails
/// rests for a minute at most.
const BACK_WITHIN: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, Debug)]
enum Who {
    Holder,
    Follower,
    Both,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// From the ledger, and where the flag says so from the cloud as well.
    Cut(Who, Cut, bool, u64),
    FromCloud(Who, u64),
    Pause(Who, u64),
    /// Cut off first, and stopped then.
    PauseBehindCut(Who, Cut, u64),
    /// Cut and healed again and again.
    Flapping(u64),
    /// A write waits in the database until another has the lease.
    WaitingWrite,
    /// A commit that is done and of which the answer is lost; where the flag
    /// says so, until its connection is given up, and nobody else takes over.
    LostReceipt(bool, u64),
}

/// In seconds. A lease is 60 long.
const CUTS: [Trouble; 10] = [
    Trouble::Cut(Who::Holder, Cut::Silent, false, 90),
    Trouble::Cut(Who::Holder, Cut::Answers, false, 90),
    Trouble::Cut(Who::Holder, Cut::Pulled, true, 85),
    Trouble::Cut(Who::Holder, Cut::Silent, true, 15),
    Trouble::Cut(Who::Holder, Cut::Answers, false, 20),
    Trouble::Cut(Who::Follower, Cut::Silent, false, 75),
    Trouble::Cut(Who::Both, Cut::Silent, false, 75),
    Trouble::Cut(Who::Both, Cut::Pulled, true, 30),
    Trouble::FromCloud(Who::Holder, 40),
    Trouble::Flapping(60),
];
const STOPS: [Trouble; 8] = [
    Trouble::Pause(Who::Holder, 180),
    Trouble::Pause(Who::Holder, 90),
    Trouble::Pause(Who::Follower, 70),
    Trouble::PauseBehindCut(Who::Holder, Cut::Silent, 95),
    Trouble::WaitingWrite,
    Trouble::LostReceipt(false, 5),
    Trouble::LostReceipt(false, 75),
    Trouble::LostReceipt(true, 160),
];

#[derive(Default)]
struct Count {
    cuts: u32,
    pauses: u32,
    longest_back: Duration,
}

impl Sites {
    fn those(&self, who: Who) -> Vec<usize> {
        let holder = self.holder();
        match who {
            Who::Holder => vec![holder],
            Who::Follower => vec![1 - holder],
            Who::Both => vec![0, 1],
        }
    }

    fn go_on_for(&mut self, seconds: u64) {
        self.go_on(Duration::from_secs(seconds), Duration::from_millis(2_500));
    }

    fn suffer(&mut self, trouble: Trouble, count: &mut Count) {
        match trouble {
            Trouble::Cut(who, how, cloud, seconds) => {
                for at in self.those(who) {
                    self.both[at].ledger.cut(how);
                    if cloud {
                        self.both[at].cloud.cut(how);
                    }
                    count.cuts += 1;
                }
                self.go_on_for(seconds);
            }
            Trouble::FromCloud(who, seconds) => {
                for at in self.those(who) {
                    self.both[at].cloud.cut(Cut::Silent);
                    count.cuts += 1;
                }
                self.go_on_for(seconds);
            }
            Trouble::Pause(who, seconds) => {
                for at in self.those(who) {
                    self.both[at].pause();
                    count.pauses += 1;
                }
                self.go_on_for(seconds);
            }
            Trouble::PauseBehindCut(who, how, seconds) => {
                for at in self.those(who) {
                    self.both[at].ledger.cut(how);
                    std::thread::sleep(Duration::from_millis(self.dice.roll(4_000)));
                    self.both[at].pause();
                    (count.cuts, count.pauses) = (count.cuts + 1, count.pauses + 1);
                }
                self.go_on_for(seconds);
            }
            Trouble::Flapping(seconds) => {
                let until = Instant::now() + Duration::from_secs(seconds);
                while Instant::now() < until {
                    let at = self.dice.roll(2) as usize;
                    let how = [Cut::Silent, Cut::Answers, Cut::Pulled][self.dice.roll(3) as usize];
                    self.both[at].ledger.cut(how);
                    count.cuts += 1;
                    let (down, up) = (self.dice.roll(4_000), self.dice.roll(3_000));
                    self.go_on(Duration::from_millis(down), Duration::from_secs(2));
                    self.both[at].ledger.heal();
                    self.go_on(Duration::from_millis(up), Duration::from_secs(2));
                }
            }
            Trouble::WaitingWrite => self.let_a_write_wait(count),
            Trouble::LostReceipt(alone, seconds) => {
                let other = 1 - self.holder();
                self.lose_a_receipt(count);
                if alone {
                    self.both[other].pause();
                    count.pauses += 1;
                }
                self.go_on_for(seconds);
            }
        }
    }

    /// The holder's write is under way and waits in the database when the lease
    /// goes to the other. Where it waits first it also comes first.
    fn let_a_write_wait(&mut self, count: &mut Count) {
        let (holder, epoch) = (self.holder(), self.epoch());
        self.change();
        let hold = self.hold();
        wait_for("a write that waits", || (self.waiting(holder) > 0).then_some(()));
        self.both[holder].pause();
        count.pauses += 1;
        wait_for("the other to take over", || {
            self.expire_lease(epoch);
            (self.epoch() > epoch).then_some(())
        });
        assert_eq!(self.holder(), 1 - holder, "it went to the one that is stopped");
        assert!(self.waiting(holder) > 0, "the write waits no more");
        self.both[holder].resume();
        drop(hold);
    }

    /// The holder's next run is in the ledger, and the holder does not learn it.
    fn lose_a_receipt(&mut self, count: &mut Count) {
        let (holder, before) = (self.holder(), self.runs());
        self.change();
        self.delay_commits(4);
        wait_for("a commit", || self.is_committing(holder).then_some(()));
        self.both[holder].ledger.cut(Cut::Answers);
        count.cuts += 1;
        self.delay_commits(0);
        wait_for("the end of the commit", || (self.runs() > before).then_some(()));
    }

    /// Heals everything; the ledger and both Nagios are right again soon.
    fn recover(&mut self, count: &mut Count) {
        self.heal();
        let back = self.settle(Instant::now());
        count.longest_back = count.longest_back.max(back);
        self.assert_sound();
        assert!(back < BACK_WITHIN, "no listing was kept for {back:?}");
    }

    fn tell(&self, row: &mut Row, form: &str, count: &Count) {
        let (by, overs, gap) = self.told();
        row.points = self.runs().unsigned_abs();
        row.tell(format!(
            "{form}: {} cuts, {} pauses, {overs} take-overs, {} changes, listings kept by each \
             {by:?}, longest time without one {gap:.0} s, after healing {} s",
            count.cuts,
            count.pauses,
            self.book.happened,
            count.longest_back.as_secs()
        ));
    }
}

/// All of them, in a random order.
fn suffer_all(what: &str, seed: u64, troubles: &[Trouble]) {
    let mut row = Row::new("T-N", what);
    let Some(mut sites) = Sites::start(seed) else { return };
    let mut deck = troubles.to_vec();
    for at in (1..deck.len()).rev() {
        deck.swap(at, sites.dice.roll(at as u64 + 1) as usize);
    }
    let mut count = Count::default();
    for trouble in deck {
        let began = Instant::now();
        row.trial(&format!("{trouble:?}"), || {
            sites.suffer(trouble, &mut count);
            sites.recover(&mut count);
            sites.assert_true();
        });
        eprintln!("{trouble:?}: {} s", began.elapsed().as_secs());
        sites.heal();
    }
    sites.tell(&mut row, what, &count);
    sites.stop();
    row.end();
}

#[test]
#[ignore = "make prove-n"]
fn two_appliances_whose_cables_are_cut() {
    suffer_all("two appliances, cables cut", 0x5EED, &CUTS);
}

#[test]
#[ignore = "make prove-n"]
fn two_appliances_of_which_one_stands_still() {
    suffer_all("two appliances, one stands still", 0x5EED, &STOPS);
}

/// One write that waits while the other takes over, and one cut.
#[test]
fn a_write_that_waits_while_another_takes_over_is_not_kept() {
    let mut row = Row::new("T-N", "short form");
    let Some(mut sites) = Sites::start(0x5EED) else { return };
    let mut count = Count::default();
    row.trial("a write that waits", || {
        sites.suffer(Trouble::WaitingWrite, &mut count);
        sites.recover(&mut count);
    });
    row.trial("a cut after a commit", || {
        sites.suffer(Trouble::LostReceipt(false, 2), &mut count);
        sites.recover(&mut count);
        sites.assert_true();
    });
    sites.tell(&mut row, "short form", &count);
    row.end();
}
