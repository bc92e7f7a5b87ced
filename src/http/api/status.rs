use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;

/// How the appliance stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Standing {
    version: &'static str,
    /// Hosts that Nagios is to watch.
    watched: usize,
    /// Recorded, and over [nagios] max_hosts.
    unwatched: usize,
    /// Nagios has proved that it read the file on disk.
    in_step: bool,
    restart_due: bool,
    /// What is wrong, in a sentence; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_generation: Option<i64>,
    /// When the running Nagios began to read its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    nagios_started: Option<i64>,
}

/// How the appliance stands
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Standing)))]
pub(super) async fn status(State(app): State<App>) -> Json<Standing> {
    let status = app.services.hosts.view().status;
    Json(Standing {
        version: env!("CARGO_PKG_VERSION"),
        watched: status.watched,
        unwatched: status.unwatched,
        in_step: status.in_step,
        restart_due: status.restart_due,
        trouble: status.trouble,
        live_generation: status.live_generation,
        nagios_started: status.nagios_started,
    })
}
