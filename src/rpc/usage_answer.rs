//! What the methods of the cloud service do.

use std::num::NonZeroUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Window;
use crate::telemetry::sentence;
use crate::usage::{Error, Filter, GroupBy, Order, Query, Usage};

use super::call::{Failure, Reply};
use super::wire::cloud::{UsageGroup, UsageOrder, UsageQuestion};

/// How long a window is whose start is not said.
const USUAL_WINDOW: i64 = 30 * 86_400;

/// As in 2014: of all users, or of one, who need not exist.
pub(super) async fn stats(
    usage: &Usage,
    (start, end): (i32, i32),
    user: Option<String>,
) -> Result<Reply, Failure> {
    if start == end {
        // In 2014 this was a question, too: nobody used anything in no time.
        return Ok(Reply::UserStats(Vec::new()));
    }
    let window = Window::new(start.into(), end.into()).map_err(bad)?;
    let filter = Filter { user: user.map(Into::into), ..Filter::default() };
    let report = usage.leaderboard(Query { filter, ..Query::new(window) }).await;
    Ok(Reply::UserStats(report.map_err(failed)?.groups))
}

pub(super) async fn report(usage: &Usage, asked: UsageQuestion) -> Result<Reply, Failure> {
    let query = query(asked, SystemTime::now())?;
    usage.leaderboard(query).await.map(Reply::Usage).map_err(failed)
}

fn query(asked: UsageQuestion, now: SystemTime) -> Result<Query, Failure> {
    let end = asked.end_time.unwrap_or_else(|| {
        let since = now.duration_since(UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    });
    let start = asked.start_time.unwrap_or_else(|| end.saturating_sub(USUAL_WINDOW));
    let group_by = match asked.group_by {
        None | Some(UsageGroup::USER) => GroupBy::User,
        Some(UsageGroup::CLOUD) => GroupBy::Cloud,
        Some(UsageGroup::FLAVOR) => GroupBy::Flavor,
        Some(UsageGroup::DAY) => GroupBy::Day,
        Some(UsageGroup(other)) => return Err(bad(format!("group_by {other} is not known"))),
    };
    let order = match (asked.order, group_by) {
        (None, GroupBy::Day) | (Some(UsageOrder::NAME), _) => Order::Name,
        (None | Some(UsageOrder::CPU_TIME), _) => Order::CpuTime,
        (Some(UsageOrder(other)), _) => return Err(bad(format!("order {other} is not known"))),
    };
    let limit = asked.limit.unwrap_or(0);
    let limit = usize::try_from(limit).map_err(|_| bad(format!("limit {limit} is below 0")))?;
    let text = |text: Option<String>| text.map(Into::into);
    Ok(Query {
        window: Window::new(start, end).map_err(bad)?,
        filter: Filter {
            user: text(asked.username),
            cloud: text(asked.cloud),
            flavor: text(asked.flavor),
            staff: asked.staff,
        },
        group_by,
        order,
        limit: NonZeroUsize::new(limit),
    })
}

fn bad(reason: impl ToString) -> Failure {
    Failure::BadQuestion(reason.to_string())
}

fn failed(fault: Error) -> Failure {
    match fault.blames_question() {
        true => Failure::BadQuestion(sentence(&fault)),
        false => Failure::Unavailable(sentence(&fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> UsageQuestion {
        UsageQuestion {
            start_time: None,
            end_time: None,
            username: None,
            cloud: None,
            flavor: None,
            staff: None,
            group_by: None,
            order: None,
            limit: None,
        }
    }

    #[test]
    fn a_question_is_filled_in() {
        let now = UNIX_EPOCH + std::time::Duration::from_secs(10_000_000);
        let window = |start, end| Window::new(start, end).unwrap();
        let plain = query(asked(), now).unwrap();
        assert_eq!(plain, Query::new(window(7_408_000, 10_000_000)));
        let ended = query(UsageQuestion { end_time: Some(i64::MIN + 1), ..asked() }, now).unwrap();
        assert_eq!(ended.window, window(i64::MIN, i64::MIN + 1));
        let days = UsageQuestion { group_by: Some(UsageGroup::DAY), limit: Some(0), ..asked() };
        let days = query(days, now).unwrap();
        assert_eq!((days.group_by, days.order, days.limit), (GroupBy::Day, Order::Name, None));
        for (bad, words) in [
            (UsageQuestion { start_time: Some(10_000_000), ..asked() }, "must begin before"),
            (UsageQuestion { start_time: Some(i64::MAX), ..asked() }, "must begin before"),
            (UsageQuestion { end_time: Some(i64::MIN), ..asked() }, "must begin before"),
            (UsageQuestion { limit: Some(-1), ..asked() }, "limit -1 is below 0"),
            (UsageQuestion { group_by: Some(UsageGroup(4)), ..asked() }, "group_by 4"),
            (UsageQuestion { order: Some(UsageOrder(-7)), ..asked() }, "order -7"),
        ] {
            let Err(Failure::BadQuestion(told)) = query(bad, now) else { panic!("{words}") };
            assert!(told.contains(words), "{told}");
        }
    }
}
