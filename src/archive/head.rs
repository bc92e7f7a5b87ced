//! The points that are not sealed yet, in memory: each series' points are a
//! chain through one log, in order of arrival, 16 bytes a point.

/// No point; the end of a chain.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    value: f64,
    slot: u32,
    previous: u32,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// All but the last are full, so that growing moves nothing.
    chunks: Vec<Vec<Entry>>,
}

const CHUNK: usize = 1 << 16;

impl Log {
    /// A chain is known by its newest entry.
    pub fn push(&mut self, chain: &mut u32, slot: u32, value: f64) {
        if let Some(newest) = self.entry_mut(*chain)
            && newest.slot == slot
        {
            newest.value = value;
            return;
        }
        let at = self.len();
        if at.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(Entry { value, slot, previous: *chain });
            // Far below 2^32: the head is bounded.
            *chain = at as u32;
        }
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK)
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    /// Slots and values, the last to arrive first.
    pub fn walk(&self, chain: u32) -> impl Iterator<Item = (u32, f64)> + '_ {
        std::iter::successors(self.entry(chain), |entry| self.entry(entry.previous))
            .map(|entry| (entry.slot, entry.value))
    }

    pub fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// A series in a head that is being sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub id: u32,
    /// Of the series in the index.
    pub place: u32,
    pub newest: u32,
}

/// A head that takes no more points.
#[derive(Debug)]
pub(super) struct Frozen {
    pub log: Log,
    /// By id.
    pub chains: Vec<Chain>,
    /// The last row of the journal whose points are here.
    pub through: i64,
}

impl Frozen {
    pub fn walk(&self, id: u32) -> impl Iterator<Item = (u32, f64)> + '_ {
        let found = self.chains.binary_search_by_key(&id, |chain| chain.id);
        self.log.walk(found.map_or(NONE, |at| self.chains[at].newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_keep_their_order_across_chunks() {
        let mut log = Log::default();
        let mut chains = [NONE; 3];
        for at in 0..CHUNK as u32 {
            for chain in &mut chains {
                log.push(chain, at, f64::from(at));
            }
        }
        assert_eq!(log.len(), 3 * CHUNK);
        for chain in chains {
            let slots = log.walk(chain).map(|(slot, _)| slot).collect::<Vec<_>>();
            assert!(slots.iter().copied().eq((0..CHUNK as u32).rev()));
        }
        assert_eq!(log.walk(NONE).count(), 0);
    }

    #[test]
    fn the_same_slot_again_takes_no_room() {
        let mut log = Log::default();
        let mut chain = NONE;
        for (slot, value) in [(7, 1.0), (7, 2.0), (8, 3.0), (7, 4.0)] {
            log.push(&mut chain, slot, value);
        }
        assert_eq!(log.walk(chain).collect::<Vec<_>>(), [(7, 4.0), (8, 3.0), (7, 2.0)]);
        assert_eq!(log.len(), 3);
    }
}
