#![allow(dead_code, reason = "each test file uses a part of the rigs")]

pub mod carbon;
pub mod keeper;
pub mod perfdata;
