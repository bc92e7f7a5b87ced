//! `backup` and `restore`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::backup::{self, Made, Manifest, Places, Restored};

use super::args::{BackupArgs, Cli, Output, RestoreArgs};
use super::progress::Progress;
use super::{block_on, config_of, output, when};

pub fn make(args: &BackupArgs, cli: &Cli) -> anyhow::Result<()> {
    let places = places(cli)?;
    let progress = Arc::new(Progress::new());
    let watch = Arc::clone(&progress);
    let made = block_on(backup::make(
        &args.file,
        &places,
        args.metrics,
        Arc::new(move |text| watch.show(text)),
    ))?;
    progress.clear();
    match cli.output {
        Output::Json => output::print(json!({
            "file": made.file, "bytes": made.bytes, "manifest": made.manifest,
        }))?,
        Output::Table | Output::Csv => output::print(told(&made))?,
    }
    if made.manifest.ledger.as_deref() == Some("PostgreSQL") {
        eprintln!(
            "The ledger is in it as an SQLite file. PostgreSQL's own way besides: pg_dump --format=custom"
        );
    }
    Ok(())
}

pub fn restore(args: &RestoreArgs, cli: &Cli) -> anyhow::Result<()> {
    let places = places(cli)?;
    let progress = Arc::new(Progress::new());
    let watch = Arc::clone(&progress);
    let restored = block_on(backup::restore(
        &args.file,
        &places,
        args.dry_run,
        Arc::new(move |text| watch.show(text)),
    ))?;
    progress.clear();
    match cli.output {
        Output::Json => output::print(restored_json(&restored))?,
        Output::Table | Output::Csv => output::print(outcome(&restored))?,
    }
    for path in &restored.left {
        eprintln!("{} is not in the backup and stays as it is.", path.display());
    }
    if restored.dry_run && restored.running {
        eprintln!("weather-balloon runs now; stop it before the restore.");
    }
    if let Some(url) = &restored.copy_into {
        let ledger = restored.placed.iter().find(|placed| placed.name == "ledger.db");
        if let Some(ledger) = ledger {
            eprintln!(
                "The ledger belongs into PostgreSQL. Into an empty database it goes by: weather-balloon store copy sqlite:{} {url}",
                ledger.path.display()
            );
        }
    }
    Ok(())
}

fn places(cli: &Cli) -> anyhow::Result<Places> {
    let config = config_of(&cli.config)?;
    Ok(Places { state_directory: config.state.directory, ledger: config.store })
}

fn told(made: &Made) -> String {
    format!("{}\n{} is whole, {} bytes.", members(&made.manifest), made.file.display(), made.bytes)
}

fn members(manifest: &Manifest) -> String {
    let rows = manifest
        .members
        .iter()
        .map(|member| [member.name.clone(), member.bytes.to_string(), member.sha256.clone()]);
    output::table(["FILE", "BYTES", "SHA-256"], rows)
}

fn outcome(restored: &Restored) -> String {
    let rows = restored.placed.iter().map(|placed| {
        let aside =
            placed.aside.as_ref().map_or_else(|| "-".to_owned(), |p| p.display().to_string());
        [placed.name.clone(), placed.path.display().to_string(), aside]
    });
    let verb = if restored.dry_run { "could be restored" } else { "is restored" };
    format!(
        "{}\nThe backup of {} (UTC) {verb}.",
        output::table(["FILE", "PLACE", "OLD FILE"], rows),
        when::show(restored.manifest.made_at)
    )
}

fn restored_json(restored: &Restored) -> Value {
    let placed: Vec<_> = restored
        .placed
        .iter()
        .map(|placed| json!({"name": placed.name, "path": placed.path, "aside": placed.aside}))
        .collect();
    json!({
        "restored": !restored.dry_run,
        "dry_run": restored.dry_run,
        "running": restored.running,
        "manifest": restored.manifest,
        "placed": placed,
        "left": restored.left,
        "copy_into": restored.copy_into,
    })
}
