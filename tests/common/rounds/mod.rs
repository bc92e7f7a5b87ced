//! A simulated cloud on a virtual clock, what truly happened in it, and a
//! ledger in memory.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

pub mod cloud;
pub mod ledger;
pub mod truth;

/// xorshift64*, so that a seed means the same everywhere and always.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        dice
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    /// From `from` to `to`, both of them possible.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.roll(u64::try_from((to - from).max(0)).unwrap() + 1) as i64
    }
}
