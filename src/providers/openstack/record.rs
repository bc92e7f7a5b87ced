use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::address::{self, Networks, Preference};
use super::config::Config;
use super::pages::Page;
use super::time;
use crate::model::{Details, Flavor, InstanceId, Label, Owner, OwnerRank, Shape, Size};
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
    metadata: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    flavor: FlavorForm,
    #[serde(default)]
    addresses: Option<Networks>,
    #[serde(borrow, default)]
    image: Option<ImageForm<'a>>,
}

#[derive(Deserialize)]
struct FlavorForm {
    id: Option<String>,
    original_name: Option<String>,
    vcpus: Option<u64>,
    ram: Option<u64>,
    disk: Option<u64>,
}

/// A server that boots from a volume has the empty text.
#[derive(Deserialize)]
#[serde(untagged)]
enum ImageForm<'a> {
    Image { id: String },
    Text(#[serde(borrow)] Cow<'a, str>),
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
        let page: ServersPage = serde_json::from_slice(body)?;
        let items =
            page.servers.into_iter().map(|raw| self.record(raw)).collect::<Result<_, _>>()?;
        Ok(Page { items, next: next_of(page.servers_links) })
    }

    /// The answer to a question for one server.
    pub(super) fn single(&self, body: &[u8]) -> serde_json::Result<Record> {
        self.record(serde_json::from_slice::<OneServer>(body)?.server)
    }

    fn record(&self, raw: &RawValue) -> serde_json::Result<Record> {
        let (id, outcome) = match serde_json::from_str::<Form>(raw.get()) {
            Ok(form) => (form.id.to_string(), self.server(&form)),
            Err(fault) => {
                let id = serde_json::from_str::<IdForm>(raw.get())?.id.to_string();
                (id, Err(unreadable(raw.get(), &fault)))
            }
        };
        let id = InstanceId::parse(&id)
            .map_err(|fault| serde::de::Error::custom(format!("a server's id {fault}")))?;
        Ok(match outcome {
            Ok(server) => Ok((id, server)),
            Err(reason) => Err(Skipped { id, reason: Label::tame(&reason) }),
        })
    }

    fn server(&self, form: &Form<'_>) -> Result<Server, String> {
        // Nova says this of servers whose part of the cloud is down.
        if form.status == "UNKNOWN" {
            return Err("its state is UNKNOWN".to_owned());
        }
        let created = time::parse(&form.created).ok_or("its creation is no time")?;
        let networks = form.addresses.as_ref();
        let addresses =
            networks.map(|networks| address::choose(networks, &self.addresses)).unwrap_or_default();
        let image = match &form.image {
            Some(ImageForm::Image { id }) => id,
            Some(ImageForm::Text(text)) => text.as_ref(),
            None => "",
        };
        let name = form.name.as_deref().unwrap_or_default();
        let creator = self
            .owner_keys
            .iter()
            .filter_map(|key| form.metadata.get(key.as_str()))
            .find_map(|name| Owner::new(OwnerRank::Creator, name));
        let gone = matches!(&*form.status, "DELETED" | "SOFT_DELETED");
        let ended = form.terminated_at.as_deref().or(form.updated.as_deref().filter(|_| gone));
        let user_id = Label::tame(&form.user_id);
        if creator.is_none() && user_id.is_empty() {
            return Err("it has no user".to_owned());
        }
        Ok(Server {
            created: Some(created),
            creator,
            user_id,
            details: Details::new(name, image, &form.status, addresses),
            kind: form.flavor.kind()?,
            counted: self.counted.iter().any(|state| *state == form.status),
            fate: if gone { Fate::Gone(ended.and_then(time::parse)) } else { Fate::Lives },
            busy: form.task.is_some(),
        })
    }
}

impl FlavorForm {
    fn kind(&self) -> Result<Kind, String> {
        let size = Size::new(self.vcpus, self.ram, self.disk);
        match (&self.original_name, &self.id) {
            (Some(name), _) => {
                let name = Label::tame(name);
                Ok(Kind::Embedded(Shape { flavor: Flavor { key: name.clone(), name }, size }))
            }
            (None, Some(id)) => Ok(Kind::ById(Label::tame(id))),
            (None, None) => Err("its flavor has neither a name nor an id".to_owned()),
        }
    }
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
    fn without_an_id_the_page_fails() {
        for id in [serde_json::json!(5), serde_json::json!(null), "".into(), "a\nb".into()] {
            assert!(read(|form| form["id"] = id.clone()).is_err(), "{id}");
        }
        assert!(reader().page(b"{}").is_err());
        assert!(reader().page(b"{\"servers\": [7]}").is_err());
    }
}
