//! The Thrift door: one address for both services, every wire form that
//! clients have, and limits on everything that a client can make us hold.
//!
//! A message passes `detect` (once a connection), `scan` (where it ends),
//! `decode`, `answer` and `encode`; `connection` leads it through, `door`
//! decides who may come in. `client` is the other side, for the command line.

mod answer;
mod archive;
mod budget;
mod call;
pub mod client;
mod cloud_answer;
mod config;
mod connection;
mod convert;
mod decode;
mod detect;
mod door;
mod encode;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod journal;
mod limits;
mod metrics_reply;
mod pen;
mod pulse;
#[cfg(test)]
mod samples;
mod scan;
mod slot;
mod usage_answer;
mod usage_reply;
// `gen` is a reserved word since edition 2024.
#[path = "gen/mod.rs"]
pub mod wire;

pub use crate::listen::Endpoint;
pub use answer::Services;
pub use config::{Config, Fault};
pub use door::{Door, Error};
pub use pulse::Pulse;
