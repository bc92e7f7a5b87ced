//! The client of Graphite's render API.
//!
//! Whoever answers is not trusted: a wrong address may lead to any web server,
//! and what tenants have sent to Carbon comes back from it. So every answer is
//! bounded in time, bytes, series and points, and only series of the host that
//! was asked for are handed on.

mod answer;
mod client;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod number;
mod page;

pub use answer::Malformed;
pub use client::Client;
pub use config::Config;
pub use error::{Error, SetupError};

/// For the benchmark of the parser only.
#[doc(hidden)]
pub fn read_answer(body: &[u8], head: &str) -> Result<Vec<crate::model::Series>, String> {
    let limits = answer::Limits { series: usize::MAX, points: usize::MAX };
    answer::read(body, head, limits)
        .map(|answer| answer.series)
        .map_err(|fault| format!("{fault:?}"))
}
