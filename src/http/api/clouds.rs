use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Path, Query, now};
use crate::cloud::{CloudView, Error, HeldView, Role};
use crate::http::App;
use crate::http::problem::Problem;
use crate::telemetry::sentence;
use axum::http::StatusCode;

/// A cloud and how far it is asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Cloud {
    name: String,
    kind: String,
    /// False: hosts of it are still watched, and it is not configured any more.
    configured: bool,
    /// starting, polls, follows (another appliance polls) or no-ledger.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<i64>,
    /// The last complete listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<i64>,
    /// Seconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<i64>,
    /// Why the last poll gave nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What hinders the ledger or Nagios.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    listed: usize,
    running: usize,
    missing: usize,
    skipped: usize,
    watched: usize,
    held: usize,
}

impl From<&CloudView> for Cloud {
    fn from(view: &CloudView) -> Self {
        Self {
            name: view.name.clone(),
            kind: view.kind.clone(),
            configured: view.configured,
            role: match view.role {
                Role::Starting => "starting",
                Role::Polls => "polls",
                Role::Follows => "follows",
                Role::NoLedger => "no-ledger",
            },
            last_attempt: view.last_attempt,
            last_success: view.last_success,
            lag: view.last_success.map(|at| now().saturating_sub(at).max(0)),
            error: view.error.clone(),
            trouble: view.trouble.clone(),
            listed: view.shown.listed,
            running: view.shown.running,
            missing: view.shown.missing,
            skipped: view.shown.skipped_total,
            watched: view.watched,
            held: view.held_total,
        }
    }
}

/// The clouds by name
#[utoipa::path(get, path = "/v1/clouds", responses((status = 200, body = Vec<Cloud>)))]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<Cloud>> {
    Json(app.services.clouds.view().iter().map(Cloud::from).collect())
}

/// An absence that is not believed until somebody releases it.
#[derive(Serialize, ToSchema)]
pub(super) struct Held {
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The first complete listing without it, by the cloud's clock.
    since: i64,
    held_at: i64,
    /// What holds it.
    by: String,
}

impl From<&HeldView> for Held {
    fn from(one: &HeldView) -> Self {
        Self {
            instance: one.instance.to_string(),
            host: one.host.as_ref().map(ToString::to_string),
            address: one.address.as_ref().map(ToString::to_string),
            since: one.since,
            held_at: one.held_at,
            by: one.by.as_str().to_owned(),
        }
    }
}

/// What is held of one cloud.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldChange {
    cloud: String,
    /// All of them; the list shows the first.
    total: usize,
    /// To be given with the release, so that it applies to this list alone.
    token: String,
    absences: Vec<Held>,
}

/// What is held, by cloud
#[utoipa::path(get, path = "/v1/held", responses((status = 200, body = Vec<HeldChange>)))]
pub(super) async fn held(State(app): State<App>) -> Json<Vec<HeldChange>> {
    let views = app.services.clouds.view();
    let holding = views.iter().filter(|view| view.held_total > 0).map(|view| HeldChange {
        cloud: view.name.clone(),
        total: view.held_total,
        token: view.held_token.to_string(),
        absences: view.held.iter().map(Held::from).collect(),
    });
    Json(holding.collect())
}

/// Ask a cloud now
///
/// The answer comes when the poll is over.
#[utoipa::path(post, path = "/v1/clouds/{name}/sync", params(("name" = String, Path)), responses(
    (status = 200, body = Cloud),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn sync(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Cloud>, Problem> {
    let views = app.services.clouds.sync(Some(&name)).await?;
    let view = views.first().ok_or_else(|| Problem::not_found("there is no such cloud"))?;
    Ok(Json(view.into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Shown {
    /// The token of what was shown as held; where absent, all that is held now
    /// is released.
    #[serde(default)]
    token: Option<i64>,
}

/// Believe what is held of a cloud
#[utoipa::path(post, path = "/v1/clouds/{name}/release", params(("name" = String, Path), Shown), responses(
    (status = 200, body = Cloud),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn release(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(Shown { token }): Query<Shown>,
) -> Result<Json<Cloud>, Problem> {
    let view = app.services.clouds.release(&name, token).await?;
    Ok(Json((&view).into()))
}

impl From<Error> for Problem {
    fn from(fault: Error) -> Self {
        let status = match fault {
            Error::Unknown(_) => StatusCode::NOT_FOUND,
            Error::NothingHeld(_) | Error::Changed(_) | Error::Elsewhere(_) => StatusCode::CONFLICT,
            Error::Config { .. } | Error::Failed(_) | Error::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, sentence(&fault))
    }
}
