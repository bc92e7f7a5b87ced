//! Who asks the fake OpenStack, as a test's configuration says it.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use weather_balloon::providers::openstack::{Config, OpenStack};
use weather_balloon::providers::{Error, Provider, Question};

use super::http::{Request, Step};
use super::openstack::{Answer, OpenStack as Fake, PASSWORD};

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

pub fn told(fault: Error) -> String {
    format!("{:#}", anyhow::Error::new(fault))
}

pub async fn fault_of(provider: &OpenStack) -> Error {
    provider.list(&Question::default()).await.unwrap_err()
}

pub async fn listed(provider: &OpenStack) -> BTreeSet<String> {
    match provider.list(&Question::default()).await {
        Ok(listing) => {
            assert_eq!(listing.skipped, []);
            listing.sighting.instances().iter().map(|one| one.id.to_string()).collect()
        }
        Err(fault) => panic!("{}", told(fault)),
    }
}

/// Servers at `limit` a page.
pub fn fleet(fake: &Fake, count: usize, limit: usize) -> BTreeSet<String> {
    let mut state = fake.state();
    state.max_limit = limit;
    let booted = (0..count).map(|_| state.boot(Some("carol"), 0)).collect();
    // Nothing of it changed while the test lists it.
    state.pass(10_000);
    booted
}

pub fn is_page(request: &Request) -> bool {
    request.line.contains("servers/detail")
}

pub fn body_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

pub fn with_body(mut answer: Answer, body: &Value) -> Vec<Step> {
    answer.body = body.to_string().into_bytes();
    answer.steps()
}
