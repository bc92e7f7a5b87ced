//! Where the log goes and what it looks like, how a fault is told, and our own
//! counters.

mod calls;

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use calls::Calls;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// error, warn, info, debug or trace; also "info,weather_balloon::rpc=debug".
    pub level: String,
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Journald }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// To the journal's own socket; text on stderr where there is none.
    Journald,
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("level: {0:?} is not a log level; use error, warn, info, debug or trace")]
    Level(String),
    #[error("the log was set up twice")]
    Twice,
}

impl Config {
    pub fn check(&self) -> Result<(), Error> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, Error> {
        EnvFilter::try_new(&self.level).map_err(|_| Error::Level(self.level.clone()))
    }
}

/// Sets the process's log up, once.
pub fn init(config: &Config) -> Result<(), Error> {
    let stderr = || std::io::stderr();
    let text = || {
        tracing_subscriber::fmt::layer()
            .with_writer(stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed()
    };
    let layer = match config.format {
        Format::Journald => match tracing_journald::layer() {
            Ok(layer) => layer.boxed(),
            Err(_) => text(),
        },
        Format::Text => text(),
        Format::Json => tracing_subscriber::fmt::layer().json().with_writer(stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(config.filter()?))
        .try_init()
        .map_err(|_| Error::Twice)
}

/// A fault with its causes, in one sentence.
pub fn sentence(fault: &dyn std::error::Error) -> String {
    let mut told = fault.to_string();
    let mut cause = fault.source();
    while let Some(inner) = cause {
        told.push_str(": ");
        told.push_str(&inner.to_string());
        cause = inner.source();
    }
    told
}
