//! `setup` on Debian's own files and on an imitation of EPEL's, judged by a real
//! Nagios.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and write plain files"
)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::keeper;
use common::layout::Layout;
use nix::sys::signal::Signal;

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", out(output), err(output));
}

/// Shown, made, made once more, and taken back.
fn there_and_back(layout: &Layout) {
    fs::set_permissions(layout.main(), fs::Permissions::from_mode(0o640)).unwrap();
    let group = common::nagios::Account::of_nagios().gid;
    chown(layout.main(), None, Some(group.as_raw())).unwrap();
    let before = layout.snapshot();
    let shown = layout.setup(&["--dry-run"]);
    ends(&shown, 5);
    assert_eq!(layout.snapshot(), before);

    let made = layout.setup(&[]);
    ends(&made, 0);
    assert_eq!(out(&made), out(&shown));
    assert_eq!(layout.verify(), Ok(()));
    let after = layout.snapshot();
    let main = layout.main().strip_prefix(layout.path("")).unwrap().display().to_string();
    let (old, new) = (&before[&main], &after[&main]);
    assert_eq!((old.0, old.1, old.2), (new.0, new.1, new.2));
    // Nothing of the administrator's went, and all stands in its order.
    let text = |side: &Option<Vec<u8>>| String::from_utf8(side.clone().unwrap()).unwrap();
    let (old, new) = (text(&old.3), text(&new.3));
    let mut kept = new.lines();
    for line in old.lines().filter(|line| *line != "process_performance_data=0") {
        assert!(kept.any(|new| new == line), "{line:?} went");
    }
    for wanted in [
        "process_performance_data=1",
        "service_perfdata_file_mode=a",
        "host_perfdata_file_processing_command=wb_perfdata_host",
    ] {
        assert_eq!(new.lines().filter(|line| *line == wanted).count(), 1, "{wanted}");
        assert!(out(&shown).contains(&format!("+{wanted}\n")), "{wanted}");
    }
    let spool = layout.path("var/spool/perfdata").metadata().unwrap();
    assert_eq!(spool.permissions().mode() & 0o7777, 0o2770);

    let again = layout.setup(&[]);
    ends(&again, 0);
    assert_eq!((out(&again).as_str(), err(&again).trim()), ("", "Nothing is to be done."));
    ends(&layout.setup(&["--dry-run"]), 0);
    assert_eq!(layout.snapshot(), after);

    ends(&layout.setup(&["--undo"]), 0);
    assert_eq!(layout.snapshot(), before);
    assert_eq!(layout.verify(), Ok(()));
    let nothing = layout.setup(&["--undo"]);
    ends(&nothing, 0);
    assert_eq!(err(&nothing).trim(), "Nothing is to be undone.");
}

#[test]
fn debians_files_are_set_up_and_come_back() {
    let layout = Layout::debian();
    there_and_back(&layout);
    ends(&layout.setup(&[]), 0);
    let conf = fs::read_to_string(layout.path("etc/carbon/carbon.conf")).unwrap();
    assert_eq!(conf.lines().filter(|line| *line == "MAX_CREATES_PER_MINUTE = inf").count(), 1);
    let schemas = fs::read_to_string(layout.path("etc/carbon/storage-schemas.conf")).unwrap();
    assert!(schemas.find("[nagios]").unwrap() < schemas.find("[carbon]").unwrap(), "{schemas}");
}

#[test]
fn epels_files_are_set_up_and_come_back() {
    let layout = Layout::epel();
    assert_eq!(layout.verify(), Ok(()));
    there_and_back(&layout);
    ends(&layout.setup(&[]), 0);
    let dir = layout.path("etc/nagios/conf.d/weather-balloon");
    let main = fs::read_to_string(layout.main()).unwrap();
    assert!(main.contains(&format!("cfg_dir={}\n", dir.display())));
}

#[test]
fn what_is_odd_is_left_untouched() {
    type Spoil = fn(&Layout);
    let cases: [(Spoil, &str); 6] = [
        (
            |l| {
                l.replace(
                    "etc/nagios4/nagios.cfg",
                    "cfg_dir=/etc/nagios-plugins/config",
                    "cfg_dir=/nowhere",
                )
            },
            "would not hold",
        ),
        (
            |l| {
                l.replace(
                    "etc/nagios4/nagios.cfg",
                    "process_performance_data=0",
                    "process_performance_data=0\nprocess_performance_data=2",
                )
            },
            "sets process_performance_data in line",
        ),
        (
            |l| {
                l.replace(
                    "etc/nagios4/nagios.cfg",
                    "process_performance_data=0",
                    "process_performance_data=1\nservice_perfdata_command=pnp",
                )
            },
            "to somebody else",
        ),
        (|l| l.replace("etc/nagios4/nagios.cfg", "\n", "\r\n"), "CR LF"),
        (
            |l| {
                l.replace(
                    "etc/carbon/storage-schemas.conf",
                    "[carbon]",
                    "[nagios]\npattern = x\n[carbon]",
                )
            },
            "section [nagios]",
        ),
        (
            |l| {
                fs::write(
                    l.path("etc/nagios4/conf.d/other.cfg"),
                    "define command {\n command_name wb_check_nrpe\n command_line /bin/true\n}\n",
                )
                .unwrap()
            },
            "wb_check_nrpe",
        ),
    ];
    for (spoil, words) in cases {
        let layout = Layout::debian();
        spoil(&layout);
        let before = layout.snapshot();
        let refused = layout.setup(&[]);
        ends(&refused, 1);
        assert!(err(&refused).contains(words), "{words}: {}", err(&refused));
        assert_eq!(layout.snapshot(), before, "{words}");
    }
}

#[test]
fn later_edits_of_others_are_not_undone() {
    let layout = Layout::debian();
    ends(&layout.setup(&[]), 0);
    let mut main = fs::read_to_string(layout.main()).unwrap();
    main.push_str("max_debug_file_size=7\n");
    fs::write(layout.main(), &main).unwrap();
    let undone = layout.setup(&["--undo"]);
    ends(&undone, 1);
    assert!(
        err(&undone).contains("nagios.cfg was changed by others since and is left alone"),
        "{}",
        err(&undone)
    );
    assert_eq!(fs::read_to_string(layout.main()).unwrap(), main);
    let carbon = fs::read("/etc/carbon/carbon.conf").unwrap();
    assert_eq!(fs::read(layout.path("etc/carbon/carbon.conf")).unwrap(), carbon);
    assert_eq!(layout.verify(), Ok(()));
    // The edit taken out again, the rest comes back.
    fs::write(layout.main(), main.replace("max_debug_file_size=7\n", "")).unwrap();
    ends(&layout.setup(&["--undo"]), 0);
    assert!(!layout.path("etc/nagios4/conf.d/weather-balloon").exists());
}

#[test]
fn a_local_carbon_is_offered_and_written() {
    let layout = Layout::debian();
    let carbon = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = carbon.local_addr().unwrap();
    layout.replace(
        "etc/carbon/carbon.conf",
        "PICKLE_RECEIVER_PORT = 2004",
        format!("PICKLE_RECEIVER_PORT = {}", address.port()),
    );
    let own = fs::read_to_string(layout.config()).unwrap();
    let offered = layout.setup(&[]);
    ends(&offered, 0);
    assert!(
        err(&offered).contains(&format!("[carbon] address = \"{address}\"")),
        "{}",
        err(&offered)
    );
    assert_eq!(fs::read_to_string(layout.config()).unwrap(), own);
    ends(&layout.setup(&["--local-graphite"]), 0);
    let written = fs::read_to_string(layout.config()).unwrap();
    assert_eq!(written, own.replace("address = \"\"", &format!("address = \"{address}\"")));
    ends(&layout.setup(&["--undo"]), 0);
    assert_eq!(fs::read_to_string(layout.config()).unwrap(), own);
}

/// Starts it, kills it after this long, and says whether it was still there.
fn killed_after(layout: &Layout, words: &[&str], delay: Duration) -> bool {
    let mut command = layout.command(words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = keeper::spawn(command).unwrap();
    std::thread::sleep(delay);
    keeper::signal(&child, Signal::SIGKILL);
    !child.wait().unwrap().success()
}

/// At each of these moments, all over the time that a whole run takes.
fn cut(moments: u32) {
    let measured = Layout::debian();
    let began = Instant::now();
    ends(&measured.setup(&[]), 0);
    let whole = began.elapsed();
    let mut cuts = 0;
    for moment in 0..moments {
        let layout = Layout::debian();
        let before = layout.snapshot();
        let delay = whole * moment / moments;
        cuts += u32::from(killed_after(&layout, &["setup"], delay));
        assert_eq!(layout.verify(), Ok(()), "after {delay:?}");
        if moment % 2 == 0 {
            ends(&layout.setup(&[]), 0);
            cuts += u32::from(killed_after(&layout, &["setup", "--undo"], delay / 2));
            assert_eq!(layout.verify(), Ok(()), "undone for {:?}", delay / 2);
        }
        ends(&layout.setup(&["--undo"]), 0);
        let mut left = layout.snapshot();
        // A temporary name may stay; nobody reads it, and the next run takes it.
        left.retain(|name, _| !name.ends_with(".proof"));
        assert!(left.keys().eq(before.keys()), "after {delay:?}: {:?}", left.keys());
        assert!(left == before, "after {delay:?}: another content");
    }
    assert!(cuts > moments / 4, "only {cuts} runs were cut");
}

#[test]
fn what_a_killed_setup_had_yet_to_put_in_place_goes_with_the_rest() {
    let layout = Layout::debian();
    let before = layout.snapshot();
    ends(&layout.setup(&[]), 0);
    let dir = layout.path("etc/nagios4/conf.d/weather-balloon");
    fs::rename(dir.join("atmo-vms.cfg"), dir.join(".atmo-vms.cfg.new")).unwrap();
    ends(&layout.setup(&["--undo"]), 0);
    assert!(layout.snapshot().keys().eq(before.keys()));
}

#[test]
fn a_killed_setup_leaves_a_sound_nagios() {
    cut(12);
}

#[test]
#[ignore = "a long campaign of the same"]
fn a_setup_killed_at_every_moment_leaves_a_sound_nagios() {
    cut(400);
}
