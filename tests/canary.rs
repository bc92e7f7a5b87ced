//! Secrets are in no log, error, argv or core: each one here is a canary that
//! is looked for in all that the real program shows and leaves behind.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, in its helpers too, and writes plain files"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use common::appliance::Appliance;
use common::cloud::{QUICK, section, start, status, wait_polled, write_password, write_secret};
use common::keeper;
use common::moto::Moto;
use common::nagios::{Account, Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use common::slapd::{SUFFIX, Slapd, Tree};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use weather_balloon::rpc::client::CloudBlame;

const REGION: &str = "us-west-2";

/// Where a canary sings in it.
fn songs(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let around = |at: usize| {
        let from = text.floor_char_boundary(at.saturating_sub(100));
        text[from..text.floor_char_boundary(at + 60)].to_owned()
    };
    text.match_indices("canary").map(|(at, _)| around(at)).collect()
}

fn assert_silent(what: &str, text: &[u8]) {
    assert_eq!(songs(text), [""; 0], "{what}");
}

/// Every file below.
fn assert_files_silent(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            assert_files_silent(&path);
        } else if kind.is_file() {
            assert_silent(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

fn page(appliance: &Appliance, path: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(appliance.page()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}: {}", String::from_utf8_lossy(&answer));
    answer
}

/// Five clouds: one that takes its secret, and four that refuse theirs.
fn clouds(appliance: &Appliance, fake: &OpenStack, moto: &Moto) -> String {
    let right = write_password(appliance);
    let wrong = write_secret(appliance, "wrong", "canary-keystone-0f3a");
    let credential = write_secret(appliance, "credential", "canary-wrong-credential");
    let key = write_secret(appliance, "key", "canary-ec2-file-4e1d");
    let refused = section("refused", fake, &wrong);
    let credentials = format!(
        "[[cloud]]\nname = \"credential\"\nkind = \"openstack\"\nauth_url = \"{}\"\n\
         application_credential_id = \"ac-1\"\napplication_credential_secret_file = \"{}\"\n",
        fake.auth_url(),
        credential.display()
    );
    let aws = |name: &str, keys: &str| {
        format!(
            "[[cloud]]\nname = \"{name}\"\nkind = \"ec2\"\nregion = \"{REGION}\"\n\
             endpoint = \"http://127.0.0.1:{}/\"\n{keys}",
            moto.port
        )
    };
    let by_file = aws(
        "aws",
        &format!(
            "access_key_id = \"{}\"\nsecret_access_key_file = \"{}\"\n",
            moto.key,
            key.display()
        ),
    );
    let by_environment = aws("environment", "");
    [section("good", fake, &right), refused, credentials, by_file, by_environment].concat()
}

fn directory(appliance: &Appliance, slapd: &Slapd) -> String {
    let password = write_secret(appliance, "bind", "canary-ldap-5d77");
    format!(
        "[directory]\nurl = \"ldap://127.0.0.1:{}\"\nbind_dn = \"cn=reader,{SUFFIX}\"\n\
         bind_password_file = \"{}\"\npeople_base = \"ou=People,{SUFFIX}\"\n\
         groups_base = \"ou=Groups,{SUFFIX}\"\n",
        slapd.ldap,
        password.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_refused_shows_nowhere() {
    let moto = Moto::shared().await;
    let slapd = Slapd::start(&Tree::default());
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    fake.state().boot(Some("carol"), 0);
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let more = directory(&appliance, &slapd) + &clouds(&appliance, &fake, &moto);
    appliance.configure(&nagios, QUICK, &more);
    let text = fs::read_to_string(appliance.config()).unwrap();
    fs::write(appliance.config(), text.replace("info,weather_balloon=debug", "trace")).unwrap();
    appliance.variables = vec![
        ("AWS_ACCESS_KEY_ID".to_owned(), moto.key.clone()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), "canary-ec2-env-9c22".to_owned()),
        ("AWS_SESSION_TOKEN".to_owned(), "canary-ec2-token-71ab".to_owned()),
    ];
    appliance.start();
    wait_polled(&appliance, "good");
    for name in ["refused", "credential", "aws", "environment"] {
        let refused = wait_until("a refusal", || {
            Some(status(&appliance, name)).filter(|status| status.error.is_some())
        });
        assert_eq!(refused.blame, Some(CloudBlame::CREDENTIALS), "{refused:?}");
        assert_silent(name, format!("{refused:?}").as_bytes());
    }
    let doctor = || {
        let told = appliance.cli(&["doctor"]);
        Some(told.stdout).filter(|told| String::from_utf8_lossy(told).contains("(LDAP result 49"))
    };
    assert_silent("doctor", &wait_until("the directory's refusal", doctor));
    for words in [
        &["clouds", "list"][..],
        &["--output", "json", "clouds", "list"],
        &["clouds", "sync"],
        &["clouds", "sync", "aws"],
        &["usage", "top"],
        &["check"],
        &["check-config"],
    ] {
        let told = appliance.cli(words);
        assert_silent(&format!("{words:?}"), &[told.stdout, told.stderr].concat());
    }
    for path in ["/", "/clouds", "/v1/clouds", "/v1/status", "/metrics"] {
        assert_silent(path, &page(&appliance, path));
    }

    let of_process = |name: &str| fs::read(format!("/proc/{}/{name}", appliance.pid())).unwrap();
    assert_silent("cmdline", &of_process("cmdline"));
    // What came by a file is in no environment; what came by that is.
    for song in songs(&of_process("environ")) {
        assert!(song.contains("canary-ec2-env") || song.contains("canary-ec2-token"), "{song}");
    }
    assert_files_silent(&appliance.path("state"));
    assert_silent("hosts.cfg", &fs::read(nagios.hosts_file()).unwrap());
    appliance.stop();
    let log = appliance.log();
    for said in ["refused", "credential", "aws", "environment", "TRACE"] {
        assert!(log.contains(said), "the log does not tell of {said}");
    }
    assert_silent("the log", log.as_bytes());
}

/// As far as whoever starts it goes, it may leave a core.
fn allow_cores() {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    setrlimit(Resource::RLIMIT_CORE, hard, hard).unwrap();
}

fn cores_in(place: &Path) -> Vec<String> {
    let names = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.contains("core")).collect()
}

/// Whether this machine writes a core of another program.
fn another_leaves_a_core(account: &Account, place: &Path) -> bool {
    let mut command = Command::new("/bin/sleep");
    command.arg("60").current_dir(place);
    account.apply(&mut command);
    let mut child = keeper::spawn(command).unwrap();
    let comm = format!("/proc/{}/comm", child.id());
    wait_until("a sleep", || (fs::read_to_string(&comm).ok()?.trim() == "sleep").then_some(()));
    keeper::signal(&child, Signal::SIGABRT);
    let dumped = child.wait().unwrap().core_dumped();
    for name in cores_in(place) {
        fs::remove_file(place.join(name)).unwrap();
    }
    dumped
}

#[test]
fn a_crash_leaves_no_core() {
    allow_cores();
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    fake.state().boot(Some("carol"), 0);
    let mut appliance = start(&nagios, &[("east", &fake)], "");
    appliance.stop();
    let place = appliance.path("work");
    fs::create_dir(&place).unwrap();
    let account = Account::of_nagios();
    account.give(&place);
    appliance.workplace.clone_from(&place);
    let told = another_leaves_a_core(&account, &place);
    if !told {
        eprintln!("no program leaves a core here: only what the kernel says of ours is looked at");
    }
    // The first SIGSEGV that another process sends is lost on Rust's own handler,
    // and a shell has what it starts in the background ignore SIGQUIT.
    for signal in [Signal::SIGABRT, Signal::SIGTRAP] {
        appliance.start();
        wait_polled(&appliance, "east");
        let process = format!("/proc/{}", appliance.pid());
        let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
        let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let limits: Vec<_> = limit.split_whitespace().skip(4).collect();
        assert_eq!(limits, ["0", "0", "bytes"], "a core may be written");
        // The kernel shows the memory of what is not dumpable as root's (proc(5)).
        assert_eq!(fs::metadata(format!("{process}/mem")).unwrap().uid(), 0);
        appliance.signal(signal);
        let ended = appliance.wait_ended();
        assert_eq!((ended.signal(), ended.core_dumped()), (Some(signal as i32), false));
        assert_eq!(cores_in(&place), [""; 0], "after {signal}");
    }
}
