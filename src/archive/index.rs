//! Which series there are: by path, and by the host they belong to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::head::NONE;

#[derive(Debug)]
pub(super) struct Member {
    pub path: Box<str>,
    pub id: u32,
    /// Of the series in the head.
    pub chain: u32,
    /// The newest slot with a point.
    pub newest: u32,
    /// `newest` as the file has it.
    pub kept: u32,
}

/// What the series of one host share.
#[derive(Debug, Default)]
struct Node {
    /// Places of its members.
    members: Vec<u32>,
    /// The next id of its run; a multiple of [`RUN`] where that is used up.
    next_id: u32,
}

/// Ids are handed out to a host in runs, so that its blocks lie together.
const RUN: u32 = 32;
/// One host does not fill the archive for all.
const MAX_A_NODE: usize = 4_096;
/// Bytes of all names, for each series that may be.
const MAX_NAME_BYTES: usize = 160;

#[derive(Debug)]
pub(super) struct Index {
    /// The nodes above every host's node, with the dot behind them.
    prefix: Box<str>,
    max_series: usize,
    /// A place stays a series' own until it is removed.
    members: Vec<Option<Member>>,
    free: Vec<u32>,
    by_path: HashTable<u32>,
    hasher: RandomState,
    nodes: HashMap<Box<str>, Node>,
    next_run: u32,
    name_bytes: usize,
}

impl Index {
    pub fn new(prefix: &str, max_series: u32, next_run: u32) -> Self {
        Self {
            prefix: format!("{prefix}.").into(),
            max_series: max_series as usize,
            members: Vec::new(),
            free: Vec::new(),
            by_path: HashTable::new(),
            hasher: RandomState::new(),
            nodes: HashMap::new(),
            next_run,
            name_bytes: 0,
        }
    }

    /// The run that a new host will get; ids below its own are given out.
    pub fn next_run(&self) -> u32 {
        self.next_run
    }

    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    pub fn find(&self, path: &str) -> Option<u32> {
        let is_it = |place: &u32| self.get(*place).is_some_and(|member| &*member.path == path);
        self.by_path.find(self.hasher.hash_one(path), is_it).copied()
    }

    pub fn get(&self, place: u32) -> Option<&Member> {
        self.members.get(place as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, place: u32) -> Option<&mut Member> {
        self.members.get_mut(place as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Member)> {
        (0..).zip(&self.members).filter_map(|(place, member)| Some((place, member.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Member)> {
        (0..).zip(&mut self.members).filter_map(|(place, member)| Some((place, member.as_mut()?)))
    }

    /// A path that is not there yet. None where a bound is reached.
    pub fn add(&mut self, path: &str, newest: u32) -> Option<u32> {
        let room = self.len() < self.max_series
            && self.name_bytes + path.len() <= self.max_series.saturating_mul(MAX_NAME_BYTES);
        let group = self.group(path);
        let node = self.nodes.get(group);
        if !room || node.is_some_and(|node| node.members.len() >= MAX_A_NODE) {
            return None;
        }
        let id = match node.map_or(0, |node| node.next_id) {
            used_up if used_up.is_multiple_of(RUN) => {
                let first = self.next_run.checked_mul(RUN)?;
                self.next_run += 1;
                first
            }
            id => id,
        };
        Some(self.insert(Member { path: path.into(), id, chain: NONE, newest, kept: newest }))
    }

    /// Makes room for so many more series.
    pub fn reserve(&mut self, count: usize) {
        self.members.reserve(count);
        let Self { members, hasher, .. } = self;
        self.by_path.reserve(count, |place| hash_of(hasher, members, *place));
    }

    /// A series as the file has it. None where its path is there already.
    pub fn restore(&mut self, id: u32, path: &str, newest: u32) -> Option<u32> {
        if self.find(path).is_some() {
            return None;
        }
        self.next_run = self.next_run.max(id / RUN + 1);
        Some(self.insert(Member { path: path.into(), id, chain: NONE, newest, kept: newest }))
    }

    fn insert(&mut self, member: Member) -> u32 {
        let place = self.free.pop().unwrap_or(self.members.len() as u32);
        let next_id = member.id + 1;
        let hash = self.hasher.hash_one(&*member.path);
        self.name_bytes += member.path.len();
        let group = self.group(&member.path);
        if let Some(node) = self.nodes.get_mut(group) {
            node.members.push(place);
            node.next_id = node.next_id.max(next_id);
        } else {
            let group = group.into();
            self.nodes.insert(group, Node { members: vec![place], next_id });
        }
        if place as usize == self.members.len() {
            self.members.push(Some(member));
        } else {
            self.members[place as usize] = Some(member);
        }
        let Self { members, hasher, .. } = self;
        self.by_path.insert_unique(hash, place, |place| hash_of(hasher, members, *place));
        place
    }

    pub fn remove(&mut self, place: u32) {
        let Some(member) = self.members.get_mut(place as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(place);
        self.name_bytes -= member.path.len();
        let hash = self.hasher.hash_one(&*member.path);
        if let Ok(entry) = self.by_path.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        let group = group_of(&self.prefix, &member.path);
        if let Some(node) = self.nodes.get_mut(group) {
            node.members.retain(|other| *other != place);
            if node.members.is_empty() {
                self.nodes.remove(group);
            }
        }
    }

    fn group<'p>(&self, path: &'p str) -> &'p str {
        group_of(&self.prefix, path)
    }

    /// The members of one host.
    pub fn of_node(&self, node: &str) -> &[u32] {
        let group = format!("{}{node}", self.prefix);
        self.nodes.get(group.as_str()).map_or(&[], |node| &node.members)
    }

    /// Every host below the prefix, with its members.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &[u32])> {
        self.nodes.iter().filter_map(|(group, node)| {
            Some((group.strip_prefix(&*self.prefix)?, node.members.as_slice()))
        })
    }

    /// The path without the prefix, where it is below it.
    pub fn below_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.prefix)
    }

    /// Gives back what removals left.
    pub fn shrink(&mut self) {
        while let Some(None) = self.members.last() {
            self.members.pop();
        }
        let end = self.members.len() as u32;
        self.free.retain(|place| *place < end);
        let Self { members, hasher, .. } = self;
        self.by_path.shrink_to(0, |place| hash_of(hasher, members, *place));
        self.nodes.shrink_to_fit();
    }
}

/// Of the path of a series; only places of series are in the table.
fn hash_of(hasher: &RandomState, members: &[Option<Member>], place: u32) -> u64 {
    hasher.hash_one(members[place as usize].as_ref().map_or("", |member| &*member.path))
}

/// Finds a series by its id, which is quick because ids are given out in runs.
/// It holds for an index that does not change.
pub(super) struct ById {
    /// By run: where the run's places are, or [`NONE`].
    runs: Vec<u32>,
    places: Vec<[u32; RUN as usize]>,
}

impl ById {
    pub fn of(index: &Index) -> Self {
        let mut found = Self { runs: vec![NONE; index.next_run as usize], places: Vec::new() };
        for (place, member) in index.iter() {
            let at = &mut found.runs[(member.id / RUN) as usize];
            if *at == NONE {
                *at = found.places.len() as u32;
                found.places.push([NONE; RUN as usize]);
            }
            found.places[*at as usize][(member.id % RUN) as usize] = place;
        }
        found
    }

    /// The series' place.
    pub fn find(&self, id: u32) -> Option<u32> {
        let places = self.places.get(*self.runs.get((id / RUN) as usize)? as usize)?;
        Some(places[(id % RUN) as usize]).filter(|place| *place != NONE)
    }
}

/// The prefix and the host's node; of a path elsewhere, what stands before its
/// second dot.
fn group_of<'p>(prefix: &str, path: &'p str) -> &'p str {
    let (skip, dots) = if path.starts_with(prefix) { (prefix.len(), 0) } else { (0, 1) };
    let end = path[skip..].match_indices('.').nth(dots).map(|(at, _)| skip + at);
    &path[..end.unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        for (path, group) in [
            ("nagios.h1.load.load1", "nagios.h1"),
            ("nagios.h1.x", "nagios.h1"),
            ("nagios.h1", "nagios.h1"),
            ("nagiosx.h1.x", "nagiosx.h1"),
            ("a.b", "a.b"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(group_of("nagios.", path), group, "{path}");
        }
        assert_eq!(group_of("a.b.", "a.b.h.load.x"), "a.b.h");
    }

    #[test]
    fn a_hosts_ids_lie_together() {
        let mut index = Index::new("n", 1_000, 0);
        let mut ids = HashMap::<u32, Vec<u32>>::new();
        for series in 0..40 {
            for host in 0..5 {
                let place = index.add(&format!("n.h{host}.x.s{series}"), 1).unwrap();
                ids.entry(host).or_default().push(index.get(place).unwrap().id);
            }
        }
        for ids in ids.values() {
            assert_eq!(ids[31], ids[0] + 31);
            assert_eq!(ids[39], ids[32] + 7);
        }
        assert_eq!(index.next_run(), 10);
        let by_id = ById::of(&index);
        for (place, member) in index.iter() {
            assert_eq!(by_id.find(member.id), Some(place));
        }
        let unused = (0..20 * RUN).filter(|id| by_id.find(*id).is_none()).count();
        assert_eq!(unused, 20 * RUN as usize - 200);
    }

    #[test]
    fn what_is_removed_is_gone_and_its_ids_too() {
        let mut index = Index::new("n", 2, 7);
        let a = index.add("n.a.x", 1).unwrap();
        let b = index.add("n.b.x", 1).unwrap();
        assert_eq!((index.get(a).unwrap().id, index.get(b).unwrap().id), (7 * 32, 8 * 32));
        assert_eq!(index.add("n.c.x", 1), None, "max_series");
        index.remove(a);
        assert_eq!((index.find("n.a.x"), index.len()), (None, 1));
        assert!(index.of_node("a").is_empty());
        let a = index.add("n.a.x", 1).unwrap();
        assert_eq!(index.get(a).unwrap().id, 9 * 32);
        index.remove(a);
        index.remove(b);
        index.shrink();
        assert_eq!((index.len(), index.members.len(), index.name_bytes), (0, 0, 0));
        assert_eq!(index.nodes().count(), 0);
    }

    #[test]
    fn one_host_and_long_names_are_bounded() {
        let mut index = Index::new("n", 10_000, 0);
        let taken = (0..5_000).filter_map(|at| index.add(&format!("n.h.x.{at}"), 1)).count();
        assert_eq!(taken, MAX_A_NODE);
        assert!(index.add("n.i.x.0", 1).is_some());
        let mut index = Index::new("n", 10, 0);
        let long = |at: u32| format!("n.h{at}.{}", "x".repeat(900));
        assert_eq!((0..10).filter_map(|at| index.add(&long(at), 1)).count(), 1);
    }
}
