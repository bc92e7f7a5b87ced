use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Body, Path, Query};
use crate::hosts;
use crate::http::App;
use crate::http::guard::Visitor;
use crate::http::problem::Problem;
use crate::model;

/// One replacement of one source's machines.
#[derive(Serialize, ToSchema)]
pub(super) struct Generation {
    number: i64,
    /// "rpc" or "cloud:NAME".
    source: String,
    /// pending, live, rejected or superseded.
    state: &'static str,
    created: i64,
    /// When its file took its name; absent: it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<i64>,
    /// When Nagios had proved that it read the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    proved: Option<i64>,
    host_count: usize,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    forced: bool,
    /// The generation whose machines it brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    restores: Option<i64>,
    /// From where it was asked for, as the door saw it; absent for clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
}

impl From<&hosts::Generation> for Generation {
    fn from(one: &hosts::Generation) -> Self {
        Self {
            number: one.number,
            source: one.source.to_string(),
            state: one.state.as_str(),
            created: seconds(one.created),
            live: one.live.map(seconds),
            proved: one.proved.map(seconds),
            host_count: one.host_count,
            reason: one.reason.clone(),
            forced: one.forced,
            restores: one.restores,
            caller: one.caller.as_deref().map(str::to_owned),
        }
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Limit {
    /// At most so many.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<usize>,
}

/// The generations that are kept, newest first
#[utoipa::path(get, path = "/v1/generations", params(Limit), responses(
    (status = 200, body = Vec<Generation>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(app): State<App>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Vec<Generation>>, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request(format!("limit {limit} is not 1 to 1000")));
    }
    let kept = app.services.hosts.history(limit).await?;
    Ok(Json(kept.iter().map(Generation::from).collect()))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Machine {
    id: String,
    display_name: String,
    address: String,
}

impl From<&model::Host> for Machine {
    fn from(host: &model::Host) -> Self {
        Self {
            id: host.id.to_string(),
            display_name: host.display_name.to_string(),
            address: host.address.to_string(),
        }
    }
}

/// A generation, and what it changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    generation: Generation,
    /// The generation of the same source that it replaced, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<i64>,
    added: Vec<Machine>,
    removed: Vec<Machine>,
    /// As they are in this generation.
    changed: Vec<Machine>,
    unchanged: usize,
}

/// One generation and what it changed
#[utoipa::path(get, path = "/v1/generations/{number}", params(("number" = i64, Path)), responses(
    (status = 200, body = Changed),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn one(
    State(app): State<App>,
    Path(number): Path<i64>,
) -> Result<Json<Changed>, Problem> {
    let found = app.services.hosts.change_of(number).await?;
    let change = found.ok_or_else(|| Problem::not_found("no generation of this number is kept"))?;
    let machines = |hosts: &[model::Host]| hosts.iter().map(Machine::from).collect();
    Ok(Json(Changed {
        generation: (&change.generation).into(),
        replaced: change.replaced,
        added: machines(&change.diff.added),
        removed: machines(&change.diff.removed),
        changed: machines(&change.diff.changed),
        unchanged: change.diff.unchanged,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// One of the callers' generations that reached Nagios.
    generation: i64,
    /// Pass the brake and a quarantine.
    #[serde(default)]
    force: bool,
}

/// Go back to the callers' machines of an earlier generation
#[utoipa::path(post, path = "/v1/rollback", request_body = Rollback, responses(
    (status = 200, body = Generation),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, description = "Held by the brake", content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn rollback(
    State(app): State<App>,
    Extension(from): Extension<Visitor>,
    Body(asked): Body<Rollback>,
) -> Result<Json<Generation>, Problem> {
    let hosts = app.services.hosts.called_from(from);
    let restored = hosts.rollback(asked.generation, asked.force).await?;
    Ok(Json((&restored).into()))
}
