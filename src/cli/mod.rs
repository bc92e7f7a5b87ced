//! The command line. Answers go to stdout, everything else to stderr.

mod archive;
mod args;
mod backup;
mod bars;
mod check;
mod clouds;
mod doctor;
mod host_file;
mod hosts;
mod man;
mod metrics;
mod output;
mod plot;
mod progress;
mod secrecy;
mod setup;
mod store;
mod usage;
mod when;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::backup as saved;
use crate::config::{self, Config};
use crate::daemon;
use crate::providers::ec2::Environment;
use crate::rpc::Endpoint;
use crate::rpc::client::{self, Client};
use crate::store as ledger;

use args::{Cli, Command, Output};

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const HELD: u8 = 4;
/// Of setup --dry-run.
const SOMETHING_TO_DO: u8 = 5;
/// EX_TEMPFAIL of sysexits.h.
const UNREACHABLE: u8 = 75;
/// EX_CONFIG of sysexits.h.
const BAD_CONFIG: u8 = 78;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `set_hosts` waits for `nagios -v`, which takes minutes for a large fleet.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(900);

pub fn main() -> ExitCode {
    secrecy::leave_no_core();
    let typed: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(fault) => return usage_fault(&typed, &fault),
    };
    if let Command::Check(args) = &cli.command {
        let args = args.clone();
        return check::run(cli, args);
    }
    if cli.output == Output::Csv && !matches!(cli.command, Command::Usage(_)) {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        let fault = Cli::command().error(kind, "--output csv goes with `usage` only");
        return usage_fault(&typed, &fault);
    }
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            eprintln!("weather-balloon: {fault:#}");
            ExitCode::from(exit_code(&fault))
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    match &cli.command {
        Command::Doctor { host } => {
            let sound = doctor::run(cli, host.as_deref())?;
            return Ok(if sound { DONE } else { FAILED });
        }
        Command::Setup(args) => return setup::run(cli, args),
        Command::Serve => daemon::serve(&cli.config, &Environment::read(variable)),
        Command::CheckConfig => {
            Config::read(&cli.config)?;
            Ok(output::print(format_args!("{} is sound", cli.config.display()))?)
        }
        Command::Hosts(command) => hosts::run(command, cli),
        Command::Metrics(args) => metrics::run(args, cli),
        Command::Backup(args) => backup::make(args, cli),
        Command::Restore(args) => backup::restore(args, cli),
        Command::Store(command) => store::run(command, cli),
        Command::Usage(command) => usage::run(command, cli),
        Command::Completions { shell } => written(|to| man::completions(*shell, to)),
        Command::Man { page } => written(|to| man::page(*page, to)),
        Command::Clouds(command) => clouds::run(command, cli),
        Command::Check(_) => unreachable!("check speaks for itself"),
    }?;
    Ok(DONE)
}

/// A reader that has seen enough is no fault.
fn written(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> anyhow::Result<()> {
    match write(&mut io::stdout().lock()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => Ok(told?),
    }
}

/// What is no UTF-8 is as good as absent.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Help goes to stdout. `check` tells Nagios UNKNOWN in place of the code that
/// means CRITICAL to it, and with its help, too, as the guidelines have it.
fn usage_fault(typed: &[std::ffi::OsString], fault: &clap::Error) -> ExitCode {
    let is_check = is_check(typed);
    if is_check && fault.use_stderr() {
        let told = fault.to_string();
        let line = told.lines().next().unwrap_or_default();
        return check::unknown(line.trim_start_matches("error: "));
    }
    if fault.print().is_err() {
        return ExitCode::from(FAILED);
    }
    match (is_check, fault.use_stderr()) {
        (true, _) => ExitCode::from(check::UNKNOWN),
        (false, true) => ExitCode::from(USAGE),
        (false, false) => ExitCode::from(DONE),
    }
}

/// Whether the command is `check`, however wrong the rest is.
fn is_check(typed: &[std::ffi::OsString]) -> bool {
    let lenient = Cli::command().ignore_errors(true);
    let lenient = lenient.disable_help_flag(true).disable_version_flag(true);
    lenient.try_get_matches_from(typed).is_ok_and(|found| found.subcommand_name() == Some("check"))
}

fn exit_code(fault: &anyhow::Error) -> u8 {
    if fault.downcast_ref::<config::Error>().is_some() {
        return BAD_CONFIG;
    }
    if is_busy(fault) {
        return UNREACHABLE;
    }
    if let Some(ledger::Error::Config { key: "url", .. }) = fault.downcast_ref() {
        return USAGE;
    }
    if fault.downcast_ref::<clouds::Held>().is_some() {
        return HELD;
    }
    match fault.downcast_ref::<client::Error>() {
        Some(client::Error::HeldByBrake { .. }) => HELD,
        Some(
            client::Error::Unreachable { .. }
            | client::Error::Lost(_)
            | client::Error::Unavailable(_),
        ) => UNREACHABLE,
        Some(client::Error::Address(_)) => USAGE,
        _ => FAILED,
    }
}

/// Another process has what the command needs for itself.
fn is_busy(fault: &anyhow::Error) -> bool {
    let running =
        matches!(fault.downcast_ref(), Some(saved::Error::Running(_) | saved::Error::Busy { .. }));
    running || matches!(fault.downcast_ref(), Some(ledger::Error::Held { .. }))
}

/// For commands that are no daemon.
fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work)?)
}

fn connect(cli: &Cli) -> anyhow::Result<Client> {
    connect_within(cli, CONNECT_TIMEOUT, ANSWER_TIMEOUT)
}

fn connect_within(cli: &Cli, connect: Duration, answer: Duration) -> anyhow::Result<Client> {
    let address = match &cli.address {
        Some(address) => address.clone(),
        None => address_of(cli, &config_of(&cli.config)?)?,
    };
    Ok(Client::connect(&address, connect, answer)?)
}

/// Where there is no file, a daemon runs by the defaults if one runs at all.
fn config_of(path: &Path) -> Result<Config, config::Error> {
    match Config::read(path) {
        Err(config::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(Config::default())
        }
        read => read,
    }
}

/// The one that was typed, or the first of the configuration that needs no
/// certificate.
fn address_of(cli: &Cli, config: &Config) -> anyhow::Result<String> {
    if let Some(address) = &cli.address {
        return Ok(address.clone());
    }
    let plain = |text: &String| !matches!(Endpoint::parse(text), Ok(Endpoint::Tls(_)));
    let found = config.rpc.listen.iter().find(|text| plain(text));
    found.cloned().ok_or_else(|| {
        anyhow::anyhow!(
            "{} names no address that this command can use (it shows no certificate); add a unix socket to [rpc] listen",
            cli.config.display()
        )
    })
}
