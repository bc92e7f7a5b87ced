//! A start, one call of set_hosts, its way to a running Nagios, and a stop.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use weather_balloon::model::GivenHost;
use weather_balloon::rpc::client::{Error, GenerationState};

use super::common::appliance::{Appliance, fleet, given};
use super::common::faults::{Fault, Plan, Watch};
use super::common::hosts_file::Whole;
use super::common::nagios::{Nagios, Settings};
use super::sweep::Work;

pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct SetHosts {
    pub nagios: Nagios,
    pub appliance: Appliance,
    /// Whether Nagios is there to be restarted.
    running: bool,
    /// The number of the newest call, and whether it was acknowledged.
    number: usize,
    acknowledged: bool,
    /// A try of the last one that was acknowledged was refused before.
    refused: bool,
    /// What was live before it.
    before: Option<usize>,
}

pub fn hosts_of(number: usize) -> Vec<GivenHost> {
    let mut hosts = fleet(number % 5);
    hosts.push(given(&format!("mark-{number}"), "127.0.0.1"));
    hosts
}

/// Which call's set this is; panics where it is no call's whole set.
pub fn number_of(ids: &BTreeSet<String>) -> usize {
    let marks: Vec<_> = ids.iter().filter_map(|id| id.strip_prefix("mark-")).collect();
    let [mark] = marks[..] else { panic!("{ids:?} is no set of one call") };
    let number = mark.parse().unwrap();
    let wanted: BTreeSet<_> = hosts_of(number).into_iter().map(|host| host.id).collect();
    assert_eq!(*ids, wanted, "a part of a set");
    number
}

/// Whatever a fault did, the process did not panic and was not ended by a
/// signal of its own.
pub fn assert_composed(appliance: &Appliance, logged: usize) {
    let log = appliance.log();
    let said = &log[logged.min(log.len())..];
    assert!(!said.contains("panicked"), "{said}");
}

impl SetHosts {
    pub fn new(running: bool) -> Self {
        let mut nagios = Nagios::new(Settings::default());
        if running {
            nagios.start();
        }
        let appliance = Appliance::new(&nagios, "min_restart_interval = \"1s\"", "");
        Self {
            nagios,
            appliance,
            running,
            number: 0,
            acknowledged: false,
            refused: false,
            before: None,
        }
    }

    pub fn begin(&mut self, plan: Plan, recorded: bool) -> Watch {
        let watch = Watch::new(plan);
        let environment = watch.environment(recorded);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        self.appliance.begin_start_with(&environment);
        watch
    }

    /// Calls until it is acknowledged, or the process is no more.
    pub fn call(&mut self, plan: Plan) -> bool {
        self.number += 1;
        self.acknowledged = false;
        let mut refused = false;
        let deadline = Instant::now() + PATIENCE;
        while !self.appliance.has_ended() {
            assert!(Instant::now() < deadline, "never acknowledged");
            let Some(mut client) = self.appliance.try_client() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            match client.replace_hosts(hosts_of(self.number), false) {
                Ok(_) => {
                    (self.acknowledged, self.refused) = (true, refused);
                    return true;
                }
                Err(Error::Lost(_) | Error::Unreachable { .. }) => {}
                // A refused call of the kernel is told, and the next try is good.
                Err(told) if plan.fault != Fault::Kill => {
                    eprintln!("told: {told}");
                    refused = true;
                }
                Err(other) => panic!("{other}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn last_good(&self) -> PathBuf {
        self.nagios.conf_d().join(".hosts.cfg.last-good")
    }

    /// Until Nagios has proved that it read the file: without a question of
    /// ours, whose answer would be a call.
    fn wait_proved(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.appliance.has_ended() {
            let live = fs::read(self.nagios.hosts_file()).unwrap();
            if fs::read(self.last_good()).is_ok_and(|kept| kept == live) {
                return;
            }
            assert!(Instant::now() < deadline, "Nagios never read what was acknowledged");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Notes what is live while the program does not run.
    pub fn check_stopped(&mut self) {
        self.before = Some(number_of(&Whole::at(&self.nagios.hosts_file()).unwrap().ids));
    }

    /// Either the last call's set, or, where it was not acknowledged, what was
    /// live before it.
    pub fn expect(&mut self, acknowledged: bool) {
        self.acknowledged = acknowledged;
        self.before = Some(self.number - 1);
    }

    /// After a trial that failed in the middle.
    pub fn end(&mut self) {
        if self.appliance.is_started() {
            if !self.appliance.has_ended() {
                self.appliance.signal(nix::sys::signal::Signal::SIGKILL);
            }
            self.appliance.wait_ended();
        }
    }

    /// With the program running and free of faults.
    pub fn check_running(&mut self) {
        let mut client = self.appliance.client();
        let deadline = Instant::now() + PATIENCE;
        let history = loop {
            let history = client.get_history(0).unwrap();
            if !history.iter().any(|one| one.state == Some(GenerationState::PENDING)) {
                break history;
            }
            assert!(Instant::now() < deadline, "a generation stays pending");
            std::thread::sleep(Duration::from_millis(10));
        };
        let live: Vec<_> =
            history.iter().filter(|one| one.state == Some(GenerationState::LIVE)).collect();
        let Some(file) = Whole::at(&self.nagios.hosts_file()) else {
            assert!(live.is_empty() && !self.acknowledged && self.before.is_none());
            return;
        };
        assert_eq!(live.len(), 1);
        // What has the same hosts is not written again: the file of a try that
        // was refused after its swap is that of the next one, too.
        assert!(Some(file.generation) <= live[0].number);
        assert!(self.refused || Some(file.generation) == live[0].number, "another generation");
        let number = number_of(&file.ids);
        if self.acknowledged || Some(number) != self.before {
            assert_eq!(number, self.number, "acknowledged: {}", self.acknowledged);
        }
        self.before = Some(number);
    }
}

impl Work for SetHosts {
    fn run(&mut self, plan: Plan) -> Watch {
        let logged = self.appliance.log().len();
        let watch = self.begin(plan, false);
        if self.call(plan) && self.running {
            self.wait_proved();
        }
        if !self.appliance.has_ended() {
            self.appliance.signal(nix::sys::signal::Signal::SIGTERM);
        }
        let ended = self.appliance.wait_ended();
        assert!(ended.code().is_some() || plan.fault == Fault::Kill, "{ended}");
        assert_composed(&self.appliance, logged);
        watch
    }

    fn check(&mut self) {
        self.appliance.start();
        self.check_running();
        self.appliance.kill9();
        if self.running {
            assert!(is_alive(self.nagios.pid()), "Nagios has died:\n{}", self.nagios.log());
        }
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
