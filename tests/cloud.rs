//! Clouds through the whole process: a fake OpenStack, the appliance, its
//! ledger and a real Nagios.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::BTreeSet;

use common::appliance::{Appliance, given};
use common::cloud::{
    QUICK, age_absences, garble, gone, hide, section, section_every, segments, start, status, sync,
    wait_clock, wait_polled, watched, write_password, write_secret,
};
use common::moto::Moto;
use common::nagios::{Nagios, Settings, wait_until};
use common::nrpe::Nrpe;
use common::openstack::{OpenStack, later};
use common::slapd::{SUFFIX, Slapd, Tree};
use serde_json::json;
use weather_balloon::rpc::client::{CloudBlame, CloudRole, Error, UsageQuestion, UsageReport};
use weather_balloon::rpc::wire::cloud::TCloudSyncClient;

fn set<const N: usize>(ids: [&String; N]) -> BTreeSet<String> {
    ids.into_iter().cloned().collect()
}

fn boot(fake: &OpenStack, count: usize) -> Vec<String> {
    (0..count).map(|_| fake.state().boot(Some("carol"), 1)).collect()
}

fn all(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// Of all of time.
fn all_usage(appliance: &Appliance) -> Option<UsageReport> {
    let question = UsageQuestion::new(Some(0), None, None, None, None, None, None, None, None);
    appliance.client().get_usage(&question).ok()
}

#[test]
fn what_runs_is_watched_and_what_was_explained_leaves_at_once() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let (one, two, three) = {
        let mut state = fake.state();
        (state.boot(Some("carol"), 0), state.boot(Some("dave"), 1), state.boot(None, 2))
    };
    let appliance = start(&nagios, &[("east", &fake)], "");
    let first = wait_polled(&appliance, "east");
    assert_eq!((first.role, first.configured), (Some(CloudRole::POLLS), Some(true)));
    assert_eq!((first.instance_count, first.watched_count), (Some(3), Some(3)));
    assert_eq!(watched(&appliance, &nagios, "east"), set([&one, &two, &three]));
    let host = &nagios.hosts()[&format!("east_{one}")];
    assert_eq!(host["display_name"], format!("east_{one}"));
    assert_eq!(host["address"], "10.0.0.1");

    // Stopped on purpose is not DOWN; deleted is gone; neither is held, though
    // they are most of it.
    fake.state().stop(&two);
    fake.state().delete(&one);
    let four = fake.state().boot(Some("dave"), 0);
    let after = sync(&appliance, "east").unwrap();
    assert_eq!((after.instance_count, after.running_count), (Some(3), Some(2)));
    assert_eq!(after.held_count, Some(0));
    assert_eq!(watched(&appliance, &nagios, "east"), set([&three, &four]));
    fake.state().delete(&three);
    fake.state().delete(&four);
    sync(&appliance, "east").unwrap();
    assert_eq!(watched(&appliance, &nagios, "east"), BTreeSet::new());
    assert_eq!(gone(&appliance).len(), 3, "the stopped one stays in the ledger");

    // An unchanged fleet writes nothing.
    let before = appliance.status();
    sync(&appliance, "east").unwrap();
    assert_eq!(appliance.status().live_generation, before.live_generation);
    wait_until("a leaderboard", || {
        let report = all_usage(&appliance)?;
        let names: BTreeSet<_> = report.rows?.into_iter().filter_map(|row| row.name).collect();
        names.contains("dave").then_some(())
    });
}

#[test]
fn a_failing_cloud_keeps_its_hosts_and_the_others_go_on() {
    let nagios = Nagios::start_new(Settings::default());
    let (east, west) = (OpenStack::start(), OpenStack::start());
    east.state().max_limit = 2;
    let eastern = boot(&east, 5);
    let western = boot(&west, 2);
    let appliance = start(&nagios, &[("east", &east), ("west", &west)], "");
    wait_polled(&appliance, "east");
    wait_polled(&appliance, "west");
    for page in 0..3 {
        let first = east.state().pages + page;
        east.meddle(move |_, request, asked, answer| {
            if request.line.contains("/servers/detail") && asked >= first {
                return later("503 Service Unavailable", "3000").steps();
            }
            answer.steps()
        });
        let Err(Error::Unavailable(told)) = sync(&appliance, "east") else {
            panic!("page {page} was not missed")
        };
        let shown = status(&appliance, "east");
        assert_eq!(shown.error.as_deref(), Some(told.as_str()));
        assert_eq!(shown.blame, Some(CloudBlame::THROTTLING));
        assert!(shown.next_poll_time.unwrap() - shown.last_attempt_time.unwrap() >= 2000);
        assert_eq!(watched(&appliance, &nagios, "east"), all(&eastern));
    }
    // The other one is polled as ever.
    let more = boot(&west, 1);
    west.state().stop(&western[0]);
    sync(&appliance, "west").unwrap();
    assert_eq!(watched(&appliance, &nagios, "west"), set([&western[1], &more[0]]));
    let listed = appliance.cli(&["clouds", "list"]);
    let told = String::from_utf8(listed.stderr).unwrap();
    assert!(told.contains("east: throttled: "), "{told}");
    // A wrong password is said as what it is, and shown nowhere.
    east.meddle(|_, _, _, _| {
        common::openstack::Answer::json("401 Unauthorized", &serde_json::json!({})).steps()
    });
    sync(&appliance, "east").unwrap_err();
    assert_eq!(status(&appliance, "east").blame, Some(CloudBlame::CREDENTIALS));
    assert!(!appliance.log().contains(common::openstack::PASSWORD));
    east.behave();
    let back = sync(&appliance, "east").unwrap();
    assert_eq!((back.error, back.missing_count), (None, Some(0)));
    assert_eq!(watched(&appliance, &nagios, "east"), all(&eastern));
}

/// Hides them, and lets two listings agree on it.
fn vanish(appliance: &Appliance, fake: &OpenStack, ids: &[String]) {
    let hidden = hide(fake);
    hidden.lock().unwrap().extend(ids.iter().cloned());
    let first = sync(appliance, "east").unwrap();
    assert_eq!((first.missing_count, first.held_count), (Some(ids.len() as i64), Some(0)));
    wait_clock();
    age_absences(appliance);
    sync(appliance, "east").unwrap();
}

#[test]
fn a_fleet_that_vanishes_is_held_until_it_is_released() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let fleet = boot(&fake, 10);
    let mut appliance = start(&nagios, &[("east", &fake)], "");
    wait_polled(&appliance, "east");
    vanish(&appliance, &fake, &fleet);
    let held = status(&appliance, "east");
    assert_eq!((held.held_count, held.instance_count), (Some(10), Some(0)), "not held");
    assert_eq!(held.held.as_ref().unwrap()[0].reason.as_deref(), Some("brake"));
    assert_eq!(watched(&appliance, &nagios, "east"), all(&fleet));
    let synced = appliance.cli(&["clouds", "sync", "east"]);
    assert_eq!(synced.status.code(), Some(4), "{}", String::from_utf8_lossy(&synced.stderr));
    assert_eq!(gone(&appliance), []);

    // Additions pass; a restart forgets nothing; what is told again is known.
    let new = boot(&fake, 1);
    appliance.stop();
    appliance.start();
    wait_polled(&appliance, "east");
    let again = sync(&appliance, "east").unwrap();
    assert_eq!((again.held_count, again.held_token), (Some(10), held.held_token));
    let mut everything = all(&fleet);
    everything.insert(new[0].clone());
    assert_eq!(watched(&appliance, &nagios, "east"), everything);

    // What was explained goes: the cloud now says that it knows no such one.
    let hidden = hide(&fake);
    hidden.lock().unwrap().extend(fleet[1..].iter().cloned());
    fake.state().delete(&fleet[0]);
    let fewer = sync(&appliance, "east").unwrap();
    assert_eq!(fewer.held_count, Some(9));
    everything.remove(&fleet[0]);
    assert_eq!(watched(&appliance, &nagios, "east"), everything);

    // A release applies to what was shown.
    let stale = appliance.client().release_cloud("east".into(), held.held_token);
    assert!(matches!(stale, Err(Error::BadQuestion(told)) if told.contains("has changed")));
    wait_clock();
    let released = appliance.cli(&["clouds", "release", "east"]);
    let told = String::from_utf8_lossy(&released.stderr);
    assert_eq!(released.status.code(), Some(0), "{told}");
    assert!(told.contains("too many went at once"), "{told}");
    assert_eq!(watched(&appliance, &nagios, "east"), all(&new));
    assert_eq!(gone(&appliance).len(), 10);
    let nothing = appliance.client().release_cloud("east".into(), None);
    assert!(matches!(nothing, Err(Error::BadQuestion(_))));
    // Once: the next that vanish are held anew.
    hidden.lock().unwrap().extend(new.iter().cloned());
    wait_clock();
    assert_eq!(sync(&appliance, "east").unwrap().missing_count, Some(1));
    age_absences(&appliance);
    wait_clock();
    assert_eq!(sync(&appliance, "east").unwrap().held_count, Some(1));
}

#[test]
fn few_go_after_two_listings_and_a_witness_keeps_one() {
    let nrpe = Nrpe::start();
    let settings = Settings {
        checks: true,
        nrpe_port: Some(nrpe.port),
        status_update_interval: 1,
        ..Settings::default()
    };
    let nagios = Nagios::start_new(settings);
    let fake = OpenStack::start();
    let fleet = boot(&fake, 6);
    // Nagios asks one NRPE for all of them.
    let appliance = start(&nagios, &[("east", &fake)], "");
    wait_polled(&appliance, "east");
    appliance.wait_in_step();
    let is_seen = |id: &str| {
        let status = std::fs::read_to_string(nagios.status_file()).unwrap_or_default();
        status.split("servicestatus {").skip(1).any(|block| {
            block.contains(&format!("host_name=east_{id}\n")) && !block.contains("last_time_ok=0\n")
        })
    };
    wait_until("checks that end OK", || (is_seen(&fleet[0]) && is_seen(&fleet[1])).then_some(()));
    // Another one has the first one's address now, so its checks say nothing
    // of it; the second still answers.
    let heir = fake.state().boot(Some("carol"), 0);
    let address = fake.state().server(&fleet[0]).addresses.clone();
    fake.state().server(&heir).addresses = address;
    vanish(&appliance, &fake, &fleet[..2]);
    let after = status(&appliance, "east");
    assert_eq!(after.held_count, Some(1));
    let held = &after.held.unwrap()[0];
    assert_eq!(held.instance_id.as_ref(), Some(&fleet[1]));
    assert_eq!(held.reason.as_deref(), Some("witness"));
    let mut left = all(&fleet[1..]);
    left.insert(heir);
    assert_eq!(watched(&appliance, &nagios, "east"), left);
    assert_eq!(gone(&appliance).iter().map(|one| &one.0).collect::<Vec<_>>(), [&fleet[0]]);
    wait_clock();
    appliance.client().release_cloud("east".into(), after.held_token).unwrap();
    left.remove(&fleet[1]);
    assert_eq!(watched(&appliance, &nagios, "east"), left);
}

#[test]
fn addresses_that_are_lost_together_take_no_host_with_them() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let fleet = boot(&fake, 8);
    let appliance = start(&nagios, &[("east", &fake)], "");
    wait_polled(&appliance, "east");
    let addresses: Vec<_> =
        fleet.iter().map(|id| fake.state().server(id).addresses.clone()).collect();
    for id in &fleet {
        fake.state().server(id).addresses = serde_json::json!({});
    }
    for _ in 0..2 {
        let lost = sync(&appliance, "east").unwrap();
        assert_eq!((lost.without_address_count, lost.watched_count), (Some(8), Some(8)));
        wait_clock();
    }
    for (id, back) in fleet.iter().zip(addresses) {
        fake.state().server(id).addresses = back;
    }
    sync(&appliance, "east").unwrap();
    assert_eq!(watched(&appliance, &nagios, "east"), all(&fleet));
}

#[test]
fn a_cloud_that_left_the_configuration_leaves_its_hosts_until_released() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let fleet = boot(&fake, 3);
    let mut appliance = start(&nagios, &[("east", &fake)], "");
    wait_polled(&appliance, "east");
    appliance.stop();
    appliance.configure(&nagios, QUICK, "");
    appliance.start();
    assert_eq!(watched(&appliance, &nagios, "east"), all(&fleet));
    let left = status(&appliance, "east");
    assert_eq!((left.configured, left.watched_count), (Some(false), Some(3)));
    let released = appliance.cli(&["clouds", "release", "east"]);
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    assert_eq!(watched(&appliance, &nagios, "east"), BTreeSet::new());
    assert_eq!(appliance.client().get_clouds().unwrap(), []);
    let unknown = appliance.client().sync_cloud(Some("east".to_owned()));
    assert!(matches!(unknown, Err(Error::BadQuestion(told)) if told.contains("no cloud")));
}

#[test]
fn a_cloud_has_its_own_template_and_the_rpc_its_own_hosts() {
    let nagios = Nagios::start_new(Settings::default());
    nagios.edit("etc/objects/own.cfg", |text| {
        format!("{text}\ndefine host {{\n name own_vm\n use atmo_vm\n notes of a cloud\n register 0\n}}\n")
    });
    let fake = OpenStack::start();
    let fleet = boot(&fake, 2);
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let password = write_password(&appliance);
    let east = section("east", &fake, &password).replacen(
        "kind =",
        "host_template = \"own_vm\"\nkind =",
        1,
    );
    appliance.configure(&nagios, QUICK, &east);
    appliance.start();
    appliance.client().replace_hosts(vec![given("mine", "127.0.0.1")], false).unwrap();
    wait_polled(&appliance, "east");
    appliance.wait_in_step();
    let hosts = nagios.hosts();
    assert_eq!(hosts[&format!("east_{}", fleet[0])]["notes"], "of a cloud");
    assert!(!hosts["mine"].contains_key("notes"));
    // Neither takes the other's hosts away.
    appliance.client().replace_hosts(Vec::new(), false).unwrap();
    sync(&appliance, "east").unwrap();
    assert_eq!(watched(&appliance, &nagios, "east"), all(&fleet));
}

#[test]
fn the_time_of_a_cloud_that_was_down_is_a_gap_and_its_hosts_stay() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let fleet = boot(&fake, 3);
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let password = write_password(&appliance);
    let east = section_every("east", &fake, &password, "1s");
    appliance.configure(&nagios, QUICK, &east);
    appliance.start();
    wait_polled(&appliance, "east");
    fake.meddle(|_, _, _, _| later("503 Service Unavailable", "1").steps());
    let last = wait_until("an outage that is longer than three intervals", || {
        let status = status(&appliance, "east");
        let long = status.error.is_some() && status.lag_seconds? > 5;
        long.then_some(status.last_success_time?)
    });
    assert_eq!(watched(&appliance, &nagios, "east"), all(&fleet));
    // It is told while it goes on.
    let report = all_usage(&appliance).unwrap();
    let [going_on] = report.gaps.as_deref().unwrap() else { panic!("{:?}", report.gaps) };
    assert_eq!(going_on.end_time, report.counted_until);
    assert!((going_on.start_time.unwrap() - last).abs() <= 2, "{going_on:?}");
    fake.behave();
    sync(&appliance, "east").unwrap();
    let gap = wait_until("a gap", || {
        let gaps = all_usage(&appliance)?.gaps?;
        gaps.into_iter().find(|gap| gap.end_time.unwrap() - gap.start_time.unwrap() > 3)
    });
    assert_eq!(gap.cloud.as_deref(), Some("east"));
    let (start, end) = (gap.start_time.unwrap(), gap.end_time.unwrap());
    assert!((start - last).abs() <= 2 && end - start >= 5, "{gap:?}, last seen at {last}");
    assert_eq!(watched(&appliance, &nagios, "east"), all(&fleet));
}

#[test]
fn what_happened_to_an_unreadable_record_is_billed_at_its_time() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    fake.state().clock = Some(now - 10_000);
    let [stopped, steady] = [(); 2].map(|()| fake.state().boot(Some("carol"), 0));
    let appliance = start(&nagios, &[("east", &fake)], "");
    wait_polled(&appliance, "east");
    let garbled = garble(&fake);
    let stop = {
        let mut state = fake.state();
        state.pass(300);
        state.stop(&stopped);
        garbled.lock().unwrap().insert(stopped.clone());
        state.now()
    };
    // Two listings go by, so that no list of changes has it any more.
    for _ in 0..2 {
        fake.state().pass(600);
        assert_eq!(sync(&appliance, "east").unwrap().skipped_count, Some(1));
        assert_eq!(watched(&appliance, &nagios, "east"), set([&stopped, &steady]));
    }
    garbled.lock().unwrap().clear();
    fake.state().pass(600);
    sync(&appliance, "east").unwrap();
    assert_eq!(watched(&appliance, &nagios, "east"), set([&steady]));
    let ends: Vec<_> =
        segments(&appliance, "east", &stopped).iter().map(|one| (one.0, one.2)).collect();
    assert_eq!(ends, [(true, Some(stop)), (false, None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_of_ec2_instances_are_staff_if_the_directory_says_so() {
    const REGION: &str = "us-west-1";
    let mut moto = Moto::shared().await;
    let mut ids = moto.run(REGION, "t3.micro", 2, json!({"creator": "alice"}));
    ids.extend(moto.run(REGION, "m5.large", 1, json!({"creator": "bob"})));
    let mut tree = Tree::default();
    tree.person("alice", "People");
    tree.person("bob", "People");
    tree.posix_group("staff", "Groups", &["alice"]);
    let slapd = Slapd::start(&tree);
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let secret = write_secret(&appliance, "secret", &moto.secret);
    let config = format!(
        "[directory]\nurl = \"ldap://127.0.0.1:{}\"\npeople_base = \"ou=People,{SUFFIX}\"\n\
         groups_base = \"ou=Groups,{SUFFIX}\"\n\
         [[cloud]]\nname = \"aws\"\nkind = \"ec2\"\ninterval = \"1h\"\nregion = \"{REGION}\"\n\
         endpoint = \"http://127.0.0.1:{}/\"\naccess_key_id = \"{}\"\n\
         secret_access_key_file = \"{}\"\n",
        slapd.ldap,
        moto.port,
        moto.key,
        secret.display(),
    );
    appliance.configure(&nagios, QUICK, &config);
    appliance.start();
    wait_polled(&appliance, "aws");
    assert_eq!(watched(&appliance, &nagios, "aws"), all(&ids));
    let is_staff = |name: &str| {
        let board = appliance.cloud_client().get_leaderboard(0, i32::MAX).ok()?;
        board.into_iter().find(|row| row.username.as_deref() == Some(name))?.is_staff
    };
    wait_until("staff", || (is_staff("alice")? && !is_staff("bob")?).then_some(()));

    moto.change(REGION, "stop", &[&ids[0]]);
    moto.change(REGION, "terminate", &[&ids[2]]);
    sync(&appliance, "aws").unwrap();
    assert_eq!(watched(&appliance, &nagios, "aws"), set([&ids[1]]));
    assert_eq!(gone(&appliance).iter().map(|one| &one.0).collect::<Vec<_>>(), [&ids[2]]);
    assert!(!appliance.log().contains(&moto.secret));
}
