//! Servers, their actions and their flavors, page by page.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::asked::Asked;
use super::forms::{flavor_form, form, micros, no_instance};
use super::{Answer, Server, State, wrapped};

impl State {
    pub(super) fn version_form(&self) -> Value {
        json!({"id": "v2.1", "status": "CURRENT", "version": format!("2.{}", self.minor),
               "min_version": "2.1", "updated": "2013-07-23T11:33:21Z", "links": []})
    }

    pub(super) fn nova(&mut self, asked: &Asked<'_>, region: &str, rest: &[&str]) -> Answer {
        if rest.is_empty() {
            return Answer::json("200 OK", &json!({"version": self.version_form()}));
        }
        if let Some(barred) = self.barred(asked) {
            return barred;
        }
        let header = asked
            .request
            .header("x-openstack-nova-api-version")
            .or_else(|| asked.request.header("openstack-api-version")?.strip_prefix("compute "));
        let minor = match header {
            None => 1,
            Some("latest") => self.minor,
            Some(version) => version.strip_prefix("2.").and_then(|m| m.parse().ok()).unwrap_or(999),
        };
        let answer = if minor > self.minor {
            let message = format!(
                "Version 2.{minor} is not supported by the API. Minimum is 2.1 and maximum is 2.{}.",
                self.minor
            );
            wrapped("406 Not Acceptable", "computeFault", message)
        } else {
            self.versioned(asked, region, rest, minor)
        };
        answer
            .with("OpenStack-API-Version", format!("compute 2.{minor}"))
            .with("X-OpenStack-Nova-API-Version", format!("2.{minor}"))
            .with("Vary", "X-OpenStack-Nova-API-Version")
    }

    fn versioned(&mut self, asked: &Asked<'_>, region: &str, rest: &[&str], minor: u32) -> Answer {
        match rest {
            ["servers", "detail"] => self.servers_page(asked, region, minor),
            ["servers", id] => match self.find(region, id).filter(|one| one.terminated.is_none()) {
                Some(server) => Answer::json("200 OK", &json!({"server": form(server, minor)})),
                None => no_instance(id),
            },
            ["servers", id, "os-instance-actions"] => match self.find(region, id) {
                Some(server) if minor >= 21 || server.terminated.is_none() => {
                    self.actions_page(asked, server, minor)
                }
                _ => no_instance(id),
            },
            ["flavors", "detail"] => self.flavors_page(asked),
            ["flavors", id] => match self.flavors.iter().find(|flavor| flavor.id == *id) {
                Some(flavor) => Answer::json("200 OK", &json!({"flavor": flavor_form(flavor)})),
                None => wrapped(
                    "404 Not Found",
                    "itemNotFound",
                    format!("Flavor {id} could not be found."),
                ),
            },
            _ => wrapped("404 Not Found", "itemNotFound", "The resource could not be found."),
        }
    }

    fn find(&self, region: &str, id: &str) -> Option<&Server> {
        let server = &self.servers[*self.places.get(id)?];
        (server.region == region).then_some(server)
    }

    fn limit(&self, asked: &Asked<'_>) -> usize {
        let asked = asked.query.get("limit").map(|limit| limit.parse().unwrap());
        asked.unwrap_or(self.max_limit).min(self.max_limit)
    }

    fn servers_page(&mut self, asked: &Asked<'_>, region: &str, minor: u32) -> Answer {
        self.pages += 1;
        let all = asked.query.get("all_tenants").is_some_and(|all| all == "1");
        if all && self.member {
            let message = "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.";
            return wrapped("403 Forbidden", "forbidden", message);
        }
        let since = asked.query.get("changes-since").map(|since| {
            let since = humantime::parse_rfc3339_weak(since).unwrap();
            i64::try_from(since.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
        });
        // Newest first; a deleted server's row is still a marker.
        let from = match asked.query.get("marker") {
            None => self.servers.len(),
            Some(marker) => match self.places.get(marker) {
                Some(place) => *place,
                None => {
                    return wrapped(
                        "400 Bad Request",
                        "badRequest",
                        format!("marker [{marker}] not found"),
                    );
                }
            },
        };
        let limit = self.limit(asked);
        let shown: Vec<_> = self.servers[..from]
            .iter()
            .rev()
            .filter(|server| server.region == region)
            .filter(|server| match since {
                Some(since) => server.updated >= since,
                None => server.terminated.is_none() && server.status != "SOFT_DELETED",
            })
            .take(limit)
            .collect();
        let mut body =
            json!({"servers": shown.iter().map(|one| form(one, minor)).collect::<Vec<_>>()});
        if let Some(last) = shown.last().filter(|_| shown.len() == limit) {
            body["servers_links"] = asked.link(&last.id);
        }
        Answer::json("200 OK", &body)
    }

    fn actions_page(&self, asked: &Asked<'_>, server: &Server, minor: u32) -> Answer {
        let name = |index: usize| format!("req-{}-{index}", server.id);
        let marker = asked.query.get("marker");
        let newest_first = (0..server.actions.len()).rev();
        let after: Vec<_> = match marker {
            None => newest_first.collect(),
            Some(marker) => newest_first.skip_while(|at| name(*at) != *marker).skip(1).collect(),
        };
        let limit = if minor >= 58 { self.limit(asked) } else { usize::MAX };
        let shown: Vec<_> = after.into_iter().take(limit).collect();
        let forms: Vec<_> = shown
            .iter()
            .map(|at| {
                let action = &server.actions[*at];
                let mut form = json!({
                    "action": action.name, "instance_uuid": server.id, "request_id": name(*at),
                    "user_id": server.user, "project_id": "p",
                    "start_time": micros(action.start, ""),
                    "message": if action.failed { json!("Error") } else { Value::Null },
                });
                if minor >= 58 {
                    form["updated_at"] = micros(action.end, "").into();
                }
                form
            })
            .collect();
        let mut body = json!({"instanceActions": forms});
        if let Some(last) = shown.last().filter(|_| shown.len() == limit) {
            body["links"] = asked.link(&name(*last));
        }
        Answer::json("200 OK", &body)
    }

    fn flavors_page(&self, asked: &Asked<'_>) -> Answer {
        let limit = self.limit(asked);
        let marker = asked.query.get("marker");
        let from = marker.map_or(0, |marker| {
            self.flavors.iter().position(|flavor| flavor.id == *marker).unwrap() + 1
        });
        let shown: Vec<_> = self.flavors[from..].iter().take(limit).collect();
        let mut body =
            json!({"flavors": shown.iter().map(|one| flavor_form(one)).collect::<Vec<_>>()});
        if let Some(last) = shown.last().filter(|_| shown.len() == limit) {
            body["flavors_links"] = asked.link(&last.id);
        }
        Answer::json("200 OK", &body)
    }
}
