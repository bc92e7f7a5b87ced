//! Sums by the number of a user, a shape or a day, as they grow with a scan.

use std::collections::HashMap;
use std::sync::Arc;

use super::chunk::Row;
use super::query::Group;
use super::selection::{Counts, Rate};

/// Nearly all sums fit 64 bits, which is what the processor is fast at. Those
/// that do not go on in `wide`.
pub(super) struct Sums {
    narrow: Vec<Narrow>,
    /// The part of each uptime whose vCPUs are unknown; seldom touched.
    unknown: Vec<u64>,
    wide: HashMap<u32, Sum>,
}

/// What rows add up to; small, because with many users a scan waits for these
/// to come from memory.
#[derive(Clone, Copy, Default)]
struct Narrow {
    cpu: u64,
    /// The uptime in the lower bits, the instances in the upper ones.
    rest: u64,
}

impl Narrow {
    const UPTIME_BITS: u32 = 41;
    const INSTANCE: u64 = 1 << Self::UPTIME_BITS;
    /// The highest bit of each number. What is added at once is below it, so
    /// that it is seen before the number runs over.
    const FULL: u64 = 1 << (Self::UPTIME_BITS - 1) | 1 << 63;

    fn uptime(self) -> u64 {
        self.rest % Self::INSTANCE
    }

    fn instances(self) -> u64 {
        self.rest / Self::INSTANCE
    }
}

impl Sums {
    pub(super) fn new(numbers: usize) -> Self {
        let narrow = vec![Narrow::default(); numbers];
        Self { narrow, unknown: vec![0; numbers], wide: HashMap::new() }
    }

    /// Adds each row's part of [start, end); `is_new` tells of a row and its
    /// number whether it counts for another instance.
    #[inline]
    pub(super) fn add_rows(
        &mut self,
        rows: &[Row],
        (start, end): (u32, u32),
        rates: &[Rate],
        number: impl Fn(&Row) -> u32,
        mut is_new: impl FnMut(&Row, u32) -> bool,
    ) {
        for row in rows {
            let (from, to) = (row.from.max(start), row.to.min(end));
            if from < to
                && let Some(rate) = rates.get(row.shape() as usize)
                && rate.counts != Counts::Not
            {
                let number = number(row);
                self.add(number, to - from, *rate, is_new(row, number));
            }
        }
    }

    /// The part of a row that counts.
    #[inline]
    pub(super) fn add(&mut self, number: u32, seconds: u32, rate: Rate, is_new: bool) {
        let Some(sum) = self.narrow.get_mut(number as usize) else { return };
        let (cpu, over) = sum.cpu.overflowing_add(u64::from(seconds) * u64::from(rate.vcpus));
        let rest = sum.rest + u64::from(seconds) + u64::from(is_new) * Narrow::INSTANCE;
        if over || rest & Narrow::FULL != 0 {
            return self.add_full(number, seconds, rate, is_new);
        }
        *sum = Narrow { cpu, rest };
        if rate.counts == Counts::Unknown {
            self.unknown[number as usize] += u64::from(seconds);
        }
    }

    #[inline(never)]
    fn add_full(&mut self, number: u32, seconds: u32, rate: Rate, is_new: bool) {
        let sum = self.take(number);
        self.wide.insert(number, sum);
        self.add_wide(number, seconds.into(), rate);
        if is_new {
            self.count(number);
        }
    }

    /// The part of any segment, without an instance.
    pub(super) fn add_wide(&mut self, number: u32, seconds: u64, rate: Rate) {
        let sum = self.wide.entry(number).or_default();
        sum.uptime += u128::from(seconds);
        sum.cpu += u128::from(seconds) * u128::from(rate.vcpus);
        if rate.counts == Counts::Unknown {
            sum.unknown += u128::from(seconds);
        }
    }

    /// One more instance.
    pub(super) fn count(&mut self, number: u32) {
        self.wide.entry(number).or_default().instances += 1;
    }

    /// The sum of this number, which then stands at nothing.
    pub(super) fn take(&mut self, number: u32) -> Sum {
        let narrow = std::mem::take(&mut self.narrow[number as usize]);
        let unknown = std::mem::take(&mut self.unknown[number as usize]);
        let mut sum = self.wide.remove(&number).unwrap_or_default();
        sum.cpu += u128::from(narrow.cpu);
        sum.uptime += u128::from(narrow.uptime());
        sum.unknown += u128::from(unknown);
        sum.instances += narrow.instances();
        sum
    }

    /// Puts what each number has on the one that `groups` says.
    pub(super) fn join(&mut self, groups: &[u32]) {
        for (number, group) in (0..).zip(groups).filter(|(number, group)| number != *group) {
            let (part, mut sum) = (self.take(number), self.take(*group));
            sum.cpu += part.cpu;
            sum.uptime += part.uptime;
            sum.unknown += part.unknown;
            sum.instances += part.instances;
            self.wide.insert(*group, sum);
        }
    }

    /// The numbers that have any uptime.
    pub(super) fn used(&self) -> Vec<u32> {
        let used = (0..).zip(&self.narrow).filter(|(number, narrow)| {
            narrow.uptime() > 0 || self.wide.get(number).is_some_and(|sum| sum.uptime > 0)
        });
        used.map(|(number, _)| number).collect()
    }
}

/// Wide enough that no number of any segments runs over.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) cpu: u128,
    pub(super) uptime: u128,
    pub(super) unknown: u128,
    pub(super) instances: u64,
}

impl Sum {
    pub(super) fn group(&self, name: Arc<str>, is_staff: Option<bool>) -> Group {
        let stop = |sum: u128| i64::try_from(sum).unwrap_or(i64::MAX);
        Group {
            name,
            is_staff,
            cpu_seconds: stop(self.cpu),
            uptime_seconds: stop(self.uptime),
            unknown_vcpu_seconds: stop(self.unknown),
            instance_count: stop(self.instances.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_run_full_stay_exact() {
        let known = Rate { vcpus: u32::MAX, counts: Counts::Known };
        let unknown = Rate { vcpus: 0, counts: Counts::Unknown };
        let mut sums = Sums::new(3);
        for _ in 0..1_000 {
            sums.add(0, u32::MAX, known, true);
            sums.add(1, u32::MAX, unknown, true);
        }
        for _ in 0..5_000_000 {
            sums.add(2, 1, Rate { vcpus: 1, ..known }, true);
        }
        let (most, sum) = (u128::from(u32::MAX), sums.take(0));
        assert_eq!(
            (sum.uptime, sum.cpu, sum.instances),
            (1_000 * most, 1_000 * most * most, 1_000)
        );
        let sum = sums.take(1);
        assert_eq!((sum.uptime, sum.unknown, sum.instances), (1_000 * most, 1_000 * most, 1_000));
        let sum = sums.take(2);
        assert_eq!((sum.uptime, sum.cpu, sum.instances), (5_000_000, 5_000_000, 5_000_000));
    }
}
