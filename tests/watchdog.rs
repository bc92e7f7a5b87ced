//! What feeds the service supervisor's watchdog.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::appliance::{Appliance, fleet};
use common::nagios::{Nagios, Settings, wait_until};

/// The daemon reports three times in this.
const LIMIT: Duration = Duration::from_millis(900);

/// Whether a sign of life came within a limit from now on.
fn fed(supervisor: &UnixDatagram) -> bool {
    // What was said before now.
    let mut news = [0; 512];
    supervisor.set_nonblocking(true).unwrap();
    while supervisor.recv(&mut news).is_ok() {}
    supervisor.set_nonblocking(false).unwrap();
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        if let Ok(length) = supervisor.recv(&mut news)
            && news[..length].windows(10).any(|word| word == b"WATCHDOG=1")
        {
            return true;
        }
    }
    false
}

#[test]
fn a_state_db_that_takes_no_write_starves_the_watchdog() {
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::new(&nagios, "min_restart_interval = \"1s\"", "");
    let supervisor = appliance.start_watched(LIMIT);
    wait_until("the first meal", || fed(&supervisor).then_some(()));

    // Nagios may hang: a restart of ours would not help it.
    appliance.client_of_2014().set_hosts(&fleet(2)).unwrap();
    nagios.sigstop();
    assert!(fed(&supervisor));
    nagios.sigcont();

    let mut thief = rusqlite::Connection::open(appliance.path("state/state.db")).unwrap();
    let lock = thief.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive).unwrap();
    wait_until("an end of the meals", || (!fed(&supervisor)).then_some(()));
    appliance.wait_logged("the watchdog is not fed: state.db has not answered", 1);
    lock.rollback().unwrap();
    wait_until("meals again", || fed(&supervisor).then_some(()));
}
