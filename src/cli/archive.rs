//! `metrics prune` and `metrics import-whisper`.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use thrift::OrderedFloat;

use crate::rpc::client::{self, Client, GivenSeries, Imported, PruneQuestion, PrunedHost};
use crate::whisper::{self, Tree, Values};

use super::args::{Cli, Output, PruneArgs, WhisperArgs};
use super::{connect, output, when};

/// Values in one call: half of what the daemon takes in a message.
const CALL_VALUES: usize = 1_000_000;
/// Values of one series in a call: half of the elements that a list may have.
const SERIES_VALUES: usize = 100_000;
/// How long to go on while the archive writes out what it has.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn prune(args: &PruneArgs, cli: &Cli) -> anyhow::Result<()> {
    let gone_before = match &args.gone {
        true => Some(when::parse(&args.older, SystemTime::now())?),
        false => None,
    };
    let host_names = (!args.hosts.is_empty()).then(|| args.hosts.clone());
    let question = PruneQuestion { host_names, gone_before, apply: Some(args.apply) };
    let pruned = connect(cli)?.prune_metrics(question)?;
    match cli.output {
        Output::Json => output::print(Value::from_iter(pruned.iter().map(pruned_json)))?,
        Output::Table | Output::Csv => output::print(output::table(
            ["HOST", "SERIES", "NEWEST POINT (UTC)", "WATCHED"],
            pruned.iter().map(pruned_row),
        ))?,
    }
    let count = output::plural(pruned.len(), "host");
    match (pruned.is_empty(), args.apply) {
        (true, _) => eprintln!("The archive has nothing of the kind."),
        (false, true) => eprintln!("The measurements of {count} are gone."),
        (false, false) => eprintln!("{count} would go; --apply does it."),
    }
    Ok(())
}

fn pruned_row(one: &PrunedHost) -> [String; 4] {
    [
        one.node.clone().unwrap_or_default(),
        one.series_count.unwrap_or_default().to_string(),
        one.newest_time.map(when::show).unwrap_or_default(),
        if one.watched.unwrap_or_default() { "yes" } else { "no" }.to_owned(),
    ]
}

fn pruned_json(one: &PrunedHost) -> Value {
    json!({
        "host": one.node, "series": one.series_count, "newest": one.newest_time,
        "watched": one.watched,
    })
}

#[derive(Debug, Default)]
struct Sum {
    files: usize,
    /// No numbers of hosts, or their names cannot be kept.
    passed: usize,
    faults: usize,
    kept: i64,
    known: i64,
    refused: i64,
    untimely: i64,
}

impl Sum {
    fn add(&mut self, imported: &Imported) {
        self.kept += imported.kept.unwrap_or_default();
        self.known += imported.known.unwrap_or_default();
        self.refused += imported.refused.unwrap_or_default();
        self.untimely += imported.untimely.unwrap_or_default();
    }
}

pub fn import_whisper(args: &WhisperArgs, cli: &Cli) -> anyhow::Result<()> {
    let mut client = connect(cli)?;
    let status = client.get_archive_status()?;
    if !status.enabled.unwrap_or_default() {
        bail!("the archive is off; set [archive] enabled = true and restart weather-balloon");
    }
    if let Some(trouble) = status.trouble {
        return Err(client::Error::Unavailable(trouble).into());
    }
    let (Some(step), Some(prefix)) = (status.step.filter(|step| *step > 0), status.prefix) else {
        bail!("the daemon does not say how its archive is made; is it of this version?");
    };
    let below = prefix.split('.').fold(args.directory.clone(), |path, node| path.join(node));
    if !below.is_dir() {
        bail!(
            "{} is no directory; give the one that holds {prefix}, such as /var/lib/graphite/whisper",
            below.display()
        );
    }
    let mut import = Import {
        step,
        now: i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?,
        sum: Sum::default(),
        waiting: Vec::new(),
        values: 0,
        told: Instant::now(),
        shows: std::io::stderr().is_terminal(),
    };
    import.all(&below, &mut client)?;
    import.tell(cli)
}

struct Import {
    step: i64,
    now: i64,
    sum: Sum,
    waiting: Vec<GivenSeries>,
    values: usize,
    told: Instant,
    shows: bool,
}

impl Import {
    fn all(&mut self, below: &Path, client: &mut Client) -> anyhow::Result<()> {
        for found in Tree::open(below, "")? {
            let series = found.and_then(|found| self.read(&found));
            match series {
                Ok(Some(series)) => {
                    self.sum.files += 1;
                    for piece in self.pieces(series) {
                        self.add(piece, client)?;
                    }
                }
                Ok(None) => self.sum.passed += 1,
                Err(fault) => {
                    self.sum.faults += 1;
                    eprintln!("weather-balloon: {:#}", anyhow::Error::new(fault));
                }
            }
        }
        self.send(client)
    }

    fn add(&mut self, piece: GivenSeries, client: &mut Client) -> anyhow::Result<()> {
        self.values += piece.values.as_ref().map_or(0, Vec::len);
        self.waiting.push(piece);
        if self.values >= CALL_VALUES { self.send(client) } else { Ok(()) }
    }

    fn pieces(&self, (name, read): (String, Values)) -> Vec<GivenSeries> {
        let (host, key) = name.split_once('.').unwrap_or_default();
        let pieces = read.values.chunks(SERIES_VALUES).zip(0..);
        pieces
            .map(|(values, number)| GivenSeries {
                host_name: Some(host.to_owned()),
                key: Some(key.to_owned()),
                start_time: Some(read.start + number * SERIES_VALUES as i64 * self.step),
                step: Some(self.step),
                values: Some(values.iter().copied().map(OrderedFloat).collect()),
            })
            .collect()
    }

    /// A name is a host's node and at least one more.
    fn read(&self, found: &whisper::Found) -> Result<Option<(String, Values)>, whisper::Error> {
        let Some((host, key)) = found.name.split_once('.') else { return Ok(None) };
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if !is_plain(host) || !key.split('.').all(is_plain) || key.split('.').count() > 8 {
            return Ok(None);
        }
        let read = whisper::read(&found.path, self.step, 0, self.now)?;
        Ok(read.map(|read| (found.name.clone(), read)))
    }

    fn send(&mut self, client: &mut Client) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.waiting.is_empty() {
            match client.import_metrics(self.waiting.clone()) {
                Ok(imported) => {
                    self.sum.add(&imported);
                    self.waiting.clear();
                }
                // It writes out what it has; what went in before it said so
                // is known to it when the call is made again.
                Err(client::Error::Unavailable(told)) if began.elapsed() < PATIENCE => {
                    eprintln!("waiting: {told}");
                    std::thread::sleep(Duration::from_secs(5));
                }
                Err(fault) => return Err(fault).context(self.done()),
            }
        }
        self.values = 0;
        if self.shows || self.told.elapsed() > Duration::from_secs(10) {
            self.told = Instant::now();
            eprintln!("{}", self.done());
        }
        Ok(())
    }

    fn done(&self) -> String {
        format!("{} read, {} points taken", output::plural(self.sum.files, "file"), self.sum.kept)
    }

    fn tell(&self, cli: &Cli) -> anyhow::Result<()> {
        let Sum { files, passed, faults, kept, known, refused, untimely } = &self.sum;
        match cli.output {
            Output::Json => output::print(json!({
                "files": files, "passed_over": passed, "faults": faults, "points": kept,
                "known": known, "refused": refused, "untimely": untimely,
            }))?,
            Output::Table | Output::Csv => output::print(format_args!(
                "{}. Not taken: {known} that the archive had, {untimely} older than it keeps or of the future, \
                 {refused} for which it has no room; {passed} empty or oddly named files.",
                self.done()
            ))?,
        }
        if *faults > 0 {
            bail!("{} could not be read", output::plural(*faults, "file"));
        }
        Ok(())
    }
}
