//! What is wrong, and what to do about it.

use anyhow::Context;
use serde_json::{Value, json};

use crate::config::{self, Config};
use crate::daemon;
use crate::inspect::{Finding, Inspector, Verdict};
use crate::model::HostId;
use crate::rpc::client::Client;

use super::args::{Cli, Output};
use super::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, address_of, output};

/// Returns whether nothing failed; warnings are told and do not count.
pub fn run(cli: &Cli, host: Option<&str>) -> anyhow::Result<bool> {
    let (config, finding) = read(cli);
    let mut findings = vec![finding];
    let asked = address_of(cli, &config).and_then(|address| {
        let mut client = Client::connect(&address, CONNECT_TIMEOUT, ANSWER_TIMEOUT)?;
        let found = match host {
            None => client.inspect("")?,
            Some(host) => client.trace_host(host)?,
        };
        let answers = format!("it answers on {address}");
        findings.push(Finding::new("daemon", "thrift", Verdict::Ok, answers));
        Ok(found)
    });
    match asked {
        Ok(found) => findings.extend(found),
        Err(fault) if is_question(&fault) => return Err(fault),
        Err(fault) => {
            findings.push(
                Finding::new("daemon", "thrift", Verdict::Fail, format!("{fault:#}")).fix(
                    "systemctl start weather-balloon; journalctl -u weather-balloon says why it ended. What follows is what this command can see by itself, with your rights",
                ),
            );
            findings.extend(look_ourselves(&config, host)?);
        }
    }
    match cli.output {
        Output::Table | Output::Csv => output::print(table(&findings))?,
        Output::Json => output::print(json(&findings))?,
    }
    let broken = findings.iter().find(|found| found.overall() == Verdict::Fail);
    if let (Some(broken), Some(host)) = (broken, host) {
        eprintln!(
            "The first broken hop of {}: {}.",
            output::printable(host),
            output::printable(&broken.hop)
        );
    }
    Ok(broken.is_none())
}

/// A question that the daemon did not take is the caller's to mend.
fn is_question(fault: &anyhow::Error) -> bool {
    use crate::rpc::client::Error;
    matches!(fault.downcast_ref::<Error>(), Some(Error::BadQuestion(_) | Error::Address(_)))
}

/// With faults, the defaults serve: the daemon may run by an older file.
fn read(cli: &Cli) -> (Config, Finding) {
    let shown = cli.config.display().to_string();
    match Config::read(&cli.config) {
        Ok(config) => {
            let text = format!("{shown} is sound");
            (config, Finding::new("config", "file", Verdict::Ok, text))
        }
        Err(config::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            let text = format!("there is no {shown}: every key has its default");
            (
                Config::default(),
                Finding::new("config", "file", Verdict::Warn, text)
                    .fix("install the packaged file, or name yours by --config"),
            )
        }
        Err(fault) => {
            let text = format!("{:#}", anyhow::Error::from(fault)).replace('\n', " ");
            let fix = "mend the file; weather-balloon check-config names every fault";
            (Config::default(), Finding::new("config", "file", Verdict::Fail, text).fix(fix))
        }
    }
}

fn look_ourselves(config: &Config, host: Option<&str>) -> anyhow::Result<Vec<Finding>> {
    let inspector = Inspector::new(daemon::subjects(config, None)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let found = runtime.block_on(async {
        match host {
            None => Ok(inspector.inspect(None).await),
            Some(host) => {
                let host = HostId::parse(host)
                    .map_err(|reason| anyhow::anyhow!("the host name {host:?} {reason}"))?;
                Ok(inspector.trace(&host).await)
            }
        }
    });
    // A look that hangs does not keep the command.
    runtime.shutdown_background();
    found
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "OK",
        Verdict::Warn => "WARN",
        Verdict::Fail => "FAIL",
    }
}

/// A fix stands in a line of its own, under what it is for.
fn table(findings: &[Finding]) -> String {
    let width = |of: fn(&Finding) -> &str| {
        findings.iter().map(|found| of(found).chars().count()).max().unwrap_or(0)
    };
    let (parts, hops) = (width(|found| &found.part), width(|found| &found.hop));
    let mut lines = Vec::new();
    for found in findings {
        let (state, what) = (word(found.overall()), output::printable(&found.what));
        let (part, hop) = (output::printable(&found.part), output::printable(&found.hop));
        lines.push(format!("{state:<4}  {part:<parts$}  {hop:<hops$}  {what}"));
        if let Some(fix) = found.fix.as_ref().filter(|_| found.overall() > Verdict::Ok) {
            lines.push(format!("      {:parts$}  {:hops$}  -> {}", "", "", output::printable(fix)));
        }
    }
    lines.join("\n")
}

fn json(findings: &[Finding]) -> Value {
    let all = findings.iter().map(|found| {
        let figures: serde_json::Map<_, _> = found
            .numbers
            .iter()
            .map(|number| (number.label.clone(), json!(number.value)))
            .collect();
        json!({
            "part": found.part,
            "hop": found.hop,
            "state": word(found.overall()),
            "what": found.what,
            "fix": found.fix.as_ref().filter(|_| found.overall() > Verdict::Ok),
            "figures": figures,
        })
    });
    let ok = findings.iter().all(|found| found.overall() < Verdict::Fail);
    json!({ "ok": ok, "findings": all.collect::<Vec<_>>() })
}
