//! I22: what only the process is to know is in nothing that others can read.

use std::fs;

use super::common::appliance::Appliance;
use super::common::cloud::{section, wait_polled, write_secret};
use super::common::nagios::{Nagios, Settings};
use super::common::openstack::{OpenStack, PASSWORD};

fn assert_silent(what: &str, said: &str) {
    for secret in [PASSWORD, "canary-token"] {
        assert!(!said.contains(secret), "{what} tells {secret}");
    }
}

#[test]
fn secrets_are_in_no_log_argument_environment_or_answer() {
    let nagios = Nagios::new(Settings::default());
    let fake = OpenStack::start();
    fake.state().boot(Some("carol"), 1);
    let mut appliance = Appliance::new(&nagios, "", "");
    let password = write_secret(&appliance, "password", PASSWORD);
    let token = write_secret(&appliance, "token", "canary-token-of-the-page");
    let more = format!(
        "[http]\nlisten = [\"unix:{}\"]\ntoken_file = \"{}\"\n{}",
        appliance.page().display(),
        token.display(),
        section("east", &fake, &password)
    );
    appliance.configure(&nagios, "", &more);
    let text = fs::read_to_string(appliance.config()).unwrap();
    // Everything that can be said, our own and the libraries'.
    fs::write(appliance.config(), text.replace("info,weather_balloon=debug", "trace")).unwrap();
    appliance.start();
    wait_polled(&appliance, "east");
    // A password that is refused is what libraries like to tell.
    let failed = write_secret(&appliance, "password", "another-canary");
    // Whether it is asked for a new token yet does not matter.
    drop(appliance.client().sync_cloud(Some("east".to_owned())));
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{}/{file}", appliance.pid())).unwrap();
        assert_silent(file, &String::from_utf8_lossy(&bytes));
    }
    for words in [&["doctor"][..], &["clouds", "list"], &["check"], &["check-config"]] {
        let output = appliance.cli(words);
        assert_silent(&words.join(" "), &String::from_utf8_lossy(&output.stdout));
        assert_silent(&words.join(" "), &String::from_utf8_lossy(&output.stderr));
    }
    let log = appliance.log();
    assert!(log.len() > 1_000, "it says too little to prove anything: {log}");
    assert_silent("the log", &log);
    assert!(!log.contains("another-canary") && failed.exists());
}
