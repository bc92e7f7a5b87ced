//! Faults of the ledger, the directory, Graphite, the clock, the disk and the
//! set of hosts: doctor names each with what to do, and check agrees.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, SystemTime};

use common::appliance::{Appliance, fleet, free_port, given};
use common::cloud::{QUICK, section, wait_polled, write_password, write_secret};
use common::nagios::{Account, Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use common::slapd::{SUFFIX, Slapd, Tree};
use common::small_disk::SmallDisk;
use common::verdicts::{doctor, faults, names, says};

/// Stops it, spoils something, and starts it with these sections.
fn again(appliance: &mut Appliance, nagios: &Nagios, sections: &str, spoil: impl FnOnce()) {
    appliance.stop();
    spoil();
    appliance.configure(nagios, QUICK, sections);
    appliance.start();
}

fn wait_sound(appliance: &Appliance) {
    let sound = || faults(appliance).is_empty().then_some(());
    wait_until("an appliance without a fault", sound);
}

#[test]
fn a_ledger_that_cannot_be_used_is_told_with_what_to_do() {
    const LINE: [&str; 3] = ["store", "ledger", "FAIL"];
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, QUICK, "");
    wait_sound(&appliance);
    let ledger = appliance.path("state/ledger.db");

    let whole = fs::read(&ledger).unwrap();
    again(&mut appliance, &nagios, "", || fs::write(&ledger, [0x5a; 16_384]).unwrap());
    says(&appliance, LINE, "is damaged", "restore");
    fs::write(&ledger, &whole).unwrap();
    // It is tried again by itself.
    wait_sound(&appliance);

    // As a root leaves it who has looked into it.
    let others = |mine: bool| {
        let account = Account::of_nagios();
        if nix::unistd::geteuid().is_root() {
            let owner = if mine { account.uid.as_raw() } else { 0 };
            chown(&ledger, Some(owner), None).unwrap();
        } else {
            fs::set_permissions(&ledger, Permissions::from_mode(if mine { 0o600 } else { 0 }))
                .unwrap();
        }
    };
    again(&mut appliance, &nagios, "", || others(false));
    let path = ledger.display().to_string();
    says(&appliance, LINE, &path, "chown weather-balloon:");
    others(true);
    wait_sound(&appliance);

    let port = free_port();
    let gone =
        format!("[store]\nurl = \"postgresql://weather@127.0.0.1:{port}/ledger\"\ntls = \"off\"");
    again(&mut appliance, &nagios, &gone, || ());
    says(&appliance, LINE, &format!("127.0.0.1:{port}"), "start PostgreSQL");

    let password = write_secret(&appliance, "store.password", "secret");
    fs::set_permissions(&password, Permissions::from_mode(0o644)).unwrap();
    let exposed = format!("{gone}\npassword_file = \"{}\"", password.display());
    again(&mut appliance, &nagios, &exposed, || ());
    says(&appliance, LINE, "can be read by others", "mend the file that [store] names");
}

#[test]
fn a_directory_that_does_not_say_who_is_staff_is_told_with_what_to_do() {
    let line = ["directory", "staff", "WARN"];
    let mut tree = Tree::default();
    tree.person("carol", "People");
    tree.posix_group("staff", "Groups", &["carol"]);
    let mut slapd = Slapd::start(&tree);
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    fake.state().boot(Some("carol"), 1);
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let password = write_password(&appliance);
    let wrong = write_secret(&appliance, "wrong", "not-the-readers");
    let cloud = section("east", &fake, &password);
    let asking = |more: &str| {
        format!(
            "[directory]\nurl = \"ldap://127.0.0.1:{}\"\npeople_base = \"ou=People,{SUFFIX}\"\n\
             groups_base = \"ou=Groups,{SUFFIX}\"\n{more}\n{cloud}",
            slapd.ldap
        )
    };
    let bound =
        format!("bind_dn = \"cn=reader,{SUFFIX}\"\nbind_password_file = \"{}\"", wrong.display());
    let (sound, bound, groupless) =
        (asking(""), asking(&bound), asking("staff_group = \"wizards\""));
    appliance.configure(&nagios, QUICK, &sound);
    appliance.start();
    wait_polled(&appliance, "east");
    wait_until("an answer of the directory", || {
        let (lines, _) = doctor(&appliance);
        lines.iter().any(|line| line.what.contains("answered when it was asked last")).then_some(())
    });
    wait_sound(&appliance);

    again(&mut appliance, &nagios, &bound, || ());
    says(&appliance, line, "does not take [directory] bind_dn", "the section [directory]");
    again(&mut appliance, &nagios, &groupless, || ());
    says(&appliance, line, "has no group wizards", "the section [directory]");
    again(&mut appliance, &nagios, &sound, || slapd.stop());
    says(&appliance, line, "cannot connect to the directory at ldap://", "mend the server");
}

#[test]
fn faults_of_hosts_graphite_clock_and_disk_are_told() {
    let mut nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let state = appliance.path("state");
    fs::create_dir(&state).unwrap();
    let disk = SmallDisk::mount(&state, "8m");
    let graphite = format!("[graphite]\nurl = \"http://127.0.0.1:{}\"", free_port());
    let few = format!("{QUICK}\nmax_hosts = 1");
    appliance.configure(&nagios, &few, &graphite);
    appliance.start();
    names(&appliance, "graphite", "render API", "FAIL");
    appliance.client().replace_hosts(fleet(2), false).unwrap();
    appliance.wait_in_step();
    says(&appliance, ["hosts", "set on disk", "WARN"], "1 hosts over max_hosts", "max_hosts");

    disk.fill();
    says(&appliance, ["disk", "state", "FAIL"], "0 % of the room", "make room");
    disk.empty();

    nagios.kill9();
    let status = File::options().append(true).open(nagios.status_file()).unwrap();
    status.set_modified(SystemTime::now() + Duration::from_secs(7200)).unwrap();
    says(&appliance, ["clock", "time", "FAIL"], "the clock was set back", "set the clock");
    appliance.client().replace_hosts(vec![given("other", "127.0.0.9")], false).unwrap();
    appliance.wait_trouble("start it");
    says(&appliance, ["sync", "proof of Nagios", "FAIL"], "start it", "the lines about nagios");
    // It keeps its database there.
    appliance.stop();
}
