//! The sections `[[cloud]]`. Their common keys are `cloud`'s, the rest belongs
//! to the provider of their kind: serde cannot flatten one into the other and
//! refuse unknown keys, too.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::sections::Sections;
use crate::cloud::{self, Kind};
use crate::model::Source;

pub(super) fn take(sections: &mut Sections) -> Vec<(cloud::Config, Kind)> {
    let mut clouds = Vec::new();
    let mut names = BTreeSet::new();
    for (at, table) in sections.tables("cloud").into_iter().enumerate() {
        let label = match table.get("name") {
            Some(Value::String(name)) if !name.is_empty() => format!("cloud {name:?}"),
            _ => format!("cloud number {}", at + 1),
        };
        let Some((common, kind)) = one(sections, &label, table) else { continue };
        if names.insert(common.name.clone()) {
            clouds.push((common, kind));
        } else {
            sections.fault(&label, "name", "is the name of another cloud, too".to_owned());
        }
    }
    clouds
}

fn one(sections: &mut Sections, label: &str, mut table: Table) -> Option<(cloud::Config, Kind)> {
    let before = sections.fault_count();
    // Known even where another common key has a fault.
    let named = table.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let keys = cloud::Config::KEYS.iter();
    let common = keys.filter_map(|key| table.remove_entry(*key)).collect();
    let common: cloud::Config = sections.read(label, common);
    // Where the common keys have faults of form, their sense is not known.
    if sections.fault_count() == before {
        for (key, reason) in common.check() {
            sections.fault(label, key, reason);
        }
    }
    let before = sections.fault_count();
    let kind = kind(sections, label, &named, table)?;
    if sections.fault_count() == before {
        for (key, reason) in kind.check() {
            sections.fault(label, key, reason);
        }
    }
    Some((common, kind))
}

fn kind(sections: &mut Sections, label: &str, kind: &str, table: Table) -> Option<Kind> {
    let told = match kind {
        Kind::EC2 => return Some(Kind::Ec2(sections.read(label, table))),
        Kind::OPENSTACK => return Some(Kind::OpenStack(sections.read(label, table))),
        "" => format!("is missing; give one of {}", Kind::NAMES.join(", ")),
        other => format!("{other:?} is none of {}", Kind::NAMES.join(", ")),
    };
    sections.fault(label, "kind", told);
    None
}

/// The templates of clouds that have their own.
pub(super) fn host_templates(clouds: &[(cloud::Config, Kind)]) -> BTreeMap<Source, String> {
    let own = clouds.iter().filter_map(|(common, _)| {
        let template = common.host_template.clone()?;
        Some((Source::Cloud(common.name.as_str().into()), template))
    });
    own.collect()
}
