//! How times become slots, and slots days.

pub(super) const DAY: i64 = 86_400;

/// Of one archive; `step` goes into a day without rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub step: u32,
}

impl Grid {
    /// The slot that a time belongs to; times before 1970 or past the 32 bits
    /// of whisper have none.
    pub fn slot(self, time: i64) -> Option<u32> {
        u32::try_from(time).ok().map(|time| time / self.step)
    }

    pub fn time(self, slot: u32) -> i64 {
        i64::from(slot) * i64::from(self.step)
    }

    pub fn slots_a_day(self) -> u32 {
        86_400 / self.step
    }

    /// Days are UTC, counted from 1970.
    pub fn block(self, slot: u32) -> u32 {
        slot / self.slots_a_day()
    }

    pub fn first_slot(self, block: u32) -> u32 {
        block * self.slots_a_day()
    }

    /// A slot's place in its day. A day has at most 8,640 slots.
    pub fn place(self, slot: u32) -> u16 {
        (slot % self.slots_a_day()) as u16
    }

    /// The first second after a day.
    pub fn end(self, block: u32) -> i64 {
        (i64::from(block) + 1) * DAY
    }
}
