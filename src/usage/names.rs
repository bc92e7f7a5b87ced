//! The small tables: users, clouds, flavors, and the shapes of segments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a group is shown as.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) name: Arc<str>,
    pub(super) is_staff: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    revision: i64,
    name: Arc<str>,
    is_staff: bool,
}

/// A table of named things. Those that segments use are numbered from 0 as
/// they come to use, so that those who use most lie close together. Those of
/// one name make one group; it is staff if one of them is.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    entries: HashMap<i64, Entry>,
    numbers: HashMap<i64, u32>,
    ids: Vec<i64>,
    /// By number: the first number of that name.
    groups: Vec<u32>,
    /// By number; all of a group have the same.
    labels: Vec<Label>,
    settled: bool,
}

impl Names {
    pub(super) fn find(&self, id: i64) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    pub(super) fn number(&mut self, id: i64) -> u32 {
        *self.numbers.entry(id).or_insert_with(|| {
            self.settled = false;
            self.ids.push(id);
            // More than four thousand million names do not fit in memory.
            (self.ids.len() - 1) as u32
        })
    }

    /// Passes over a revision lower than the one that is known.
    pub(super) fn set(&mut self, id: i64, revision: i64, name: &str, is_staff: bool) {
        if self.entries.get(&id).is_some_and(|entry| revision < entry.revision) {
            return;
        }
        self.entries.insert(id, Entry { revision, name: name.into(), is_staff });
        self.settled = false;
    }

    /// Must come after the last change and before the next answer.
    pub(super) fn settle(&mut self) {
        if self.settled {
            return;
        }
        let staff: HashSet<Arc<str>> = self
            .entries
            .values()
            .filter(|entry| entry.is_staff)
            .map(|entry| Arc::clone(&entry.name))
            .collect();
        let mut known: HashMap<Arc<str>, u32> = HashMap::with_capacity(self.ids.len());
        self.labels.clear();
        self.groups.clear();
        for (number, id) in (0..).zip(&self.ids) {
            let name = self.shown(*id);
            let is_staff = staff.contains(&name);
            self.groups.push(*known.entry(Arc::clone(&name)).or_insert(number));
            self.labels.push(Label { name, is_staff });
        }
        self.settled = true;
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn len(&self) -> u32 {
        self.labels.len() as u32
    }

    /// Of each number the one that stands for all of its name.
    pub(super) fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// The label of a number that this table gave.
    pub(super) fn label(&self, number: u32) -> &Label {
        &self.labels[number as usize]
    }

    /// Absent where no row named it.
    pub(super) fn name_of(&self, id: i64) -> Option<&Arc<str>> {
        self.entries.get(&id).map(|entry| &entry.name)
    }

    /// What it is shown as: what no row has named still has its use shown.
    pub(super) fn shown(&self, id: i64) -> Arc<str> {
        self.name_of(id).map_or_else(|| format!("#{id}").into(), Arc::clone)
    }
}

/// What segments have in common; there are few of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Numbers of their tables.
    pub(super) cloud: u32,
    pub(super) flavor: u32,
    pub(super) vcpus: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shapes {
    numbers: HashMap<Shape, u32>,
    all: Vec<Shape>,
}

impl Shapes {
    pub(super) fn find(&self, shape: &Shape) -> Option<u32> {
        self.numbers.get(shape).copied()
    }

    pub(super) fn number(&mut self, shape: Shape) -> u32 {
        *self.numbers.entry(shape).or_insert_with(|| {
            self.all.push(shape);
            (self.all.len() - 1) as u32
        })
    }

    pub(super) fn all(&self) -> &[Shape] {
        &self.all
    }
}
