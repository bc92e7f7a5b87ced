//! Reads the files of an old Graphite. Whoever wrote them is not trusted: each
//! length is held against the file before anything is read by it.
//!
//! The format, big-endian (Graphite's documentation, "The Whisper Database"):
//! a header of 16 bytes (aggregation u32, longest retention u32, xFilesFactor
//! f32, number of archives u32), for each archive 12 bytes (offset u32, seconds
//! a point u32, points u32), then the archives' points of 12 bytes (time u32,
//! value f64), each archive a ring.

mod file;
mod tree;

use std::io;
use std::path::PathBuf;

pub use file::{Values, read};
pub use tree::{Found, Tree};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no whisper file: {reason}")]
    Malformed { path: PathBuf, reason: &'static str },
}
