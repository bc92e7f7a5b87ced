//! CPU time of set_hosts with 10,000 hosts, without Nagios: its binary accepts
//! everything at once, and this program stands in for its restart.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use nix::sys::stat::Mode;

use crate::appliance::Appliance;
use crate::load::Asker;
use crate::nagios::{Nagios, Settings};
use crate::report::Row;
use crate::rounds::{median, millis};
use crate::{python, wire};

const HOSTS: usize = 10_000;
const ROUNDS: u8 = 5;
const UNCHANGED_CALLS: u32 = 10;

pub fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let nagios = Nagios::new(Settings::default());
    let stand_in = StandIn::start(&nagios)?;
    let appliance = Appliance::start(&section(&nagios, "/bin/true"))?;
    let mut asker = runtime.block_on(Asker::connect(appliance.address))?;
    let mut set = |machines: &[wire::Machine]| -> anyhow::Result<()> {
        let request = wire::set_hosts(machines)?;
        wire::expect_reply(runtime.block_on(asker.ask(&request))?)
    };

    // The first set meets an empty database.
    set(&wire::Machine::set(HOSTS, 1))?;
    appliance.wait_in_step()?;
    let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let machines = wire::Machine::set(HOSTS, 2 + round);
        let before = appliance.cpu()?;
        set(&machines)?;
        changed.push(millis(appliance.cpu()? - before));
        let restarts = appliance.wait_in_step()?.restarts;

        let written = fs::metadata(nagios.hosts_file())?.modified()?;
        let before = appliance.cpu()?;
        for _ in 0..UNCHANGED_CALLS {
            set(&machines)?;
        }
        unchanged.push(millis((appliance.cpu()? - before) / UNCHANGED_CALLS));
        ensure!(
            fs::metadata(nagios.hosts_file())?.modified()? == written,
            "an unchanged set was written anew"
        );
        let status = appliance.wait_in_step()?;
        ensure!(status.restarts == restarts, "an unchanged set led to a restart");
    }
    let restarts = stand_in.restarts();

    let python = python_cost(&runtime)?;
    let python = format!("Python's TSimpleServer, which only decodes: {python:.0} ms");
    let changed = median(changed).context("no round")?;
    let unchanged = median(unchanged).context("no round")?;
    Ok(vec![
        Row::judged(
            "set_hosts, 10,000 hosts, all of them changed, CPU without Nagios's verify and restart",
            "under 100 ms",
            format!("{changed:.0} ms"),
            python.clone(),
            changed < 100.0,
        ),
        Row::judged(
            "set_hosts, 10,000 hosts, unchanged, CPU",
            "under 50 ms and no restart",
            format!("{unchanged:.0} ms; {restarts} restarts for {} changed sets", ROUNDS + 1),
            python,
            unchanged < 50.0,
        ),
    ])
}

/// The [nagios] section for a Nagios of the tests' rig.
pub fn section(nagios: &Nagios, binary: &str) -> String {
    format!(
        "[nagios]\nconfig = {:?}\nhosts_file = {:?}\nbinary = {binary:?}\nmin_restart_interval = \"1s\"\n",
        nagios.main_config(),
        nagios.hosts_file()
    )
}

fn python_cost(runtime: &tokio::runtime::Runtime) -> anyhow::Result<f64> {
    let server = python::simple_server("http://127.0.0.1:9")?;
    let request = wire::set_hosts(&wire::Machine::set(HOSTS, 1))?;
    let calls = 10;
    let before = server.cpu()?;
    runtime.block_on(async {
        let mut asker = Asker::connect(server.address).await?;
        for _ in 0..calls {
            wire::expect_reply(asker.ask(&request).await?)?;
        }
        anyhow::Ok(())
    })?;
    Ok(millis((server.cpu()? - before) / calls))
}

/// Does what can be seen of Nagios on a restart: it takes the command from the
/// FIFO, and a second later its status file tells of a new start.
struct StandIn {
    restarts: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    fifo: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    fn start(nagios: &Nagios) -> anyhow::Result<Self> {
        let fifo = nagios.fifo();
        nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o660))?;
        tell(&nagios.status_file())?;
        // For both ways, so that the end of a writer is no end of the file.
        let mut commands = OpenOptions::new().read(true).write(true).open(&fifo)?;
        let (restarts, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end, status) = (Arc::clone(&restarts), Arc::clone(&over), nagios.status_file());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(length) = commands.read(&mut buffer) {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                if memchr::memmem::find(&buffer[..length], b"RESTART_PROGRAM").is_some() {
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1000));
                    if let Err(fault) = tell(&status) {
                        eprintln!("the status file cannot be written: {fault:#}");
                        return;
                    }
                }
            }
        });
        Ok(Self { restarts, over, fifo, thread: Some(thread) })
    }

    fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let woken = File::options()
            .write(true)
            .open(&self.fifo)
            .and_then(|mut fifo| std::io::Write::write_all(&mut fifo, b"\n"));
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // It says by itself what went wrong.
            drop(thread.join());
        }
    }
}

fn tell(status: &Path) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let staged = status.with_extension("new");
    let pid = std::process::id();
    fs::write(
        &staged,
        format!("programstatus {{\n\tnagios_pid={pid}\n\tprogram_start={now}\n\t}}\n"),
    )?;
    Ok(fs::rename(staged, status)?)
}
