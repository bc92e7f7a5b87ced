//! A start, files of the perfdata spool on their way to the archive and to a
//! Carbon, and a stop.

use std::time::{Duration, Instant};

use super::carbon::Lines;
use super::common::appliance::Appliance;
use super::common::faults::{Fault, Plan, Watch};
use super::common::flow::{Points, archive_sections, archived, missing, rotate, rotated};
use super::common::graphite::{STEP, last_step};
use super::common::nagios::{Nagios, Settings, wait_until};
use super::set_hosts::{PATIENCE, assert_composed};
use super::sweep::Work;

const FILES: i64 = 2;

pub struct Shipping {
    pub nagios: Nagios,
    pub appliance: Appliance,
    carbon: Lines,
    pub wanted: Points,
    files: i64,
    newest: i64,
}

impl Shipping {
    pub fn new() -> Self {
        let nagios = Nagios::new(Settings::default());
        let carbon = Lines::start();
        let section = format!(
            "[carbon]\naddress = \"127.0.0.1:{}\"\nprotocol = \"plaintext\"\n\
             replay_window = \"1s\"\nmax_backoff = \"1s\"",
            carbon.port
        );
        let appliance = Appliance::new(&nagios, "", &archive_sections(&nagios, &section));
        let (wanted, newest) = (Points::new(), last_step());
        Self { nagios, appliance, carbon, wanted, files: 0, newest }
    }

    pub fn put_files(&mut self) {
        for _ in 0..FILES {
            self.files += 1;
            let slot = self.newest - STEP * (8_000 - self.files);
            rotate(&self.nagios.spool(), 1_700_000_000 + self.files, slot, &mut self.wanted);
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

    /// Until both sinks have all, and the spool nothing.
    pub fn wait_shipped(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.appliance.has_ended() && !rotated(&self.nagios.spool()).is_empty() {
            assert!(Instant::now() < deadline, "files stay in the spool");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// With the program running and free of faults: every point once in the
    /// archive, and at least once at Carbon.
    pub fn check_running(&mut self) {
        wait_until("an empty spool", || rotated(&self.nagios.spool()).is_empty().then_some(()));
        wait_until("every point in the archive", || {
            (missing(&self.wanted, &archived(&self.appliance)) == 0).then_some(())
        });
        assert_eq!(archived(&self.appliance).len(), self.wanted.len(), "more than there was");
        let status = self.appliance.client().get_archive_status().unwrap();
        assert_eq!(status.broken_rows, Some(0));
    }

    /// After a trial that failed in the middle.
    pub fn end(&mut self) {
        if self.appliance.is_started() {
            self.appliance.kill9();
        }
    }

    fn check_carbon(&self) {
        let kept = self.carbon.kept();
        for ((path, time), value) in &self.wanted {
            let line = format!("{path} {value:?} {time}");
            assert!(kept.contains(&line), "Carbon never got {line:?}");
        }
    }
}

impl Work for Shipping {
    fn run(&mut self, plan: Plan) -> Watch {
        let logged = self.appliance.log().len();
        self.put_files();
        let watch = self.begin(plan, false);
        self.wait_shipped();
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
        self.check_carbon();
    }
}
