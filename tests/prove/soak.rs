//! T-I: fifty times the usual load, with faults at random, for as long as
//! PROVE_SOAK says in seconds: descriptors, tasks, memory and disk are flat.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::carbon::Lines;
use super::common::appliance::Appliance;
use super::common::cloud::{section_every, write_password};
use super::common::faults::{Fault, Plan, Watch};
use super::common::flow::{Points, archive_sections, rotate, rotated};
use super::common::graphite::{STEP, last_step};
use super::common::hosts_file::Whole;
use super::common::nagios::{Nagios, Settings, wait_until};
use super::common::openstack::{Answer, OpenStack};
use super::common::rounds::Dice;
use super::common::row::Row;
use super::held::{Held, most, slope};
use super::set_hosts::{assert_composed, hosts_of};

/// Usual are a call and a poll in ten minutes and 7 to 8 lines a second, which
/// 1,000 hosts with eight services give in 15 minutes.
const LOAD: u64 = 50;
const CALL_EVERY: u64 = 600 / LOAD;
/// Of 20 lines each.
const FILES_A_SECOND: i64 = 20;
/// In the first third so much more comes that what is bounded meets its bounds,
/// above all SQLite's caches of pages: what grows after that has none.
const WARM_UP: u64 = 5;
/// Slots that are written again and again: the archive has all after 50 s.
const SLOTS: i64 = 1_000;

struct Ground {
    nagios: Nagios,
    is_dead: bool,
    carbon: Lines,
    fake: OpenStack,
    appliance: Appliance,
    watch: Watch,
    dice: Dice,
    faults: [u64; KINDS.len()],
}

const KINDS: [&str; 6] =
    ["a signal to Nagios", "Nagios killed", "Carbon gone", "the cloud gone", "a bad peer", "errno"];

impl Ground {
    fn lay() -> Self {
        let nagios = Nagios::start_new(Settings::default());
        let (carbon, fake) = (Lines::start(), OpenStack::start());
        let mut appliance = Appliance::new(&nagios, "", "");
        let password = write_password(&appliance);
        let more = format!(
            "[carbon]\naddress = \"127.0.0.1:{}\"\nprotocol = \"plaintext\"\nreplay_window = \"10s\"\n{}",
            carbon.port,
            section_every("east", &fake, &password, &format!("{CALL_EVERY}s"))
        );
        let sections = archive_sections(&nagios, &more);
        appliance.configure(&nagios, "min_restart_interval = \"1s\"", &sections);
        let watch = Watch::new(Plan::NONE);
        let environment = watch.environment(false);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        appliance.begin_start_with(&environment);
        wait_until("an answer", || appliance.try_client());
        let (dice, faults) = (Dice::new(0x5EED), [0; KINDS.len()]);
        Self { nagios, is_dead: false, carbon, fake, appliance, watch, dice, faults }
    }

    /// One fault of those that a machine has without anybody's doing, or the
    /// end of one.
    fn trouble(&mut self) {
        let (kind, begins) = (self.dice.roll(KINDS.len() as u64) as usize, self.dice.roll(2) == 0);
        match (kind, begins) {
            (0, true) if !self.is_dead => self.nagios.sigstop(),
            (0, false) if !self.is_dead => self.nagios.sigcont(),
            (1, true) if !self.is_dead => {
                self.nagios.kill9();
                self.is_dead = true;
            }
            (1, false) if self.is_dead => self.revive(),
            (2, begins) => self.carbon.refuse(begins),
            (3, true) => self.fake.meddle(|_, _, _, _| {
                Answer::json("503 Service Unavailable", &serde_json::json!({})).steps()
            }),
            (3, false) => self.fake.behave(),
            (4, half) => self.say(if half { HALF_A_CALL } else { NO_THRIFT }),
            (5, _) => {
                let fault = REFUSALS[self.dice.roll(REFUSALS.len() as u64) as usize];
                self.watch.order(fault, 1 + self.dice.roll(3));
            }
            _ => return,
        }
        self.faults[kind] += 1;
    }

    /// And goes without waiting for an answer.
    fn say(&self, bytes: &[u8]) {
        if let Ok(mut stream) = TcpStream::connect(&self.appliance.address) {
            // It may be closed already.
            let _ = stream.write_all(bytes);
        }
    }

    fn revive(&mut self) {
        if self.is_dead {
            self.nagios.start();
            self.is_dead = false;
        }
        self.nagios.sigcont();
    }

    fn end_troubles(&mut self) {
        self.revive();
        self.carbon.refuse(false);
        self.fake.behave();
        self.watch.order(REFUSALS[0], 0);
    }

    fn put_files(&self, first: i64) {
        for file in first..first + FILES_A_SECOND {
            let slot = last_step() - STEP * (file % SLOTS);
            rotate(&self.nagios.spool(), 1_700_000_000 + file, slot, &mut Points::new());
        }
    }

    /// What was told last is what Nagios has read, and no file waits.
    fn check_settled(&mut self, last: usize) {
        let file = self.nagios.hosts_file();
        let mut client = self.appliance.client();
        client.replace_hosts(hosts_of(last), false).unwrap();
        let mark = format!("mark-{last}");
        wait_until("the last set", || Whole::at(&file)?.ids.contains(&mark).then_some(()));
        self.appliance.wait_in_step();
        let spool = self.nagios.spool();
        wait_until("an empty spool", || rotated(&spool).is_empty().then_some(()));
        assert_composed(&self.appliance, 0);
    }
}

const HALF_A_CALL: &[u8] = b"\x80\x01\x00\x01\x00\x00\x00\x09set_h";
const NO_THRIFT: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

const REFUSALS: [Fault; 5] = [
    Fault::Refuse(Errno::ENOSPC),
    Fault::Refuse(Errno::EIO),
    Fault::Refuse(Errno::EDQUOT),
    Fault::Refuse(Errno::EINTR),
    Fault::CutShort,
];

/// How many there are to be by then.
fn files_by(at: Duration, long: Duration) -> i64 {
    let warm = at.min(long / 3);
    let seconds = warm.as_secs() * WARM_UP + (at - warm).as_secs();
    seconds as i64 * FILES_A_SECOND
}

/// The samples, and how many calls were made.
fn load(ground: &mut Ground, long: Duration) -> (Vec<Held>, usize) {
    let (began, spool) = (Instant::now(), ground.nagios.spool());
    let (mut samples, mut calls, mut files) = (Vec::new(), 0, 0);
    let mut client = ground.appliance.client();
    while began.elapsed() < long {
        // On a busy machine a turn takes more than a second.
        while files <= files_by(began.elapsed(), long) {
            ground.put_files(files);
            files += FILES_A_SECOND;
        }
        if began.elapsed().as_secs() / CALL_EVERY >= calls as u64 {
            calls += 1;
            if let Err(told) = client.replace_hosts(hosts_of(calls), false) {
                eprintln!("told: {told}");
                client = ground.appliance.client();
            }
            // The fleet is at its full size when it is warm.
            let times = if began.elapsed() > long / 3 { 1 } else { WARM_UP };
            (0..times).for_each(|_| ground.fake.state().churn(200));
        }
        for _ in 0..5 {
            // Under faults it may be refused.
            if let Some(mut other) = ground.appliance.try_client() {
                drop(other.get_status());
            }
        }
        if ground.dice.roll(4) == 0 {
            ground.trouble();
        }
        assert!(!ground.appliance.has_ended(), "it ended:\n{}", ground.appliance.log());
        samples.push(Held::now(&ground.appliance, &spool, began));
        if let (59, Some(last)) = (samples.len() % 60, samples.last()) {
            eprintln!("{last:?}");
        }
        let next = Duration::from_secs(samples.len() as u64);
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    (samples, calls)
}

/// What was measured, in a sentence; panics where something grows.
fn judge(samples: &[Held], long: Duration) -> String {
    // The first third is what it needs to be warm.
    let warm = &samples[samples.len() / 3..];
    let descriptors = most(warm, |one| Some(one.descriptors));
    let tasks = most(warm, |one| one.tasks);
    let threads = most(warm, |one| Some(one.threads));
    for (what, (early, late)) in
        [("descriptors", descriptors), ("tasks", tasks), ("threads", threads)]
    {
        assert!(late <= early + 8, "{what}: {early} and then {late}");
    }
    let (disk_most, wal) = (most(warm, |one| one.disk_kib), most(warm, |one| Some(one.wal_kib)));
    let memory = slope(warm, |one| one.memory_kib);
    let disk = slope(warm, |one| one.disk_kib);
    let ledger = slope(warm, |one| Some(one.ledger_kib));
    let (first, last) = (warm.first().unwrap(), warm.last().unwrap());
    let of_last = |of: fn(&Held) -> Option<u64>| warm.iter().rev().find_map(of).unwrap();
    let memory_kib = of_last(|one| one.memory_kib);
    let spool = most(samples, |one| Some(one.spool_kib));
    eprintln!("{last:?}; ledger {ledger:.0} KiB/h; spool at most {spool:?} KiB");
    let month = |kib_an_hour: f64| kib_an_hour * 24.0 * 30.0 / LOAD as f64 / 1024.0;
    let told = format!(
        "soak of {} s at {LOAD} times the load: descriptors {} then {}, tasks {} then {}, \
         memory {} MiB {memory:+.0} KiB/h, disk {} MiB {disk:+.0} KiB/h, both without {} MiB that \
         the archive has yet to seal, and the ledger; extrapolated, not seen: 30 days of usual \
         load {:+.0} MiB memory, {:+.0} MiB disk, {:+.0} MiB ledger",
        long.as_secs(),
        descriptors.0,
        descriptors.1,
        tasks.0,
        tasks.1,
        memory_kib / 1024,
        of_last(|one| one.disk_kib) / 1024,
        of_last(|one| one.head_kib) / 1024,
        month(memory),
        month(disk),
        month(ledger),
    );
    eprintln!("{told}");
    // More than chance moves it within the run.
    let hours = (last.at - first.at).as_secs_f64() / 3600.0;
    assert!(memory * hours < 0.1 * memory_kib as f64 + 1024.0, "memory grows");
    let (early, late) = disk_most;
    assert!(late as f64 <= 1.1 * early as f64 + 1024.0, "disk grows: {disk_most:?} KiB");
    // SQLite begins anew at 4,000 pages of metrics.db and at 1,000 of the others.
    assert!(wal.1 < 48 << 10, "what is not carried over grows: {wal:?} KiB");
    told
}

fn soak(seconds: u64) {
    let long = Duration::from_secs(seconds);
    let mut row = Row::new("T-I", format!("soak of {seconds} s"));
    let mut told = None;
    row.trial("a soak", || {
        let mut ground = Ground::lay();
        let (samples, calls) = load(&mut ground, long);
        ground.end_troubles();
        for (what, times) in KINDS.into_iter().zip(ground.faults) {
            eprintln!("{times} x {what}");
        }
        eprintln!("{calls} calls, {} kernel calls refused", ground.watch.fired());
        ground.check_settled(calls + 1);
        told = Some((judge(&samples, long), ground.faults.iter().sum()));
    });
    if let Some((what, faults)) = told {
        (row.what, row.points) = (what, faults);
    }
    row.end();
}

#[test]
#[ignore = "make prove-i"]
fn nothing_grows_under_load_and_faults() {
    soak(std::env::var("PROVE_SOAK").map_or(1_200, |text| text.parse().unwrap()));
}
