use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::generations::Generation;
use super::{Body, Path, Query};
use crate::hosts::{View, WatchedHost};
use crate::http::App;
use crate::http::problem::Problem;
use crate::model::{GivenHost, HostSet, Source};

/// A machine.
#[derive(Serialize, ToSchema)]
pub(super) struct Host {
    id: String,
    display_name: String,
    address: String,
    /// Who gave it: "rpc" or "cloud:NAME".
    source: String,
    /// False: over [nagios] max_hosts, recorded only.
    watched: bool,
    /// The name as it was given, where it could not be shown as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
}

impl From<&WatchedHost> for Host {
    fn from(one: &WatchedHost) -> Self {
        Self {
            id: one.host.id.to_string(),
            display_name: one.host.display_name.to_string(),
            address: one.host.address.to_string(),
            source: one.source.to_string(),
            watched: one.watched,
            given_name: one.host.given_name.as_deref().map(str::to_owned),
        }
    }
}

/// Which machines are meant.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Find {
    /// Part of the id, the display name or the address, in any case of letters.
    #[serde(default)]
    pub(in crate::http) search: Option<String>,
    /// "rpc" or "cloud:NAME".
    #[serde(default)]
    pub(in crate::http) source: Option<String>,
    /// Machines after this id, which need not be there.
    #[serde(default)]
    pub(in crate::http) after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(in crate::http) limit: Option<usize>,
}

/// Those that are meant, and the place to go on from where there are more.
pub(in crate::http) struct Found<'a> {
    pub(in crate::http) page: Vec<&'a WatchedHost>,
    /// All that are meant, on this page or not.
    pub(in crate::http) total: usize,
    pub(in crate::http) next: Option<&'a str>,
}

const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

pub(in crate::http) fn find<'a>(view: &'a View, wanted: &Find) -> Result<Found<'a>, Problem> {
    let limit = wanted.limit.unwrap_or(USUAL_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit {limit} is not 1 to {LARGEST_PAGE}")));
    }
    let given =
        |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    let source = given(&wanted.source)
        .map(|text| text.parse::<Source>())
        .transpose()
        .map_err(|fault| Problem::bad_request(fault.to_string()))?;
    let search = given(&wanted.search).map(|text| text.to_lowercase());
    let meant = |one: &&WatchedHost| {
        source.as_ref().is_none_or(|source| *source == one.source)
            && search.as_ref().is_none_or(|part| mentions(one, part))
    };
    let after = wanted.after.as_deref().unwrap_or("");
    let mut found = Found { page: Vec::new(), total: 0, next: None };
    for one in view.hosts.iter().filter(meant) {
        found.total += 1;
        if one.host.id.as_str() <= after {
            continue;
        }
        if found.page.len() < limit {
            found.page.push(one);
        } else if found.next.is_none() {
            found.next = found.page.last().map(|last| last.host.id.as_str());
        }
    }
    Ok(found)
}

fn mentions(one: &WatchedHost, part: &str) -> bool {
    let host = &one.host;
    host.id.as_str().to_lowercase().contains(part)
        || host.display_name.as_str().to_lowercase().contains(part)
        || host.address.to_string().contains(part)
}

/// Machines in order of id.
#[derive(Serialize, ToSchema)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    /// All that are meant, on this page or not.
    total: usize,
    /// Ask again with this as `after`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The machines of all sources
#[utoipa::path(get, path = "/v1/hosts", params(Find), responses(
    (status = 200, body = Hosts),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Find>,
) -> Result<Json<Hosts>, Problem> {
    let view = app.services.hosts.view();
    let found = find(&view, &wanted)?;
    Ok(Json(Hosts {
        hosts: found.page.into_iter().map(Host::from).collect(),
        total: found.total,
        next: found.next.map(str::to_owned),
    }))
}

/// One machine
#[utoipa::path(get, path = "/v1/hosts/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = Host),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Host>, Problem> {
    let view = app.services.hosts.view();
    look_up(&view, &id).map(|one| Json(one.into()))
}

pub(in crate::http) fn look_up<'a>(view: &'a View, id: &str) -> Result<&'a WatchedHost, Problem> {
    let found = view.hosts.binary_search_by(|one| one.host.id.as_str().cmp(id));
    let place = found.map_err(|_| Problem::not_found("no source has a machine of this id"))?;
    Ok(&view.hosts[place])
}

/// A machine to be watched.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenMachine {
    id: String,
    /// Its id where absent.
    #[serde(default)]
    display_name: String,
    address: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Force {
    /// Pass the brake and a quarantine.
    #[serde(default)]
    force: bool,
}

/// Replace the machines that callers own
///
/// The same set as that of the Thrift service. The answer comes when this set,
/// or a later one, is live on disk; Nagios is restarted after.
#[utoipa::path(put, path = "/v1/hosts", params(Force), request_body = Vec<GivenMachine>, responses(
    (status = 200, body = Generation),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, description = "Held by the brake", content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn replace(
    State(app): State<App>,
    Query(how): Query<Force>,
    Body(given): Body<Vec<GivenMachine>>,
) -> Result<Json<Generation>, Problem> {
    let given = given.into_iter().map(|one| GivenHost {
        id: one.id,
        display_name: one.display_name,
        address: one.address,
    });
    let given: Vec<_> = given.collect();
    let set = HostSet::parse(&given).map_err(|faults| Problem::from(&faults))?;
    let generation = app.services.hosts.replace(Source::Rpc, set, how.force).await?;
    Ok(Json((&generation).into()))
}

/// Targets with the same labels.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetGroup {
    /// Addresses; the port is for the scraper's relabelling to add.
    targets: Vec<String>,
    labels: BTreeMap<&'static str, String>,
}

/// The watched machines for Prometheus's http_sd
#[utoipa::path(get, path = "/v1/sd", responses((status = 200, body = Vec<TargetGroup>)))]
pub(super) async fn discovery(State(app): State<App>) -> Json<Vec<TargetGroup>> {
    let view = app.services.hosts.view();
    let group = |one: &WatchedHost| TargetGroup {
        targets: vec![one.host.address.to_string()],
        labels: BTreeMap::from([
            ("__meta_weather_balloon_id", one.host.id.to_string()),
            ("__meta_weather_balloon_display_name", one.host.display_name.to_string()),
            ("__meta_weather_balloon_source", one.source.to_string()),
        ]),
    };
    Json(view.hosts.iter().filter(|one| one.watched).map(group).collect())
}
