//! Clouds and a ledger that is down, or that two appliances share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::time::{Duration, Instant};

use common::appliance::{Appliance, given};
use common::cloud::{
    QUICK, hide, section, section_every, status, sync, wait_polled, watched, write_password,
};
use common::nagios::{Account, Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use common::postgres::Postgres;
use weather_balloon::rpc::client::CloudRole;

/// The section for a database of this server.
fn store(appliance: &Appliance, server: &Postgres, database: &str) -> String {
    let config = server.config(database);
    let password = appliance.path("database-password");
    std::fs::copy(&config.password_file, &password).unwrap();
    Account::of_nagios().give(&password);
    format!(
        "[store]\nurl = \"{}\"\npassword_file = \"{}\"\ntls = \"off\"\nconnect_timeout = \"2s\"\n",
        config.url,
        password.display()
    )
}

#[test]
fn a_dead_ledger_delays_nothing_and_ends_nothing() {
    let nagios = Nagios::start_new(Settings::default());
    let mut server = Postgres::start(false);
    let fake = OpenStack::start();
    let fleet: Vec<_> = (0..4).map(|_| fake.state().boot(Some("carol"), 0)).collect();
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let password = write_password(&appliance);
    let ledger = store(&appliance, &server, &server.database());
    let east = section("east", &fake, &password);
    appliance.configure(&nagios, QUICK, &format!("{ledger}{east}"));
    appliance.start();
    assert_eq!(wait_polled(&appliance, "east").role, Some(CloudRole::POLLS));

    server.kill();
    let began = Instant::now();
    appliance.client().replace_hosts(vec![given("mine", "127.0.0.1")], false).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "set_hosts waited for the ledger");
    // What comes, comes; what the cloud explains, goes; the rest stays.
    let new = fake.state().boot(Some("carol"), 0);
    let hidden = hide(&fake);
    hidden.lock().unwrap().insert(fleet[0].clone());
    fake.state().delete(&fleet[1]);
    for _ in 0..2 {
        let blind = sync(&appliance, "east").unwrap();
        assert_eq!(blind.role, Some(CloudRole::NO_LEDGER));
        assert!(blind.trouble.is_some());
    }
    let expected = [&fleet[0], &fleet[2], &fleet[3], &new].map(String::clone).into();
    assert_eq!(watched(&appliance, &nagios, "east"), expected);
    // A start without a ledger changes none of it.
    appliance.stop();
    appliance.start();
    assert_eq!(watched(&appliance, &nagios, "east"), expected);

    server.start_again();
    wait_until("a ledger again", || {
        let status = sync(&appliance, "east").ok()?;
        (status.role == Some(CloudRole::POLLS)).then_some(())
    });
    assert_eq!(watched(&appliance, &nagios, "east"), expected);
    assert_eq!(status(&appliance, "east").trouble, None);
}

#[test]
fn of_two_on_one_ledger_one_polls_and_the_other_follows() {
    let server = Postgres::shared();
    let database = server.database();
    let fake = OpenStack::start();
    let mut fleet: Vec<_> = (0..3).map(|_| fake.state().boot(Some("carol"), 0)).collect();
    let places = [(); 2].map(|()| Nagios::start_new(Settings::default()));
    let mut appliances = places.each_ref().map(|nagios| {
        let appliance = Appliance::new(nagios, QUICK, "");
        let password = write_password(&appliance);
        let ledger = store(&appliance, server, &database);
        let east = section_every("east", &fake, &password, "2s");
        appliance.configure(nagios, QUICK, &format!("{ledger}{east}"));
        appliance
    });
    let [first, second] = &mut appliances;
    first.start();
    wait_polled(first, "east");
    second.start();
    wait_polled(second, "east");
    assert_eq!(status(first, "east").role, Some(CloudRole::POLLS));
    assert_eq!(status(second, "east").role, Some(CloudRole::FOLLOWS));
    // What stops and what comes is seen there, too.
    fake.state().stop(&fleet[0]);
    fleet[0] = fake.state().boot(Some("carol"), 0);
    let expected = fleet.iter().cloned().collect();
    for (appliance, nagios) in [&*first, &*second].into_iter().zip(&places) {
        wait_until("both to see it", || {
            (watched(appliance, nagios, "east") == expected).then_some(())
        });
    }
    let log_ins = fake.state().logins;
    assert_eq!(log_ins, 1, "only one of them asks the cloud");
    // The other one goes on where the first has left.
    first.stop();
    wait_until("the other one to poll", || {
        (status(second, "east").role == Some(CloudRole::POLLS)).then_some(())
    });
    assert_eq!(watched(second, &places[1], "east"), expected);
}
