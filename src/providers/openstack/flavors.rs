use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::answers;
use super::keystone;
use super::nova::Nova;
use super::pages::{List, Page, Read};
use super::record::{Link, next_of};
use crate::model::{Flavor, Label, Shape, Size};
use crate::providers::Error;

/// Flavors by id, for clouds whose servers name no more than that. A flavor
/// never changes in Nova, and a deleted one is remembered.
#[derive(Debug, Default)]
pub(super) struct Flavors {
    known: HashMap<Label, Shape>,
}

#[derive(Deserialize)]
struct FlavorsPage {
    flavors: Vec<Form>,
    #[serde(default)]
    flavors_links: Vec<Link>,
}

#[derive(Deserialize)]
struct OneFlavor {
    flavor: Form,
}

#[derive(Deserialize)]
struct Form {
    id: String,
    name: Option<String>,
    vcpus: Option<u64>,
    ram: Option<u64>,
    disk: Option<u64>,
}

impl Form {
    fn shape(self) -> (Label, Shape) {
        let key = Label::tame(&self.id);
        let name = self.name.as_deref().map_or_else(|| key.clone(), Label::tame);
        let size = Size::new(self.vcpus, self.ram, self.disk);
        (key.clone(), Shape { flavor: Flavor { key, name }, size })
    }
}

pub(super) fn page(body: &[u8]) -> serde_json::Result<Page<(Label, Shape)>> {
    let page: FlavorsPage = serde_json::from_slice(body)?;
    let items = page.flavors.into_iter().map(Form::shape).collect();
    Ok(Page { items, next: next_of(page.flavors_links) })
}

impl Flavors {
    const MAX: usize = 100_000;

    pub(super) fn get(&self, id: &Label) -> Shape {
        self.known.get(id).cloned().unwrap_or_else(|| Shape {
            flavor: Flavor { key: id.clone(), name: id.clone() },
            size: Size::default(),
        })
    }

    /// Asks for those that are not known: for all flavors first, then for
    /// each one that is not among them. One that is gone stays of unknown size.
    pub(super) async fn learn(
        &mut self,
        nova: &Nova<'_>,
        wanted: impl Iterator<Item = &Label>,
    ) -> Result<(), Error> {
        let missing: Vec<_> = wanted.filter(|id| !self.known.contains_key(*id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if self.known.len() >= Self::MAX {
            self.known.clear();
        }
        let mut start = keystone::below(&nova.region.url, "flavors/detail");
        start.set_query(Some("is_public=None"));
        let read: Arc<Read<(Label, Shape)>> = Arc::new(page);
        let list = List {
            session: nova.session,
            poll: nova.poll,
            start,
            version: nova.version.as_deref(),
            what: "flavors",
            max_pages: nova.config.max_pages,
        };
        let known = &mut self.known;
        list.walk(&read, |found| {
            known.extend(found);
            Ok(known.len() < Self::MAX)
        })
        .await?;
        for id in missing.into_iter().take(nova.config.max_lookups) {
            if !self.known.contains_key(id) {
                let shape = self.single(nova, id).await?;
                self.known.insert(id.clone(), shape);
            }
        }
        Ok(())
    }

    async fn single(&self, nova: &Nova<'_>, id: &Label) -> Result<Shape, Error> {
        let what = "a flavor";
        let mut url = keystone::below(&nova.region.url, "flavors");
        // It escapes what an id of a flavor may hold.
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id.as_str());
        }
        let answer = nova.session.get(nova.poll, &url, nova.version.as_deref(), what).await?;
        if answer.status.as_u16() == 404 {
            return Ok(self.get(id));
        }
        if !answer.status.is_success() {
            return Err(nova.session.refusal(&answer, what).await);
        }
        let form: OneFlavor = serde_json::from_slice(&answer.body)
            .map_err(|source| answers::malformed(what, source))?;
        Ok(form.flavor.shape().1)
    }
}
