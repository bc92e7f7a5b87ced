//! Failures as RFC 9457 problem documents.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::hosts::{ReplaceError, RollbackError};
use crate::metrics;
use crate::model::HostFaults;
use crate::telemetry::sentence;

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What kind of problem it is; the same for every one of its status.
    title: &'static str,
    /// What is wrong and what to do.
    detail: String,
    /// Every fault of a refused set of hosts, at most a hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self { status: status.as_u16(), title, detail: detail.into(), faults: Vec::new() }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<&HostFaults> for Problem {
    fn from(faults: &HostFaults) -> Self {
        Self {
            faults: faults.first().iter().map(ToString::to_string).collect(),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, faults.to_string())
        }
    }
}

impl From<ReplaceError> for Problem {
    fn from(fault: ReplaceError) -> Self {
        match &fault {
            ReplaceError::Invalid(faults) => faults.as_ref().into(),
            ReplaceError::Held { .. } => Self::new(StatusCode::CONFLICT, sentence(&fault)),
            ReplaceError::Rejected(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, sentence(&fault))
            }
            ReplaceError::Unavailable(_) => Self::unavailable(sentence(&fault)),
        }
    }
}

impl From<RollbackError> for Problem {
    fn from(fault: RollbackError) -> Self {
        match fault {
            RollbackError::Replace(fault) => fault.into(),
            unknown @ RollbackError::Unknown(_) => Self::not_found(sentence(&unknown)),
        }
    }
}

impl From<metrics::Error> for Problem {
    fn from(fault: metrics::Error) -> Self {
        match fault.blames_question() {
            true => Self::bad_request(sentence(&fault)),
            false => Self::unavailable(sentence(&fault)),
        }
    }
}
