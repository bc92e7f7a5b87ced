//! What each method does, in terms of the parts below.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cloud::Clouds;
use crate::hosts::{Generation, Hosts, ReplaceError, RollbackError};
use crate::inspect::{Inspector, Part};
use crate::metrics::{Metrics, Question};
use crate::model::{HostFaults, HostId, HostSet, MetricKey, MetricNode, Source, Window};

use crate::shipping::Shipping;
use crate::telemetry::{Calls, sentence};
use crate::usage::Usage;

use super::archive;
use super::call::{Call, Failure, Reply};
use super::wire::hosts::MetricsQuestion;
use super::{cloud_answer, usage_answer};

/// What the door's methods are answered from.
#[derive(Clone, Debug)]
pub struct Services {
    pub hosts: Hosts,
    pub metrics: Metrics,
    pub shipping: Shipping,
    pub clouds: Clouds,
    pub usage: Usage,
    pub inspector: Inspector,
    pub calls: Calls,
}

const DAY: i64 = 86_400;
/// Comparing more hosts than this is left to a blocking thread.
const MANY_HOSTS: usize = 2_000;

pub(super) async fn answer(
    services: &Services,
    call: Call,
    from: impl Display,
) -> Result<Reply, Failure> {
    let caller = || services.hosts.called_from(format_args!("Thrift, {from}"));
    match call {
        Call::GetMetrics { host_name, key } => {
            let question = question(&host_name, &key)?;
            metrics(&services.metrics, &question).await
        }
        Call::QueryMetrics(asked) => {
            metrics(&services.metrics, &windowed(asked, SystemTime::now())?).await
        }
        Call::SetHosts(set) => replace(&caller(), set, false).await.map(|_| Reply::Done),
        Call::ReplaceHosts(set, force) => {
            replace(&caller(), set, force).await.map(Reply::Generation)
        }
        Call::DiffHosts(set) => diff(&services.hosts, set).await,
        Call::GetHosts => Ok(Reply::View(services.hosts.view())),
        Call::GetPerfdataStatus => Ok(Reply::PerfdataStatus(services.shipping.view())),
        Call::GetStatus => Ok(Reply::Status(services.hosts.view().status)),
        Call::GetHistory(limit) => {
            let limit = if limit > 0 { limit } else { i32::MAX };
            let kept = services.hosts.history(limit as usize).await;
            kept.map(Reply::History).map_err(failed_replace)
        }
        Call::Rollback(number, force) => {
            let restored = caller().rollback(number, force).await;
            restored.map(Reply::Generation).map_err(|fault| match fault {
                RollbackError::Replace(fault) => failed_replace(fault),
                unknown @ RollbackError::Unknown(_) => Failure::BadQuestion(sentence(&unknown)),
            })
        }
        Call::GetLeaderboard { start, end } => {
            usage_answer::stats(&services.usage, (start, end), None).await
        }
        Call::GetUserStats { start, end, username } => {
            usage_answer::stats(&services.usage, (start, end), Some(username)).await
        }
        Call::GetClouds => Ok(Reply::Clouds(services.clouds.view())),
        Call::SyncCloud(order) => cloud_answer::sync(&services.clouds, order).await,
        Call::ReleaseCloud(order) => cloud_answer::release(&services.clouds, order).await,
        Call::GetUsage(asked) => usage_answer::report(&services.usage, asked).await,
        Call::Inspect(part) => {
            let part = match part.as_str() {
                "" => None,
                name => Some(Part::named(name).ok_or_else(|| unknown_part(name))?),
            };
            Ok(Reply::Findings(services.inspector.inspect(part).await))
        }
        Call::TraceHost(name) => {
            let host = HostId::parse(&name).map_err(|reason| bad_host(&name, reason))?;
            Ok(Reply::Findings(services.inspector.trace(&host).await))
        }
        Call::GetArchiveStatus => Ok(archive::status(&services.metrics).await),
        Call::PruneMetrics(asked) => {
            archive::prune(&services.metrics, &services.hosts, asked).await
        }
        Call::ImportMetrics(given) => archive::import(&services.metrics, given).await,
    }
}

async fn replace(
    hosts: &Hosts,
    set: Result<HostSet, HostFaults>,
    force: bool,
) -> Result<Generation, Failure> {
    let set = set.map_err(invalid)?;
    hosts.replace(Source::Rpc, set, force).await.map_err(failed_replace)
}

async fn diff(hosts: &Hosts, set: Result<HostSet, HostFaults>) -> Result<Reply, Failure> {
    let set = set.map_err(invalid)?;
    if set.len() <= MANY_HOSTS {
        return Ok(Reply::Diff(hosts.diff(&Source::Rpc, &set)));
    }
    let hosts = hosts.clone();
    tokio::task::spawn_blocking(move || hosts.diff(&Source::Rpc, &set))
        .await
        .map(Reply::Diff)
        .map_err(|_| Failure::Unavailable("the sets could not be compared".to_owned()))
}

fn invalid(faults: HostFaults) -> Failure {
    Failure::Invalid(Arc::new(faults))
}

fn failed_replace(fault: ReplaceError) -> Failure {
    let message = sentence(&fault);
    match fault {
        ReplaceError::Invalid(faults) => Failure::Invalid(faults),
        ReplaceError::Held { removed, current } => Failure::Held { message, removed, current },
        ReplaceError::Rejected(_) => Failure::Rejected(message),
        ReplaceError::Unavailable(_) => Failure::Unavailable(message),
    }
}

async fn metrics(metrics: &Metrics, question: &Question) -> Result<Reply, Failure> {
    let answer = metrics.answer(question).await;
    answer.map(Reply::Metrics).map_err(|fault| archive::failed(&fault))
}

fn question(host_name: &str, key: &str) -> Result<Question, Failure> {
    let id = HostId::parse(host_name).map_err(|reason| bad_host(host_name, reason))?;
    let key = MetricKey::parse(key).map_err(|fault| Failure::BadQuestion(sentence(&fault)))?;
    let node = MetricNode::of(&id);
    Ok(Question { node, key, window: None, max_points: None, source: Default::default() })
}

fn bad_host(name: &str, reason: impl Display) -> Failure {
    let shown = &name[..name.floor_char_boundary(HostId::MAX_BYTES)];
    Failure::BadQuestion(format!("the host name {shown:?} {reason}"))
}

fn unknown_part(name: &str) -> Failure {
    let shown = &name[..name.floor_char_boundary(40)];
    let known: Vec<_> = Part::ALL.iter().map(|part| part.name()).collect();
    Failure::BadQuestion(format!("there is no part {shown:?}; the parts are {}", known.join(", ")))
}

fn windowed(asked: MetricsQuestion, now: SystemTime) -> Result<Question, Failure> {
    let window = match (asked.start_time, asked.end_time) {
        (None, None) => None,
        (start, end) => {
            let end = end.unwrap_or_else(|| {
                now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
            });
            let start = start.unwrap_or_else(|| end.saturating_sub(DAY));
            let window = Window::new(start, end);
            Some(window.map_err(|fault| Failure::BadQuestion(fault.to_string()))?)
        }
    };
    let max_points = match asked.max_points {
        None => None,
        Some(points) if points > 0 => Some(points.unsigned_abs()),
        Some(points) => {
            return Err(Failure::BadQuestion(format!("max_points {points} is not above 0")));
        }
    };
    let source = archive::source(asked.source)?;
    let text = Option::unwrap_or_default;
    let question = question(&text(asked.host_name), &text(asked.key))?;
    Ok(Question { window, max_points, source, ..question })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::wire::hosts::MetricsSource;

    fn asked(start: Option<i64>, end: Option<i64>, points: Option<i32>) -> MetricsQuestion {
        MetricsQuestion {
            host_name: Some("vm-1".to_owned()),
            key: None,
            start_time: start,
            end_time: end,
            max_points: points,
            source: None,
        }
    }

    #[test]
    fn a_window_is_filled_in() {
        let now = UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        for (start, end, window) in [
            (None, None, None),
            (Some(5), None, Some((5, 1_000_000))),
            (None, Some(100_000), Some((13_600, 100_000))),
            (Some(1), Some(2), Some((1, 2))),
        ] {
            let window = window.map(|(start, end)| Window::new(start, end).unwrap());
            assert_eq!(windowed(asked(start, end, None), now).unwrap().window, window);
        }
        assert_eq!(windowed(asked(None, None, Some(7)), now).unwrap().max_points, Some(7));
        for bad in [
            asked(Some(2), Some(2), None),
            asked(Some(2_000_000), None, None),
            asked(None, None, Some(0)),
            asked(None, None, Some(-1)),
            MetricsQuestion { host_name: None, ..asked(None, None, None) },
            MetricsQuestion { key: Some("a|b".to_owned()), ..asked(None, None, None) },
            MetricsQuestion { source: Some(MetricsSource(3)), ..asked(None, None, None) },
        ] {
            assert!(matches!(windowed(bad, now), Err(Failure::BadQuestion(_))));
        }
    }

    #[test]
    fn what_was_asked_wrongly_is_named() {
        let Err(Failure::BadQuestion(text)) = question("a b\n", "") else {
            panic!("the name was taken")
        };
        assert!(text.starts_with("the host name \"a b\\n\" has a character"), "{text}");
        let Err(Failure::BadQuestion(text)) = question("a", "x.$(id)") else {
            panic!("the key was taken")
        };
        assert!(text.starts_with("part 2 of the key is \"$(id)\""), "{text}");
    }
}
