use serde::Deserialize;

use super::pages::Page;
use super::record::{Link, next_of};
use super::time;
use crate::model::{Event, EventKind, InstanceId};

/// One of os-instance-actions, newest first in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    what: Box<str>,
    /// When it was done (from 2.58), else when it was begun.
    at: Option<i64>,
    failed: bool,
}

#[derive(Deserialize)]
struct ActionsPage {
    #[serde(rename = "instanceActions")]
    actions: Vec<Form>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Form {
    action: Option<String>,
    start_time: Option<String>,
    updated_at: Option<String>,
    message: Option<String>,
}

pub(super) fn page(body: &[u8]) -> serde_json::Result<Page<Action>> {
    let page: ActionsPage = serde_json::from_slice(body)?;
    let items = page.actions.into_iter().map(|form| Action {
        what: form.action.unwrap_or_default().into(),
        at: form.updated_at.or(form.start_time).as_deref().and_then(time::parse),
        failed: form.message.as_deref() == Some("Error"),
    });
    Ok(Page { items: items.collect(), next: next_of(page.links) })
}

impl Action {
    pub(super) fn at(&self) -> Option<i64> {
        self.at
    }

    /// What it means for the time that counts. A change that leaves the state
    /// as it was (migrate, rebuild, confirmResize) means nothing.
    fn kind(&self, rescue_counts: bool) -> Option<EventKind> {
        Some(match &*self.what {
            "create" | "start" | "resume" | "unpause" | "unshelve" | "restore" | "unrescue"
            | "reboot" => EventKind::Started,
            "stop" | "suspend" | "pause" | "shelve" | "shelveOffload" => EventKind::Stopped,
            "rescue" if rescue_counts => EventKind::Started,
            "rescue" => EventKind::Stopped,
            "resize" | "revertResize" => EventKind::Resized,
            "delete" | "softDelete" | "forceDelete" => EventKind::Deleted,
            _ => return None,
        })
    }
}

/// What happened to one server. While something is being done to it (`busy`)
/// the newest action has no end yet; it is told by the next listing. Of a
/// server that lives no deletion is told: what is said of one was undone or
/// never done.
pub(super) fn events(
    id: &InstanceId,
    actions: &[Action],
    busy: bool,
    gone: bool,
    rescue_counts: bool,
) -> Vec<Event> {
    actions
        .iter()
        .skip(usize::from(busy))
        .filter(|action| !action.failed)
        .filter_map(|action| {
            let kind = action.kind(rescue_counts)?;
            let told = kind != EventKind::Deleted || gone;
            told.then_some(Event { id: id.clone(), at: action.at?, kind })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"instanceActions": [
        {"action": "stop", "start_time": "2026-11-22T14:15:20.1", "updated_at": "2026-11-22T14:15:21.5", "message": null},
        {"action": "resize", "start_time": "2026-11-22T14:15:10.1", "message": "Error"},
        {"action": "softDelete", "start_time": "2026-11-22T14:15:09"},
        {"action": "resize", "start_time": "2026-11-22T14:15:08.1", "updated_at": null},
        {"action": "confirmResize", "start_time": "2026-11-22T14:15:08.1"},
        {"action": null, "start_time": null},
        {"action": "create", "start_time": "2026-11-22T14:15:00", "updated_at": "2026-11-22T14:15:05"}],
        "links": [{"rel": "next", "href": "?marker=req-1"}]}"#;

    #[test]
    fn what_counts() {
        let page = page(TEXT.as_bytes()).unwrap();
        assert_eq!(page.next.as_deref(), Some("?marker=req-1"));
        let told = |busy, gone| {
            let id = InstanceId::parse("i").unwrap();
            let events = events(&id, &page.items, busy, gone, true);
            events.iter().map(|event| (event.at - 1_795_356_900, event.kind)).collect::<Vec<_>>()
        };
        use EventKind::{Deleted, Resized, Started, Stopped};
        assert_eq!(told(false, false), [(21, Stopped), (8, Resized), (5, Started)]);
        assert_eq!(told(true, false), [(8, Resized), (5, Started)]);
        assert_eq!(told(true, true), [(9, Deleted), (8, Resized), (5, Started)]);
    }
}
