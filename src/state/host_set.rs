//! How a set of hosts is kept: one JSON text, known by its digest.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest as _, Sha256};

use crate::model::{Host, HostId, HostSet};

/// Names a set by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SetDigest([u8; 32]);

impl ToSql for SetDigest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for SetDigest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob()?.try_into().map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

type Row<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);
type OwnedRow = (String, String, String, Option<String>);

/// A set in the form it is kept in.
#[derive(Clone, Debug)]
pub(super) struct KeptSet {
    pub(super) digest: SetDigest,
    pub(super) json: String,
}

impl KeptSet {
    pub(super) fn of(set: &HostSet) -> Self {
        let rows: Vec<Row<'_>> = set
            .iter()
            .map(|h| {
                (
                    h.id.as_str(),
                    h.address.as_str(),
                    h.display_name.as_str(),
                    h.given_name.as_deref(),
                )
            })
            .collect();
        // Strings and tuples always have a JSON form.
        let json = serde_json::to_string(&rows).unwrap_or_default();
        let digest = SetDigest(Sha256::digest(&json).into());
        Self { digest, json }
    }
}

/// Reads a kept set back. What this version's grammar would refuse was
/// written by another version or another hand; what has another digest was
/// damaged on the disk.
pub(super) fn read(json: &str, digest: SetDigest) -> Result<HostSet, String> {
    if SetDigest(Sha256::digest(json).into()) != digest {
        return Err("a set of hosts is damaged; restore a backup".to_owned());
    }
    let rows: Vec<OwnedRow> = serde_json::from_str(json).map_err(|fault| fault.to_string())?;
    let hosts = rows
        .into_iter()
        .map(|(id, address, display_name, given)| {
            Host::restore(&id, &address, &display_name, given)
        })
        .collect::<Result<Vec<_>, _>>()?;
    HostSet::restore(hosts).map_err(|faults| faults.to_string())
}

/// One host of a kept set, without reading the others.
pub(super) fn find(json: &str, id: &HostId) -> Result<Option<Host>, String> {
    // A quote inside of a JSON string stands behind a backslash, so that this
    // is found where a row begins and nowhere else.
    let head = format!("[\"{id}\",");
    let Some(at) = memchr::memmem::find(json.as_bytes(), head.as_bytes()) else { return Ok(None) };
    let mut rows = serde_json::Deserializer::from_str(&json[at..]).into_iter::<OwnedRow>();
    match rows.next() {
        Some(Ok((id, address, display_name, given))) => {
            Host::restore(&id, &address, &display_name, given).map(Some)
        }
        Some(Err(fault)) => Err(fault.to_string()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GivenHost;

    #[test]
    fn a_set_comes_back_as_it_was() {
        let hosts = [
            GivenHost { id: "b".into(), display_name: "x;y".into(), address: "10.0.0.1".into() },
            GivenHost { id: "a".into(), display_name: "plain".into(), address: "::1".into() },
            GivenHost {
                id: "c".into(),
                display_name: "\0".repeat(2000) + "late",
                address: "c.example".into(),
            },
        ];
        let set = HostSet::parse(&hosts).unwrap();
        let kept = KeptSet::of(&set);
        let again = read(&kept.json, kept.digest).unwrap();
        assert_eq!(again, set);
        assert_eq!(KeptSet::of(&again).digest, kept.digest);
    }

    #[test]
    fn a_set_with_a_flipped_bit_is_refused() {
        let given =
            [GivenHost { id: "a".into(), display_name: "x".into(), address: "10.0.0.1".into() }];
        let kept = KeptSet::of(&HostSet::parse(&given).unwrap());
        let damaged = kept.json.replace("10.0.0.1", "10.0.0.3");
        assert!(read(&damaged, kept.digest).unwrap_err().contains("damaged"));
    }

    #[test]
    fn one_host_is_found_among_names_that_look_like_it() {
        let given = |id: &str, name: &str| GivenHost {
            id: id.into(),
            display_name: name.into(),
            address: "10.0.0.1".into(),
        };
        let liar = "[\"b\",\"6.6.6.6\",\"x\",null],[\"b\",";
        let hosts = [given("a", liar), given("ab", "b"), given("b", "the one"), given("c", liar)];
        let set = HostSet::parse(&hosts).unwrap();
        let json = KeptSet::of(&set).json;
        for host in &set {
            assert_eq!(find(&json, &host.id).unwrap().as_ref(), Some(host));
        }
        for absent in ["d", "x", "B", "1.2.3.4"] {
            assert_eq!(find(&json, &HostId::parse(absent).unwrap()).unwrap(), None);
        }
        assert!(find("[[\"b\",1", &HostId::parse("b").unwrap()).is_err());
    }

    #[test]
    fn a_spoiled_set_is_refused() {
        for bad in
            ["", "[[\"a\"]]", "[[\"a b\",\"::1\",\"x\",null]]", "[[\"a\",\"$(id)\",\"x\",null]]"]
        {
            let digest = SetDigest(Sha256::digest(bad).into());
            assert!(read(bad, digest).is_err(), "{bad:?} was read");
        }
    }
}
