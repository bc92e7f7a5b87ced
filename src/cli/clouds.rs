//! The clouds that are polled.

use std::time::SystemTime;

use anyhow::bail;
use serde_json::{Value, json};

use crate::rpc::client::{CloudBlame, CloudRole, CloudStatus, HeldInstance};

use super::args::{Cli, CloudsCommand, Output};
use super::{connect, output};

/// Something went without a word and is kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} are held: the cloud shows them no more and does not say why; \
     if they are gone, use `weather-balloon clouds release NAME`"
)]
pub struct Held(String);

/// Lines on what is held and skipped, beside a table.
const FEW: usize = 10;

pub fn run(command: &CloudsCommand, cli: &Cli) -> anyhow::Result<()> {
    let mut client = connect(cli)?;
    match command {
        CloudsCommand::List => show(cli, &client.get_clouds()?),
        CloudsCommand::Sync { name } => {
            let polled = client.sync_cloud(name.clone())?;
            show(cli, &polled)?;
            refuse_held(&polled)
        }
        CloudsCommand::Release { name } => {
            let clouds = client.get_clouds()?;
            let Some(cloud) = clouds.iter().find(|one| one.name.as_ref() == Some(name)) else {
                bail!("there is no cloud {name:?}; `weather-balloon clouds list` names them all");
            };
            held_of(cloud).iter().for_each(|line| eprintln!("{line}"));
            let released = client.release_cloud(name.clone(), cloud.held_token)?;
            show(cli, &released)?;
            refuse_held(&released)
        }
    }
}

fn refuse_held(clouds: &[CloudStatus]) -> anyhow::Result<()> {
    let held: i64 = clouds.iter().filter_map(|cloud| cloud.held_count).sum();
    if held == 0 {
        return Ok(());
    }
    let held = usize::try_from(held).unwrap_or(usize::MAX);
    Err(Held(output::plural(held, "instance")).into())
}

fn show(cli: &Cli, clouds: &[CloudStatus]) -> anyhow::Result<()> {
    if cli.output == Output::Json {
        output::print(Value::from(clouds.iter().map(json).collect::<Vec<_>>()))?;
        return Ok(());
    }
    const HEADING: [&str; 9] =
        ["CLOUD", "KIND", "STATE", "LAST SEEN", "LAG", "INSTANCES", "RUNNING", "WATCHED", "HELD"];
    let count = |number: Option<i64>| number.unwrap_or_default().to_string();
    let rows = clouds.iter().map(|cloud| {
        [
            cloud.name.clone().unwrap_or_default(),
            cloud.kind.clone().unwrap_or_default(),
            state(cloud).to_owned(),
            cloud.last_success_time.map_or_else(|| "never".to_owned(), time),
            cloud.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag} s")),
            count(cloud.instance_count),
            count(cloud.running_count),
            count(cloud.watched_count),
            count(cloud.held_count),
        ]
    });
    output::print(output::table(HEADING, rows))?;
    for cloud in clouds {
        remarks(cloud).iter().for_each(|line| eprintln!("{}", output::printable(line)));
    }
    Ok(())
}

fn state(cloud: &CloudStatus) -> &'static str {
    if !cloud.configured.unwrap_or_default() {
        return "not configured";
    }
    match cloud.role {
        _ if cloud.error.is_some() => "failing",
        Some(CloudRole::POLLS) => "polled",
        Some(CloudRole::FOLLOWS) => "followed",
        Some(CloudRole::NO_LEDGER) => "no ledger",
        _ => "starting",
    }
}

fn time(seconds: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let time = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn remarks(cloud: &CloudStatus) -> Vec<String> {
    let name = cloud.name.as_deref().unwrap_or_default();
    let mut lines = Vec::new();
    if !cloud.configured.unwrap_or_default() {
        lines.push(format!(
            "{name}: it is not in the configuration; its hosts stay watched until `weather-balloon clouds release {name}`"
        ));
    }
    if let Some(error) = &cloud.error {
        lines.push(format!("{name}: {}{error}", whose(cloud.blame)));
    }
    if let Some(trouble) = &cloud.trouble {
        lines.push(format!("{name}: nothing is recorded: {trouble}"));
    }
    lines.extend(held_of(cloud));
    let skipped = cloud.skipped.as_deref().unwrap_or_default();
    for one in skipped.iter().take(FEW) {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        lines.push(format!("{name}: skipped {}: {}", text(&one.instance_id), text(&one.reason)));
    }
    let clashes = cloud.clashes.iter().flatten().take(FEW);
    lines.extend(clashes.map(|clash| format!("{name}: skipped: {clash}")));
    lines
}

fn whose(blame: Option<CloudBlame>) -> &'static str {
    match blame {
        Some(CloudBlame::CONFIGURATION) => "configuration: ",
        Some(CloudBlame::CREDENTIALS) => "credentials: ",
        Some(CloudBlame::THROTTLING) => "throttled: ",
        _ => "",
    }
}

fn held_of(cloud: &CloudStatus) -> Vec<String> {
    let name = cloud.name.as_deref().unwrap_or_default();
    let held = cloud.held.as_deref().unwrap_or_default();
    let mut lines: Vec<String> = held.iter().take(FEW).map(|one| held_line(name, one)).collect();
    let all = usize::try_from(cloud.held_count.unwrap_or_default()).unwrap_or_default();
    if all > lines.len() {
        lines.push(format!("{name}: held: and {} more", all - lines.len()));
    }
    lines
}

fn held_line(cloud: &str, one: &HeldInstance) -> String {
    let why = match one.reason.as_deref() {
        Some("witness") => "it still answers Nagios",
        _ => "too many went at once",
    };
    let address = one.address.as_deref().map_or_else(String::new, |text| format!(" ({text})"));
    format!(
        "{cloud}: held: {}{address}, not seen since {}: {why}",
        output::printable(one.instance_id.as_deref().unwrap_or_default()),
        time(one.since_time.unwrap_or_default())
    )
}

fn json(cloud: &CloudStatus) -> Value {
    let role = match cloud.role {
        Some(CloudRole::POLLS) => "polls",
        Some(CloudRole::FOLLOWS) => "follows",
        Some(CloudRole::NO_LEDGER) => "no ledger",
        _ => "starting",
    };
    let blame = cloud.blame.map(|blame| match blame {
        CloudBlame::CONFIGURATION => "configuration",
        CloudBlame::CREDENTIALS => "credentials",
        CloudBlame::THROTTLING => "throttling",
        _ => "trouble",
    });
    let held: Vec<Value> = cloud
        .held
        .iter()
        .flatten()
        .map(|one| {
            json!({
                "instance": one.instance_id, "host": one.host_id, "address": one.address,
                "since": one.since_time, "held_at": one.held_time, "reason": one.reason,
            })
        })
        .collect();
    let skipped: Vec<Value> = cloud
        .skipped
        .iter()
        .flatten()
        .map(|one| json!({ "instance": one.instance_id, "reason": one.reason }))
        .collect();
    json!({
        "name": cloud.name, "kind": cloud.kind, "configured": cloud.configured, "role": role,
        "last_attempt": cloud.last_attempt_time, "last_success": cloud.last_success_time,
        "lag": cloud.lag_seconds, "next_poll": cloud.next_poll_time, "took_ms": cloud.took_ms,
        "error": cloud.error, "blame": blame, "trouble": cloud.trouble,
        "instances": cloud.instance_count, "running": cloud.running_count,
        "watched": cloud.watched_count, "without_address": cloud.without_address_count,
        "missing": cloud.missing_count, "held_count": cloud.held_count, "held": held,
        "held_token": cloud.held_token, "skipped_count": cloud.skipped_count, "skipped": skipped,
        "clashes": cloud.clashes, "skew": cloud.skew_seconds,
    })
}
