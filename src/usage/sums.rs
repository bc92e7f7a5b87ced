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
/// to come from memory. Memory holds fewer than 2^31 rows of less than 2^32
/// seconds each, in one part or two, so that only `cpu` can run over.
#[derive(Clone, Copy, Default)]
struct Narrow {
    cpu: u64,
    uptime: u64,
    instances: u32,
}

impl Sums {
    pub(super) fn new(numbers: usize) -> Self {
        let narrow = vec![Narrow::default(); numbers];
        Self { narrow, unknown: vec![0; numbers], wide: HashMap::new() }
    }

    /// Adds each row's part of [start, end), and an instance for each.
    #[inline]
    pub(super) fn add_rows(
        &mut self,
        rows: &[Row],
        (start, end): (u32, u32),
        rates: &[Rate],
        number: impl Fn(&Row) -> u32,
    ) {
        for row in rows {
            let (from, to) = (row.from.max(start), row.to.min(end));
            if from < to
                && let Some(rate) = rates.get(usize::from(row.shape))
            {
                self.add(number(row), to - from, *rate, 1);
            }
        }
    }

    /// A row's part.
    #[inline]
    pub(super) fn add(&mut self, number: u32, seconds: u32, rate: Rate, instances: u32) {
        let Some(sum) = self.narrow.get_mut(number as usize) else { return };
        let (cpu, over) = sum.cpu.overflowing_add(u64::from(seconds) * u64::from(rate.vcpus));
        if over || rate.counts != Counts::Known {
            return self.add_seldom(number, seconds, rate, instances);
        }
        sum.cpu = cpu;
        sum.uptime += u64::from(seconds);
        sum.instances += instances;
    }

    #[inline(never)]
    fn add_seldom(&mut self, number: u32, seconds: u32, rate: Rate, instances: u32) {
        match rate.counts {
            Counts::Known => {
                self.add_wide(number, seconds.into(), rate);
                self.count(number, instances);
            }
            Counts::Unknown => {
                let sum = &mut self.narrow[number as usize];
                sum.uptime += u64::from(seconds);
                sum.instances += instances;
                self.unknown[number as usize] += u64::from(seconds);
            }
            Counts::Not => (),
        }
    }

    /// The part of any segment, without an instance.
    pub(super) fn add_wide(&mut self, number: u32, seconds: u64, rate: Rate) {
        let mut sum = self.take(number);
        sum.uptime += u128::from(seconds);
        sum.cpu += u128::from(seconds) * u128::from(rate.vcpus);
        if rate.counts == Counts::Unknown {
            sum.unknown += u128::from(seconds);
        }
        self.wide.insert(number, sum);
    }

    pub(super) fn count(&mut self, number: u32, instances: u32) {
        self.narrow[number as usize].instances += instances;
    }

    pub(super) fn uncount(&mut self, number: u32, instances: u32) {
        self.narrow[number as usize].instances -= instances;
    }

    /// The sum of this number, which then stands at nothing.
    pub(super) fn take(&mut self, number: u32) -> Sum {
        let narrow = std::mem::take(&mut self.narrow[number as usize]);
        let unknown = std::mem::take(&mut self.unknown[number as usize]);
        let mut sum = self.wide.remove(&number).unwrap_or_default();
        sum.cpu += u128::from(narrow.cpu);
        sum.uptime += u128::from(narrow.uptime);
        sum.unknown += u128::from(unknown);
        sum.instances += u64::from(narrow.instances);
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
            narrow.uptime > 0 || self.wide.get(number).is_some_and(|sum| sum.uptime > 0)
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
