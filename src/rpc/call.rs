//! What can be asked, what is answered, and how a call can fail.

use thrift::ApplicationErrorKind;

use crate::cloud;
use crate::hosts;
use crate::inspect::Finding;
use crate::metrics::{GivenSeries, Imported, Pruned};
use crate::model::{HostFaults, HostSet, Series};
use crate::shipping;
use crate::usage;

use super::archive::Standing;
use super::wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    SetHosts,
    GetMetrics,
    ReplaceHosts,
    DiffHosts,
    GetHosts,
    GetStatus,
    GetPerfdataStatus,
    GetHistory,
    Rollback,
    QueryMetrics,
    Inspect,
    TraceHost,
    GetArchiveStatus,
    PruneMetrics,
    ImportMetrics,
    GetLeaderboard,
    GetUserStats,
    GetUsage,
    GetClouds,
    SyncCloud,
    ReleaseCloud,
}

const HOSTS: [Method; 15] = [
    Method::SetHosts,
    Method::GetMetrics,
    Method::ReplaceHosts,
    Method::DiffHosts,
    Method::GetHosts,
    Method::GetStatus,
    Method::GetPerfdataStatus,
    Method::GetHistory,
    Method::Rollback,
    Method::QueryMetrics,
    Method::Inspect,
    Method::TraceHost,
    Method::GetArchiveStatus,
    Method::PruneMetrics,
    Method::ImportMetrics,
];
const CLOUD: [Method; 6] = [
    Method::GetLeaderboard,
    Method::GetUserStats,
    Method::GetUsage,
    Method::GetClouds,
    Method::SyncCloud,
    Method::ReleaseCloud,
];

impl Method {
    /// Finds a method by its name, which a multiplexing client puts behind its
    /// service's name and a colon.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (services, plain): (&[&[Method]], &str) = match name.split_once(':') {
            None => (&[&HOSTS, &CLOUD], name),
            Some(("Hosts", plain)) => (&[&HOSTS], plain),
            Some(("Cloud", plain)) => (&[&CLOUD], plain),
            Some(_) => return None,
        };
        services.iter().copied().flatten().copied().find(|method| method.name() == plain)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Method::SetHosts => "set_hosts",
            Method::GetMetrics => "get_metrics",
            Method::ReplaceHosts => "replace_hosts",
            Method::DiffHosts => "diff_hosts",
            Method::GetHosts => "get_hosts",
            Method::GetStatus => "get_status",
            Method::GetPerfdataStatus => "get_perfdata_status",
            Method::GetHistory => "get_history",
            Method::Rollback => "rollback",
            Method::QueryMetrics => "query_metrics",
            Method::Inspect => "inspect",
            Method::TraceHost => "trace_host",
            Method::GetArchiveStatus => "get_archive_status",
            Method::PruneMetrics => "prune_metrics",
            Method::ImportMetrics => "import_metrics",
            Method::GetLeaderboard => "get_leaderboard",
            Method::GetUserStats => "get_user_stats",
            Method::GetUsage => "get_usage",
            Method::GetClouds => "get_clouds",
            Method::SyncCloud => "sync_cloud",
            Method::ReleaseCloud => "release_cloud",
        }
    }

    /// The methods of 2014 declare no exceptions: an old client would read a
    /// declared one as success.
    pub(super) fn is_of_2014(self) -> bool {
        matches!(
            self,
            Method::SetHosts | Method::GetMetrics | Method::GetLeaderboard | Method::GetUserStats
        )
    }
}

/// A method with its arguments. Hosts are checked where they are decoded.
#[derive(Debug)]
pub(super) enum Call {
    SetHosts(Result<HostSet, HostFaults>),
    GetMetrics { host_name: String, key: String },
    ReplaceHosts(Result<HostSet, HostFaults>, bool),
    DiffHosts(Result<HostSet, HostFaults>),
    GetHosts,
    GetStatus,
    GetPerfdataStatus,
    GetHistory(i32),
    Rollback(i64, bool),
    QueryMetrics(wire::hosts::MetricsQuestion),
    GetLeaderboard { start: i32, end: i32 },
    GetUserStats { start: i32, end: i32, username: String },
    GetUsage(wire::cloud::UsageQuestion),
    Inspect(String),
    TraceHost(String),
    GetClouds,
    SyncCloud(wire::cloud::CloudOrder),
    ReleaseCloud(wire::cloud::CloudOrder),
    GetArchiveStatus,
    PruneMetrics(wire::hosts::PruneQuestion),
    ImportMetrics(Result<Vec<GivenSeries>, String>),
}

#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Metrics(Vec<Series>),
    Generation(hosts::Generation),
    Diff(hosts::Diff),
    View(hosts::View),
    Status(hosts::Status),
    PerfdataStatus(shipping::View),
    History(Vec<hosts::Generation>),
    UserStats(Vec<usage::Group>),
    Usage(usage::Report),
    Findings(Vec<Finding>),
    Clouds(Vec<cloud::CloudView>),
    ArchiveStatus(Option<Box<Standing>>),
    Pruned(Vec<Pruned>),
    Imported(Imported),
}

/// Every failure but the first goes out as the exception of its name where the
/// method declares it, and as a TApplicationException from a method of 2014.
#[derive(Debug)]
pub(super) enum Failure {
    Application(ApplicationErrorKind, String),
    Invalid(std::sync::Arc<HostFaults>),
    Held { message: String, removed: usize, current: usize },
    Rejected(String),
    BadQuestion(String),
    Unavailable(String),
}

impl Failure {
    pub(super) fn internal(sentence: impl Into<String>) -> Self {
        Self::Application(ApplicationErrorKind::InternalError, sentence.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_plain_and_multiplexed() {
        for (service, methods) in [("Hosts", &HOSTS[..]), ("Cloud", &CLOUD[..])] {
            for method in methods {
                assert_eq!(Method::named(method.name()), Some(*method));
                assert_eq!(Method::named(&format!("{service}:{}", method.name())), Some(*method));
            }
        }
        for unknown in ["", ":", "Cloud:set_hosts", "Hosts:Hosts:set_hosts", "hosts:set_hosts"] {
            assert_eq!(Method::named(unknown), None, "{unknown:?}");
        }
    }
}
