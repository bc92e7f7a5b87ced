//! From set_hosts to a real Nagios that has proved that it reads the set: what
//! of it is ours, beside `nagios4 -v` and a restart without us.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};

use crate::appliance::Appliance;
use crate::load::Asker;
use crate::nagios::{BINARY, Nagios, Settings};
use crate::report::Row;
use crate::rounds::{median, millis};
use crate::{sets, wire};

/// So many runs of so many hosts.
const SIZES: [(usize, u8); 2] = [(1_000, 5), (10_000, 3)];
/// Of what Nagios itself takes, on top of 150 ms.
const SHARE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(120);

struct Run {
    whole: f64,
    verify: f64,
    restart: f64,
}

impl Run {
    fn own(&self) -> f64 {
        self.whole - self.verify - self.restart
    }
}

pub fn measure() -> anyhow::Result<Vec<Row>> {
    SIZES.into_iter().map(|(hosts, runs)| row(hosts, runs)).collect()
}

fn row(hosts: usize, count: u8) -> anyhow::Result<Row> {
    let runtime = tokio::runtime::Runtime::new()?;
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start(&sets::section(&nagios, BINARY))?;
    let mut asker = runtime.block_on(Asker::connect(appliance.address))?;
    let mut runs = Vec::new();
    // The first run, with an empty database, does not count.
    for run in 0..=count {
        let request = wire::set_hosts(&wire::Machine::set(hosts, 1 + run))?;
        let begun = Instant::now();
        wire::expect_reply(runtime.block_on(asker.ask(&request))?)?;
        let status = appliance.wait_in_step()?;
        let whole = millis(begun.elapsed());
        ensure!(
            nagios.hosts().len() >= hosts,
            "Nagios has {} hosts and not {hosts}",
            nagios.hosts().len()
        );
        // After a restart Nagios is busy for a while with its status file, and
        // the next set's restart waits for its turn: both are to meet it calm.
        let last = Duration::from_millis(status.last_restart_ms.unwrap_or(0).unsigned_abs());
        let calm = || std::thread::sleep(last * 5 + Duration::from_secs(1));
        calm();
        let verify = verify(&nagios)?;
        let restart = restart(&nagios)?;
        eprintln!("  {hosts} hosts: {whole:.0} ms, of it {verify:.0} -v and {restart:.0} restart");
        if run > 0 {
            runs.push(Run { whole, verify, restart });
        }
        calm();
    }
    let middle = |part: fn(&Run) -> f64| median(runs.iter().map(part)).context("no run");
    let (own, verify, restart) =
        (middle(Run::own)?, middle(|run| run.verify)?, middle(|run| run.restart)?);
    let limit = 150.0 + SHARE * (verify + restart);
    let what = format!("set_hosts to proved, {hosts} hosts: own time (wall)");
    let target = format!("at most 150 ms + 5 % = {limit:.0} ms");
    let measured = format!("{own:.0} ms of {:.0} ms", middle(|run| run.whole)?);
    let baseline = format!("nagios4 -v {verify:.0} ms, bare restart {restart:.0} ms");
    if own < -limit {
        let why =
            "Nagios's own times differ by more than what is measured; repeat it on a quiet machine";
        return Ok(Row::unclear(what, target, measured, baseline, why));
    }
    Ok(Row::judged(what, target, measured, baseline, own <= limit))
}

/// Of the whole configuration, as an administrator would.
fn verify(nagios: &Nagios) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let output =
        Command::new(BINARY).arg("-v").arg(nagios.main_config()).stdin(Stdio::null()).output()?;
    let took = millis(begun.elapsed());
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(took)
}

/// From the command to the status file that tells of the new start.
fn restart(nagios: &Nagios) -> anyhow::Result<f64> {
    let status = nagios.status_file();
    let before = program_start(&status).context("Nagios has no status file")?;
    // program_start counts seconds, and must come out as another one.
    while SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed() <= before {
        std::thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    let mut fifo =
        OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(nagios.fifo())?;
    fifo.write_all(b"[1] RESTART_PROGRAM\n")?;
    loop {
        if program_start(&status).is_some_and(|now| now != before) {
            return Ok(millis(begun.elapsed()));
        }
        if begun.elapsed() > PATIENCE {
            bail!("Nagios did not restart");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// From the head of the status file: the whole has some 11 KB a host, and to
/// read that would slow Nagios down.
fn program_start(status: &Path) -> Option<i64> {
    let mut head = String::new();
    File::open(status).ok()?.take(4096).read_to_string(&mut head).ok()?;
    let value = head.lines().find_map(|line| line.trim().strip_prefix("program_start="))?;
    value.parse().ok().filter(|start| *start > 0)
}
