use std::io::IsTerminal;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::model::Series;
use crate::rpc::client::{MetricsQuestion, MetricsSource};

use super::args::{Cli, MetricsArgs, MetricsCommand, MetricsFrom, Output};
use super::{archive, connect, output, plot, when};

pub fn run(args: &MetricsArgs, cli: &Cli) -> anyhow::Result<()> {
    match &args.command {
        Some(MetricsCommand::Prune(args)) => archive::prune(args, cli),
        Some(MetricsCommand::ImportWhisper(args)) => archive::import_whisper(args, cli),
        None => show(args, cli),
    }
}

fn show(args: &MetricsArgs, cli: &Cli) -> anyhow::Result<()> {
    let now = SystemTime::now();
    let host = args.host.clone().unwrap_or_default();
    let question = MetricsQuestion {
        host_name: Some(host.clone()),
        key: Some(args.key.clone()),
        start_time: Some(when::parse(&args.from, now)?),
        end_time: Some(when::parse(&args.until, now)?),
        max_points: args.points,
        // An older daemon does not know the field: it is sent where it matters.
        source: match args.source {
            MetricsFrom::Auto => None,
            MetricsFrom::Graphite => Some(MetricsSource::GRAPHITE),
            MetricsFrom::Archive => Some(MetricsSource::ARCHIVE),
        },
    };
    let series = connect(cli)?.query_metrics(&question)?;
    if series.is_empty() {
        eprintln!(
            "Nothing is known of {} {}.",
            output::printable(&host),
            output::printable(&args.key)
        );
    }
    match (args.plot, cli.output) {
        (true, _) => {
            for one in &series {
                output::print(plot::draw(one, width()))?;
            }
        }
        (false, Output::Json) => output::print(Value::from_iter(series.iter().map(series_json)))?,
        (false, Output::Table | Output::Csv) => output::print(table(&series))?,
    }
    Ok(())
}

fn table(series: &[Series]) -> String {
    let rows = series.iter().flat_map(|one| {
        one.points.iter().filter_map(|point| {
            Some([one.name.clone(), when::show(point.time), point.value?.to_string()])
        })
    });
    output::table(["METRIC", "TIME (UTC)", "VALUE"], rows)
}

/// A list of [time, value]; null where nothing was measured.
fn series_json(one: &Series) -> Value {
    let points: Vec<_> = one.points.iter().map(|point| json!([point.time, point.value])).collect();
    json!({ "metric": one.name, "points": points })
}

fn width() -> usize {
    const ELSEWHERE: usize = 80;
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return ELSEWHERE;
    }
    terminal_size::terminal_size_of(stdout).map_or(ELSEWHERE, |(width, _)| usize::from(width.0))
}
