//! A start on a state of the oldest schema, which is brought to the newest.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::common::faults::{Fault, Plan, Watch};
use super::set_hosts::{PATIENCE, SetHosts, assert_composed};
use super::sweep::Work;

/// What the first schema lacks, in the order in which it came.
const LATER: &str = "DROP TABLE shipped; DROP TABLE absence; DROP TABLE appliance;
    ALTER TABLE generation DROP COLUMN caller;
    DELETE FROM refinery_schema_history WHERE version > 1;";

const NEWEST: [i64; 4] = [1, 2, 3, 4];

pub struct Schema {
    inner: SetHosts,
}

impl Schema {
    pub fn new() -> Self {
        let mut inner = SetHosts::new(false);
        inner.begin(Plan::NONE, false);
        assert!(inner.call(Plan::NONE));
        inner.appliance.kill9();
        Self { inner }
    }

    fn state(&self) -> Connection {
        Connection::open(self.inner.appliance.path("state/state.db")).unwrap()
    }

    fn versions(&self) -> Vec<i64> {
        let state = self.state();
        let mut query =
            state.prepare("SELECT version FROM refinery_schema_history ORDER BY version").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

impl Work for Schema {
    fn run(&mut self, plan: Plan) -> Watch {
        if self.versions().len() > 1 {
            self.state().execute_batch(LATER).unwrap();
        }
        for name in ["ledger.db", "metrics.db"] {
            for side in ["", "-wal", "-shm"] {
                let path = self.inner.appliance.path(&format!("state/{name}{side}"));
                let _ = std::fs::remove_file(path);
            }
        }
        let logged = self.inner.appliance.log().len();
        let watch = self.inner.begin(plan, false);
        let deadline = Instant::now() + PATIENCE;
        while !self.inner.appliance.has_ended() {
            if self.inner.appliance.try_client().is_some() {
                break;
            }
            assert!(Instant::now() < deadline, "it never came up");
            std::thread::sleep(Duration::from_millis(10));
        }
        if !self.inner.appliance.has_ended() {
            self.inner.appliance.signal(nix::sys::signal::Signal::SIGTERM);
        }
        let ended = self.inner.appliance.wait_ended();
        assert!(ended.code().is_some() || plan.fault == Fault::Kill, "{ended}");
        assert_composed(&self.inner.appliance, logged);
        watch
    }

    fn check(&mut self) {
        let between = self.versions();
        assert!(between == [1] || between == NEWEST, "half a migration: {between:?}");
        self.inner.appliance.start();
        self.inner.check_running();
        self.inner.appliance.kill9();
        assert_eq!(self.versions(), NEWEST);
    }
}
