//! Code of the Thrift compiler, never edited by hand: `thrift --gen rs -out
//! src/rpc/gen thriftfiles/NAME.thrift` makes it anew, and
//! `tests/thrift_idl.rs` holds it to the files.

#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, dead_code, reason = "generated")]
#[rustfmt::skip]
pub mod cloud;
#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, dead_code, reason = "generated")]
#[rustfmt::skip]
pub mod hosts;
