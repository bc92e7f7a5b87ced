//! `store copy` and `store import`.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::store::{self, Config, Copied, Imported, UNKNOWABLE};

use super::args::{Cli, CopyArgs, ImportArgs, Output, StoreCommand};
use super::progress::Progress;
use super::{block_on, config_of, output};

pub fn run(command: &StoreCommand, cli: &Cli) -> anyhow::Result<()> {
    match command {
        StoreCommand::Copy(args) => copy(args, cli),
        StoreCommand::Import(args) => import(args, cli),
    }
}

fn copy(args: &CopyArgs, cli: &Cli) -> anyhow::Result<()> {
    let configured = config_of(&cli.config)?.store;
    let from = side(&args.from, args.from_password_file.as_deref(), args, &configured);
    let to = side(&args.to, args.to_password_file.as_deref(), args, &configured);
    let progress = Progress::new();
    let watch = |now: store::Progress| {
        progress.show(&format!("{}: {} of {}", now.what, now.done, now.of));
    };
    let copied = block_on(store::copy(&from, &to, &watch))?;
    progress.clear();
    match cli.output {
        Output::Json => output::print(copied_json(&copied))?,
        Output::Table | Output::Csv => {
            let rows = copied.tables.iter().map(|tally| {
                [tally.table.to_owned(), tally.rows.to_string(), format!("{:032x}", tally.checksum)]
            });
            output::print(format_args!(
                "{}\nThe copy was read back and is equal: revision {}, {} seconds and {} CPU seconds in ended segments.",
                output::table(["TABLE", "ROWS", "CHECKSUM"], rows),
                copied.revision,
                copied.seconds,
                copied.cpu_seconds
            ))?;
        }
    }
    eprintln!("Put the new URL into [store] url and restart weather-balloon.");
    Ok(())
}

/// A URL with what is needed to reach it: as configured where it is the
/// configured one, else as typed.
fn side(url: &str, password: Option<&Path>, args: &CopyArgs, configured: &Config) -> Config {
    let base = if url == configured.url { configured.clone() } else { Config::default() };
    Config {
        url: url.to_owned(),
        password_file: password.map_or(base.password_file.clone(), Path::to_owned),
        tls: args.server.tls.map_or(base.tls, Into::into),
        ca_file: args.server.ca_file.clone().unwrap_or(base.ca_file.clone()),
        ..base
    }
}

fn copied_json(copied: &Copied) -> Value {
    let tables: Vec<_> = copied
        .tables
        .iter()
        .map(|tally| {
            json!({
                "table": tally.table,
                "rows": tally.rows,
                "checksum": format!("{:032x}", tally.checksum),
            })
        })
        .collect();
    json!({
        "revision": copied.revision,
        "tables": tables,
        "ended_seconds": number(copied.seconds),
        "ended_cpu_seconds": number(copied.cpu_seconds),
    })
}

fn import(args: &ImportArgs, cli: &Cli) -> anyhow::Result<()> {
    let configured = config_of(&cli.config)?.store;
    let from = Config {
        url: args.from.clone(),
        password_file: args.password_file.clone().unwrap_or_default(),
        tls: args.server.tls.map_or_else(Default::default, Into::into),
        ca_file: args.server.ca_file.clone().unwrap_or_default(),
        ..Config::default()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let progress = Progress::new();
    let watch = |now: store::Progress| {
        progress.show(&format!("{}: {} of {}", now.what, now.done, now.of));
    };
    let now = i64::try_from(now)?;
    let imported = block_on(store::import(&from, &configured, now, args.dry_run, &watch))?;
    progress.clear();
    match cli.output {
        Output::Json => output::print(imported_json(&imported))?,
        Output::Table | Output::Csv => output::print(imported_table(&imported))?,
    }
    if args.dry_run {
        eprintln!("Nothing was changed: this was a dry run.");
    }
    Ok(())
}

fn imported_table(imported: &Imported) -> String {
    let clouds = imported.clouds.iter().map(|cloud| {
        [
            cloud.name.clone(),
            cloud.rows.to_string(),
            cloud.instances.to_string(),
            cloud.segments.to_string(),
            cloud.seconds.to_string(),
            cloud.claimed_seconds.to_string(),
            cloud.before.map_or("", |_| "imported before; unchanged").to_owned(),
        ]
    });
    let heading = ["CLOUD", "ROWS", "INSTANCES", "SEGMENTS", "SECONDS", "2014 SAYS", "REMARK"];
    let mut text = output::table(heading, clouds);
    let findings = imported.findings.iter().map(|(wrong, finding)| {
        let examples: Vec<_> = finding.examples.iter().map(ToString::to_string).collect();
        [
            wrong.code().to_owned(),
            finding.rows.to_string(),
            finding.seconds.to_string(),
            examples.join(" "),
            wrong.sentence().to_owned(),
        ]
    });
    if !imported.findings.is_empty() {
        let heading = ["FOUND", "ROWS", "SECONDS", "ROW IDS", "MEANING"];
        text = format!("{text}\n\n{}", output::table(heading, findings));
    }
    format!("{text}\n\nNot in the tables of 2014:\n{}", UNKNOWABLE.join("\n"))
}

fn imported_json(imported: &Imported) -> Value {
    let clouds: Vec<_> = imported
        .clouds
        .iter()
        .map(|cloud| {
            json!({
                "cloud": cloud.name,
                "imported_before": cloud.before,
                "rows": cloud.rows,
                "instances": cloud.instances,
                "segments": cloud.segments,
                "seconds": number(cloud.seconds),
                "cpu_seconds": number(cloud.cpu_seconds),
                "seconds_of_2014": number(cloud.claimed_seconds),
            })
        })
        .collect();
    let findings: Vec<_> = imported
        .findings
        .iter()
        .map(|(wrong, finding)| {
            json!({
                "found": wrong.code(),
                "meaning": wrong.sentence(),
                "rows": finding.rows,
                "seconds": number(finding.seconds),
                "row_ids": finding.examples,
            })
        })
        .collect();
    json!({
        "dry_run": imported.dry_run,
        "clouds": clouds,
        "findings": findings,
        "not_in_the_tables": UNKNOWABLE,
    })
}

/// JSON's readers have 64 bits at most.
fn number(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}
