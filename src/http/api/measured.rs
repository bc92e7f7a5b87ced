use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Path, Query, window};
use crate::http::App;
use crate::http::problem::Problem;
use crate::metrics::{Question, Source};
use crate::model::{HostId, MetricKey, MetricNode, Series};

const DAY: i64 = 86_400;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Names and "*" between dots, such as load.load1; all of it where absent.
    #[serde(default)]
    key: Option<String>,
    /// 24h, 2026-01-31, or seconds since 1970; 24 hours before the end where
    /// absent.
    #[serde(default)]
    from: Option<String>,
    /// The same; now where absent.
    #[serde(default)]
    until: Option<String>,
    /// At most so many points a series, averaged.
    #[serde(default)]
    #[param(minimum = 1)]
    points: Option<u32>,
    /// Who answers; absent: Graphite where it is configured, else the archive.
    #[serde(default)]
    source: Answerer,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Answerer {
    #[default]
    Auto,
    Graphite,
    Archive,
}

impl From<Answerer> for Source {
    fn from(asked: Answerer) -> Self {
        match asked {
            Answerer::Auto => Self::Configured,
            Answerer::Graphite => Self::Graphite,
            Answerer::Archive => Self::Archive,
        }
    }
}

/// By name: times and values, ascending. Where nothing was measured the value
/// is null.
// A JSON Schema has no word for a pair that utoipa knows.
#[derive(Serialize, ToSchema)]
#[schema(value_type = BTreeMap<String, Vec<Vec<Option<f64>>>>)]
pub(super) struct Measured(BTreeMap<String, Vec<(i64, Option<f64>)>>);

impl From<Vec<Series>> for Measured {
    fn from(series: Vec<Series>) -> Self {
        let points = |one: Series| {
            let points = one.points.into_iter();
            (one.name, points.map(|point| (point.time, point.value)).collect())
        };
        Self(series.into_iter().map(points).collect())
    }
}

/// What was measured on a machine
#[utoipa::path(get, path = "/v1/hosts/{id}/metrics", params(("id" = String, Path), Wanted), responses(
    (status = 200, body = Measured),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Measured>, Problem> {
    let window = window(wanted.from.as_deref(), wanted.until.as_deref(), DAY)?;
    let id = HostId::parse(&id)
        .map_err(|reason| Problem::bad_request(format!("the machine's id {reason}")))?;
    if wanted.points == Some(0) {
        return Err(Problem::bad_request("points 0 is not above 0"));
    }
    let key = MetricKey::parse(wanted.key.as_deref().unwrap_or(""))
        .map_err(|fault| Problem::bad_request(fault.to_string()))?;
    let question = Question {
        node: MetricNode::of(&id),
        key,
        window: Some(window),
        max_points: wanted.points,
        source: wanted.source.into(),
    };
    Ok(Json(app.services.metrics.answer(&question).await?.into()))
}
