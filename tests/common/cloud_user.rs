//! Who asks the fake OpenStack, as a test's configuration says it.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weather_balloon::providers::openstack::{Config, OpenStack};

use super::openstack::{OpenStack as Fake, PASSWORD};

/// The twenty-second of November 2026, at noon.
pub const NOON: i64 = 1_795_348_800;

/// A file that only its owner may read.
pub fn secret(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).mode(0o600).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

pub fn password_keys(cloud: &Fake, password_file: &Path) -> String {
    format!(
        "auth_url = '{}'\nusername = 'weatherballoon'\npassword_file = '{}'\nproject = 'admin'\n",
        cloud.auth_url(),
        password_file.display()
    )
}

pub fn provider_of(keys: &str) -> OpenStack {
    let config: Config = toml::from_str(keys).unwrap();
    assert_eq!(config.check(), []);
    OpenStack::new("east", &config).unwrap()
}

/// A cloud at noon, and who asks it.
pub fn cloud(keys: &str) -> (Fake, OpenStack, TempDir) {
    let fake = Fake::start();
    fake.state().clock = Some(NOON);
    let dir = tempfile::tempdir().unwrap();
    let password = secret(&dir, "password", &format!("{PASSWORD}\n"));
    let provider = provider_of(&format!("{}{keys}", password_keys(&fake, &password)));
    (fake, provider, dir)
}
