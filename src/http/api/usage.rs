use std::num::NonZeroUsize;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Csv, Query, window};
use crate::http::App;
use crate::http::problem::Problem;
use crate::telemetry::sentence;
use crate::usage::{Error, Filter, Group, GroupBy, Order, Query as Question, Report};

const MONTH: i64 = 30 * 86_400;

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum By {
    #[default]
    User,
    Cloud,
    Flavor,
    Day,
}

/// Whose use, of what, and when.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wanted {
    /// 30d, 2026-01-31, or seconds since 1970; 30 days before the end where
    /// absent.
    #[serde(default)]
    pub(in crate::http) from: Option<String>,
    /// The same; now where absent.
    #[serde(default)]
    pub(in crate::http) until: Option<String>,
    #[serde(default)]
    pub(in crate::http) user: Option<String>,
    #[serde(default)]
    pub(in crate::http) cloud: Option<String>,
    #[serde(default)]
    pub(in crate::http) flavor: Option<String>,
    #[serde(default)]
    pub(in crate::http) staff: Option<bool>,
    #[serde(default)]
    pub(in crate::http) by: By,
    /// At most so many; all where absent.
    #[serde(default)]
    #[param(minimum = 1)]
    pub(in crate::http) limit: Option<usize>,
}

impl Wanted {
    pub(in crate::http) fn question(&self) -> Result<Question, Problem> {
        let given =
            |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
        let time = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (from, until) = (time(&self.from), time(&self.until));
        if self.limit == Some(0) {
            return Err(Problem::bad_request("limit 0 is not above 0"));
        }
        let (group_by, order) = match self.by {
            By::User => (GroupBy::User, Order::CpuTime),
            By::Cloud => (GroupBy::Cloud, Order::CpuTime),
            By::Flavor => (GroupBy::Flavor, Order::CpuTime),
            By::Day => (GroupBy::Day, Order::Name),
        };
        Ok(Question {
            window: window(from.as_deref(), until.as_deref(), MONTH)?,
            filter: Filter {
                user: given(&self.user),
                cloud: given(&self.cloud),
                flavor: given(&self.flavor),
                staff: self.staff,
            },
            group_by,
            order,
            limit: self.limit.and_then(NonZeroUsize::new),
        })
    }
}

/// The use of one user, cloud, flavor or day.
#[derive(Serialize, ToSchema)]
pub(super) struct Used {
    name: String,
    /// Of users only.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_staff: Option<bool>,
    /// Uptime times the vCPUs at that time, where they are known.
    cpu_seconds: i64,
    uptime_seconds: i64,
    /// The part of the uptime whose vCPUs are not known.
    unknown_vcpu_seconds: i64,
    instances: i64,
}

impl From<&Group> for Used {
    fn from(group: &Group) -> Self {
        Self {
            name: group.name.to_string(),
            is_staff: group.is_staff,
            cpu_seconds: group.cpu_seconds,
            uptime_seconds: group.uptime_seconds,
            unknown_vcpu_seconds: group.unknown_vcpu_seconds,
            instances: group.instance_count,
        }
    }
}

/// A stretch in which a cloud was not observed.
#[derive(Serialize, ToSchema)]
pub(super) struct Unseen {
    cloud: String,
    from: i64,
    to: i64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Usage {
    from: i64,
    until: i64,
    /// Where counting ended: now, where the window ends later.
    counted_until: i64,
    groups: Vec<Used>,
    /// How many there are without the limit.
    group_count: usize,
    /// The latest of them.
    gaps: Vec<Unseen>,
    gap_count: usize,
}

impl From<&Report> for Usage {
    fn from(report: &Report) -> Self {
        let unseen = |gap: &crate::usage::Gap| Unseen {
            cloud: gap.cloud.to_string(),
            from: gap.from,
            to: gap.to,
        };
        Self {
            from: report.window.start(),
            until: report.window.end(),
            counted_until: report.counted_until,
            groups: report.groups.iter().map(Used::from).collect(),
            group_count: report.group_count,
            gaps: report.gaps.iter().map(unseen).collect(),
            gap_count: report.gap_count,
        }
    }
}

/// Who used how much
///
/// As CSV where the request accepts `text/csv`.
#[utoipa::path(get, path = "/v1/usage", params(Wanted), responses(
    (status = 200, content((Usage = "application/json"), (String = "text/csv"))),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn usage(
    State(app): State<App>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let report = app.services.usage.leaderboard(wanted.question()?).await?;
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accepts.split(',').any(|kind| kind.trim().starts_with("text/csv")) {
        return Ok(csv(&report)?.into_response());
    }
    Ok(Json(Usage::from(&report)).into_response())
}

fn csv(report: &Report) -> Result<Csv, Problem> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let written = report.groups.iter().try_for_each(|group| table.serialize(Used::from(group)));
    let bytes = written.ok().and_then(|()| table.into_inner().ok());
    bytes.map(Csv).ok_or_else(|| Problem::unavailable("the table could not be written"))
}

impl From<Error> for Problem {
    fn from(fault: Error) -> Self {
        match fault.blames_question() {
            true => Self::bad_request(sentence(&fault)),
            false => Self::unavailable(sentence(&fault)),
        }
    }
}
