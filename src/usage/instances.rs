//! Which instances have several segments, so that each is counted once.

use std::collections::HashSet;

/// Marks for the instances whose ids are small, as a store's own numbers are.
/// Others have no mark; they are told apart by their id in every answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Instances {
    seen: Vec<u64>,
    /// Has, or once had, more than one segment.
    several: Vec<u64>,
    /// How many of `several` are marked before each word.
    ranks: Vec<u32>,
    several_count: u32,
    settled: bool,
}

impl Instances {
    /// Ids from here on have no mark: marks of all up to here take 20 MiB.
    pub(super) const LIMIT: u32 = 1 << 26;

    /// The id in the form that marks need, or nothing.
    pub(super) fn markable(instance: i64) -> Option<u32> {
        u32::try_from(instance).ok().filter(|instance| *instance < Self::LIMIT)
    }

    /// A segment of the instance came.
    pub(super) fn mark(&mut self, instance: u32) {
        let (word, bit) = place(instance);
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
            self.several.resize(word + 1, 0);
            self.settled = false;
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
        } else if self.several[word] & bit == 0 {
            self.several[word] |= bit;
            self.settled = false;
        }
    }

    /// Must come after the last mark and before the next answer.
    pub(super) fn settle(&mut self) {
        if self.settled {
            return;
        }
        let mut count = 0;
        self.ranks.clear();
        self.ranks.reserve_exact(self.several.len());
        for word in &self.several {
            self.ranks.push(count);
            count += word.count_ones();
        }
        self.several_count = count;
        self.settled = true;
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    #[inline]
    /// Its one segment is all there is of it.
    pub(super) fn is_alone(&self, instance: i64) -> bool {
        Self::markable(instance).is_some_and(|small| {
            let (word, bit) = place(small);
            self.several.get(word).is_some_and(|several| several & bit == 0)
        })
    }

    /// Its number among those with several segments.
    fn number(&self, instance: i64) -> Option<usize> {
        let (word, bit) = place(Self::markable(instance)?);
        let (several, rank) = (self.several.get(word)?, self.ranks.get(word)?);
        (several & bit != 0).then(|| (rank + (several & (bit - 1)).count_ones()) as usize)
    }
}

#[inline]
fn place(instance: u32) -> (usize, u64) {
    ((instance / 64) as usize, 1 << (instance % 64))
}

/// Tells the first segment of an instance in a group from its later ones, for
/// one answer.
pub(super) struct Distinct<'a> {
    instances: &'a Instances,
    /// By number among those with several: the first group seen, plus one.
    first_groups: Vec<u32>,
    /// The pairs beyond each instance's first group.
    others: HashSet<(i64, u32)>,
}

impl<'a> Distinct<'a> {
    pub(super) fn new(instances: &'a Instances) -> Self {
        let first_groups = vec![0; instances.several_count as usize];
        Self { instances, first_groups, others: HashSet::new() }
    }

    #[inline]
    pub(super) fn is_first(&mut self, instance: i64, group: u32) -> bool {
        self.instances.is_alone(instance) || self.is_first_of_several(instance, group)
    }

    fn is_first_of_several(&mut self, instance: i64, group: u32) -> bool {
        let number = self.instances.number(instance);
        match number.and_then(|number| self.first_groups.get_mut(number)) {
            Some(first) if *first == group + 1 => false,
            Some(first) if *first == 0 => {
                *first = group + 1;
                true
            }
            // Another group than the first, or an instance without a mark.
            _ => self.others.insert((instance, group)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_first_once_in_each_group() {
        let mut instances = Instances::default();
        for instance in [0, 63, 64, 1000, 63, 1000, 1000] {
            instances.mark(instance);
        }
        instances.settle();
        let mut distinct = Distinct::new(&instances);
        let mut first = |instance, group| distinct.is_first(instance, group);
        assert!(first(0, 7) && first(64, 7));
        assert!(first(63, 7) && !first(63, 7) && first(63, 8) && !first(63, 8) && !first(63, 7));
        assert!(first(1000, 7) && !first(1000, 7));
        let far = i64::from(Instances::LIMIT);
        assert!(first(far, 1) && !first(far, 1) && first(far, 2) && first(-1, 1) && !first(-1, 1));
    }
}
