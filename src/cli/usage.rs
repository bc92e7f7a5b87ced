//! Who used how much.

use std::time::SystemTime;

use anyhow::Context;
use serde_json::{Value, json};

use crate::rpc::client::{ObservationGap, UsageGroup, UsageQuestion, UsageReport, UsageRow};

use super::args::{By, Cli, Output, UsageArgs, UsageCommand};
use super::{bars, connect, output, when};

/// Rows that a table of users begins with; days are all shown.
const FEW: i32 = 20;
/// Gaps that are named beside a table.
const FEW_GAPS: usize = 3;

pub fn run(command: &UsageCommand, cli: &Cli) -> anyhow::Result<()> {
    let (args, username) = match command {
        UsageCommand::Top(args) => (args, None),
        UsageCommand::User { name, args } => (args, Some(name.clone())),
    };
    let now = SystemTime::now();
    let limit = args.limit.unwrap_or(match (cli.output, args.by) {
        (Output::Table, By::User | By::Cloud | By::Flavor) => FEW,
        _ => 0,
    });
    let question = UsageQuestion {
        start_time: Some(when::parse(&args.from, now)?),
        end_time: Some(when::parse(&args.until, now)?),
        username,
        cloud: args.cloud.clone(),
        flavor: args.flavor.clone(),
        staff: args.staff.then_some(true).or(args.no_staff.then_some(false)),
        group_by: Some(match args.by {
            By::User => UsageGroup::USER,
            By::Cloud => UsageGroup::CLOUD,
            By::Flavor => UsageGroup::FLAVOR,
            By::Day => UsageGroup::DAY,
        }),
        order: None,
        limit: Some(limit),
    };
    let report = connect(cli)?.get_usage(&question)?;
    match cli.output {
        Output::Json => output::print(json(&report))?,
        Output::Csv => output::print(csv(&report)?.trim_end())?,
        Output::Table => {
            output::print(table(&report, args))?;
            remarks(&report, args);
        }
    }
    Ok(())
}

fn rows(report: &UsageReport) -> &[UsageRow] {
    report.rows.as_deref().unwrap_or_default()
}

fn table(report: &UsageReport, args: &UsageArgs) -> String {
    let heading = match args.by {
        By::User => "USER",
        By::Cloud => "CLOUD",
        By::Flavor => "FLAVOR",
        By::Day => "DAY (UTC)",
    };
    let cells = rows(report).iter().map(|row| {
        let unknown = row.unknown_vcpu_seconds.is_some_and(|seconds| seconds > 0);
        [
            row.name.clone().unwrap_or_default(),
            format!("{}{}", hours(row.cpu_time_seconds), if unknown { " +?" } else { "" }),
            hours(row.total_uptime_seconds),
            row.instance_count.unwrap_or_default().to_string(),
            if row.is_staff == Some(true) { "staff".to_owned() } else { String::new() },
        ]
    });
    let text = output::table([heading, "CPU HOURS", "UP HOURS", "INSTANCES", ""], cells);
    let Some(screen) = bars::Screen::of_stdout() else { return text };
    let shares = rows(report).iter().map(|row| row.cpu_time_seconds.unwrap_or_default());
    bars::beside(&text, &shares.collect::<Vec<_>>(), &screen)
}

/// What a table does not show, on stderr.
fn remarks(report: &UsageReport, args: &UsageArgs) {
    let shown = i64::try_from(rows(report).len()).unwrap_or(i64::MAX);
    let all = report.row_count.unwrap_or(shown);
    if all == 0 {
        eprintln!("Nothing was used in this window, or nothing matches.");
    } else if shown < all && args.limit.is_none() {
        eprintln!("{shown} of {all} are shown; --limit 0 shows all.");
    }
    let unknown = rows(report).iter().filter_map(|row| row.unknown_vcpu_seconds);
    if unknown.sum::<i64>() > 0 {
        eprintln!("+?: of a part of the uptime the vCPUs are not known; it has no CPU hours.");
    }
    let gaps = report.gaps.as_deref().unwrap_or_default();
    let told = gaps.iter().rev().take(FEW_GAPS).map(|gap| {
        format!(
            "{} from {} to {}",
            output::printable(gap.cloud.as_deref().unwrap_or_default()),
            when::show(gap.start_time.unwrap_or_default()),
            when::show(gap.end_time.unwrap_or_default())
        )
    });
    let told: Vec<_> = told.collect();
    if !told.is_empty() {
        let count = report.gap_count.unwrap_or_default();
        let more =
            if count > told.len() as i64 { format!(" ({count} in all)") } else { String::new() };
        eprintln!("Not observed (UTC): {}{more}.", told.join("; "));
    }
}

fn hours(seconds: Option<i64>) -> String {
    // Tenths, by whole numbers: an f64 does not hold every i64.
    let tenths = i128::from(seconds.unwrap_or_default()) * 10 / 3600;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn json(report: &UsageReport) -> Value {
    let gap = |gap: &ObservationGap| json!({ "cloud": gap.cloud, "start_time": gap.start_time, "end_time": gap.end_time });
    json!({
        "start_time": report.start_time,
        "end_time": report.end_time,
        "counted_until": report.counted_until,
        "rows": rows(report).iter().map(row_json).collect::<Vec<_>>(),
        "row_count": report.row_count,
        "gaps": report.gaps.iter().flatten().map(gap).collect::<Vec<_>>(),
        "gap_count": report.gap_count,
    })
}

fn row_json(row: &UsageRow) -> Value {
    json!({
        "name": row.name,
        "is_staff": row.is_staff,
        "cpu_time_seconds": row.cpu_time_seconds,
        "total_uptime_seconds": row.total_uptime_seconds,
        "unknown_vcpu_seconds": row.unknown_vcpu_seconds.unwrap_or_default(),
        "instance_count": row.instance_count,
    })
}

fn csv(report: &UsageReport) -> anyhow::Result<String> {
    let mut lines = csv::Writer::from_writer(Vec::new());
    lines.write_record([
        "name",
        "is_staff",
        "cpu_time_seconds",
        "total_uptime_seconds",
        "unknown_vcpu_seconds",
        "instance_count",
    ])?;
    let number = |number: Option<i64>| number.unwrap_or_default().to_string();
    for row in rows(report) {
        lines.write_record([
            output::printable(row.name.as_deref().unwrap_or_default()),
            row.is_staff.map(|is_staff| is_staff.to_string()).unwrap_or_default(),
            number(row.cpu_time_seconds),
            number(row.total_uptime_seconds),
            number(row.unknown_vcpu_seconds),
            number(row.instance_count),
        ])?;
    }
    let bytes = lines.into_inner().context("the lines cannot be put together")?;
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_cut_and_exact() {
        for (seconds, shown) in
            [(0, "0.0"), (359, "0.0"), (360, "0.1"), (3599, "0.9"), (36_000, "10.0")]
        {
            assert_eq!(hours(Some(seconds)), shown);
        }
        assert_eq!(hours(Some(i64::MAX)), "2562047788015215.5");
    }
}
