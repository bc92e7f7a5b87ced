//! For fuzzing only: the reader of the configuration file, given any bytes.

use std::path::Path;

use super::Config;

/// What the file says, as text.
pub fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(fault) = Config::parse(Path::new("weather-balloon.toml"), text) {
        assert!(!fault.to_string().is_empty());
    }
}
