#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    weather_balloon::cli::main()
}
