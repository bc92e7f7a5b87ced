//! What can be typed.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inspect::{Part, Range};
use crate::store::Tls;

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
    /// Of `usage` only.
    Csv,
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
    /// Who used how much.
    #[command(subcommand)]
    Usage(UsageCommand),
    /// Walk every hop of the appliance and say what to do about each fault.
    Doctor {
        /// Follow this machine instead, from its source to its newest
        /// measurement, to the first hop that is broken.
        host: Option<String>,
    },
    /// Edit Nagios's and Carbon's files so that all of it works together.
    Setup(SetupArgs),
    /// The clouds that are polled.
    #[command(subcommand)]
    Clouds(CloudsCommand),
    /// Check the appliance, as a Nagios plugin.
    #[command(version)]
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
    /// Write the state and the ledger into one file; the daemon may run.
    Backup(BackupArgs),
    /// Put a backup back; the daemon must not run.
    Restore(RestoreArgs),
    /// Move the ledger, or fill it.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to write; it is replaced when the new one is whole.
    pub file: PathBuf,
    /// Put the measurements of the archive in, too.
    #[arg(long)]
    pub metrics: bool,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `backup` wrote.
    pub file: PathBuf,
    /// Check everything and tell what would be replaced; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy a whole ledger into an empty one; no daemon may write either.
    Copy(CopyArgs),
    /// Take the PostgreSQL tables of the 2014 service over into the ledger.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// sqlite:FILE or postgresql://USER@HOST/DATABASE.
    #[arg(value_name = "FROM_URL")]
    pub from: String,
    /// The same of the copy.
    #[arg(value_name = "TO_URL")]
    pub to: String,
    /// PostgreSQL's password for FROM_URL. The configured URL brings its own.
    #[arg(long, value_name = "FILE")]
    pub from_password_file: Option<PathBuf>,
    /// PostgreSQL's password for TO_URL.
    #[arg(long, value_name = "FILE")]
    pub to_password_file: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The old database: postgresql://USER@HOST/DATABASE.
    #[arg(value_name = "FROM_URL")]
    pub from: String,
    /// Its password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Tell what would be taken over and what is wrong; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How PostgreSQL is reached.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// TLS to PostgreSQL.
    #[arg(long, value_enum)]
    pub tls: Option<TlsChoice>,
    /// The authorities that sign PostgreSQL's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsChoice {
    Off,
    Require,
    Verify,
}

impl From<TlsChoice> for Tls {
    fn from(choice: TlsChoice) -> Self {
        match choice {
            TlsChoice::Off => Self::Off,
            TlsChoice::Require => Self::Require,
            TlsChoice::Verify => Self::Verify,
        }
    }
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
    ImportWhisper(WhisperArgs),
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
pub struct WhisperArgs {
    /// Graphite's whisper directory, the one that holds "nagios".
    pub directory: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// The heaviest users first, or clouds, flavors or days.
    Top(UsageArgs),
    /// What one user used.
    User {
        /// As the leaderboard names it.
        name: String,
        #[command(flatten)]
        args: UsageArgs,
    },
}

#[derive(Debug, Args)]
pub struct UsageArgs {
    /// From when on: 30d, 2026-01-31, "2026-01-31 12:00:00" (UTC), or seconds
    /// since 1970.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub from: String,
    /// Until when; "now" is allowed.
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub until: String,
    /// In this cloud alone.
    #[arg(long, value_name = "NAME")]
    pub cloud: Option<String>,
    /// With this flavor alone.
    #[arg(long, value_name = "NAME")]
    pub flavor: Option<String>,
    /// Of staff alone.
    #[arg(long)]
    pub staff: bool,
    /// Of all others than staff.
    #[arg(long, conflicts_with = "staff")]
    pub no_staff: bool,
    /// What the rows are.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::User)]
    pub by: By,
    /// At most so many rows; 0: all. A table shows 20 unless it is by days.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub limit: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    User,
    Cloud,
    Flavor,
    Day,
}

#[derive(Debug, Subcommand)]
pub enum CloudsCommand {
    /// Show when each was last seen, its lag, its error, its counts, and what
    /// is held.
    List,
    /// Poll one cloud, or all, now.
    Sync {
        /// The cloud's name in the configuration.
        name: Option<String>,
    },
    /// Let what is held go: it leaves Nagios, and the ledger ends it.
    Release {
        /// The cloud's name.
        name: String,
    },
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
