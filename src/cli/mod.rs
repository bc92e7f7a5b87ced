//! The command line. Answers go to stdout, everything else to stderr.

mod archive;
mod args;
mod check;
mod check_archive;
mod host_file;
mod hosts;
mod metrics;
mod output;
mod plot;
mod when;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::config::{self, Config};
use crate::daemon;
use crate::rpc::Endpoint;
use crate::rpc::client::{self, Client};

use args::{Cli, Command};

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const HELD: u8 = 4;
/// EX_TEMPFAIL of sysexits.h.
const UNREACHABLE: u8 = 75;
/// EX_CONFIG of sysexits.h.
const BAD_CONFIG: u8 = 78;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `set_hosts` waits for `nagios -v`, which takes minutes for a large fleet.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(900);

pub fn main() -> ExitCode {
    let typed: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(fault) => return usage(&typed, &fault),
    };
    if let Command::Check(args) = &cli.command {
        return check::run(&cli, args);
    }
    match run(&cli) {
        Ok(()) => ExitCode::from(DONE),
        Err(fault) => {
            eprintln!("weather-balloon: {fault:#}");
            ExitCode::from(exit_code(&fault))
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Serve => daemon::serve(&cli.config),
        Command::CheckConfig => {
            Config::read(&cli.config)?;
            output::print(format_args!("{} is sound", cli.config.display()))?;
            Ok(())
        }
        Command::Hosts(command) => hosts::run(command, cli),
        Command::Metrics(args) => metrics::run(args, cli),
        Command::Check(_) => unreachable!("check speaks for itself"),
    }
}

/// Help goes to stdout; `check` tells Nagios UNKNOWN instead of the code that
/// means CRITICAL to it.
fn usage(typed: &[std::ffi::OsString], fault: &clap::Error) -> ExitCode {
    if is_check(typed) && fault.use_stderr() {
        return check::unknown(fault.to_string().lines().next().unwrap_or_default());
    }
    if fault.print().is_err() {
        return ExitCode::from(FAILED);
    }
    ExitCode::from(if fault.use_stderr() { USAGE } else { DONE })
}

/// Whether the command is `check`, however wrong the rest is.
fn is_check(typed: &[std::ffi::OsString]) -> bool {
    let lenient = Cli::command().ignore_errors(true).try_get_matches_from(typed);
    lenient.is_ok_and(|found| found.subcommand_name() == Some("check"))
}

fn exit_code(fault: &anyhow::Error) -> u8 {
    if fault.downcast_ref::<config::Error>().is_some() {
        return BAD_CONFIG;
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

fn connect(cli: &Cli) -> anyhow::Result<Client> {
    connect_within(cli, CONNECT_TIMEOUT, ANSWER_TIMEOUT)
}

fn connect_within(cli: &Cli, connect: Duration, answer: Duration) -> anyhow::Result<Client> {
    let address = match &cli.address {
        Some(address) => address.clone(),
        None => configured_address(&cli.config)?,
    };
    Ok(Client::connect(&address, connect, answer)?)
}

/// The first address of the configuration that needs no certificate. Where
/// there is no file, a daemon runs by the defaults if one runs at all.
fn configured_address(path: &Path) -> anyhow::Result<String> {
    let config = match Config::read(path) {
        Err(config::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Config::default()
        }
        read => read?,
    };
    let plain = |text: &String| !matches!(Endpoint::parse(text), Ok(Endpoint::Tls(_)));
    let found = config.rpc.listen.iter().find(|text| plain(text));
    found.cloned().ok_or_else(|| {
        anyhow::anyhow!(
            "{} names no address that this command can use (it shows no certificate); add a unix socket to [rpc] listen",
            path.display()
        )
    })
}
