//! Which instances have several segments, so that each is counted once.

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

    /// Each has one segment at most, those from the first to the last. Where
    /// it would take long to know, the answer is no.
    pub(super) fn are_alone(&self, (first, last): (u32, u32)) -> bool {
        const WORDS: usize = 64;
        let ((first, _), (last, _)) = (place(first), place(last));
        let words = self.several.get(first..=last).filter(|words| words.len() <= WORDS);
        words.is_some_and(|words| words.iter().all(|several| *several == 0))
    }

    /// Its one segment is all there is of it.
    #[inline]
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

/// Counts each instance once in each group, for one answer.
pub(super) struct Distinct<'a> {
    instances: &'a Instances,
    groups: &'a [u32],
    /// By number among those with several: the first group seen, plus one.
    first_groups: Vec<u32>,
    /// What the first groups do not tell; the same may be here many times.
    others: Vec<(i64, u32)>,
}

impl<'a> Distinct<'a> {
    /// `groups`: the group of each number that is counted by.
    pub(super) fn new(instances: &'a Instances, groups: &'a [u32]) -> Self {
        let first_groups = vec![0; instances.several_count as usize];
        Self { instances, groups, first_groups, others: Vec::new() }
    }

    pub(super) fn are_alone(&self, instances: (u32, u32)) -> bool {
        self.instances.are_alone(instances)
    }

    /// True where the instance counts for the number now. Where it is false,
    /// `others` may tell of it in the end.
    pub(super) fn is_new(&mut self, instance: i64, number: u32) -> bool {
        if self.instances.is_alone(instance) {
            return true;
        }
        let group = self.groups[number as usize];
        let place = self.instances.number(instance);
        match place.and_then(|place| self.first_groups.get_mut(place)) {
            Some(first) if *first == group + 1 => false,
            Some(first) if *first == 0 => {
                *first = group + 1;
                true
            }
            // Another group than the first, or an instance without a mark.
            _ => {
                self.others.push((instance, group));
                false
            }
        }
    }

    /// The group of each instance that is still to be counted there.
    pub(super) fn others(mut self) -> impl Iterator<Item = u32> {
        self.others.sort_unstable();
        self.others.dedup();
        self.others.into_iter().map(|(_, group)| group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_counts_once_in_each_group() {
        let mut instances = Instances::default();
        for instance in [0, 63, 64, 1000, 63, 1000, 1000] {
            instances.mark(instance);
        }
        instances.settle();
        let groups: Vec<u32> = (0..10).collect();
        let mut distinct = Distinct::new(&instances, &groups);
        let far = i64::from(Instances::LIMIT);
        let mut counts = [0; 10];
        for (instance, group) in [
            (0, 7),
            (64, 7),
            (63, 7),
            (63, 7),
            (63, 8),
            (63, 8),
            (63, 7),
            (1000, 8),
            (1000, 8),
            (far, 1),
            (far, 1),
            (far, 2),
            (-1, 1),
            (-1, 1),
        ] {
            counts[group as usize] += u32::from(distinct.is_new(instance, group));
        }
        distinct.others().for_each(|group| counts[group as usize] += 1);
        assert_eq!(counts, [0, 2, 1, 0, 0, 0, 0, 3, 2, 0]);
    }
}
