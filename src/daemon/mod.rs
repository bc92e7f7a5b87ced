//! The process: builds every part once, in floor order, and holds them
//! together until it is told to stop.

mod watchdog;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::cloud::{Cloud, Clouds};
use crate::config::Config;
use crate::directory::Directory;
use crate::group::Group;
use crate::hosts::Hosts;
use crate::inspect::{Inspector, Running, Subjects};
use crate::ledger::Rhythm;
use crate::metrics::Metrics;
use crate::nagios::Nagios;
use crate::providers::ec2::Environment;
use crate::shipping::{Shipping, Sinks};
use crate::state::State;
use crate::usage::Usage;
use crate::{graphite, http, listen, rpc, store, telemetry};
use watchdog::Watchdog;

/// Tasks that outlast it after SIGTERM are named and left behind.
const STOP_GRACE: Duration = Duration::from_secs(4);
/// Blocking work at once: SQLite, files, and nothing that waits for a peer.
const MAX_BLOCKING_THREADS: usize = 16;

/// Runs the daemon until SIGTERM or SIGINT. `environment`: where EC2's
/// credentials may be.
pub fn serve(path: &Path, environment: &Environment) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    telemetry::init(&config.log)?;
    let passed = listen::Passed::take().context("cannot take over the sockets of systemd")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(run(config, path, environment, passed));
    // What blocks for longer than the grace is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

async fn run(
    config: Config,
    path: &Path,
    environment: &Environment,
    mut passed: listen::Passed,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // From here on a SIGHUP waits for its reader instead of ending the process.
    let hangup = signal(SignalKind::hangup())?;

    let state = Arc::new(State::open(&config.state)?);
    let nagios = Nagios::new(config.nagios.clone(), &scratch(&state));
    let scratch = scratch(&state);
    let (hosts, keeper, restarter, first_checks) =
        Hosts::start(config.hosts.clone(), nagios, Arc::clone(&state)).await?;
    let graphite = graphite::Client::new(&config.graphite)?;
    let archive = config
        .archive_is_on()
        .then(|| Archive::new(state.directory(), &config.archive, &config.graphite.prefix));
    let metrics = Metrics::new(graphite.clone(), archive.clone());
    let live = hosts.live_nodes();
    let sinks = Sinks { carbon: &config.carbon, archive: archive.clone(), graphite };
    let (shipping, crew) =
        Shipping::start(&config.perfdata, sinks, Arc::clone(&state), live).await?;
    let door = rpc::Door::open(&config.rpc, &mut passed).await?;
    for address in door.addresses() {
        tracing::info!(%address, "Thrift is served here");
    }

    let page = open_page(&config.http, &mut passed).await?;
    for address in passed.left() {
        tracing::error!(
            "systemd listens on {address} for us, which neither [rpc] nor [http] names: who connects there waits in vain; correct ListenStream= of weather-balloon.socket"
        );
    }

    let mut group = Group::new(STOP_GRACE);
    let ready = CancellationToken::new();
    let (ledger, usage) = open_ledger(&config, &mut group, &ready);
    let clouds =
        start_clouds(&config, environment, ledger.clone(), Arc::clone(&state), &hosts, &mut group)
            .await?;
    group.add("generations", |stop| keeper.run(stop));
    group.add("restarts", |stop| restarter.run(stop));
    group.add("first checks", |stop| first_checks.run(stop));
    if let Some(archive) = archive {
        group.add("archive", |stop| archive.run(stop));
    }
    if let Some(spooler) = crew.spooler {
        group.add("perfdata spool", |stop| spooler.run(stop));
    }
    for carrier in crew.to_carbon {
        group.add("perfdata to Carbon", |stop| carrier.run(stop));
    }
    if let Some(carrier) = crew.to_archive {
        group.add("perfdata to the archive", |stop| carrier.run(stop));
    }
    if let Some(read_back) = crew.read_back {
        group.add("perfdata from Graphite", |stop| read_back.run(stop));
    }
    if let Some(limit) = sd_notify::watchdog_enabled() {
        let watchdog = Watchdog::new(limit, state, door.pulse());
        group.add("watchdog", |stop| watchdog.run(stop));
    }
    let running = Running {
        hosts: hosts.clone(),
        shipping: shipping.clone(),
        metrics: metrics.clone(),
        clouds: clouds.clone(),
        ledger,
    };
    let inspector = Inspector::new(subjects(&config, Some(running))?);
    let calls = telemetry::Calls::default();
    let services = rpc::Services {
        hosts: hosts.clone(),
        metrics: metrics.clone(),
        shipping: shipping.clone(),
        usage: usage.clone(),
        inspector: inspector.clone(),
        clouds: clouds.clone(),
        calls: calls.clone(),
    };
    group.add("thrift", |stop| door.serve(services, stop));
    if let Some(page) = page {
        let services = http::Services {
            hosts: hosts.clone(),
            metrics: metrics.clone(),
            shipping: shipping.clone(),
            usage,
            clouds: clouds.clone(),
            calls,
        };
        group.add("page", |stop| page.serve(services, stop));
    }
    let reloader = Reloader {
        path: path.to_owned(),
        current: Arc::new(config),
        scratch,
        hosts,
        metrics,
        shipping,
        inspector,
        clouds,
        hangup,
    };
    group.add("reload", |stop| reloader.run(stop));

    notify(&[NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    ready.cancel();
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        notify(&[NotifyState::Stopping]);
    };
    Ok(group.run_until(told).await?)
}

/// Beside the start: the ledger holds up neither that nor the hosts.
fn open_ledger(
    config: &Config,
    group: &mut Group,
    ready: &CancellationToken,
) -> (Option<store::Handle>, Usage) {
    if config.store.is_off() {
        return (None, Usage::off());
    }
    let (ledger, opener) = store::Handle::opening(config.store.clone());
    let rhythms = config
        .clouds
        .iter()
        .map(|(common, _)| (common.name.as_str().into(), Rhythm::every(common.interval)));
    let (usage, refresher) = Usage::start(ledger.clone(), rhythms.collect());
    let ready = ready.clone();
    group.add("ledger", |stop| opener.run(ready, stop));
    group.add("leaderboard", |stop| refresher.run(stop));
    (Some(ledger), usage)
}

async fn start_clouds(
    config: &Config,
    environment: &Environment,
    ledger: Option<store::Handle>,
    state: Arc<State>,
    hosts: &Hosts,
    group: &mut Group,
) -> anyhow::Result<Clouds> {
    let made = config.clouds.iter().map(|(common, kind)| Cloud::new(common, kind, environment));
    let made = made.collect::<Result<Vec<_>, _>>()?;
    let directory = Directory::new(&config.directory)?;
    let (clouds, crew) =
        Clouds::start(made, ledger, directory, state, hosts.clone(), config.hosts.brake).await?;
    for poller in crew.pollers {
        group.add("cloud", |stop| poller.run(stop));
    }
    if let Some(lease) = crew.lease {
        group.add("lease of the ledger", |stop| lease.run(stop));
    }
    if let Some(staff) = crew.staff {
        group.add("staff", |stop| staff.run(stop));
    }
    Ok(clouds)
}

/// A page that cannot be shown is no reason to watch nothing: where its address
/// is taken, the daemon goes on without it.
async fn open_page(
    config: &http::Config,
    passed: &mut listen::Passed,
) -> anyhow::Result<Option<http::Door>> {
    match http::Door::open(config, passed).await {
        Ok(door) => {
            for address in door.addresses() {
                tracing::info!(%address, "the page is served here");
            }
            Ok(Some(door))
        }
        Err(http::Error::Listen(listen::Error::Listen(fault))) => {
            let why = telemetry::sentence(&fault);
            tracing::error!(
                "there is no page: {why}; set [http] listen to a free address, or to [] for none"
            );
            Ok(None)
        }
        Err(fault) => Err(fault.into()),
    }
}

/// What is looked at by this configuration; without handles, from outside.
pub fn subjects(config: &Config, running: Option<Running>) -> anyhow::Result<Subjects> {
    let state_directory = config.state.directory.clone();
    Ok(Subjects {
        nagios: Nagios::new(config.nagios.clone(), &state_directory.join("verify")),
        perfdata: config.perfdata.clone(),
        carbon: config.carbon.clone(),
        graphite: graphite::Client::new(&config.graphite)?,
        store: config.store.clone(),
        directory: config.directory.clone(),
        state_directory,
        running,
    })
}

fn scratch(state: &State) -> PathBuf {
    state.directory().join("verify")
}

fn notify(news: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(news) {
        tracing::warn!("the service supervisor was not told: {fault}");
    }
}

/// Takes a changed configuration over on SIGHUP.
struct Reloader {
    path: PathBuf,
    current: Arc<Config>,
    scratch: PathBuf,
    hosts: Hosts,
    metrics: Metrics,
    shipping: Shipping,
    inspector: Inspector,
    clouds: Clouds,
    hangup: Signal,
}

impl Reloader {
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = self.hangup.recv() => {}
            }
            let mut news = vec![NotifyState::Reloading];
            news.extend(NotifyState::monotonic_usec_now().ok());
            notify(&news);
            match self.reload().await {
                Ok(()) => tracing::info!("the configuration was reloaded"),
                Err(fault) => tracing::error!("the configuration stays as it was: {fault:#}"),
            }
            notify(&[NotifyState::Ready]);
        }
    }

    async fn reload(&mut self) -> anyhow::Result<()> {
        let new = Config::read(&self.path)?;
        let client = graphite::Client::new(&new.graphite)?;
        for part in self.current.needs_restart(&new) {
            tracing::warn!("{part} has changed; that takes a restart of weather-balloon");
        }
        self.clouds.reconfigure(new.hosts.brake);
        self.shipping.reconfigure(client.clone());
        self.metrics.reconfigure(client.clone());
        let nagios = Nagios::new(new.nagios.clone(), &self.scratch);
        self.inspector.reconfigure(|subjects| {
            subjects.nagios = nagios;
            subjects.graphite = client;
        });
        self.hosts
            .reconfigure(new.hosts.clone(), Nagios::new(new.nagios.clone(), &self.scratch))
            .await?;
        // What only a restart takes over stays the point of comparison.
        let kept = Config {
            rpc: self.current.rpc.clone(),
            http: self.current.http.clone(),
            perfdata: self.current.perfdata.clone(),
            carbon: self.current.carbon.clone(),
            archive: self.current.archive.clone(),
            state: self.current.state.clone(),
            store: self.current.store.clone(),
            clouds: self.current.clouds.clone(),
            directory: self.current.directory.clone(),
            log: self.current.log.clone(),
            ..new
        };
        self.current = Arc::new(kept);
        Ok(())
    }
}
