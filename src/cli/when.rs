//! Times as people type and read them.

pub use crate::settings::when::{parse, show};
