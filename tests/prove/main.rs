//! The campaigns of `make prove`: what docs/reliability.md reports. Each has a
//! long form (`--ignored`), and a short one in the default run.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, start threads and write plain files"
)]

#[path = "../common/mod.rs"]
mod common;

mod backup;
mod book;
mod carbon;
mod counts;
mod errors;
mod flips;
mod held;
mod kills;
mod partition;
mod poll;
mod power;
mod record;
mod schema;
mod secrets;
mod seen;
mod set_hosts;
mod shipping;
mod sites;
mod soak;
mod sweep;
mod unmonitored;
mod unsynced;
