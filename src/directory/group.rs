use std::collections::HashSet;

use ldap3::{SearchEntry, ldap_escape};

use super::config::Config;
use super::dn;
use super::error::Error;
use super::session::{Ending, Session};

/// Who belongs to the staff group.
pub(super) struct Members {
    names: HashSet<Vec<u8>>,
    dns: HashSet<dn::Key>,
}

impl Members {
    pub(super) async fn read(session: &mut Session<'_>, config: &Config) -> Result<Self, Error> {
        let mut attributes = vec![config.group_attribute.as_str(), &config.member_uid_attribute];
        attributes.extend(config.member_dn_attributes.iter().map(String::as_str));
        let filter = format!("({}={})", config.group_attribute, ldap_escape(&*config.staff_group));
        let ending = session.search(&config.groups_base, &filter, &attributes, 2).await?;
        let place = || (config.url.clone(), config.staff_group.clone(), config.groups_base.clone());
        let mut entries = match ending {
            Ending::Whole(found) => found.entries,
            Ending::TooMany => {
                let (url, group, base) = place();
                return Err(Error::ManyGroups { url, group, base });
            }
        };
        let (url, group, base) = place();
        match (entries.pop(), entries.pop()) {
            (None, _) => Err(Error::NoGroup { url, group, base }),
            (Some(_), Some(_)) => Err(Error::ManyGroups { url, group, base }),
            (Some(entry), None) => Self::of(&entry, config),
        }
    }

    fn of(entry: &SearchEntry, config: &Config) -> Result<Self, Error> {
        let (url, group) = (config.url.clone(), config.staff_group.clone());
        // Active Directory sends 1,500 members as "member;range=0-1499".
        let all = entry.attrs.keys().chain(entry.bin_attrs.keys());
        if all.into_iter().any(|name| name.to_ascii_lowercase().contains(";range=")) {
            return Err(Error::PartOfGroup { url, group });
        }
        let names: HashSet<_> =
            values(entry, &config.member_uid_attribute).map(<[u8]>::to_vec).collect();
        let dns: HashSet<_> = config
            .member_dn_attributes
            .iter()
            .flat_map(|attribute| values(entry, attribute))
            .filter_map(|value| dn::key(std::str::from_utf8(value).ok()?))
            .collect();
        if names.is_empty() && dns.is_empty() {
            // An empty group looks like one whose members may not be read.
            return Err(Error::NoMembers { url, group });
        }
        Ok(Self { names, dns })
    }

    pub(super) fn contain(&self, name: &str, dn: &str) -> bool {
        self.names.contains(name.as_bytes())
            || (!self.dns.is_empty() && dn::key(dn).is_some_and(|key| self.dns.contains(&key)))
    }
}

/// All values of an attribute, however its name is written and whatever
/// options it has.
pub(super) fn values<'a>(
    entry: &'a SearchEntry,
    attribute: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    let is_it = move |name: &str| {
        name.split(';').next().is_some_and(|name| name.eq_ignore_ascii_case(attribute))
    };
    let texts = entry.attrs.iter().filter(move |(name, _)| is_it(name));
    let bytes = entry.bin_attrs.iter().filter(move |(name, _)| is_it(name));
    texts
        .flat_map(|(_, values)| values.iter().map(String::as_bytes))
        .chain(bytes.flat_map(|(_, values)| values.iter().map(Vec::as_slice)))
}
