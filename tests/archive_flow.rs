//! Perfdata to the embedded archive, end to end: with a real Nagios and a real
//! NRPE, and no Graphite on the machine's part.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its files need no durability"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use common::appliance::{Appliance, fleet};
use common::clients::Script;
use common::flow::{
    Points, SERIES, SLOTS, archive_sections, archived, missing, put, rotate, rotated, slots,
};
use common::graphite::{STEP, last_step};
use common::nagios::{Nagios, Settings, wait_until};
use common::nrpe::Nrpe;
use common::receiver::{Manner, Receiver};
use common::small_disk::SmallDisk;
use nix::unistd::geteuid;
use weather_balloon::rpc::client::{ArchiveStatus, SinkStatus};

fn status(appliance: &Appliance) -> ArchiveStatus {
    appliance.client().get_archive_status().unwrap()
}

fn sink(appliance: &Appliance, address: &str) -> SinkStatus {
    let sinks = appliance.client().get_perfdata_status().unwrap().sinks.unwrap();
    sinks.into_iter().find(|sink| sink.address.as_deref() == Some(address)).unwrap()
}

fn wait_archived(appliance: &Appliance, wanted: &Points) {
    wait_until("every point in the archive", || {
        (missing(wanted, &archived(appliance)) == 0).then_some(())
    });
}

fn wait_empty_spool(nagios: &Nagios) {
    wait_until("an empty spool", || rotated(&nagios.spool()).is_empty().then_some(()));
}

#[test]
fn what_nagios_measured_is_answered_with_nothing_else_installed() {
    const HOSTS: usize = 10;
    let nrpe = Nrpe::start();
    let nagios = Nagios::start_new(Settings {
        checks: true,
        nrpe_port: Some(nrpe.port),
        perfdata_interval: Some(2),
        ..Settings::default()
    });
    // As installed: neither [graphite] nor [carbon] nor [archive].
    let text = format!("[perfdata]\nspool = \"{}\"", nagios.spool().display());
    let appliance = Appliance::start_new(&nagios, "first_checks_per_second = 10", &text);
    appliance.client_of_2014().set_hosts(&fleet(HOSTS)).unwrap();
    appliance.wait_in_step();
    let mut client = appliance.client_of_2014();
    for host in 0..HOSTS {
        wait_until("measurements of every host", || {
            // One argument is all that a client of 2014 has to give.
            let found = client.get_metrics(&format!("h{host:05}"), "").unwrap();
            (found.len() >= 16).then_some(())
        });
    }
    let idle = client.get_metrics("h00003", "idle.idle").unwrap();
    let (name, points) = idle.first_key_value().unwrap();
    assert_eq!((name.as_str(), points.len()), ("idle.idle", 144));
    let values: Vec<_> = points.iter().map(|point| point.value.unwrap().0).collect();
    assert!(values.contains(&12.5), "{values:?}");

    let plot = appliance.cli(&["metrics", "h00003", "idle.*", "--plot"]);
    let plot = String::from_utf8(plot.stdout).unwrap();
    assert!(plot.contains("idle.idle  (newest 12.5)"), "{plot}");
    let check = appliance.cli(&["check", "archive"]);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.status.success() && said.starts_with("WEATHER-BALLOON OK - the archive keeps 1"),
        "{said}"
    );
    // What nobody wants again goes at once.
    wait_until("a spool without old files", || {
        (appliance.client().get_perfdata_status().unwrap().files < Some(3)).then_some(())
    });
}

#[test]
fn clients_of_2014_read_what_is_in_the_archive() {
    let nagios = Nagios::start_new(Settings::default());
    let keys = "min_restart_interval = \"1s\"";
    let appliance = Appliance::start_new(&nagios, keys, &archive_sections(&nagios, ""));
    let mut wanted = Points::new();
    for (number, slot) in slots().filter(|(number, _)| number % 3 != 0) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_archived(&appliance, &wanted);
    // The window of a question moves with each slot.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = STEP as u64 - now.as_secs() % STEP as u64;
    if left < 30 {
        std::thread::sleep(Duration::from_secs(left));
    }
    let last = last_step();
    let value = |time| wanted.get(&("nagios.vm7.load.load1".to_owned(), time)).copied();
    let points = (0..144).map(|n| last - (143 - n) * STEP);
    let points: Vec<_> = points.map(|time| serde_json::json!([time, value(time)])).collect();
    let script = Script {
        door: appliance.address.clone(),
        host: "vm7",
        metrics: serde_json::json!({ "load.load1": points }),
        usage: serde_json::json!([]),
        set_hosts: "ok",
    };
    script.python("apache", &[]);
}

#[test]
fn a_dead_carbon_does_not_delay_the_archive_nor_the_other_way_round() {
    let deaf = Receiver::start(Manner::Deaf);
    let nagios = Nagios::new(Settings::default());
    let carbon = |port| {
        format!(
            "[carbon]\naddress = \"127.0.0.1:{port}\"\nreceipt_timeout = \"10m\"\nreplay_window = \"1s\""
        )
    };
    let text = archive_sections(&nagios, &carbon(deaf.port));
    let mut appliance = Appliance::start_new(&nagios, "", &text);
    let mut wanted = Points::new();
    let mut slots = slots();
    for (number, slot) in slots.by_ref().take(50) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_archived(&appliance, &wanted);
    let dead = sink(&appliance, &format!("127.0.0.1:{}", deaf.port));
    assert_eq!((dead.samples, dead.last_receipt_time), (Some(0), None));
    let live = sink(&appliance, "archive");
    assert!(live.trouble.is_none() && live.samples == Some(50 * SERIES as i64), "{live:?}");
    assert_eq!(rotated(&nagios.spool()).len(), 50, "what one of them needs is gone");
    appliance.stop();
    drop(deaf);

    // A directory has the place of the file: no archive can be opened.
    let file = appliance.path("state/metrics.db");
    for end in ["", "-wal", "-shm"] {
        let side = format!("{}{end}", file.display());
        let _ = fs::rename(&side, side.replace("state/", ""));
    }
    fs::create_dir(&file).unwrap();
    let null = Receiver::start(Manner::Null);
    let text = archive_sections(&nagios, &carbon(null.port));
    appliance.configure(&nagios, "", &text);
    appliance.start();
    for (number, slot) in slots.by_ref().take(10) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_until("everything at Carbon", || {
        let sink = sink(&appliance, &format!("127.0.0.1:{}", null.port));
        (sink.samples >= Some(60 * SERIES as i64)).then_some(())
    });
    assert_eq!(rotated(&nagios.spool()).len(), 60);
    let told = wait_until("the trouble", || sink(&appliance, "archive").trouble);
    assert!(told.contains("metrics.db"), "{told}");
    let check = appliance.cli(&["check", "archive"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    // With its place free again it takes all that the spool has.
    fs::remove_dir(&file).unwrap();
    wait_archived(&appliance, &wanted);
    wait_empty_spool(&nagios);
}

#[test]
fn killed_at_any_instant_it_has_every_point_once() {
    const KILLS: i64 = 60;
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, "", &archive_sections(&nagios, ""));
    let mut wanted = Points::new();
    let mut kills = 0;
    for (number, slot) in slots() {
        rotate(&nagios.spool(), number, slot, &mut wanted);
        if number % (SLOTS / KILLS) == 0 {
            kills += 1;
            // Spread over the start and the work on files.
            std::thread::sleep(Duration::from_millis(u64::try_from(number % 37).unwrap()));
            appliance.kill9();
            appliance.start();
        }
    }
    assert_eq!(kills, KILLS);
    wait_archived(&appliance, &wanted);
    wait_empty_spool(&nagios);
    // Nothing was sealed yet: the journal has each point, and has it once.
    let held = status(&appliance);
    assert_eq!(held.head_points, Some(SERIES as i64 * SLOTS), "{held:?}");
    assert_eq!(held.broken_rows, Some(0));
}

#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    if !geteuid().is_root() {
        eprintln!("only root may mount a small disk");
        return;
    }
    let nagios = Nagios::new(Settings::default());
    let mut appliance = Appliance::new(&nagios, "", &archive_sections(&nagios, ""));
    let state = appliance.path("state");
    fs::create_dir(&state).unwrap();
    let disk = SmallDisk::mount(&state, "4m");
    appliance.start();
    let mut wanted = Points::new();
    let mut slots = slots();
    for (number, slot) in slots.by_ref().take(5) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_archived(&appliance, &wanted);
    wait_empty_spool(&nagios);

    disk.fill();
    let before = wanted.len() as i64;
    for (number, slot) in slots.by_ref().take(60) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    let told = wait_until("the trouble", || sink(&appliance, "archive").trouble);
    assert!(told.contains("no room is left on the disk of the archive"), "{told}");
    // Room that its log had before may take a few; the rest waits.
    let taken = sink(&appliance, "archive").samples.unwrap() - before;
    let waiting = rotated(&nagios.spool()).len() as i64;
    assert_eq!(taken + waiting * SERIES as i64, 60 * SERIES as i64);
    assert!(waiting > 0);

    disk.empty();
    wait_archived(&appliance, &wanted);
    wait_empty_spool(&nagios);
    wait_until("no trouble", || sink(&appliance, "archive").trouble.is_none().then_some(()));
    assert_eq!(status(&appliance).head_points, Some(wanted.len() as i64));
    appliance.kill9();
    appliance.start();
    wait_archived(&appliance, &wanted);
    appliance.kill9();
}

#[test]
fn a_broken_file_is_put_aside_and_the_spool_goes_on() {
    let nagios = Nagios::start_new(Settings::default());
    // A Carbon that nobody is at keeps the files in the spool.
    let port = common::appliance::free_port();
    let carbon = format!("[carbon]\naddress = \"127.0.0.1:{port}\"");
    let mut appliance = Appliance::start_new(&nagios, "", &archive_sections(&nagios, &carbon));
    let mut wanted = Points::new();
    let mut slots = slots();
    for (number, slot) in slots.by_ref().take(20) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_archived(&appliance, &wanted);
    appliance.stop();
    let file = appliance.path("state/metrics.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[..4096].fill(0xA5);
    fs::write(&file, bytes).unwrap();
    let ready = appliance.start();
    assert!(ready < Duration::from_secs(5), "ready after {ready:?}");
    appliance.client().replace_hosts(fleet(2), false).unwrap();
    for (number, slot) in slots.by_ref().take(5) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    // What the spool still has goes into the new file, too.
    wait_archived(&appliance, &wanted);
    let check = appliance.cli(&["check", "archive"]);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.code() == Some(1) && said.contains("metrics.db.damaged-"), "{said}");
}

/// SQLite opens for reading what it may not write, and says the same of it as
/// of a file whose head is damaged.
#[test]
fn a_file_that_cannot_be_written_for_a_while_is_no_damage() {
    if !geteuid().is_root() {
        eprintln!("only root may give the appliance an account of its own");
        return;
    }
    let nagios = Nagios::start_new(Settings::default());
    let mut appliance = Appliance::start_new(&nagios, "", &archive_sections(&nagios, ""));
    let mut wanted = Points::new();
    for (number, slot) in slots().take(5) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_archived(&appliance, &wanted);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    for name in ["metrics.db", "metrics.db-shm"] {
        appliance.kill9();
        let file = appliance.path(&format!("state/{name}"));
        mode(&file, 0o400).unwrap();
        appliance.start();
        wait_until("the trouble", || {
            appliance.log().contains("the archive cannot be opened").then_some(())
        });
        mode(&file, 0o600).unwrap();
        wait_archived(&appliance, &wanted);
        let there = fs::read_dir(appliance.path("state")).unwrap();
        let aside = there.filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.contains("damaged").then_some(name)
        });
        assert_eq!(aside.collect::<Vec<_>>(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn measurements_of_hosts_that_are_gone_are_pruned() {
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "", &archive_sections(&nagios, ""));
    let line = |host: &str, time: i64| {
        format!(
            "DATATYPE::SERVICEPERFDATA\tTIMET::{time}\tHOSTNAME::{host}\tGRAPHITEPREFIX::nagios\t\
             GRAPHITEPOSTFIX::load\tSERVICEPERFDATA::load1=1 load5=2\n"
        )
    };
    let (now, old) = (last_step(), last_step() - 40 * 86_400);
    // Watched, by hand, gone, gone with an id that is not its node.
    let text = [
        line("h00000", old),
        line("by-hand", now),
        line("old.one", old),
        line("long-gone", old),
        line("left-lately", now - 86_400),
    ];
    put(&nagios.spool(), "service-perfdata.1700000000", &text.concat());
    appliance.client().replace_hosts(fleet(1), false).unwrap();
    wait_until("all of it", || (status(&appliance).series_count == Some(10)).then_some(()));

    let pruned = |words: &[&str]| {
        let out = appliance.cli(&[&["--output", "json", "metrics", "prune"], words].concat());
        assert!(out.status.success(), "{out:?}");
        let shown: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let hosts = shown.as_array().unwrap().iter();
        let hosts =
            hosts.map(|one| (one["host"].as_str().unwrap().to_owned(), one["watched"] == true));
        (hosts.collect::<Vec<_>>(), String::from_utf8(out.stderr).unwrap())
    };
    let gone = vec![("long-gone".to_owned(), false), ("old_one".to_owned(), false)];
    let (found, said) = pruned(&["--gone"]);
    assert_eq!((&found, said.trim()), (&gone, "2 hosts would go; --apply does it."));
    assert_eq!(pruned(&["--gone", "--older", "60d"]).0, []);
    assert_eq!(status(&appliance).series_count, Some(10));
    let (found, said) = pruned(&["--gone", "--apply"]);
    assert_eq!((&found, said.trim()), (&gone, "The measurements of 2 hosts are gone."));
    assert_eq!(status(&appliance).series_count, Some(6));
    let (found, _) = pruned(&["h00000", "nobody", "left-lately", "--apply"]);
    assert_eq!(found, [("h00000".to_owned(), true), ("left-lately".to_owned(), false)]);
    assert_eq!(status(&appliance).series_count, Some(2));
}

/// Files of the real whisper with 100 series; prints what whisper itself reads
/// of each: name, step, and the values by time.
const WHISPER: &str = r#"
import json, os, sys, time, random, whisper
root, now = sys.argv[1], int(sys.argv[2])
random.seed(7)
def make(name, retentions, every, days, value):
    path = os.path.join(root, *name.split(".")) + ".wsp"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    whisper.create(path, [whisper.parseRetentionDef(r) for r in retentions], 0.0, "last")
    points = [(t, value(t)) for t in range(now - days * 86400, now, every) if random.random() > 0.1]
    for at in range(0, len(points), 500):
        whisper.update_many(path, points[at:at + 500], now=now)
    return path
shown = {}
for n in range(20):
    for part in ["load.load1", "load.load5", "disk._"]:
        name = "nagios.vm%d.%s" % (n, part)
        # Four months: the ring goes round.
        path = make(name, ["10m:90d"], 600, 120 if n == 0 else 20, lambda t: round(random.random() * 100, 2))
        (start, end, step), values = whisper.fetch(path, now - 95 * 86400, now, now=now)
        assert step == 600
        shown[name] = {start + i * step: v for i, v in enumerate(values) if v is not None}
make("nagios.fine.load.load1", ["1m:1d", "10m:90d"], 60, 2, lambda t: float(t % 600))
make("carbon.agents.x", ["1m:1d"], 60, 1, lambda t: 1.0)
make("nagios.top", ["10m:1d"], 600, 1, lambda t: 1.0)
os.makedirs(root + "/nagios/odd")
open(root + "/nagios/odd/short.wsp", "w").write("no whisper")
open(root + "/nagios/odd/note.txt", "w").write("x")
os.symlink(root + "/nagios/vm1", root + "/nagios/linked")
json.dump(shown, sys.stdout)
"#;

#[test]
fn an_old_graphites_files_fill_the_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start_new(&nagios, "", &archive_sections(&nagios, ""));
    // What was measured since: it stays.
    let mut measured = Points::new();
    for (number, slot) in slots().take(2) {
        rotate(&nagios.spool(), number, slot, &mut measured);
    }
    wait_archived(&appliance, &measured);
    let mut python = std::process::Command::new("/usr/bin/python3");
    python.args(["-c", WHISPER]).arg(dir.path()).arg(last_step().to_string());
    let made = python.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    type Shown = BTreeMap<String, BTreeMap<String, f64>>;
    let shown: Shown = serde_json::from_slice(&made.stdout).unwrap();

    let words = ["metrics", "import-whisper", &dir.path().display().to_string()];
    let import = || {
        let out = appliance.cli(&[&["--output", "json"][..], &words].concat());
        // One file is none of whisper's, and that is no success.
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.contains("short.wsp is no whisper file: it has no header"), "{said}");
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let told = import();
    assert_eq!(
        (&told["files"], &told["passed_over"], &told["faults"]),
        (&61.into(), &1.into(), &1.into())
    );
    assert_eq!(told["refused"], 0);

    let mut wanted: Points = shown
        .into_iter()
        .filter(|(name, _)| name.ends_with("load.load1"))
        .flat_map(|(name, points)| {
            points
                .into_iter()
                .map(move |(time, value)| ((name.clone(), time.parse().unwrap()), value))
        })
        .collect();
    wanted.extend(measured);
    // Whisper reads a little more than we keep.
    let oldest = last_step() - 60 * 86_400;
    wanted.retain(|(_, time), _| *time > oldest);
    let mut there = archived(&appliance);
    there.retain(|(name, time), _| name.ends_with("load.load1") && *time > oldest);
    assert_eq!(missing(&wanted, &there), 0);
    assert_eq!(there.len(), wanted.len());

    // Finer steps: the last value of each slot.
    let fine = appliance.cli(&["metrics", "fine", "load.load1", "--from", "3h"]);
    let fine = String::from_utf8(fine.stdout).unwrap();
    assert!(fine.lines().skip(1).filter(|line| line.ends_with(" 540")).count() >= 14, "{fine}");
    // Again is nothing new.
    let again = import();
    assert_eq!(again["points"], 0, "{again}");

    let wrong = appliance.cli(&["metrics", "import-whisper", "/tmp/no-such-tree"]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        wrong.status.code() == Some(1) && said.contains("give the one that holds nagios"),
        "{said}"
    );
}
