//! One machine: who it is, what Nagios saw of it, what became of it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Path;
use super::generations::Generation;
use super::hosts::Host;
use crate::hosts::{self, WatchedHost};
use crate::http::problem::Problem;
use crate::http::{App, Services};
use crate::model::{HostId, HostSeen, Label, ServiceCounts, ServiceSeen, Standing};
use crate::telemetry::sentence;

/// Everything about one machine. What cannot be read is a sentence that says
/// why.
pub(in crate::http) struct Whole {
    /// As it was last, where no source has it any more.
    pub(in crate::http) host: WatchedHost,
    pub(in crate::http) removed: bool,
    pub(in crate::http) owner: Option<Label>,
    pub(in crate::http) seen: Result<Option<HostSeen>, String>,
    pub(in crate::http) trail: Result<Vec<hosts::Step>, String>,
}

impl Whole {
    /// One that no source has is known as long as a generation that had it is
    /// kept.
    pub(in crate::http) async fn of(services: &Services, id: &str) -> Result<Self, Problem> {
        let unknown = || Problem::not_found("no source has a machine of this id");
        let id = HostId::parse(id).map_err(|_| unknown())?;
        let view = services.hosts.view();
        let place = view.hosts.binary_search_by(|one| one.host.id.cmp(&id));
        let (seen, trail) = tokio::join!(services.hosts.seen(&id), services.hosts.trail(&id));
        let seen = seen.map_err(|fault| sentence(&fault));
        let owner = services.clouds.ownership().owner_of(&id).cloned();
        if let Ok(place) = place {
            let (host, trail) =
                (view.hosts[place].clone(), trail.map_err(|fault| sentence(&fault)));
            return Ok(Self { host, removed: false, owner, seen, trail });
        }
        let trail = trail?;
        let last = trail.first().ok_or_else(unknown)?;
        let source = last.generation.source.clone();
        let host = WatchedHost { host: last.host.clone(), source, watched: false };
        Ok(Self { host, removed: true, owner, seen, trail: Ok(trail) })
    }

    fn standing(&self) -> Option<Standing> {
        let seen = self.seen.as_ref().ok()?.as_ref()?;
        let mut services = ServiceCounts::default();
        seen.services.iter().for_each(|one| services.add(one.state));
        Some(Standing { host: seen.state, services })
    }
}

/// A machine, what Nagios saw of it last, and what became of it.
#[derive(Serialize, ToSchema)]
pub(super) struct HostInDepth {
    #[serde(flatten)]
    host: Host,
    /// No source has it any more; it is shown as it was last.
    removed: bool,
    /// Absent: Nagios has not read of it, or what it says cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    nagios: Option<Seen>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    nagios_trouble: Option<String>,
    /// The generations that did something to it, of those that are kept; the
    /// newest hundred, newest first.
    trail: Vec<Step>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_trouble: Option<String>,
}

/// What Nagios saw last. Output is what a plugin printed, on one line of at
/// most 1,000 bytes: text of the machine, not of this appliance.
#[derive(Serialize, ToSchema)]
struct Seen {
    /// pending, up, down or unreachable.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_check: Option<i64>,
    output: String,
    /// At most a thousand, by description.
    services: Vec<Service>,
}

#[derive(Serialize, ToSchema)]
struct Service {
    description: String,
    /// pending, ok, warning, critical or unknown.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_check: Option<i64>,
    /// When a check last ended OK.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ok: Option<i64>,
    output: String,
}

/// What a generation did to it.
#[derive(Serialize, ToSchema)]
struct Step {
    /// added, changed or removed.
    change: &'static str,
    /// False: it may have been an earlier generation that is not kept any more.
    certain: bool,
    generation: Generation,
    /// As it was then; of a removed one, before.
    display_name: String,
    address: String,
}

impl From<&HostSeen> for Seen {
    fn from(seen: &HostSeen) -> Self {
        Self {
            state: seen.state.as_str(),
            last_check: seen.last_check,
            output: seen.output.clone(),
            services: seen.services.iter().map(Service::from).collect(),
        }
    }
}

impl From<&ServiceSeen> for Service {
    fn from(one: &ServiceSeen) -> Self {
        Self {
            description: one.description.clone(),
            state: one.state.as_str(),
            last_check: one.last_check,
            last_ok: one.last_ok,
            output: one.output.clone(),
        }
    }
}

impl From<&hosts::Step> for Step {
    fn from(step: &hosts::Step) -> Self {
        Self {
            change: step.deed.as_str(),
            certain: step.certain,
            generation: (&step.generation).into(),
            display_name: step.host.display_name.to_string(),
            address: step.host.address.to_string(),
        }
    }
}

/// One machine
///
/// One that no source has any more is told as long as a generation that had it
/// is kept.
#[utoipa::path(get, path = "/v1/hosts/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = HostInDepth),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<HostInDepth>, Problem> {
    let whole = Whole::of(&app.services, &id).await?;
    Ok(Json(HostInDepth {
        host: Host::new(&whole.host, whole.owner.as_ref(), whole.standing()),
        removed: whole.removed,
        nagios: whole.seen.as_ref().ok().and_then(Option::as_ref).map(Seen::from),
        nagios_trouble: whole.seen.as_ref().err().cloned(),
        trail: whole.trail.iter().flatten().map(Step::from).collect(),
        trail_trouble: whole.trail.err(),
    }))
}
