use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::address::{self, Networks, Preference};
use super::config::Config;
use super::pages::Page;
use super::time;
use crate::model::{Details, Flavor, InstanceId, Label, Labels, Owner, OwnerRank, Shape, Size};
use crate::providers::Skipped;

/// What a server's record says, before its flavor and its owner's name are
/// looked up.
#[derive(Debug)]
pub(super) struct Server {
    pub created: Option<i64>,
    pub creator: Option<Owner>,
    pub user_id: Label,
    pub details: Details,
    pub kind: Kind,
    pub counted: bool,
    pub fate: Fate,
    /// Something is being done to it.
    pub busy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Embedded(Shape),
    /// Below 2.47: to be looked up.
    ById(Label),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    /// Deleted, at this time where it is told.
    Gone(Option<i64>),
}

pub(super) type Record = Result<(InstanceId, Server), Skipped>;

/// How records are read, from the configuration.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    owner_keys: Vec<String>,
    addresses: Vec<Preference>,
    counted: Vec<String>,
}

#[derive(Deserialize)]
struct ServersPage<'a> {
    #[serde(borrow)]
    servers: Vec<&'a RawValue>,
    #[serde(default)]
    servers_links: Vec<Link>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    rel: String,
    href: String,
}

pub(super) fn next_of(links: Vec<Link>) -> Option<String> {
    links.into_iter().find(|link| link.rel == "next").map(|link| link.href)
}

#[derive(Deserialize)]
struct OneServer<'a> {
    #[serde(borrow)]
    server: &'a RawValue,
}

/// Text that is not copied where it needs no unescaping.
#[derive(Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct IdForm<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    created: Cow<'a, str>,
    #[serde(borrow, default)]
    updated: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "OS-SRV-USG:terminated_at", default)]
    terminated_at: Option<Cow<'a, str>>,
    #[serde(rename = "OS-EXT-STS:task_state", default)]
    task: Option<IgnoredAny>,
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(borrow)]
    flavor: FlavorForm<'a>,
    #[serde(borrow, default)]
    addresses: Option<Networks<'a>>,
    #[serde(borrow, default)]
    image: Option<ImageForm<'a>>,
}

#[derive(Deserialize)]
struct FlavorForm<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    original_name: Option<Cow<'a, str>>,
    vcpus: Option<u64>,
    ram: Option<u64>,
    disk: Option<u64>,
}

/// The image's id. A server that boots from a volume has the empty text where
/// others have an object.
struct ImageForm<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for ImageForm<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ImageVisitor)
    }
}

struct ImageVisitor;

impl<'de> Visitor<'de> for ImageVisitor {
    type Value = ImageForm<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image or a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(ImageForm(Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ImageForm(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut id = None;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if &*key == "id" {
                id = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        id.map(ImageForm).ok_or_else(|| A::Error::missing_field("id"))
    }
}

impl Reader {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            owner_keys: config.owner_keys.clone(),
            addresses: config.addresses.clone(),
            counted: config.counted_states.clone(),
        }
    }

    /// A record that cannot be read is left out alone; one without a readable
    /// id fails the page.
    pub(super) fn page(&self, body: &[u8]) -> serde_json::Result<Page<Record>> {
        // Once, not text by text.
        let body = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
        let mut labels = Labels::default();
        // A page of which every record can be read is read once.
        let mut json = serde_json::Deserializer::from_str(body);
        let whole = PageSeed { reader: self, labels: &mut labels }.deserialize(&mut json);
        if let Ok(page) = whole.and_then(|page| json.end().map(|()| page)) {
            return Ok(page);
        }
        let page: ServersPage = serde_json::from_str(body)?;
        let records = page.servers.into_iter().map(|raw| self.record(raw, &mut labels));
        Ok(Page { items: records.collect::<Result<_, _>>()?, next: next_of(page.servers_links) })
    }

    /// The answer to a question for one server.
    pub(super) fn single(&self, body: &[u8]) -> serde_json::Result<Record> {
        let raw = serde_json::from_slice::<OneServer>(body)?.server;
        self.record(raw, &mut Labels::default())
    }

    fn record(&self, raw: &RawValue, labels: &mut Labels) -> serde_json::Result<Record> {
        match serde_json::from_str::<Form>(raw.get()) {
            Ok(form) => self.found(&form, labels),
            Err(fault) => {
                let id = id_of(&serde_json::from_str::<IdForm>(raw.get())?.id)?;
                let reason = Label::tame(&unreadable(raw.get(), &fault));
                Ok(Err(Skipped { id, reason }))
            }
        }
    }

    fn found(&self, form: &Form<'_>, labels: &mut Labels) -> serde_json::Result<Record> {
        let id = id_of(&form.id)?;
        Ok(match self.server(form, labels) {
            Ok(server) => Ok((id, server)),
            Err(reason) => Err(Skipped { id, reason: Label::tame(&reason) }),
        })
    }

    fn server(&self, form: &Form<'_>, labels: &mut Labels) -> Result<Server, String> {
        // Nova says this of servers whose part of the cloud is down.
        if form.status == "UNKNOWN" {
            return Err("its state is UNKNOWN".to_owned());
        }
        let created = time::parse(&form.created).ok_or("its creation is no time")?;
        let networks = form.addresses.as_ref();
        let addresses =
            networks.map(|networks| address::choose(networks, &self.addresses)).unwrap_or_default();
        let image = form.image.as_ref().map_or("", |image| &image.0);
        let name = form.name.as_deref().unwrap_or_default();
        let creator = self
            .owner_keys
            .iter()
            .filter_map(|key| form.metadata.get(key.as_str()))
            .find_map(|name| Owner::named(OwnerRank::Creator, labels.tame(name)));
        let gone = matches!(&*form.status, "DELETED" | "SOFT_DELETED");
        let ended = form.terminated_at.as_deref().or(form.updated.as_deref().filter(|_| gone));
        let user_id = labels.tame(&form.user_id);
        if creator.is_none() && user_id.is_empty() {
            return Err("it has no user".to_owned());
        }
        Ok(Server {
            created: Some(created),
            creator,
            user_id,
            details: Details::new(name, labels.tame(image), labels.tame(&form.status), addresses),
            kind: form.flavor.kind(labels)?,
            counted: self.counted.iter().any(|state| *state == form.status),
            fate: if gone { Fate::Gone(ended.and_then(time::parse)) } else { Fate::Lives },
            busy: form.task.is_some(),
        })
    }
}

/// A page whose every record is made as soon as it is read: of a thousand
/// forms at a time most of the cost is their memory.
struct PageSeed<'r> {
    reader: &'r Reader,
    labels: &'r mut Labels,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Page<Record>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Page<Record>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of servers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut links) = (None, None);
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key {
                "servers" if items.is_some() => return Err(A::Error::duplicate_field("servers")),
                "servers" => {
                    let seed = RecordsSeed { reader: self.reader, labels: &mut *self.labels };
                    items = Some(map.next_value_seed(seed)?);
                }
                "servers_links" if links.is_some() => {
                    return Err(A::Error::duplicate_field("servers_links"));
                }
                "servers_links" => links = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let items = items.ok_or_else(|| A::Error::missing_field("servers"))?;
        Ok(Page { items, next: next_of(links.unwrap_or_default()) })
    }
}

struct RecordsSeed<'r> {
    reader: &'r Reader,
    labels: &'r mut Labels,
}

impl<'de> DeserializeSeed<'de> for RecordsSeed<'_> {
    type Value = Vec<Record>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RecordsSeed<'_> {
    type Value = Vec<Record>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("servers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut records = Vec::new();
        while let Some(form) = seq.next_element::<Form>()? {
            records.push(self.reader.found(&form, self.labels).map_err(A::Error::custom)?);
        }
        Ok(records)
    }
}

impl FlavorForm<'_> {
    fn kind(&self, labels: &mut Labels) -> Result<Kind, String> {
        let size = Size::new(self.vcpus, self.ram, self.disk);
        match (&self.original_name, &self.id) {
            (Some(name), _) => {
                let name = labels.tame(name);
                Ok(Kind::Embedded(Shape { flavor: Flavor { key: name.clone(), name }, size }))
            }
            (None, Some(id)) => Ok(Kind::ById(labels.tame(id))),
            (None, None) => Err("its flavor has neither a name nor an id".to_owned()),
        }
    }
}

fn id_of(text: &str) -> serde_json::Result<InstanceId> {
    InstanceId::parse(text)
        .map_err(|fault| serde_json::Error::custom(format!("a server's id {fault}")))
}

fn unreadable(text: &str, fault: &serde_json::Error) -> String {
    // Nova's form for a server whose part of the cloud is down.
    let unknown = text.contains("\"UNKNOWN\"");
    if unknown { "its state is UNKNOWN".to_owned() } else { format!("it cannot be read: {fault}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new(&Config {
            owner_keys: vec!["creator".to_owned(), "owner".to_owned()],
            ..Config::default()
        })
    }

    fn read(change: impl FnOnce(&mut serde_json::Value)) -> serde_json::Result<Record> {
        let mut form = serde_json::json!({
            "id": "i-1", "status": "ACTIVE", "name": "n", "created": "2026-11-22T13:57:39Z",
            "updated": "2026-11-22T13:58:00Z", "user_id": "u", "metadata": {"creator": "carol"},
            "flavor": {"original_name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1},
            "addresses": {}, "image": "", "OS-EXT-STS:task_state": null,
            "OS-SRV-USG:launched_at": "2026-11-22T13:59:00.5", "OS-SRV-USG:terminated_at": null,
        });
        change(&mut form);
        let body = serde_json::json!({"servers": [form]}).to_string();
        let page = reader().page(body.as_bytes())?;
        Ok(page.items.into_iter().next().unwrap())
    }

    #[test]
    fn a_record() {
        let (id, server) = read(|_| ()).unwrap().unwrap();
        assert_eq!((id.as_str(), server.created), ("i-1", Some(1_795_355_859)));
        assert_eq!(server.creator, Owner::new(OwnerRank::Creator, "carol"));
        assert!(server.counted && !server.busy && server.fate == Fate::Lives);
        let Kind::Embedded(shape) = server.kind else { panic!("{:?}", server.kind) };
        assert_eq!((shape.flavor.key.as_str(), shape.size.vcpus()), ("m1.tiny", Some(1)));
    }

    #[test]
    fn what_is_odd_but_right() {
        let old = read(|form| form["flavor"] = serde_json::json!({"id": "7", "links": []}));
        assert_eq!(old.unwrap().unwrap().1.kind, Kind::ById(Label::tame("7")));
        let second =
            read(|form| form["metadata"] = serde_json::json!({"owner": "o", "creator": " "}));
        assert_eq!(second.unwrap().unwrap().1.creator.unwrap().name(), "o");
        let busy = read(|form| form["OS-EXT-STS:task_state"] = "powering-off".into());
        assert!(busy.unwrap().unwrap().1.busy);
        let huge = read(|form| form["flavor"]["vcpus"] = u64::MAX.into()).unwrap().unwrap().1;
        assert!(matches!(huge.kind, Kind::Embedded(shape) if shape.size.vcpus().is_none()));
        let gone = read(|form| {
            form["status"] = "DELETED".into();
            form["OS-SRV-USG:terminated_at"] = "2026-11-22T14:15:20.9".into();
        });
        assert_eq!(gone.unwrap().unwrap().1.fate, Fate::Gone(Some(1_795_356_920)));
        let soft = read(|form| form["status"] = "SOFT_DELETED".into()).unwrap().unwrap().1;
        assert_eq!(soft.fate, Fate::Gone(Some(1_795_355_880)));
    }

    #[test]
    fn a_bad_record_is_left_out_alone() {
        for (key, value) in [
            ("status", serde_json::json!(7)),
            ("status", "UNKNOWN".into()),
            ("created", "yesterday".into()),
            ("user_id", serde_json::json!(null)),
            ("user_id", "".into()),
            ("metadata", serde_json::json!({"creator": {"a": 1}})),
            ("metadata", serde_json::json!([])),
            ("flavor", serde_json::json!({})),
            ("flavor", serde_json::json!({"original_name": "x", "vcpus": -1})),
            ("flavor", serde_json::json!({"original_name": "x", "vcpus": "1"})),
            ("addresses", serde_json::json!("none")),
            ("image", serde_json::json!(5)),
        ] {
            let outcome = read(|form| {
                form["metadata"] = serde_json::json!({});
                form[key] = value.clone();
            });
            let skipped = outcome.unwrap().unwrap_err();
            assert_eq!(skipped.id.as_str(), "i-1", "{key} {value}");
        }
    }

    #[test]
    fn beside_a_bad_record_the_others_are_what_they_are_alone() {
        let form = serde_json::json!({
            "id": "i-1", "status": "ACTIVE", "created": "2026-11-22T13:57:39Z", "user_id": "u",
            "flavor": {"id": "7"}, "image": {"id": "caf\u{e9}", "links": [{"a": 1}]},
            "metadata": {"\u{1F388}": "\"", "creator": "c\"d"},
            "addresses": {"n\"": [{"addr": "10.0.0.1", "OS-EXT-IPS:type": "fixed"}]},
        });
        let page = |servers: serde_json::Value| {
            let body = serde_json::json!({"servers": servers}).to_string();
            reader().page(body.as_bytes()).unwrap().items
        };
        let alone = page(serde_json::json!([form]));
        let beside = page(serde_json::json!([form, {"id": "i-2"}]));
        assert_eq!(format!("{:?}", alone[0]), format!("{:?}", beside[0]));
        let (_, server) = alone[0].as_ref().unwrap();
        assert_eq!(server.details.image.as_str(), "café");
        assert_eq!(server.creator.as_ref().unwrap().name(), "c\"d");
        assert_eq!(server.details.addresses().len(), 1);
        assert!(beside[1].as_ref().is_err_and(|skipped| skipped.id.as_str() == "i-2"));
    }

    #[test]
    fn without_an_id_the_page_fails() {
        for id in [serde_json::json!(5), serde_json::json!(null), "".into(), "a\nb".into()] {
            assert!(read(|form| form["id"] = id.clone()).is_err(), "{id}");
        }
        assert!(reader().page(b"{}").is_err());
        assert!(reader().page(b"{\"servers\": [7]}").is_err());
        assert!(reader().page(b"{\"servers\": []}").is_ok());
        for bad in [
            "{\"servers\": [], \"servers\": []}",
            "{\"servers\": [], \"servers_links\": 5}",
            "{\"servers\": [], \"servers_links\": [], \"servers_links\": []}",
            "{\"servers\": []} {",
        ] {
            assert!(reader().page(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(reader().page(b"{\"servers\": [], \"x\": \"\xff\"}").is_err());
    }
}
