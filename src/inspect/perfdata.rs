//! Performance data from Nagios to the spool, and from the spool on.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::telemetry::sentence;

use super::nagios::seconds;
use super::{Finding, Number, Part, Range, Subjects, age};

const PART: Part = Part::Perfdata;
/// A Carbon that restarts is no news; one that is gone for an hour has outlasted
/// what it is asked again for.
const LATE: Range = Range::above(900.0);
const TOO_LATE: Range = Range::above(3600.0);

pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    if !subjects.perfdata.is_on() {
        let text = "performance data is not read: [perfdata] spool is empty";
        return vec![Finding::ok(PART, "spool", text)];
    }
    let mut found = Vec::new();
    // First: the number of its first finding is what thresholds are about.
    if let Some(running) = &subjects.running {
        found.push(flow(&running.shipping.view()));
    }
    found.push(directory(&subjects.perfdata.spool).await);
    found.push(settings(&subjects).await);
    found
}

fn flow(view: &crate::shipping::View) -> Finding {
    const HOP: &str = "flow";
    let spool = view.spool.clone().unwrap_or_default();
    let oldest = spool.oldest.map_or(0.0, |oldest| age(SystemTime::now(), oldest).max(0.0));
    let late = spool.oldest.is_some() && LATE.alerts(oldest);
    let found = match &spool.trouble {
        Some(trouble) => Finding::fail(PART, HOP, trouble.as_str())
            .fix("let the user weather-balloon read and write [perfdata] spool"),
        None if spool.lost_files > 0 => Finding::warn(
            PART,
            HOP,
            format!(
                "{} files went before everybody had them: the spool was full",
                spool.lost_files
            ),
        )
        .fix("mend what the lines about carbon name, or raise [perfdata] max_spool"),
        None if late => Finding::ok(
            PART,
            HOP,
            format!("the oldest performance data waits for {}", seconds(oldest)),
        )
        .fix("the lines about carbon say who does not take it"),
        None => {
            let sinks = view.sinks.len();
            let noun = if sinks == 1 { "sink" } else { "sinks" };
            Finding::ok(PART, HOP, format!("performance data flows to {sinks} {noun}"))
        }
    };
    let sum = |of: fn(&crate::shipping::SinkStatus) -> u64| {
        view.sinks.iter().map(|(_, sink)| of(sink)).sum::<u64>() as f64
    };
    found
        .number(Number::new("oldest", oldest, "s").limits(LATE, TOO_LATE))
        .number(Number::new("spool", spool.bytes as f64, "B"))
        .number(Number::new("lost", spool.lost_files as f64, "c"))
        .number(Number::new("samples", sum(|sink| sink.samples), "c"))
        .number(Number::new("bad_lines", sum(|sink| sink.bad_lines), "c"))
}

async fn directory(spool: &Path) -> Finding {
    const HOP: &str = "spool";
    match tokio::fs::metadata(spool).await {
        Ok(meta) if !meta.is_dir() => {
            Finding::fail(PART, HOP, format!("{} is no directory", spool.display()))
                .fix("remove it; `weather-balloon setup` makes the directory")
        }
        Ok(meta) if meta.permissions().mode() & 0o220 != 0o220 => Finding::warn(
            PART,
            HOP,
            format!("{} is not for Nagios and us both to write", spool.display()),
        )
        .fix(format!("chown nagios:nagios {0}; chmod 2770 {0}", spool.display())),
        Ok(_) => Finding::ok(PART, HOP, format!("{} is there", spool.display())),
        Err(fault) => Finding::fail(PART, HOP, format!("{}: {fault}", spool.display()))
            .fix("`weather-balloon setup` makes it: owned by nagios:nagios, mode 2770"),
    }
}

async fn settings(subjects: &Subjects) -> Finding {
    const HOP: &str = "settings";
    const FIX: &str = "`weather-balloon setup` makes these edits; then restart Nagios once";
    let spool = &subjects.perfdata.spool;
    let config = subjects.nagios.config().config.display();
    match subjects.nagios.other_perfdata_settings(spool).await {
        Ok(others) if others.is_empty() => {
            Finding::ok(PART, HOP, format!("{config} hands performance data to the spool"))
        }
        Ok(others) => {
            let named = others.iter().take(3).map(|other| {
                let found = other.found.as_deref().unwrap_or("not set");
                format!("{} is {found}, not {}", other.key, short(&other.wanted))
            });
            let named: Vec<_> = named.collect();
            Finding::fail(PART, HOP, format!("{config}: {}", named.join("; "))).fix(FIX)
        }
        Err(fault) => Finding::fail(PART, HOP, sentence(&fault)).fix(FIX),
    }
}

fn short(text: &str) -> String {
    let end = text.floor_char_boundary(60);
    if end < text.len() { format!("{}...", &text[..end]) } else { text.to_owned() }
}
