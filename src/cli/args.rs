//! What can be typed.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inspect::{Part, Range};

/// Keeps Nagios watching exactly the machines it was told to, and answers what
/// was measured on them.
#[derive(Debug, Parser)]
#[command(name = "weather-balloon", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        help_heading = COMMON,
        value_name = "FILE",
        default_value = "/etc/weather-balloon/weather-balloon.toml"
    )]
    pub config: PathBuf,

    /// Where the daemon listens: HOST:PORT or unix:PATH. By default the first
    /// address that the configuration names.
    #[arg(long, global = true, help_heading = COMMON, value_name = "ADDR")]
    pub address: Option<String>,

    /// How answers are printed.
    #[arg(long, global = true, help_heading = COMMON, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    pub output: Output,

    #[command(subcommand)]
    pub command: Command,
}

/// Apart from a command's own options.
const COMMON: &str = "Common options";

const EXIT_CODES: &str = "Exit codes:
  0   done
  1   failed
  2   the command line is wrong
  4   held by the brake
  5   setup --dry-run: there is something to do
  75  the daemon cannot be reached, or is busy
  78  the configuration is wrong
`check` follows the conventions of Nagios plugins instead: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Serve,
    /// Check the configuration file and tell every fault at once.
    CheckConfig,
    /// The machines that Nagios watches.
    #[command(subcommand)]
    Hosts(HostsCommand),
    /// What was measured on a machine.
    Metrics(MetricsArgs),
    /// Walk every hop of the appliance and say what to do about each fault.
    Doctor {
        /// Follow this machine instead, from its source to its newest
        /// measurement, to the first hop that is broken.
        host: Option<String>,
    },
    /// Edit Nagios's and Carbon's files so that all of it works together.
    Setup(SetupArgs),
    /// Check the appliance, as a Nagios plugin.
    Check(CheckArgs),
    /// Print what completes these commands in a shell.
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print a manual page, to be read with `man -l`.
    Man {
        #[arg(value_enum, default_value_t = ManPage::Command)]
        page: ManPage,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManPage {
    /// Section 1.
    #[value(name = "weather-balloon")]
    Command,
    /// Section 5.
    #[value(name = "weather-balloon.toml")]
    Configuration,
}

#[derive(Debug, Subcommand)]
pub enum HostsCommand {
    /// Show the machines of all sources, and whether Nagios is in step.
    List,
    /// Replace the machines that callers of the Thrift service own.
    Set(SetArgs),
    /// Show what `set` would change, and change nothing.
    Diff {
        /// JSON or CSV; "-" reads JSON or CSV from standard input.
        file: PathBuf,
    },
    /// Show the generations that are kept, newest first.
    History {
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Go back to the machines of an earlier generation.
    Rollback(RollbackArgs),
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// JSON: a list of {"id", "display_name", "address"}. CSV: the same three
    /// columns, named in the first line. "-" reads either from standard input.
    pub file: PathBuf,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The generation, by its number in `hosts history`.
    pub generation: i64,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct ChangeArgs {
    /// Wait until Nagios has proved that it read the change.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait")]
    pub timeout: humantime::Duration,
    /// Pass the brake and a quarantine.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// The machine, by its id.
    pub host: String,
    /// What of it: names and "*" between dots, such as load.load1.
    #[arg(default_value = "*.*")]
    pub key: String,
    /// From when on: 24h, 2026-01-31, "2026-01-31 12:00:00" (UTC), or seconds
    /// since 1970.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub from: String,
    /// Until when; "now" is allowed.
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub until: String,
    /// At most so many points a series, averaged.
    #[arg(long, value_name = "N")]
    pub points: Option<i32>,
    /// Draw the series instead of listing their points.
    #[arg(long)]
    pub plot: bool,
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Print what would be changed, and change nothing; exit 5 if there is
    /// something to do.
    #[arg(long)]
    pub dry_run: bool,
    /// Put back what setup has changed.
    #[arg(long, conflicts_with = "local_graphite")]
    pub undo: bool,
    /// Write a Carbon and a Graphite that answer on this machine into our
    /// configuration, without asking.
    #[arg(long)]
    pub local_graphite: bool,
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// hosts: the set on disk is the one that was asked for; sync: Nagios has
    /// read it; brake: no change is held; perfdata, carbon, graphite, archive:
    /// measurements flow and can be read; store, clouds, directory: who used
    /// what; nagios, clock, disk: what all of it stands on.
    #[arg(value_parser = parts(), default_value = "all")]
    pub part: String,
    /// Warn when the part's first figure is outside of this range: 10, 10:,
    /// ~:10, 10:20, or inside of it: @10:20.
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub warning: Option<Range>,
    /// The same for CRITICAL.
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub critical: Option<Range>,
    /// Seconds after which the answer is UNKNOWN.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

fn parts() -> PossibleValuesParser {
    PossibleValuesParser::new(std::iter::once("all").chain(Part::ALL.map(Part::name)))
}
