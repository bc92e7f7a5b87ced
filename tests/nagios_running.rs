//! The Nagios part and a real Nagios that runs, restarts and dies.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, write plain files and read what they handed themselves"
)]

mod common;

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::time::{SystemTime, UNIX_EPOCH};

use common::nagios::{self as rig, Settings, hosts, names_in, put, wait_until};
use common::nrpe::Nrpe;
use weather_balloon::model::HostId;
use weather_balloon::nagios::{CommandError, Config, Error, Fate};

fn unix(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[tokio::test]
async fn a_running_nagios_proves_what_it_read() {
    let rig = rig::Nagios::start_new(Settings::default());
    let part = rig.part();
    let before = part.program_status().await.unwrap().unwrap();
    assert_eq!(before.pid, Some(rig.pid()));
    assert_eq!(part.fate_of(rig.pid(), UNIX_EPOCH).await, Fate::Alive);

    for (generation, count) in [(1, 50), (2, 0)] {
        let set = hosts(count);
        let before = part.program_status().await.unwrap().unwrap();
        let swapped = put(&part, generation, &set).await;
        part.request_restart().await.unwrap();
        rig.wait_restarted(before.program_start);
        let after = part.program_status().await.unwrap().unwrap();
        assert!(after.program_start > before.program_start);
        assert!(after.program_start >= unix(swapped));
        assert_eq!(after.pid, before.pid);
        let mut read: Vec<_> = rig.hosts().into_keys().collect();
        read.retain(|name| name != "weather-balloon");
        assert!(read.iter().map(String::as_str).eq(set.iter().map(|host| host.id.as_str())));
    }
}

/// Nagios's command worker has the FIFO open a little longer than Nagios itself.
fn wait_unread(rig: &rig::Nagios) {
    wait_until("the command worker's end", || {
        matches!(
            nix::fcntl::open(
                &rig.fifo(),
                nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK,
                nix::sys::stat::Mode::empty()
            ),
            Err(nix::errno::Errno::ENXIO)
        )
        .then_some(())
    });
}

#[tokio::test]
async fn commands_find_every_state_of_the_fifo() {
    let mut rig = rig::Nagios::start_new(Settings::default());
    let part = rig.part();
    assert!(fs::metadata(rig.fifo()).unwrap().file_type().is_fifo());

    // A FIFO of our own, whose reader does not read.
    let full = Config { command_file: Some(rig.path("full")), ..rig.config() };
    nix::unistd::mkfifo(&rig.path("full"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let deaf = fs::OpenOptions::new().read(true).write(true).open(rig.path("full")).unwrap();
    let ids: Vec<HostId> = hosts(3000).iter().map(|host| host.id.clone()).collect();
    let full = rig.part_with(full);
    let outcome = full.schedule_checks(&ids, SystemTime::now()).await;
    assert!(matches!(outcome, Err(CommandError::Full(_))), "{outcome:?}");
    // The last bytes of the pipe have room for some small commands.
    let mut outcome = Ok(());
    for _ in 0..4096 / "[1] RESTART_PROGRAM".len() {
        outcome = outcome.and(full.request_restart().await);
    }
    assert!(matches!(outcome, Err(CommandError::Full(_))), "{outcome:?}");
    drop(deaf);

    rig.stop();
    wait_unread(&rig);
    let outcome = part.request_restart().await;
    assert!(matches!(outcome, Err(CommandError::NoReader(_))), "{outcome:?}");
    fs::remove_file(rig.fifo()).unwrap();
    assert!(matches!(part.request_restart().await, Err(CommandError::Missing(_))));
    assert!(!rig.fifo().exists());
    fs::write(rig.fifo(), "plain").unwrap();
    assert!(matches!(part.request_restart().await, Err(CommandError::NotAFifo(_))));
    assert_eq!(fs::read_to_string(rig.fifo()).unwrap(), "plain");
    let unset = rig.path("etc/nagios.cfg");
    let text = fs::read_to_string(&unset).unwrap().replace("command_file=", "#command_file=");
    fs::write(&unset, text).unwrap();
    assert!(matches!(
        part.request_restart().await,
        Err(CommandError::Unknown(Error::NotSet { .. }))
    ));
}

#[tokio::test]
async fn the_fate_of_nagios_is_told() {
    let mut rig = rig::Nagios::start_new(Settings::default());
    let part = rig.part();
    let since = SystemTime::now();
    put(&part, 1, &hosts(2)).await;
    let proved = part.live().await.unwrap().unwrap().digest.to_string();
    part.keep_as_last_good(&proved).await.unwrap();

    // A file that this "verify" accepts and Nagios dies of.
    let yes =
        Config { binary: "/bin/true".into(), host_template: "no_such".to_owned(), ..rig.config() };
    put(&rig.part_with(yes), 2, &hosts(2)).await;
    let pid = rig.pid();
    part.request_restart().await.unwrap();
    assert_eq!(rig.wait_ended().code(), Some(254));
    match part.fate_of(pid, since).await {
        Fate::BailedOut(line) => {
            assert!(line.starts_with("Error: Template 'no_such' specified"), "{line}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(part.program_status().await.unwrap(), None);
    wait_unread(&rig);
    part.restore_last_good().await.unwrap().unwrap();

    rig.start();
    let pid = rig.pid();
    rig.stop();
    assert_eq!(part.fate_of(pid, since).await, Fate::Stopped);

    rig.start();
    let pid = rig.pid();
    rig.kill9();
    assert_eq!(part.fate_of(pid, since).await, Fate::Gone);
    assert!(part.program_status().await.unwrap().is_some(), "its last words stay");
}

/// From check_nrpe to a whole file in the spool, in the form that is parsed.
#[tokio::test]
async fn checks_end_as_perfdata_in_the_spool() {
    let nrpe = Nrpe::start();
    let rig = rig::Nagios::start_new(Settings {
        checks: true,
        nrpe_port: Some(nrpe.port),
        perfdata_interval: Some(2),
        ..Settings::default()
    });
    let part = rig.part();
    let before = rig.program_start().unwrap();
    let set = hosts(2);
    put(&part, 1, &set).await;
    part.request_restart().await.unwrap();
    rig.wait_restarted(before);
    let ids: Vec<HostId> = set.iter().map(|host| host.id.clone()).collect();
    part.schedule_checks(&ids, SystemTime::now()).await.unwrap();

    let spooled = || {
        let moved = |name: &String| name.starts_with("service-perfdata.");
        let names = names_in(&rig.spool()).into_iter().filter(moved);
        names.map(|name| fs::read_to_string(rig.spool().join(name)).unwrap()).collect::<String>()
    };
    let postfixes =
        ["connections", "disk", "idle", "load", "memory", "procs", "users", "zombie_procs"];
    let text = wait_until("a line of every service of every host", || {
        let text = spooled();
        let complete = ids.iter().all(|id| {
            postfixes.iter().all(|postfix| {
                text.lines().any(|line| {
                    line.contains(&format!("\tHOSTNAME::{id}\t"))
                        && line.contains(&format!(
                            "\tGRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::{postfix}\tSERVICEPERFDATA::"
                        ))
                })
            })
        });
        complete.then_some(text)
    });
    let idle = text.lines().find(|line| line.contains("POSTFIX::idle")).unwrap();
    assert!(idle.starts_with("DATATYPE::SERVICEPERFDATA\tTIMET::"), "{idle}");
    assert!(idle.ends_with("\tSERVICEPERFDATA::idle=12.5;;;0;100 'last login'=3600s"), "{idle}");
}
