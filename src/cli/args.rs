//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// What was measured on a machine; `metrics prune` and `metrics
    /// import-whisper` tend the archive.
    Metrics(Box<MetricsArgs>),
    /// Check the appliance, as a Nagios plugin.
    Check(CheckArgs),
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
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct MetricsArgs {
    #[command(subcommand)]
    pub command: Option<MetricsCommand>,
    /// The machine, by its id.
    #[arg(required = true)]
    pub host: Option<String>,
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
    /// Who answers; auto: Graphite when [graphite] url is set, else the archive.
    #[arg(long, value_name = "WHO", value_enum, default_value_t = MetricsFrom::Auto)]
    pub source: MetricsFrom,
    /// Draw the series instead of listing their points.
    #[arg(long)]
    pub plot: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricsFrom {
    Auto,
    Graphite,
    Archive,
}

#[derive(Debug, Subcommand)]
pub enum MetricsCommand {
    /// Forget what the archive has of machines; shows what would go unless
    /// --apply is given.
    Prune(PruneArgs),
    /// Take an old Graphite's measurements into the gaps of the archive.
    ImportWhisper(ImportArgs),
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The machines, by their ids.
    #[arg(value_name = "HOST", required_unless_present = "gone", conflicts_with = "gone")]
    pub hosts: Vec<String>,
    /// All that are not watched and were not measured for long.
    #[arg(long)]
    pub gone: bool,
    /// How long, or since when.
    #[arg(long, value_name = "TIME", default_value = "30d", requires = "gone")]
    pub older: String,
    /// Do it.
    #[arg(long)]
    pub apply: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Graphite's whisper directory, the one that holds "nagios".
    pub directory: PathBuf,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// all: the next four; hosts: the set on disk is the one that was asked
    /// for; sync: Nagios has read it; perfdata: it flows to its sinks; archive:
    /// it takes and keeps measurements.
    #[arg(value_enum, default_value_t = CheckPart::All)]
    pub part: CheckPart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckPart {
    All,
    Hosts,
    Sync,
    Perfdata,
    Archive,
}
