use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};

use crate::rpc::client::{Client, Generation, GenerationState, HostsDiff, HostsStatus, HostsView};
use crate::rpc::wire::hosts::Host;

use super::args::{ChangeArgs, Cli, HostsCommand, Output};
use super::{connect, host_file, output, when};

pub fn run(command: &HostsCommand, cli: &Cli) -> anyhow::Result<()> {
    match command {
        HostsCommand::List => list(cli),
        HostsCommand::Set(args) => {
            let hosts = host_file::read(&args.file)?;
            let mut client = connect(cli)?;
            let generation = client.replace_hosts(hosts, args.change.force)?;
            finish(cli, &mut client, &generation, args.change)
        }
        HostsCommand::Rollback(args) => {
            let mut client = connect(cli)?;
            let generation = client.rollback(args.generation, args.change.force)?;
            finish(cli, &mut client, &generation, args.change)
        }
        HostsCommand::Diff { file } => diff(cli, file),
        HostsCommand::History { limit } => history(cli, *limit),
    }
}

fn list(cli: &Cli) -> anyhow::Result<()> {
    let view = connect(cli)?.get_hosts()?;
    let HostsView { status, hosts } = view;
    let (status, hosts) = (status.unwrap_or_default(), hosts.unwrap_or_default());
    if cli.output == Output::Json {
        let hosts: Vec<Value> = hosts
            .iter()
            .map(|one| {
                json!({
                    "id": one.id, "display_name": one.display_name, "address": one.address,
                    "source": one.source, "watched": one.watched, "given_name": one.given_name,
                })
            })
            .collect();
        output::print(json!({ "status": status_json(&status), "hosts": hosts }))?;
        return Ok(());
    }
    let rows = hosts.iter().map(|one| {
        let source = one.source.clone().unwrap_or_default();
        [
            one.id.clone().unwrap_or_default(),
            one.address.clone().unwrap_or_default(),
            one.display_name.clone().unwrap_or_default(),
            if one.watched.unwrap_or_default() {
                source
            } else {
                format!("{source} (not watched)")
            },
        ]
    });
    output::print(output::table(["ID", "ADDRESS", "NAME", "SOURCE"], rows))?;
    eprintln!("{}", sentence(&status));
    Ok(())
}

fn sentence(status: &HostsStatus) -> String {
    let Some(generation) = status.live_generation else {
        return "No hosts were set yet.".to_owned();
    };
    let watched = output::plural(count(status.watched_count), "host");
    let step = match (status.in_step.unwrap_or_default(), &status.trouble) {
        (true, None) => "Nagios has read it.".to_owned(),
        (true, Some(trouble)) => {
            format!("Nagios has read it. Trouble: {}.", output::printable(trouble))
        }
        (false, None) => "Nagios is to read it.".to_owned(),
        (false, Some(trouble)) => {
            format!("Nagios has not read it: {}.", output::printable(trouble))
        }
    };
    let over = match count(status.unwatched_count) {
        0 => String::new(),
        over => format!(" {} over max_hosts not watched.", output::plural(over, "host")),
    };
    format!("Generation {generation}, {watched}. {step}{over}")
}

fn status_json(status: &HostsStatus) -> Value {
    json!({
        "live_generation": status.live_generation, "watched": status.watched_count,
        "unwatched": status.unwatched_count, "in_step": status.in_step,
        "restart_due": status.restart_due, "trouble": status.trouble, "restarts": status.restarts,
        "nagios_started": status.nagios_started_time, "last_restart_ms": status.last_restart_ms,
    })
}

/// Tells what is live, after waiting for Nagios where that was asked for.
fn finish(
    cli: &Cli,
    client: &mut Client,
    generation: &Generation,
    change: ChangeArgs,
) -> anyhow::Result<()> {
    let number = generation.number.unwrap_or_default();
    let hosts = count(generation.host_count);
    let status = if change.wait {
        wait_for_nagios(client, number, change.timeout.into())?
    } else {
        client.get_status()?
    };
    match cli.output {
        Output::Json => output::print(
            json!({ "generation": generation_json(generation), "status": status_json(&status) }),
        )?,
        Output::Table | Output::Csv => {
            let hosts = output::plural(hosts, "host");
            output::print(format_args!("Generation {number} with {hosts} is live."))?;
            eprintln!("{}", sentence(&status));
        }
    }
    Ok(())
}

fn wait_for_nagios(
    client: &mut Client,
    number: i64,
    timeout: Duration,
) -> anyhow::Result<HostsStatus> {
    let began = Instant::now();
    let mut progress = Progress::default();
    loop {
        let status = client.get_status()?;
        let on_disk = status.live_generation.is_some_and(|live| live >= number);
        if on_disk && status.in_step.unwrap_or_default() {
            progress.clear();
            return Ok(status);
        }
        if !on_disk && let Some(reason) = put_back(client, number)? {
            progress.clear();
            bail!("generation {number} was live on disk and was put back: {reason}");
        }
        if began.elapsed() >= timeout {
            progress.clear();
            let cause = status.trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
            bail!(
                "generation {number} is live on disk, but Nagios has not read it within {}{cause}",
                humantime::format_duration(timeout)
            );
        }
        let cause = status.trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
        progress.show(&format!("waiting for Nagios, {} s{cause}", began.elapsed().as_secs()));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Why the generation is not live any more, where Nagios died of it.
fn put_back(client: &mut Client, number: i64) -> anyhow::Result<Option<String>> {
    let history = client.get_history(0)?;
    let rejected = history
        .into_iter()
        .find(|one| one.number == Some(number) && one.state == Some(GenerationState::REJECTED));
    Ok(rejected.map(|one| one.reason.unwrap_or_default()))
}

/// One line on a terminal that is written over.
#[derive(Default)]
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, text: &str) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            self.shown = true;
            // A terminal that is gone needs no progress.
            let _ = write!(stderr, "\r\x1b[K{}", output::printable(text));
            let _ = stderr.flush();
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

fn diff(cli: &Cli, file: &Path) -> anyhow::Result<()> {
    let hosts = host_file::read(file)?;
    let HostsDiff { added, removed, changed, unchanged_count } = connect(cli)?.diff_hosts(hosts)?;
    let unchanged = count(unchanged_count);
    let parts = [
        ("+", "added", added.unwrap_or_default()),
        ("-", "removed", removed.unwrap_or_default()),
        ("~", "changed", changed.unwrap_or_default()),
    ];
    if cli.output == Output::Json {
        let mut told = json!({ "unchanged": unchanged });
        for (_, name, hosts) in &parts {
            told[name] = hosts.iter().map(host_json).collect();
        }
        output::print(told)?;
        return Ok(());
    }
    for (sign, _, hosts) in &parts {
        for host in hosts {
            let line = format!(
                "{sign} {} {} {}",
                host.id.as_deref().unwrap_or_default(),
                host.address.as_deref().unwrap_or_default(),
                host.display_name.as_deref().unwrap_or_default()
            );
            output::print(output::printable(&line))?;
        }
    }
    let counts: Vec<_> =
        parts.iter().map(|(_, name, hosts)| format!("{} {name}", hosts.len())).collect();
    eprintln!("{}, {unchanged} unchanged.", counts.join(", "));
    Ok(())
}

fn host_json(host: &Host) -> Value {
    json!({ "id": host.id, "display_name": host.display_name, "address": host.address })
}

fn history(cli: &Cli, limit: u32) -> anyhow::Result<()> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let generations = connect(cli)?.get_history(limit)?;
    if cli.output == Output::Json {
        output::print(Value::from_iter(generations.iter().map(generation_json)))?;
        return Ok(());
    }
    let rows = generations.iter().map(|one| {
        let mut notes = Vec::new();
        notes.extend(one.restores.map(|from| format!("restores {from}")));
        notes.extend(one.forced.filter(|forced| *forced).map(|_| "forced".to_owned()));
        notes.extend(one.reason.clone());
        [
            one.number.unwrap_or_default().to_string(),
            state(one).to_owned(),
            one.source.clone().unwrap_or_default(),
            count(one.host_count).to_string(),
            one.created_time.map(when::show).unwrap_or_default(),
            one.proved_time.map(when::show).unwrap_or_default(),
            notes.join("; "),
        ]
    });
    let heading =
        ["GENERATION", "STATE", "SOURCE", "HOSTS", "CREATED (UTC)", "READ BY NAGIOS", "NOTES"];
    output::print(output::table(heading, rows))?;
    Ok(())
}

fn state(one: &Generation) -> &'static str {
    match one.state {
        Some(GenerationState::PENDING) => "pending",
        Some(GenerationState::LIVE) => "live",
        Some(GenerationState::REJECTED) => "rejected",
        Some(GenerationState::SUPERSEDED) => "superseded",
        _ => "unknown",
    }
}

fn generation_json(one: &Generation) -> Value {
    json!({
        "generation": one.number, "state": state(one), "source": one.source,
        "hosts": one.host_count, "created": one.created_time, "live": one.live_time,
        "proved": one.proved_time, "reason": one.reason, "forced": one.forced,
        "restores": one.restores,
    })
}

fn count(number: Option<i32>) -> usize {
    usize::try_from(number.unwrap_or_default()).unwrap_or_default()
}
