//! Perfdata while something on its way is down, slow, full or forged: by the
//! real program, with a real Carbon and graphite-web where points are counted.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its files need no durability"
)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use common::appliance::{Appliance, given};
use common::flow::{Points, missing, put, rotate, sections, slots, stored};
use common::graphite::Graphite;
use common::keeper;
use common::nagios::{Nagios, Settings, wait_until};
use common::receiver::{Manner, Receiver};
use common::small_disk::SmallDisk;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use weather_balloon::rpc::client::{PerfdataStatus, SinkStatus};

fn status(appliance: &Appliance) -> PerfdataStatus {
    appliance.client().get_perfdata_status().unwrap()
}

fn sink(appliance: &Appliance, place: usize) -> SinkStatus {
    status(appliance).sinks.unwrap().remove(place)
}

fn wait_stored(graphite: &Graphite, wanted: &Points) {
    wait_until("every point in Graphite", || {
        (missing(wanted, &stored(graphite, "nagios.*.load.load1")) == 0).then_some(())
    });
}

#[test]
fn carbon_may_refuse_close_crawl_and_stop() {
    let mut graphite = Graphite::start();
    let nagios = Nagios::new(Settings::default());
    let more = "receipt_timeout = \"7s\"\nmax_batch_points = 200\nreplay_window = \"1h\"";
    let appliance = Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, more));
    let mut wanted = Points::new();
    let mut slots = slots();
    let mut rotate_some = |wanted: &mut Points| {
        for (number, slot) in slots.by_ref().take(30) {
            rotate(&nagios.spool(), number, slot, wanted);
        }
    };
    let failures = |appliance: &Appliance| sink(appliance, 0).failures.unwrap();

    graphite.stop_carbon();
    rotate_some(&mut wanted);
    wait_until("refusals", || (failures(&appliance) >= 2).then_some(()));
    {
        let closing = Receiver::on(graphite.pickle_port, Manner::CloseAtOnce);
        rotate_some(&mut wanted);
        wait_until("connections that are closed", || (closing.accepted() >= 3).then_some(()));
    }
    assert_eq!(sink(&appliance, 0).samples, Some(0));
    {
        // A hundred points take it 5 s: batches become so small, and from then
        // on each is through at the first attempt.
        let slow = Receiver::on(graphite.pickle_port, Manner::Slow(1000));
        wait_until("a receipt", || (slow.finished() >= 1).then_some(()));
        let before = failures(&appliance);
        let receipts = slow.finished();
        wait_until("more receipts", || (slow.finished() >= receipts + 3).then_some(()));
        assert_eq!(failures(&appliance), before);
    }
    graphite.start_carbon();
    wait_stored(&graphite, &wanted);

    keeper::signal(graphite.carbon(), Signal::SIGSTOP);
    rotate_some(&mut wanted);
    let before = failures(&appliance);
    wait_until("a receipt that does not come", || (failures(&appliance) > before).then_some(()));
    keeper::signal(graphite.carbon(), Signal::SIGCONT);
    wait_stored(&graphite, &wanted);
}

#[test]
fn a_dead_destination_does_not_delay_another() {
    let graphite = Graphite::start();
    let deaf = Receiver::start(Manner::Deaf);
    let nagios = Nagios::new(Settings::default());
    let address = format!("address = \"127.0.0.1:{}\"", graphite.pickle_port);
    let both =
        format!("address = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]", deaf.port, graphite.pickle_port);
    // For the deaf one a batch takes as long as this test may.
    let more = "receipt_timeout = \"10m\"\nreplay_window = \"1s\"";
    let text = sections(&nagios, &graphite, more).replace(&address, &both);
    let appliance = Appliance::start_new(&nagios, "", &text);
    let mut wanted = Points::new();
    for (number, slot) in slots().take(50) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_stored(&graphite, &wanted);
    let (dead, live) = (sink(&appliance, 0), sink(&appliance, 1));
    assert_eq!((dead.samples, dead.last_receipt_time), (Some(0), None));
    assert!(live.last_receipt_time.is_some() && live.trouble.is_none(), "{live:?}");
    // What one of them needs stays.
    assert_eq!(fs::read_dir(nagios.spool()).unwrap().count(), 50);
}

/// What a tenant's plugin may print behind its bar.
const FORGED: [&str; 14] = [
    "a=1\tHOSTNAME::victim",
    "a=1\tHOSTNAME::victim\tSERVICEPERFDATA::b=2",
    "\tHOSTNAME::victim\tGRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::load\tSERVICEPERFDATA::load1=6",
    "a=1\\nDATATYPE::SERVICEPERFDATA\tTIMET::1\tHOSTNAME::victim\tSERVICEPERFDATA::b=2",
    "a=1\\n\\nHOSTNAME::victim\\tSERVICEPERFDATA::b=2",
    "HOSTNAME::victim=1",
    "'HOSTNAME::victim\tGRAPHITEPOSTFIX::load'=1",
    "::=1 ::victim::=2",
    "../victim/load1=1",
    "nagios.victim.load.load1=1",
    "'.victim.load1'=1 '..victim'=2",
    "a=1\\rHOSTNAME::victim",
    "x;victim=1 {victim,other}.load=2 *=3",
    "\u{85}\u{2028}HOSTNAME::victim=1 \u{0}victim=1",
];

#[test]
fn no_plugin_writes_the_series_of_another_host() {
    let graphite = Graphite::start();
    let nagios = Nagios::start_new(Settings { perfdata_interval: Some(1), ..Settings::default() });
    let appliance = Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, ""));
    let both = vec![given("attacker", "127.0.0.1"), given("victim", "127.0.0.2")];
    appliance.client().replace_hosts(both, false).unwrap();
    appliance.wait_in_step();
    // Through Nagios itself, as a result of a check.
    let said = |perfdata: &str| {
        let mut fifo = fs::OpenOptions::new().write(true).open(nagios.fifo()).unwrap();
        let command =
            format!("[1] PROCESS_SERVICE_CHECK_RESULT;attacker;Check Load;0;OK | {perfdata}\n");
        fifo.write_all(command.as_bytes()).unwrap();
    };
    FORGED.iter().for_each(|perfdata| said(perfdata));
    said("last=1");
    graphite.wait_for(["nagios.attacker.load.last"]);
    // And in files, of our template and of that of 2014.
    let now = common::graphite::last_step();
    let mut text = String::new();
    let forged = FORGED.iter().map(|perfdata| perfdata.replace("\\n", "\n"));
    for perfdata in forged.chain(["file=1".to_owned()]) {
        let head = format!("DATATYPE::SERVICEPERFDATA\tTIMET::{now}\tHOSTNAME::attacker");
        let tail = "GRAPHITEPREFIX::nagios\tGRAPHITEPOSTFIX::load";
        // A line end in a field ends the line: Nagios writes none.
        let line = perfdata.split('\n').next().unwrap();
        text.push_str(&format!("{head}\t{tail}\tSERVICEPERFDATA::{line}\n"));
        text.push_str(&format!("{head}\tSERVICEPERFDATA::{line}\t{tail}\n"));
    }
    put(&nagios.spool(), &format!("service-perfdata.{now}"), &text);
    graphite.wait_for(["nagios.attacker.load.file"]);
    let found = |pattern: &str| graphite.get(&format!("/metrics/find?query={pattern}")).unwrap().1;
    let nodes: serde_json::Value = serde_json::from_str(&found("nagios.*")).unwrap();
    let nodes: Vec<_> = nodes.as_array().unwrap().iter().map(|node| &node["text"]).collect();
    assert_eq!(nodes, ["attacker"]);
    let services: serde_json::Value = serde_json::from_str(&found("nagios.attacker.*")).unwrap();
    let services: Vec<_> = services.as_array().unwrap().iter().map(|node| &node["text"]).collect();
    assert_eq!(services, ["load"]);
    let mut trees: Vec<_> = serde_json::from_str::<serde_json::Value>(&found("*"))
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["text"].as_str().unwrap().to_owned())
        .collect();
    trees.retain(|tree| tree != "carbon");
    assert_eq!(trees, ["nagios"]);
}

fn disk_usage(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(dir).unwrap();
    // The appliance removes some meanwhile.
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.blocks() * 512)).sum()
}

fn resident_kib(appliance: &Appliance) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", appliance.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// 1,000 hosts with 8 services and a ping each: 9,000 results in 15 minutes are
/// 150 lines in 15 s. Nagios rotates two files in 15 s, 11,520 in a day, so 75
/// lines of 380 bytes in each: 328 MB in all, of which the limit keeps a fifth.
#[test]
fn a_day_without_carbon_keeps_the_spool_within_its_limit() {
    const FILES: u64 = 11_520;
    const LINES: usize = 75;
    const HOUR: u64 = FILES / 24;
    const LIMIT: u64 = 64 << 20;
    const MAX_GROWTH_KIB: u64 = 12 * 1024;
    let nagios = Nagios::new(Settings::default());
    let port = common::appliance::free_port();
    let spool = nagios.spool();
    let text = format!(
        "[perfdata]\nspool = \"{}\"\nmax_spool = \"64MiB\"\n[carbon]\naddress = \"127.0.0.1:{port}\"\n\
         max_backoff = \"1s\"\n",
        spool.display()
    );
    let appliance = Appliance::start_new(&nagios, "", &text);
    let first = 1_767_225_600;
    let mut slowest = Duration::ZERO;
    let mut resident = Vec::new();
    for file in 0..FILES {
        let mut text = String::new();
        for line in 0..LINES {
            let line = format!(
                "DATATYPE::SERVICEPERFDATA\tTIMET::{}\tHOSTNAME::vm{line}\tGRAPHITEPREFIX::nagios\t\
                 GRAPHITEPOSTFIX::load\tSERVICEDESC::{:x<240}\tSERVICEPERFDATA::load1={file}\n",
                first + file * 7,
                ""
            );
            text.push_str(&line);
        }
        let began = Instant::now();
        put(&spool, &format!("service-perfdata.{}", first + file * 7), &text);
        slowest = slowest.max(began.elapsed());
        if file % HOUR == HOUR - 1 {
            wait_until("a spool within its limit", || (disk_usage(&spool) <= LIMIT).then_some(()));
            resident.push(resident_kib(&appliance));
        }
    }
    let told = wait_until("the loss in the status", || {
        let told = status(&appliance);
        (told.lost_files.unwrap() + told.files.unwrap() == i64::try_from(FILES).unwrap())
            .then_some(told)
    });
    eprintln!("slowest rotation {slowest:?}; resident KiB by the hour {resident:?}; {told:?}");
    assert!(told.lost_files.unwrap() > 8_000, "{told:?}");
    assert!(slowest < Duration::from_secs(5), "a rotation took {slowest:?}");
    assert!(resident[23] < resident[0] + MAX_GROWTH_KIB, "{resident:?}");
    appliance.wait_logged("the perfdata spool is full", 1);
    // The newest are there in full, and go out when Carbon is back.
    let _null = Receiver::on(port, Manner::Null);
    let kept = told.files.unwrap() * i64::try_from(LINES).unwrap();
    wait_until("the rest at Carbon", || {
        let sink = sink(&appliance, 0);
        (sink.samples.unwrap() - sink.resent.unwrap() >= kept).then_some(())
    });
    assert!(resident_kib(&appliance) < resident[0] + MAX_GROWTH_KIB);
}

#[test]
fn a_full_disk_stops_nothing_that_is_there() {
    if !geteuid().is_root() {
        eprintln!("only root may mount a small disk");
        return;
    }
    let graphite = Graphite::start();
    let nagios = Nagios::new(Settings::default());
    let mut appliance = Appliance::new(&nagios, "", &sections(&nagios, &graphite, ""));
    let (state, spool) = (appliance.path("state"), nagios.spool());
    fs::create_dir(&state).unwrap();
    let state_disk = SmallDisk::mount(&state, "512k");
    let spool_disk = SmallDisk::mount(&spool, "512k");
    appliance.start();
    let mut wanted = Points::new();
    let mut slots = slots();
    for (number, slot) in slots.by_ref().take(5) {
        rotate(&spool, number, slot, &mut wanted);
    }
    wait_stored(&graphite, &wanted);
    // Full are now both: what Nagios can still move in goes out.
    state_disk.fill();
    for (number, slot) in slots.by_ref().take(20) {
        rotate(&spool, number, slot, &mut wanted);
    }
    spool_disk.fill();
    wait_stored(&graphite, &wanted);
    let told = wait_until("the trouble", || sink(&appliance, 0).trouble);
    assert!(told.contains("receipts are not kept"), "{told}");
    // And with room again all is well.
    state_disk.empty();
    spool_disk.empty();
    for (number, slot) in slots.by_ref().take(5) {
        rotate(&spool, number, slot, &mut wanted);
    }
    wait_stored(&graphite, &wanted);
    wait_until("no trouble", || sink(&appliance, 0).trouble.is_none().then_some(()));
    appliance.kill9();
    appliance.start();
    wait_until("no trouble", || sink(&appliance, 0).trouble.is_none().then_some(()));
    appliance.kill9();
}

#[test]
fn points_that_never_appear_are_told() {
    // A minute goes by from one series to the next.
    let graphite = Graphite::start_creating("1");
    let nagios = Nagios::new(Settings { perfdata_interval: Some(2), ..Settings::default() });
    // As setup makes it.
    let both = std::os::unix::fs::PermissionsExt::from_mode(0o2770);
    std::fs::set_permissions(nagios.spool(), both).unwrap();
    let more = "read_back_interval = \"1s\"";
    let appliance = Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, more));
    let mut wanted = Points::new();
    let mut slots: Vec<_> = slots().collect();
    for (number, slot) in slots.split_off(slots.len() - 3) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    let told = wait_until("the trouble", || status(&appliance).read_back_trouble);
    assert!(told.contains("MAX_CREATES_PER_MINUTE"), "{told}");
    let out = appliance.cli(&["check", "carbon"]);
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.code() == Some(1) && said.contains("Graphite does not show"), "{said}");
}

#[test]
fn points_that_appear_are_no_trouble() {
    let graphite = Graphite::start();
    let nagios = Nagios::new(Settings::default());
    let more = "read_back_interval = \"1s\"";
    let appliance = Appliance::start_new(&nagios, "", &sections(&nagios, &graphite, more));
    let mut wanted = Points::new();
    let mut slots: Vec<_> = slots().collect();
    for (number, slot) in slots.split_off(slots.len() - 3) {
        rotate(&nagios.spool(), number, slot, &mut wanted);
    }
    wait_stored(&graphite, &wanted);
    appliance.wait_logged("read back from Graphite", 1);
    assert_eq!(status(&appliance).read_back_trouble, None);
}
