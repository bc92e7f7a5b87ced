//! A start, one poll of a cloud in which one instance came and another was
//! deleted, its way to the ledger and to the hosts file, and a stop.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use weather_balloon::store::{self, Config};

use super::common::appliance::Appliance;
use super::common::cloud::{section, status, sync, wait_clock, write_password};
use super::common::faults::{Fault, Plan, Watch};
use super::common::hosts_file::Whole;
use super::common::ledger::assert_sound;
use super::common::nagios::{Nagios, Settings, wait_until};
use super::common::openstack::OpenStack;
use super::set_hosts::{PATIENCE, assert_composed};
use super::sweep::Work;

const CLOUD: &str = "east";

pub struct Poll {
    nagios: Nagios,
    appliance: Appliance,
    fake: OpenStack,
    living: Vec<String>,
    booted: usize,
    polled: bool,
}

impl Poll {
    pub fn new() -> Self {
        let nagios = Nagios::new(Settings::default());
        let fake = OpenStack::start();
        let appliance = Appliance::new(&nagios, "", "");
        let password = write_password(&appliance);
        appliance.configure(&nagios, "", &section(CLOUD, &fake, &password));
        let living: Vec<_> = (0..3).map(|_| fake.state().boot(Some("carol"), 1)).collect();
        let booted = living.len();
        Self { nagios, appliance, fake, living, booted, polled: false }
    }

    fn wanted(&self) -> BTreeSet<String> {
        self.living.iter().map(|id| format!("{CLOUD}_{id}")).collect()
    }

    fn watched(&self) -> Option<BTreeSet<String>> {
        Whole::at(&self.nagios.hosts_file()).map(|whole| whole.ids)
    }

    /// Every life is in the ledger once, and lasts until now or until its
    /// deletion.
    fn check_ledger(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let rows = runtime.block_on(async {
            let ledger = store::open(&Config::beside(&self.appliance.path("state"))).await.unwrap();
            let (mut rows, mut revision) = (std::collections::BTreeMap::new(), 0);
            loop {
                let page = ledger.segments_since(revision).await.unwrap();
                let Some(last) = page.last() else { return rows };
                revision = last.revision;
                rows.extend(page.into_iter().map(|row| (row.id, row)));
            }
        });
        assert_sound(&rows);
        let rows: Vec<_> = rows.into_values().filter(|row| !row.deleted).collect();
        let instances: BTreeSet<_> = rows.iter().map(|row| row.instance).collect();
        assert_eq!((rows.len(), instances.len()), (self.booted, self.booted));
        let open = rows.iter().filter(|row| row.to.is_none()).count();
        assert_eq!(open, self.living.len());
    }
}

impl Work for Poll {
    fn run(&mut self, plan: Plan) -> Watch {
        let logged = self.appliance.log().len();
        // What is deleted before the first listing is never known.
        if self.polled {
            let first = self.living.remove(0);
            self.living.push(self.fake.state().boot(Some("carol"), 1));
            self.booted += 1;
            wait_clock();
            self.fake.state().delete(&first);
            wait_clock();
        }
        self.polled = true;
        let watch = Watch::new(plan);
        let environment = watch.environment(false);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        self.appliance.begin_start_with(&environment);
        let deadline = Instant::now() + PATIENCE;
        while !self.appliance.has_ended() {
            if self.watched() == Some(self.wanted()) {
                break;
            }
            // A poll that failed is made again at its time, or when asked for.
            if plan.fault != Fault::Kill
                && let Some(mut client) = self.appliance.try_client()
                && let Err(told) = client.sync_cloud(Some(CLOUD.to_owned()))
            {
                eprintln!("told: {told}");
            }
            assert!(Instant::now() < deadline, "the poll's hosts never came");
            std::thread::sleep(Duration::from_millis(20));
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
        wait_until("a poll", || sync(&self.appliance, CLOUD).ok());
        let told = status(&self.appliance, CLOUD);
        assert_eq!(told.held_count, Some(0), "{told:?}");
        wait_until("the hosts of the cloud", || {
            (self.watched() == Some(self.wanted())).then_some(())
        });
        self.appliance.stop();
        self.check_ledger();
    }
}
