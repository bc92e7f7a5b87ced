//! Rigs that the integration tests share.
#![allow(dead_code, reason = "each test file uses a part of the rigs")]

pub mod perfdata;
