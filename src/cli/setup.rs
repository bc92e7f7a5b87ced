//! Finds what is on this machine, shows what it needs, and does it.

use std::io::{BufRead, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::carbon::LocalFiles;
use crate::config::Config;
use crate::graphite;
use crate::model::{HostId, MetricKey, MetricNode};
use crate::setup::{self, Journal, OwnKeys, Plan, Subject};

use super::args::{Cli, SetupArgs};
use super::{DONE, FAILED, SOMETHING_TO_DO, config_of, output};

/// Where distributions have Nagios: main configuration, binary, hosts file.
const LAYOUTS: [(&str, &str, &str); 2] = [
    (
        "/etc/nagios4/nagios.cfg",
        "/usr/sbin/nagios4",
        "/etc/nagios4/conf.d/weather-balloon/hosts.cfg",
    ),
    ("/etc/nagios/nagios.cfg", "/usr/sbin/nagios", "/etc/nagios/conf.d/weather-balloon/hosts.cfg"),
];

/// Where graphite-web is served on a machine that has it.
const GRAPHITES: [&str; 3] =
    ["http://127.0.0.1:8080", "http://127.0.0.1", "http://127.0.0.1/graphite"];

const PROBE: Duration = Duration::from_secs(2);

pub fn run(cli: &Cli, args: &SetupArgs) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut config = config_of(&cli.config)?;
    if args.undo {
        return undo(cli, &config, &runtime);
    }
    let mut own = OwnKeys::default();
    find_nagios(&mut config, &mut own)?;
    let offered = runtime.block_on(find_graphite(&config));
    if !offered.values.is_empty() && accepts(&offered, cli, args)? {
        own.values.extend(offered.values);
    }
    let subject = subject(cli, &config, own)?;
    let plan = setup::plan(&subject)?;
    if plan.is_empty() {
        eprintln!("Nothing is to be done.");
        return Ok(DONE);
    }
    output::print(plan.diff().trim_end())?;
    if args.dry_run {
        return Ok(SOMETHING_TO_DO);
    }
    let mut journal = Journal::open(&journal_dir(cli))?;
    let own_path = cli.config.clone();
    let judge = |text: &str| Config::parse(&own_path, text).map(drop).map_err(|f| f.to_string());
    runtime.block_on(setup::apply(&plan, &config.nagios, &mut journal, judge))?;
    say_what_next(&plan, &config);
    Ok(DONE)
}

fn undo(cli: &Cli, config: &Config, runtime: &tokio::runtime::Runtime) -> anyhow::Result<u8> {
    let dir = journal_dir(cli);
    if !dir.exists() {
        eprintln!("Nothing is to be undone.");
        return Ok(DONE);
    }
    let mut journal = Journal::open(&dir)?;
    let undone = runtime.block_on(setup::undo(&config.nagios, &mut journal))?;
    for path in &undone.restored {
        eprintln!("{} is as it was.", path.display());
    }
    for (path, kept) in &undone.left {
        let was = match kept {
            Some(kept) => format!("as it was before, it is kept as {}", kept.display()),
            None => "before, it was not there".to_owned(),
        };
        eprintln!("{} was changed by others since and is left alone; {was}.", path.display());
    }
    for path in &undone.needed {
        eprintln!("{} stays: the file above needs it.", path.display());
    }
    if undone.restored.is_empty() && undone.left.is_empty() {
        eprintln!("Nothing is to be undone.");
    }
    if !undone.restored.is_empty() {
        let unit = config.nagios.binary.file_name().unwrap_or_default().to_string_lossy();
        eprintln!("Next: restart whoever has read these: {unit}, carbon-cache, weather-balloon.");
    }
    Ok(if undone.left.is_empty() { DONE } else { FAILED })
}

/// Beside the configuration: root writes there, and nobody else.
fn journal_dir(cli: &Cli) -> PathBuf {
    cli.config.parent().unwrap_or(Path::new("/etc/weather-balloon")).join("setup")
}

/// The configured Nagios, or the one that is installed in a known layout.
fn find_nagios(config: &mut Config, own: &mut OwnKeys) -> anyhow::Result<()> {
    if config.nagios.config.exists() {
        return Ok(());
    }
    let found = LAYOUTS
        .iter()
        .find(|(main, binary, _)| Path::new(main).exists() && Path::new(binary).exists());
    let Some((main, binary, hosts_file)) = found else {
        let tried: Vec<_> = LAYOUTS.iter().map(|(main, ..)| *main).collect();
        bail!(
            "there is no Nagios: neither {} nor {}; install it, or name its main configuration in [nagios] config",
            config.nagios.config.display(),
            tried.join(" nor ")
        );
    };
    for (key, value) in [("config", main), ("binary", binary), ("hosts_file", hosts_file)] {
        own.put("nagios", key, *value);
    }
    (config.nagios.config, config.nagios.binary) = (main.into(), binary.into());
    config.nagios.hosts_file = hosts_file.into();
    Ok(())
}

/// Those of our keys that are empty while somebody answers here.
async fn find_graphite(config: &Config) -> OwnKeys {
    let mut keys = OwnKeys::default();
    if config.carbon.address.is_empty()
        && let Some(files) = LocalFiles::find(&config.carbon.config_directory)
    {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, files.pickle_port()));
        if TcpStream::connect_timeout(&address, PROBE).is_ok() {
            keys.put("carbon", "address", address.to_string());
        }
    }
    if config.graphite.url.is_empty() {
        for url in GRAPHITES {
            if answers(url).await {
                keys.put("graphite", "url", url);
                break;
            }
        }
    }
    keys
}

async fn answers(url: &str) -> bool {
    let config =
        graphite::Config { url: url.to_owned(), timeout: PROBE, ..graphite::Config::default() };
    let (Ok(Some(client)), Ok(host), Ok(key)) = (
        graphite::Client::new(&config),
        HostId::parse("no-such-host"),
        MetricKey::parse("load.load1"),
    ) else {
        return false;
    };
    client.render(&MetricNode::of(&host), &key, None, Some(1)).await.is_ok()
}

fn accepts(offered: &OwnKeys, cli: &Cli, args: &SetupArgs) -> anyhow::Result<bool> {
    if args.local_graphite {
        return Ok(true);
    }
    let named: Vec<_> = offered
        .values
        .iter()
        .map(|(section, key, value)| format!("[{section}] {key} = {value:?}"))
        .collect();
    let named = named.join(" and ");
    if args.dry_run || !std::io::stdin().is_terminal() {
        eprintln!(
            "On this machine there is also {named}; setup --local-graphite writes that into {}.",
            cli.config.display()
        );
        return Ok(false);
    }
    eprint!("Write {named} into {}? [y/N] ", cli.config.display());
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn subject(cli: &Cli, config: &Config, own: OwnKeys) -> anyhow::Result<Subject> {
    let binary = std::env::current_exe().context("cannot tell where this program is")?;
    let mut check = format!("{} check", binary.display());
    let default = Path::new("/etc/weather-balloon/weather-balloon.toml");
    if cli.config != default {
        check.push_str(&format!(" --config {}", cli.config.display()));
    }
    Ok(Subject {
        nagios: config.nagios.clone(),
        spool: config.perfdata.is_on().then(|| config.perfdata.spool.clone()),
        carbon_directory: config.carbon.config_directory.clone(),
        check,
        own: (!own.values.is_empty()).then(|| (cli.config.clone(), own)),
    })
}

fn say_what_next(plan: &Plan, config: &Config) {
    use crate::setup::Kind;

    let touched = |kinds: &[Kind]| plan.edits.iter().any(|edit| kinds.contains(&edit.kind));
    eprintln!("Done, and proved with {} -v.", config.nagios.binary.display());
    if touched(&[Kind::NagiosObjects, Kind::NagiosMain]) {
        let unit = config.nagios.binary.file_name().unwrap_or_default().to_string_lossy();
        eprintln!("Next: systemctl restart {unit}");
    }
    if touched(&[Kind::Carbon]) {
        eprintln!("Next: systemctl restart carbon-cache");
    }
    if touched(&[Kind::Own]) {
        eprintln!("Next: systemctl restart weather-balloon");
    }
}
