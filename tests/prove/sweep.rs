//! A piece of work that is done again and again, each time with a fault at
//! another call.

use super::common::faults::{Fault, Plan, Watch};
use super::common::row::Row;

/// Something that the program does from its start to its end.
pub trait Work {
    /// Does it once under this plan, to its end or the process's. Panics where
    /// the process does what no fault allows.
    fn run(&mut self, plan: Plan) -> Watch;
    /// Starts the program without faults, and panics where something is not
    /// as it has to be.
    fn check(&mut self);
}

/// Which calls of a run are met.
#[derive(Clone, Copy, Debug)]
pub struct Points {
    pub first: u64,
    pub stride: u64,
    /// More trials than this are not made.
    pub most: u64,
}

impl Points {
    pub const ALL: Self = Self { first: 1, stride: 1, most: u64::MAX };
}

/// Meets one call after the other, until a run has fewer calls than that.
/// Every trial has the state that the last one left behind.
pub fn sweep(row: &mut Row, make: &dyn Fn() -> Box<dyn Work>, fault: Fault, points: Points) {
    let mut work = make();
    // The first run makes what is made once.
    work.run(Plan::NONE);
    work.check();
    let mut at = points.first;
    for _ in 0..points.most {
        let mut reached = true;
        let sound = row.trial(&format!("{fault:?} at call {at}"), || {
            let watch = work.run(Plan { fault, at, times: 1 });
            reached = watch.fired() > 0;
            if reached {
                eprintln!("{fault:?} at {at}: {}", watch.what());
            }
            work.check();
        });
        if !sound {
            work = make();
        }
        if !reached {
            // The run to the end was no trial.
            row.trials -= 1;
            return;
        }
        row.points = row.points.max(at);
        at += points.stride;
    }
}
