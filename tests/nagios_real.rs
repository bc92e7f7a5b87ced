//! What the Nagios part writes and proves, against a real Nagios.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, write plain files and read what they handed themselves"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use common::nagios::{self as rig, BINARY, Settings, hosts, names_in, put, templates};
use common::row::Row;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use weather_balloon::model::{GivenHost, HostSet};
use weather_balloon::nagios::{Config, Error, LiveFile, Nagios, VerifyError};

fn refusal(outcome: Result<impl std::fmt::Debug, VerifyError>) -> String {
    match outcome {
        Err(VerifyError::Refused(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn fault(outcome: Result<impl std::fmt::Debug, VerifyError>) -> Error {
    match outcome {
        Err(VerifyError::NotAsked(fault)) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[tokio::test]
async fn sets_of_any_size_pass_a_real_verify() {
    let rig = rig::Nagios::new(Settings::default());
    let part = rig.part();
    assert_eq!(part.live().await.unwrap(), None);
    for (generation, count) in [(1, 0), (2, 1), (3, 200)] {
        let hosts = hosts(count);
        let file = part.render(generation, &hosts);
        let expected = LiveFile { generation, digest: file.digest, count };
        let verified = part.verify(file.clone()).await.unwrap();
        assert_eq!(verified.file(), &file);
        part.swap(verified).await.unwrap();
        assert_eq!(part.live().await.unwrap(), Some(expected));
        assert_eq!(fs::read(rig.hosts_file()).unwrap(), file.bytes);
    }
    // Nothing but the hosts file is left, and the running Nagios's own
    // directories are as they were.
    assert!(!names_in(&rig.conf_d()).iter().any(|name| name.starts_with('.')));
    assert_eq!(names_in(&rig.path("var")), ["archives", "checkresults", "rw"]);
    assert_eq!(names_in(&rig.path("var/checkresults")), [""; 0]);
}

#[tokio::test]
async fn the_file_is_for_nagios_to_read_and_for_others_not() {
    let rig = rig::Nagios::new(Settings::default());
    put(&rig.part(), 1, &hosts(1)).await;
    let meta = fs::metadata(rig.hosts_file()).unwrap();
    let gid = rig::Account::of_nagios().gid;
    assert_eq!((meta.mode() & 0o7777, meta.gid()), (0o640, gid.as_raw()));
    assert_eq!(fs::metadata(rig.scratch()).unwrap().mode() & 0o777, 0o750);
}

/// Debian's own tree, as installed, with our templates copied into a cfg_dir.
#[test]
fn the_templates_pass_on_debian_as_installed() {
    let dir = tempfile::Builder::new().prefix("wbd-").tempdir_in("/tmp").unwrap();
    let copied = Command::new("cp").args(["-R", "/etc/nagios4"]).arg(dir.path()).status().unwrap();
    assert!(copied.success());
    let etc = dir.path().join("nagios4");
    let ours = etc.join("conf.d/weather-balloon");
    fs::create_dir(&ours).unwrap();
    for (name, text) in templates() {
        fs::write(ours.join(name), text).unwrap();
    }
    let var = dir.path().join("var");
    fs::create_dir(&var).unwrap();
    rig::Account::of_nagios().give(&var);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = var.display();
    let main = fs::read_to_string(etc.join("nagios.cfg"))
        .unwrap()
        .replace("/etc/nagios4", &etc.display().to_string())
        .replace("/var/lib/nagios4/spool/checkresults", &at.to_string())
        .replace("temp_path=/tmp", &format!("temp_path={at}"));
    assert!(main.contains("/objects/localhost.cfg"));
    let with_perfdata = format!("{main}{}", rig::template("nagios.cfg.snippet"));
    let alone: String = with_perfdata
        .lines()
        .filter(|line| !line.ends_with("/objects/localhost.cfg"))
        .map(|line| format!("{line}\n"))
        .collect();
    for (main, localhost) in [(&main, true), (&with_perfdata, true), (&alone, false)] {
        for hosts_file in [None, Some("# empty\n")] {
            if let Some(text) = hosts_file {
                fs::write(ours.join("hosts.cfg"), text).unwrap();
            }
            fs::write(etc.join("nagios.cfg"), main).unwrap();
            let verify =
                Command::new(BINARY).arg("-v").arg(etc.join("nagios.cfg")).output().unwrap();
            let said = String::from_utf8_lossy(&verify.stdout);
            assert!(verify.status.success(), "{said}");
            assert!(said.contains("Total Warnings: 0"), "{said}");
            assert!(said.contains("Total Errors:   0"), "{said}");
            let hosts = if localhost { "Checked 2 hosts" } else { "Checked 1 hosts" };
            assert!(said.contains(hosts), "{said}");
        }
    }
}

fn hostile_text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(
        "\\;\n\r\t{}$`|&<>\"'()*?~!#%^=[]\0\u{202e}\u{2028}\u{200b}\u{feff}é東🎈 ab+,.:/@-_"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop_oneof![
        prop::collection::vec(nasty, 0..40).prop_map(String::from_iter),
        any::<String>(),
        prop::sample::select(vec![
            "null".to_owned(),
            "+null".to_owned(),
            "x\n}\ndefine command {\n command_name x\n command_line /bin/sh\n}\n".to_owned(),
            "x\n  check_command evil".to_owned(),
            "ends in \\".to_owned(),
            "\\;$(touch /tmp/x)`id`".to_owned(),
            "include_file=/etc/passwd".to_owned(),
            "é".repeat(5000),
        ]),
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        any::<u16>().prop_map(|n| format!("fe80::{n:x}%eth{n}")),
        "[a-z0-9]{1,20}(\\.[a-z][a-z0-9]{0,20}){0,3}\\.test",
        Just("null".to_owned()),
        Just("bücher.example".to_owned()),
    ]
}

/// What tenants may choose comes out of Nagios's own parser byte for byte.
#[test]
fn hostile_hosts_come_out_of_nagios_as_they_went_in() {
    read_back_hostile_hosts(3000);
}

#[test]
#[ignore = "make prove-d"]
fn twenty_thousand_hostile_hosts_come_out_of_nagios_as_they_went_in() {
    let mut row = Row::new("T-D", "random hosts, rendered and read by nagios4 -vp");
    for round in 0..4 {
        row.trial(&format!("round {round}"), || read_back_hostile_hosts(5000));
    }
    row.points = 20_000;
    row.end();
}

fn read_back_hostile_hosts(count: usize) {
    let rig = rig::Nagios::new(Settings::default());
    let part = rig.part();
    let host = ("[A-Za-z0-9][A-Za-z0-9.:@+-]{0,120}", hostile_text(), address());
    let mut runner = proptest::test_runner::TestRunner::default();
    let drawn = prop::collection::vec(host, count).new_tree(&mut runner).unwrap().current();
    let given: Vec<_> = drawn
        .into_iter()
        .enumerate()
        .map(|(n, (id, display_name, address))| GivenHost {
            // Random ids are made different by a number that Graphite keeps.
            id: format!("{}-{n}", &id[..id.len().min(120)]),
            display_name,
            address,
        })
        .collect();
    let set = HostSet::parse(&given).unwrap();
    fs::write(rig.hosts_file(), part.render(1, &set).bytes).unwrap();

    rig.edit("etc/nagios.cfg", |text| {
        text.replace("/var/objects.precache", "/precache")
            .replace("nagios_user=nagios", "nagios_user=root")
    });
    let verify = Command::new(BINARY).arg("-vp").arg(rig.main_config()).output().unwrap();
    let said = String::from_utf8_lossy(&verify.stdout);
    assert!(verify.status.success(), "{said}");
    assert!(said.contains("Total Warnings: 0"), "{said}");
    let cache = fs::read(rig.path("precache")).unwrap();
    let read = rig::hosts_in(&cache);
    assert_eq!(read.len(), count + 1, "with the sentinel");
    for host in &set {
        let directives = &read[host.id.as_str()];
        assert_eq!(directives["alias"], host.id.as_str());
        assert_eq!(directives["address"], host.address.as_str());
        let display_name = directives.get("display_name").unwrap_or(&directives["host_name"]);
        assert_eq!(display_name, host.display_name.as_str(), "a name left its field");
        assert_eq!(directives["check_command"], "wb_check_host_alive");
        let plain = read["weather-balloon"].len();
        assert!(directives.len() <= plain + 3, "{directives:?}");
    }
    let commands = String::from_utf8_lossy(&cache).matches("\ndefine command {").count();
    assert_eq!(commands, 6, "ours and the rig's, and no other");
}

#[tokio::test]
async fn a_broken_template_is_refused_in_nagios_own_words() {
    let rig = rig::Nagios::new(Settings::default());
    let part = rig.part();
    put(&part, 1, &hosts(3)).await;
    let live = fs::read(rig.hosts_file()).unwrap();
    rig.edit("etc/conf.d/weather-balloon/atmo-vms.cfg", |text| {
        text.replace("wb_check_host_alive", "no_such_command")
    });
    let file = part.render(2, &hosts(4));
    let reason = refusal(part.verify(file.clone()).await);
    assert!(reason.contains("'no_such_command'"), "{reason}");
    assert_eq!(fs::read(rig.hosts_file()).unwrap(), live);
    let rejected = rig.conf_d().join(".hosts.cfg.rejected");
    assert_eq!(fs::read(&rejected).unwrap(), file.bytes);
    assert!(!rig.conf_d().join(".hosts.cfg.new").exists());

    // One is kept, the last.
    let file = part.render(3, &hosts(5));
    refusal(part.verify(file.clone()).await);
    assert_eq!(fs::read(&rejected).unwrap(), file.bytes);
}

#[tokio::test]
async fn a_fault_in_the_hosts_is_told_by_the_name_that_the_operator_knows() {
    let rig = rig::Nagios::new(Settings::default());
    let unknown = Config { host_template: "no_such".to_owned(), ..rig.config() };
    let part = rig.part_with(unknown);
    let reason = refusal(part.verify(part.render(1, &hosts(1))).await);
    let file = rig.hosts_file().display().to_string();
    assert!(reason.contains("Template 'no_such' specified in host definition"), "{reason}");
    assert!(reason.contains(&format!("'{file}'")), "{reason}");
    assert!(reason.contains(".hosts.cfg.rejected"), "{reason}");
    assert!(!rig.hosts_file().exists());
}

#[tokio::test]
async fn a_host_of_another_file_is_refused_and_named() {
    let rig = rig::Nagios::new(Settings::default());
    let part = rig.part();
    put(&part, 1, &hosts(2)).await;
    let elsewhere = part.defined_elsewhere().await.unwrap();
    assert_eq!(elsewhere.keys().collect::<Vec<_>>(), ["weather-balloon"]);

    let other = rig.path("etc/conf.d/other.cfg");
    fs::write(
        &other,
        "define host{\n use atmo_vm\n host_name i-00001 ; clash\n address 127.0.0.1\n}\n",
    )
    .unwrap();
    let elsewhere = part.defined_elsewhere().await.unwrap();
    assert_eq!(elsewhere["i-00001"], other.canonicalize().unwrap());
    let reason = refusal(part.verify(part.render(2, &hosts(2))).await);
    assert!(
        reason.starts_with("Warning: Duplicate definition found for host 'i-00001'"),
        "{reason}"
    );
}

#[tokio::test]
async fn every_way_to_the_hosts_file_is_found() {
    let rig = rig::Nagios::new(Settings::default());
    let conf_d = rig.path("etc/conf.d");
    let far = rig.path("far");
    fs::create_dir(&far).unwrap();
    let include = |line: String| {
        rig.edit("etc/nagios.cfg", |text| {
            let lines = text.lines().map(|old| {
                let ours = old.starts_with("cfg_dir=") && !old.ends_with("/objects");
                if ours || old.starts_with("cfg_file=") { line.as_str() } else { old }
            });
            lines.map(|line| format!("{line}\n")).collect()
        });
    };
    let ours = conf_d.join("weather-balloon");
    let templates: String = templates()
        .iter()
        .map(|(name, _)| format!("cfg_file={}\n", ours.join(name).display()))
        .collect();
    let linked = conf_d.join("link");
    symlink(&ours, rig.path("etc/linked")).unwrap();
    let ways: [(&str, String, PathBuf); 5] = [
        ("a cfg_dir above", format!("cfg_dir={}", conf_d.display()), ours.join("hosts.cfg")),
        ("its own cfg_dir", "cfg_dir=conf.d/weather-balloon".to_owned(), ours.join("hosts.cfg")),
        ("a link to its directory", "cfg_dir=linked".to_owned(), rig.path("etc/linked/hosts.cfg")),
        ("a link in a cfg_dir", format!("cfg_dir={}", conf_d.display()), linked.join("hosts.cfg")),
        (
            "a cfg_file line",
            format!("cfg_file={}\n{templates}", far.join("hosts.cfg").display()),
            far.join("hosts.cfg"),
        ),
    ];
    for (way, line, hosts_file) in ways {
        if hosts_file.starts_with(&linked) {
            symlink(&far, &linked).unwrap();
        }
        include(line);
        let part = rig.part_with(Config { hosts_file, ..rig.config() });
        for count in [3, 2] {
            put(&part, 1, &hosts(count)).await;
        }
        // Had the live file been read beside the candidate, all would be twice.
        let live = part.live().await.unwrap();
        assert_eq!(live.map(|live| live.count), Some(2), "{way}");
        let verify = Command::new(BINARY).arg("-v").arg(rig.main_config()).output().unwrap();
        let said = String::from_utf8_lossy(&verify.stdout).into_owned();
        assert!(verify.status.success() && said.contains("Checked 3 hosts"), "{way}: {said}");
        for dir in [&ours, &far] {
            let _ = fs::remove_file(dir.join("hosts.cfg"));
        }
        let _ = fs::remove_file(&linked);
    }

    include(format!("cfg_dir={}", far.display()));
    let part = rig.part();
    let fault = fault(part.verify(part.render(1, &hosts(1))).await);
    assert!(matches!(fault, Error::NotIncluded { .. }), "{fault}");
    let advice =
        format!("add this line to {}: cfg_dir={}", rig.main_config().display(), ours.display());
    assert!(fault.to_string().ends_with(&advice), "{fault}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_no_judgement() {
    let rig = rig::Nagios::new(Settings::default());
    let with = |config: Config| {
        let part = rig.part_with(config);
        async move { fault(part.verify(part.render(1, &hosts(1))).await) }
    };
    let script = |name: &str, body: &str| {
        let path = rig.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let missing = Config { binary: rig.path("missing"), ..rig.config() };
    assert!(matches!(with(missing).await, Error::Run { .. }));
    let missing = Config { config: rig.path("missing.cfg"), ..rig.config() };
    assert!(matches!(with(missing).await, Error::Read { .. }));
    let missing = Config { hosts_file: rig.path("missing/hosts.cfg"), ..rig.config() };
    assert!(matches!(with(missing).await, Error::Directory { .. }));

    let silent = script("silent", "echo going; kill -ABRT $$");
    match with(Config { binary: silent, ..rig.config() }).await {
        Error::NoVerdict { said, status, .. } => {
            assert_eq!(said, "going");
            assert!(status.contains("signal: 6"), "{status}");
        }
        other => panic!("{other}"),
    }
    let pids = rig.path("pid");
    fs::write(&pids, "").unwrap();
    fs::set_permissions(&pids, fs::Permissions::from_mode(0o666)).unwrap();
    let slow = script("slow", &format!("echo $$ > {}; exec sleep 600", pids.display()));
    let slow = Config { binary: slow, verify_timeout: Duration::from_secs(1), ..rig.config() };
    assert!(matches!(with(slow).await, Error::TooSlow { .. }));
    let pid = fs::read_to_string(&pids).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it was left running");

    let denied =
        script("denied", "echo \"Error: Cannot open config file '/x': Permission denied\"; exit 1");
    assert!(matches!(
        with(Config { binary: denied, ..rig.config() }).await,
        Error::NotReadable { .. }
    ));
    assert!(!rig.hosts_file().exists());
}

/// The verifying Nagios gets no environment, no input, and never root.
#[tokio::test]
async fn the_verify_runs_without_rights() {
    let rig = rig::Nagios::new(Settings::default());
    let seen = rig.path("spool/seen");
    let binary = rig.path("look");
    fs::write(
        &binary,
        format!(
            "#!/bin/sh\n(id -u; id -G; pwd -P; cat; tr '\\0' '\\n' < /proc/self/environ) > {}\n",
            seen.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let part = rig.part_with(Config { binary, ..rig.config() });
    part.verify(part.render(1, &hosts(1))).await.unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    let account = rig::Account::of_nagios();
    let lines: Vec<_> = seen.lines().filter(|line| !line.starts_with("PWD=")).collect();
    let scratch = rig.scratch().display().to_string();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(lines, [account.uid.to_string(), account.gid.to_string(), scratch]);
    } else {
        assert_eq!(lines[0], account.uid.to_string());
    }
}

const RIG_DIR: &str = "WEATHER_BALLOON_TEST_RIG";

/// As the service runs: another user than Nagios's, in its group, who may
/// write the hosts file's directory and its own, and may not read passwords.
#[test]
fn an_unprivileged_user_can_verify_and_swap() {
    if !nix::unistd::geteuid().is_root() {
        // Then all other tests of this file show it.
        return;
    }
    let rig = rig::Nagios::new(Settings::default());
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    let group = rig::Account::of_nagios().gid;
    fs::create_dir(rig.scratch()).unwrap();
    for own in [rig.scratch(), rig.conf_d()] {
        std::os::unix::fs::chown(&own, Some(nobody.as_raw()), Some(group.as_raw())).unwrap();
    }
    fs::set_permissions(rig.path("etc/resource.cfg"), fs::Permissions::from_mode(0o600)).unwrap();
    let program = rig.path("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let run = Command::new("setpriv")
        .args([format!("--reuid={nobody}"), format!("--regid={group}")])
        .args(["--clear-groups", "--no-new-privs", "--"])
        .arg(&program)
        .args(["--ignored", "--exact", "as_an_unprivileged_user"])
        .env(RIG_DIR, rig.dir())
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    let meta = fs::metadata(rig.hosts_file()).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (nobody.as_raw(), group.as_raw()));
    assert_eq!(meta.mode() & 0o7777, 0o640);
    // Nagios itself, as its own user, reads it.
    fs::set_permissions(rig.path("etc/resource.cfg"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut rig = rig;
    rig.start();
    assert_eq!(rig.hosts().len(), 4);
}

#[tokio::test]
#[ignore = "an_unprivileged_user_can_verify_and_swap runs it as one"]
async fn as_an_unprivileged_user() {
    let dir = PathBuf::from(std::env::var_os(RIG_DIR).unwrap());
    let config = Config {
        config: dir.join("etc/nagios.cfg"),
        hosts_file: dir.join("etc/conf.d/weather-balloon/hosts.cfg"),
        ..Config::default()
    };
    let part = Nagios::new(config.clone(), &dir.join("scratch"));
    put(&part, 1, &hosts(3)).await;
    let copy = fs::read_to_string(dir.join("scratch/nagios.cfg")).unwrap();
    assert!(!copy.contains("resource_file="), "{copy}");
    let broken = Config { host_template: "no_such".to_owned(), ..config };
    let broken = Nagios::new(broken, &dir.join("scratch"));
    refusal(broken.verify(broken.render(2, &hosts(1))).await);
}

#[tokio::test]
async fn only_the_last_verified_file_can_be_swapped_in() {
    let rig = rig::Nagios::new(Settings::default());
    let part = rig.part();
    let first = part.verify(part.render(1, &hosts(1))).await.unwrap();
    let second = part.verify(part.render(2, &hosts(2))).await.unwrap();
    assert!(matches!(part.swap(first).await, Err(Error::Restaged { .. })));
    assert!(!rig.hosts_file().exists());
    part.swap(second).await.unwrap();
    assert_eq!(part.live().await.unwrap().unwrap().generation, 2);
}

#[tokio::test]
async fn the_last_good_file_comes_back_whole() {
    let rig = rig::Nagios::new(Settings::default());
    let part = rig.part();
    assert!(part.restore_last_good().await.unwrap().is_none());
    assert!(matches!(part.keep_as_last_good("").await, Err(Error::NotWhole { .. })));
    put(&part, 1, &hosts(3)).await;
    let good = fs::read(rig.hosts_file()).unwrap();
    let proved = part.live().await.unwrap().unwrap().digest.to_string();
    part.keep_as_last_good(&proved).await.unwrap();
    put(&part, 2, &hosts(4)).await;
    // Whole, but not what was proved.
    assert!(matches!(part.keep_as_last_good(&proved).await, Err(Error::NotProved { .. })));

    let (file, at) = part.restore_last_good().await.unwrap().unwrap();
    assert_eq!((file.generation, file.count), (1, 3));
    assert!(at <= SystemTime::now());
    assert_eq!(fs::read(rig.hosts_file()).unwrap(), good);
    assert_eq!(fs::metadata(rig.hosts_file()).unwrap().mode() & 0o777, 0o640);

    // An edit in place spoils the live one only; a cut copy is no good one.
    fs::write(rig.hosts_file(), "# edited\n").unwrap();
    assert_eq!(part.live().await.unwrap(), None);
    assert!(matches!(part.keep_as_last_good(&proved).await, Err(Error::NotWhole { .. })));
    let kept = rig.conf_d().join(".hosts.cfg.last-good");
    fs::write(&kept, &good[..good.len() / 2]).unwrap();
    assert!(part.restore_last_good().await.unwrap().is_none());
    assert_eq!(fs::read(rig.hosts_file()).unwrap(), b"# edited\n");
}
