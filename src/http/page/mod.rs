//! What people look at: HTML that needs no script to be read.
//!
//! A view is a file: it asks the parts and makes markup of what they say. Text
//! goes into markup through maud, which escapes it.

mod assets;
mod chart;
mod clouds;
mod days;
mod fault;
mod generations;
mod host;
mod hosts;
mod overview;
mod scale;
mod sheet;
mod usage;
mod words;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use fault::Fault;

use super::App;
use super::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/hosts", get(hosts::hosts))
        .route("/hosts/{id}", get(host::host))
        .route("/usage", get(usage::usage))
        .route("/clouds", get(clouds::clouds))
        .route("/held", get(clouds::held))
        .route("/generations", get(generations::list))
        .route("/generations/{number}", get(generations::one))
        .route("/assets/{name}", get(assets::asset))
}

/// For paths that nothing has: browsers are told in HTML, scripts in JSON.
pub(super) async fn nothing_here(headers: HeaderMap) -> Response {
    let problem = Problem::not_found("there is nothing here; / is the page");
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    match accepts.is_some_and(|kinds| kinds.contains("text/html")) {
        true => Fault::from(problem).into_response(),
        false => problem.into_response(),
    }
}

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Fault))]
struct Query<T>(T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Fault))]
struct Path<T>(T);

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
