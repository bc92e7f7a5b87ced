//! The small tables: users, clouds, flavors, and the shapes of segments.

use std::collections::HashMap;
use std::sync::Arc;

/// What a group is shown as.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) name: Arc<str>,
    pub(super) is_staff: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    id: i64,
    revision: i64,
    /// Absent until its row comes.
    name: Option<Arc<str>>,
    is_staff: bool,
}

/// A table of named things, numbered from 0 as they come. Those of one name
/// make one group; it is staff if one of them is.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<i64, u32>,
    entries: Vec<Entry>,
    groups: Vec<u32>,
    labels: Vec<Label>,
    settled: bool,
}

impl Names {
    pub(super) fn number(&mut self, id: i64) -> u32 {
        *self.numbers.entry(id).or_insert_with(|| {
            self.settled = false;
            self.entries.push(Entry { id, revision: i64::MIN, name: None, is_staff: false });
            // More than four thousand million names do not fit in memory.
            (self.entries.len() - 1) as u32
        })
    }

    pub(super) fn find(&self, id: i64) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    pub(super) fn set(&mut self, id: i64, revision: i64, name: &str, is_staff: bool) {
        let number = self.number(id);
        let entry = &mut self.entries[number as usize];
        if entry.name.is_some() && revision < entry.revision {
            return;
        }
        entry.revision = revision;
        if entry.name.as_deref() != Some(name) || entry.is_staff != is_staff {
            entry.name = Some(name.into());
            entry.is_staff = is_staff;
            self.settled = false;
        }
    }

    /// Must come after the last change and before the next answer.
    pub(super) fn settle(&mut self) {
        if self.settled {
            return;
        }
        let mut known: HashMap<Arc<str>, u32> = HashMap::with_capacity(self.entries.len());
        self.labels.clear();
        self.groups.clear();
        for entry in &self.entries {
            let name = entry.name.clone().unwrap_or_else(|| unnamed(entry.id));
            let group = *known.entry(Arc::clone(&name)).or_insert_with(|| {
                self.labels.push(Label { name, is_staff: false });
                (self.labels.len() - 1) as u32
            });
            self.labels[group as usize].is_staff |= entry.is_staff;
            self.groups.push(group);
        }
        self.settled = true;
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Each thing's group, by its number.
    pub(super) fn groups(&self) -> &[u32] {
        &self.groups
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Absent where no row named it.
    pub(super) fn name_of(&self, id: i64) -> Option<&Arc<str>> {
        self.entries.get(self.find(id)? as usize)?.name.as_ref()
    }

    /// What it is shown as.
    pub(super) fn shown(&self, id: i64) -> Arc<str> {
        self.name_of(id).map_or_else(|| unnamed(id), Arc::clone)
    }
}

/// What no row has named yet still has its use shown.
fn unnamed(id: i64) -> Arc<str> {
    format!("#{id}").into()
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
