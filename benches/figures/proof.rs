//! From set_hosts to a real Nagios that has proved that it reads the set: what
//! of it is ours, beside `nagios4 -v` and a restart without us.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};

use crate::appliance::Appliance;
use crate::load::Asker;
use crate::nagios::{BINARY, Nagios, Settings};
use crate::report::Row;
use crate::rounds::{median, millis};
use crate::{sets, wire};

const RUNS: u8 = 5;
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
    [1_000, 10_000].into_iter().map(row).collect()
}

fn row(hosts: usize) -> anyhow::Result<Row> {
    let runtime = tokio::runtime::Runtime::new()?;
    let nagios = Nagios::start_new(Settings::default());
    let appliance = Appliance::start(&sets::section(&nagios, BINARY))?;
    let mut asker = runtime.block_on(Asker::connect(appliance.address))?;
    let mut runs = Vec::new();
    // The first run, with an empty database, does not count.
    for run in 0..=RUNS {
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
        let (verify, restart) = (verify(&nagios)?, restart(&nagios)?);
        if run > 0 {
            runs.push(Run { whole, verify, restart });
        }
        // So that the next restart need not wait for its turn.
        let last = Duration::from_millis(status.last_restart_ms.unwrap_or(0).unsigned_abs());
        std::thread::sleep(last * 5 + Duration::from_secs(1));
    }
    let middle = |part: fn(&Run) -> f64| median(runs.iter().map(part)).context("no run");
    let (own, verify, restart) =
        (middle(Run::own)?, middle(|run| run.verify)?, middle(|run| run.restart)?);
    let limit = 150.0 + SHARE * (verify + restart);
    Ok(Row::judged(
        format!("set_hosts to proved, {hosts} hosts: own time (wall)"),
        format!("at most 150 ms + 5 % = {limit:.0} ms"),
        format!("{own:.0} ms of {:.0} ms", middle(|run| run.whole)?),
        format!("nagios4 -v {verify:.0} ms, bare restart {restart:.0} ms"),
        own <= limit,
    ))
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
    let before = nagios.program_start().context("Nagios has no status file")?;
    // program_start counts seconds, and must come out as another one.
    while SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed() <= before {
        std::thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    let mut fifo =
        OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(nagios.fifo())?;
    fifo.write_all(b"[1] RESTART_PROGRAM\n")?;
    loop {
        if nagios.program_start().is_some_and(|now| now != before) {
            return Ok(millis(begun.elapsed()));
        }
        if begun.elapsed() > PATIENCE {
            bail!("Nagios did not restart");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
