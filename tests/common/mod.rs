//! What several test files share: one rig a file.
#![allow(dead_code, reason = "each test file uses a part of the rigs")]

pub mod usage;
