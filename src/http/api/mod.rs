//! JSON under `/v1`, each answer described in the document that is served at
//! `/v1/openapi.json`. Times are UTC seconds since 1970 unless a field says
//! otherwise.

mod clouds;
mod generations;
mod host;
mod hosts;
mod measured;
mod status;
mod usage;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::model::{Window, WindowFault};
use crate::settings::when;

use super::App;
use super::problem::Problem;

pub(super) use host::Whole;
pub(super) use hosts::{Around, Find, Found, STATES, find};
pub(super) use usage::{By, Wanted};

#[derive(OpenApi)]
#[openapi(info(
    title = "Weather Balloon",
    description = "Which machines Nagios watches, what was measured on them, and who used how much. \
        Times are UTC seconds since 1970. Every failure is a problem document (RFC 9457). \
        Reading needs no token; writing needs the one of [http] token_file."
))]
struct Document;

pub(super) fn routes() -> Router<App> {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::status))
        .routes(routes!(hosts::list, hosts::replace))
        .routes(routes!(host::one))
        .routes(routes!(hosts::discovery))
        .routes(routes!(measured::metrics))
        .routes(routes!(generations::list))
        .routes(routes!(generations::one))
        .routes(routes!(generations::rollback))
        .routes(routes!(clouds::list))
        .routes(routes!(clouds::held))
        .routes(routes!(clouds::sync))
        .routes(routes!(clouds::release))
        .routes(routes!(usage::usage))
        .split_for_parts();
    router.route("/v1/openapi.json", get(move || std::future::ready(Json(document.clone()))))
}

/// Why a question could not be read, as a problem document.
macro_rules! told_as_problem {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                // A body is too long, of another kind, or not what is asked for.
                Self::new(rejection.status(), rejection.body_text())
            }
        }
    )*};
}

told_as_problem!(JsonRejection, PathRejection, QueryRejection);

#[derive(FromRequest)]
#[from_request(via(Json), rejection(Problem))]
pub(super) struct Body<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A window as people write it; what is absent is `usual` seconds up to the end,
/// or up to now.
pub(super) fn window(
    from: Option<&str>,
    until: Option<&str>,
    usual: i64,
) -> Result<Window, Problem> {
    let time = |text: &str| {
        when::parse(text, SystemTime::now())
            .map_err(|fault| Problem::bad_request(fault.to_string()))
    };
    let end = until.map(time).transpose()?.unwrap_or_else(now);
    let start = from.map(time).transpose()?.unwrap_or_else(|| end.saturating_sub(usual));
    Window::new(start, end).map_err(|fault: WindowFault| Problem::bad_request(fault.to_string()))
}

/// Comma-separated values, with a name for the file that a browser makes of it.
pub(super) struct Csv(pub(super) Vec<u8>);

impl IntoResponse for Csv {
    fn into_response(self) -> Response {
        let headers = [
            ("content-type", "text/csv; charset=utf-8"),
            ("content-disposition", "attachment; filename=\"usage.csv\""),
        ];
        (StatusCode::OK, headers, self.0).into_response()
    }
}
