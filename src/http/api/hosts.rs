use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::generations::Generation;
use super::{Body, Query};
use crate::cloud::Ownership;
use crate::hosts::{Standings, View, WatchedHost};
use crate::http::App;
use crate::http::guard::Visitor;
use crate::http::problem::Problem;
use crate::model::{GivenHost, HostSet, HostState, Label, ServiceCounts, Source, Standing};
use crate::telemetry::sentence;

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
    /// Whose it is, as its cloud says; absent for what callers set.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// pending, up, down or unreachable; absent: Nagios has not read of it, or
    /// what it says cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Of its services.
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Services>,
    /// The name as it was given, where it could not be shown as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
}

/// How many are in which state.
#[derive(Serialize, ToSchema)]
struct Services {
    pending: u32,
    ok: u32,
    warning: u32,
    critical: u32,
    unknown: u32,
}

impl From<ServiceCounts> for Services {
    fn from(counts: ServiceCounts) -> Self {
        let ServiceCounts { pending, ok, warning, critical, unknown } = counts;
        Self { pending, ok, warning, critical, unknown }
    }
}

impl Host {
    pub(super) fn new(
        one: &WatchedHost,
        owner: Option<&Label>,
        standing: Option<Standing>,
    ) -> Self {
        Self {
            id: one.host.id.to_string(),
            display_name: one.host.display_name.to_string(),
            address: one.host.address.to_string(),
            source: one.source.to_string(),
            watched: one.watched,
            owner: owner.map(ToString::to_string),
            state: standing.map(|standing| standing.host.as_str()),
            services: standing.map(|standing| standing.services.into()),
            given_name: one.host.given_name.as_deref().map(str::to_owned),
        }
    }
}

/// What is known of the machines beside who they are.
pub(in crate::http) struct Around {
    owners: Ownership,
    /// Or why Nagios's word cannot be read, in a sentence.
    standings: Result<Arc<Standings>, String>,
}

impl Around {
    pub(in crate::http) async fn of(services: &crate::http::Services) -> Self {
        let standings = services.hosts.standings().await.map_err(|fault| sentence(&fault));
        Self { owners: services.clouds.ownership(), standings }
    }

    pub(in crate::http) fn owner(&self, one: &WatchedHost) -> Option<&Label> {
        self.owners.owner_of(&one.host.id)
    }

    pub(in crate::http) fn standing(&self, one: &WatchedHost) -> Option<Standing> {
        self.standings.as_ref().ok()?.get(one.host.id.as_str()).copied()
    }

    pub(in crate::http) fn trouble(&self) -> Option<&str> {
        self.standings.as_ref().err().map(String::as_str)
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
    /// Part of the owner's name, in any case of letters.
    #[serde(default)]
    pub(in crate::http) owner: Option<String>,
    /// up, down (or unreachable), pending, trouble (a check ended otherwise
    /// than OK), unread (Nagios has not read of it) or unwatched.
    #[serde(default)]
    pub(in crate::http) state: Option<String>,
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

/// What a machine's state must be to be meant.
#[derive(Clone, Copy)]
enum Wanting {
    Up,
    Down,
    Pending,
    Trouble,
    Unread,
    Unwatched,
}

/// As it is written, and as people read it.
pub(in crate::http) const STATES: [(&str, &str); 6] = [
    ("trouble", "In trouble"),
    ("down", "Down"),
    ("up", "Up"),
    ("pending", "Not checked yet"),
    ("unread", "Not read by Nagios yet"),
    ("unwatched", "Not watched"),
];

impl Wanting {
    fn parse(text: &str) -> Result<Self, Problem> {
        Ok(match text {
            "up" => Self::Up,
            "down" => Self::Down,
            "pending" => Self::Pending,
            "trouble" => Self::Trouble,
            "unread" => Self::Unread,
            "unwatched" => Self::Unwatched,
            _ => {
                let known = STATES.map(|(state, _)| state).join(", ");
                return Err(Problem::bad_request(format!("the state is one of {known}")));
            }
        })
    }

    fn fits(self, one: &WatchedHost, standing: Option<Standing>) -> bool {
        let host = standing.map(|standing| standing.host);
        match self {
            Self::Up => host == Some(HostState::Up),
            Self::Down => matches!(host, Some(HostState::Down | HostState::Unreachable)),
            Self::Pending => host == Some(HostState::Pending),
            Self::Trouble => standing.is_some_and(|standing| standing.is_trouble()),
            Self::Unread => one.watched && host.is_none(),
            Self::Unwatched => !one.watched,
        }
    }
}

pub(in crate::http) fn find<'a>(
    view: &'a View,
    around: &Around,
    wanted: &Find,
) -> Result<Found<'a>, Problem> {
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
    let owner = given(&wanted.owner).map(|text| text.to_lowercase());
    let state = given(&wanted.state).map(|text| Wanting::parse(&text)).transpose()?;
    if let (Some(_), Some(trouble)) = (state, around.trouble()) {
        return Err(Problem::unavailable(trouble));
    }
    let is_theirs = |one: &WatchedHost, part: &str| {
        around.owner(one).is_some_and(|owner| owner.as_str().to_lowercase().contains(part))
    };
    let meant = |one: &&WatchedHost| {
        source.as_ref().is_none_or(|source| *source == one.source)
            && search.as_ref().is_none_or(|part| mentions(one, part))
            && owner.as_ref().is_none_or(|part| is_theirs(one, part))
            && state.is_none_or(|state| state.fits(one, around.standing(one)))
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
    /// Why the states are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_trouble: Option<String>,
}

/// The machines of all sources
///
/// States are not older than ten seconds.
#[utoipa::path(get, path = "/v1/hosts", params(Find), responses(
    (status = 200, body = Hosts),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Find>,
) -> Result<Json<Hosts>, Problem> {
    let view = app.services.hosts.view();
    let around = Around::of(&app.services).await;
    let found = find(&view, &around, &wanted)?;
    let host = |one: &WatchedHost| Host::new(one, around.owner(one), around.standing(one));
    Ok(Json(Hosts {
        hosts: found.page.into_iter().map(host).collect(),
        total: found.total,
        next: found.next.map(str::to_owned),
        state_trouble: around.trouble().map(str::to_owned),
    }))
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
    Extension(from): Extension<Visitor>,
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
    let hosts = app.services.hosts.called_from(from);
    let generation = hosts.replace(Source::Rpc, set, how.force).await?;
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
