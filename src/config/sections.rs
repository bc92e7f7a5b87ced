//! Takes sections out of the file, fault by fault.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Fault;

pub(super) struct Sections {
    left: Table,
    faults: Vec<Fault>,
}

impl Sections {
    pub(super) fn new(table: Table) -> Self {
        Self { left: table, faults: Vec::new() }
    }

    /// The section's configuration; the default where it is absent or has
    /// faults, which are kept.
    pub(super) fn take<T: DeserializeOwned + Default>(&mut self, section: &str) -> T {
        match self.left.remove(section) {
            None => T::default(),
            Some(Value::Table(table)) => self.read(section, table),
            Some(other) => {
                self.fault(section, "", format!("is a {}, not a section", other.type_str()));
                T::default()
            }
        }
    }

    /// The same for those of a section's keys that belong to another part.
    pub(super) fn take_some<T: DeserializeOwned + Default>(
        &mut self,
        section: &str,
        keys: &[&str],
    ) -> T {
        let Some(Value::Table(table)) = self.left.get_mut(section) else {
            return T::default();
        };
        let mine = keys.iter().filter_map(|key| table.remove_entry(*key)).collect();
        self.read(section, mine)
    }

    /// The tables of `[[section]]`, in order.
    pub(super) fn tables(&mut self, section: &str) -> Vec<Table> {
        let list = match self.left.remove(section) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                let told = format!("is a {}; write [[{section}]]", other.type_str());
                self.fault(section, "", told);
                return Vec::new();
            }
        };
        let tables = list.into_iter().filter_map(|one| match one {
            Value::Table(table) => Some(table),
            other => {
                let told = format!("has a {}; write [[{section}]]", other.type_str());
                self.fault(section, "", told);
                None
            }
        });
        tables.collect()
    }

    /// serde stops at the first fault, so each key is tried alone: every one
    /// has a default, so a section of one key is a section.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self, section: &str, table: Table) -> T {
        let before = self.faults.len();
        for (key, value) in &table {
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            if let Err(fault) = T::deserialize(Value::Table(alone)) {
                self.fault(section, key, tidy(fault.message()));
            }
        }
        if self.faults.len() > before {
            return T::default();
        }
        T::deserialize(Value::Table(table)).unwrap_or_else(|fault| {
            self.fault(section, "", tidy(fault.message()));
            T::default()
        })
    }

    /// Whether the file has this section, or this key of it.
    pub(super) fn has(&self, section: &str, key: Option<&str>) -> bool {
        let found = self.left.get(section);
        found.is_some_and(|found| key.is_none_or(|key| found.get(key).is_some()))
    }

    /// All faults; a section that nobody took is one.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for (name, value) in std::mem::take(&mut self.left) {
            let what = if value.is_table() { "section" } else { "key" };
            self.fault(&name, "", format!("there is no such {what}"));
        }
        self.faults
    }

    pub(super) fn fault_count(&self) -> usize {
        self.faults.len()
    }

    pub(super) fn fault(&mut self, section: &str, key: &str, reason: String) {
        self.faults.push(Fault { section: section.to_owned(), key: key.to_owned(), reason });
    }
}

fn tidy(message: &str) -> String {
    message.trim().replace('\n', " ")
}
