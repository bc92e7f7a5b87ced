use axum::response::{IntoResponse, Response};
use maud::html;

use super::sheet::Sheet;
use crate::http::problem::Problem;

/// A problem, told to who looks at a page.
pub(super) struct Fault(Problem);

impl<T: Into<Problem>> From<T> for Fault {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = html! {
            p.lead.alarm { (self.0.detail()) }
            p { a href="/" { "Go to the overview" } }
        };
        (self.0.status(), Sheet::new(None, self.0.title(), body)).into_response()
    }
}
