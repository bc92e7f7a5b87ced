//! One host, from its source to its newest measurement, hop by hop.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::hosts::{Generation, GenerationState, Hosts, WatchedHost};
use crate::metrics::{Metrics, Question, Source};
use crate::model::{HostId, HostSeen, HostState, MetricKey, MetricNode, ServiceState};
use crate::telemetry::sentence;

use super::nagios::seconds;
use super::{Finding, Subjects, Verdict};

/// Services are checked each 15 minutes at most, and Carbon may hold a point
/// back for a while.
const STALE_SECONDS: i64 = 3600;

/// Generations that are looked at for one that was rejected.
const RECENT: usize = 5;

/// Ends at the first hop that is broken: what lies behind it follows from it.
pub(super) async fn follow(subjects: &Subjects, host: &HostId) -> Vec<Finding> {
    let mut found: Vec<Finding> = super::clouds::trace(subjects, host).into_iter().collect();
    if found.iter().any(|finding| finding.verdict == Verdict::Fail) {
        return found;
    }
    for hop in [
        Hop::Source,
        Hop::Generation,
        Hop::HostsFile,
        Hop::Nagios,
        Hop::Checks,
        Hop::Perfdata,
        Hop::Measurement,
    ] {
        let finding = hop.look(subjects, host).await;
        let broken = finding.verdict == Verdict::Fail;
        found.push(finding);
        if broken {
            break;
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Hop {
    Source,
    Generation,
    HostsFile,
    Nagios,
    Checks,
    Perfdata,
    Measurement,
}

impl Hop {
    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Generation => "generation",
            Self::HostsFile => "hosts file",
            Self::Nagios => "nagios",
            Self::Checks => "checks",
            Self::Perfdata => "performance data",
            Self::Measurement => "measurement",
        }
    }

    fn ok(self, what: impl Into<String>) -> Finding {
        Finding::new("host", self.name(), Verdict::Ok, what)
    }

    fn warn(self, what: impl Into<String>) -> Finding {
        Finding::new("host", self.name(), Verdict::Warn, what)
    }

    fn fail(self, what: impl Into<String>) -> Finding {
        Finding::new("host", self.name(), Verdict::Fail, what)
    }

    async fn look(self, subjects: &Subjects, host: &HostId) -> Finding {
        match self {
            Self::Source => self.source(subjects, host).await,
            Self::Generation => self.generation(subjects, host).await,
            Self::HostsFile => self.hosts_file(subjects, host).await,
            Self::Nagios => match self.seen(subjects, host).await {
                Ok(seen) => self.nagios(&seen),
                Err(broken) => *broken,
            },
            Self::Checks => match self.seen(subjects, host).await {
                Ok(seen) => self.checks(&seen),
                Err(broken) => *broken,
            },
            Self::Perfdata => match self.seen(subjects, host).await {
                Ok(seen) => self.perfdata(subjects, &seen).await,
                Err(broken) => *broken,
            },
            Self::Measurement => self.measurement(subjects, host).await,
        }
    }

    async fn source(self, subjects: &Subjects, host: &HostId) -> Finding {
        let Some(running) = &subjects.running else {
            return self.warn("only the daemon knows the sources").fix("start weather-balloon");
        };
        let view = running.hosts.view();
        let found = view.hosts.binary_search_by(|one| one.host.id.as_str().cmp(host.as_str()));
        let refused = view.skipped.iter().find_map(|(source, faults)| {
            let fault =
                faults.first().iter().find(|fault| fault.to_string().contains(host.as_str()));
            Some((source, fault?.to_string()))
        });
        match (found.ok().map(|at| &view.hosts[at]), refused) {
            (Some(WatchedHost { host, source, watched: true }), _) => {
                self.ok(format!("{source} names it, at {}", host.address))
            }
            (Some(WatchedHost { source, .. }), _) => self
                .fail(format!("{source} names it, but it is over max_hosts and not watched"))
                .fix("raise [nagios] max_hosts"),
            (None, Some((source, fault))) => {
                self.fail(format!("{source} names it, and it was left out: {fault}"))
                    .fix("give it an id and an address that Nagios can take")
            }
            (None, None) => match rejected(&running.hosts, host).await {
                Some(generation) => {
                    self.ok(format!("{} names it, in generation {}", generation.source, generation.number))
                }
                None => self.fail("no source names it").fix(
                    "`weather-balloon hosts list` shows what is named; set_hosts or the cloud must name it",
                ),
            },
        }
    }

    async fn generation(self, subjects: &Subjects, host: &HostId) -> Finding {
        let Some(running) = &subjects.running else {
            return self.warn("only the daemon knows the generations").fix("start weather-balloon");
        };
        let view = running.hosts.view();
        if !view.hosts.iter().any(|one| one.host.id == *host)
            && let Some(generation) = rejected(&running.hosts, host).await
        {
            let reason = generation.reason.unwrap_or_else(|| "nobody knows why".to_owned());
            return self
                .fail(format!("generation {} was rejected: {reason}", generation.number))
                .fix(
                    "mend what it names and set the hosts again; `weather-balloon hosts history`",
                );
        }
        let status = view.status;
        match (status.live_generation, status.trouble) {
            (Some(number), None) => self.ok(format!("generation {number} is on disk")),
            (Some(number), Some(trouble)) => {
                self.warn(format!("generation {number} is on disk; {trouble}"))
            }
            (None, trouble) => self
                .fail(trouble.unwrap_or_else(|| "no generation is on disk".to_owned()))
                .fix("`weather-balloon hosts history` says why it was rejected"),
        }
    }

    async fn hosts_file(self, subjects: &Subjects, host: &HostId) -> Finding {
        let path = subjects.nagios.config().hosts_file.display().to_string();
        match subjects.nagios.live_ids().await {
            Ok(ids) if ids.contains(host) => self.ok(format!("{path} defines it")),
            Ok(_) => self
                .fail(format!("{path} does not define it, or is not a whole file of ours"))
                .fix("restart weather-balloon, which writes the file anew"),
            Err(fault) => self.fail(sentence(&fault)).fix("let weather-balloon read its own file"),
        }
    }

    /// The status file is read once a hop: nobody asks often.
    async fn seen(self, subjects: &Subjects, host: &HostId) -> Result<HostSeen, Box<Finding>> {
        match subjects.nagios.last_seen(host).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => {
                let due = subjects.running.as_ref().is_some_and(|r| !r.hosts.view().status.in_step);
                let what = if due {
                    "Nagios has not read the file yet: a restart is due"
                } else {
                    "Nagios's status file does not have it"
                };
                Err(Box::new(
                    self.fail(what)
                        .fix("`weather-balloon doctor` says what keeps Nagios from reading it"),
                ))
            }
            Err(fault) => Err(Box::new(
                self.fail(sentence(&fault))
                    .fix("let weather-balloon read status_file of nagios.cfg"),
            )),
        }
    }

    fn nagios(self, seen: &HostSeen) -> Finding {
        match seen.last_check {
            None => self.ok("Nagios has it; its own check comes by Nagios's schedule"),
            Some(time) if seen.state == HostState::Up => {
                self.ok(format!("Nagios saw it up {} ago", since(time)))
            }
            Some(time) => self
                .warn(format!("Nagios saw it down {} ago: {}", since(time), seen.output))
                .fix("look at the machine and the network between"),
        }
    }

    fn checks(self, seen: &HostSeen) -> Finding {
        let all = seen.services.len();
        if all == 0 {
            return self.fail("no service is checked on it").fix(
                "the services come by the hostgroup of [nagios]: look whether atmo-services.cfg is in Nagios's configuration",
            );
        }
        let checked: Vec<_> = seen.services.iter().filter(|one| one.last_check.is_some()).collect();
        let newest = checked.iter().filter_map(|one| one.last_check).max();
        let Some(newest) = newest else {
            return self.fail(format!("none of its {all} services was checked yet")).fix(
                "first checks take up to check_interval (15 minutes); execute_service_checks must be 1",
            );
        };
        // Those that cannot be asked say UNKNOWN, or CRITICAL about the socket.
        let silent: Vec<_> = checked
            .iter()
            .filter(|one| !one.measured && one.state >= ServiceState::Critical)
            .collect();
        match silent.first() {
            Some(one) if silent.len() == checked.len() => self
                .fail(format!(
                    "none of its services can be asked: {}: {}",
                    one.description, one.output
                ))
                .fix("NRPE must run there, allow this host (allowed_hosts) and know the commands"),
            Some(one) => self
                .warn(format!(
                    "{} of {all} services cannot be asked: {}: {}",
                    silent.len(),
                    one.description,
                    one.output
                ))
                .fix("define the missing commands in NRPE's configuration there"),
            None => self.ok(format!(
                "{} of {all} services were checked, the newest {} ago",
                checked.len(),
                since(newest)
            )),
        }
    }

    async fn perfdata(self, subjects: &Subjects, seen: &HostSeen) -> Finding {
        if !seen.services.iter().any(|one| one.measured) {
            return self
                .fail("no check of it gave performance data")
                .fix("let its plugins print performance data behind a |");
        }
        if !subjects.perfdata.is_on() {
            return self.fail("performance data is not read").fix("set [perfdata] spool");
        }
        match subjects.nagios.other_perfdata_settings(&subjects.perfdata.spool).await {
            Ok(others) if others.is_empty() => {}
            Ok(_) | Err(_) => {
                return self
                    .fail("Nagios does not hand its performance data over")
                    .fix("`weather-balloon setup`, then restart Nagios");
            }
        }
        let view = subjects.running.as_ref().map(|running| running.shipping.view());
        let stuck = view.iter().flat_map(|view| {
            view.sinks
                .iter()
                .filter_map(|(name, sink)| Some(format!("{name}: {}", sink.trouble.as_ref()?)))
        });
        match stuck.collect::<Vec<_>>().first() {
            Some(stuck) => {
                self.warn(stuck.as_str()).fix("`weather-balloon doctor` says what to do")
            }
            None => self.ok("its performance data is read"),
        }
    }

    async fn measurement(self, subjects: &Subjects, host: &HostId) -> Finding {
        let metrics = match &subjects.running {
            Some(running) => running.metrics.clone(),
            None if subjects.graphite.is_some() => Metrics::new(subjects.graphite.clone(), None),
            None => {
                return self
                    .warn("only the daemon can read the archive")
                    .fix("start weather-balloon");
            }
        };
        let key = match MetricKey::parse("") {
            Ok(key) => key,
            Err(fault) => return self.fail(sentence(&fault)),
        };
        let question = Question {
            node: MetricNode::of(host),
            key,
            window: None,
            max_points: None,
            source: Source::Configured,
        };
        let (keeper, slow) = if subjects.graphite.is_some() {
            (
                "Graphite",
                "new series wait for MAX_CREATES_PER_MINUTE of Carbon; `weather-balloon doctor` looks at each hop",
            )
        } else {
            (
                "the archive",
                "a new series has its first point after its first check; `weather-balloon doctor` looks at each hop",
            )
        };
        let series = match metrics.answer(&question).await {
            Ok(series) => series,
            Err(fault) => return self.fail(sentence(&fault)).fix("see `weather-balloon doctor`"),
        };
        let points =
            series.iter().flat_map(|one| &one.points).filter(|point| point.value.is_some());
        match points.map(|point| point.time).max() {
            None => self.fail(format!("{keeper} has nothing of it of the last 24 hours")).fix(slow),
            Some(newest) if now() - newest > STALE_SECONDS => self
                .fail(format!(
                    "the newest of {} series in {keeper} is {} old",
                    series.len(),
                    since(newest)
                ))
                .fix(format!(
                    "`weather-balloon doctor` looks at each hop between Nagios and {keeper}"
                )),
            Some(newest) => self.ok(format!(
                "{keeper} has {} series, the newest point {} ago",
                series.len(),
                since(newest)
            )),
        }
    }
}

/// The newest of the last generations, where it would have added the host and
/// was rejected.
async fn rejected(hosts: &Hosts, host: &HostId) -> Option<Generation> {
    for generation in hosts.history(RECENT).await.ok()? {
        let change = hosts.change_of(generation.number).await.ok().flatten()?;
        if change.diff.added.iter().any(|added| added.id == *host) {
            return Some(generation).filter(|one| one.state == GenerationState::Rejected);
        }
    }
    None
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn since(time: i64) -> String {
    seconds((now() - time) as f64)
}
