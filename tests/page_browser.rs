//! The page in a real browser: every view, by mouse and keyboard, wide and
//! narrow, light and dark, and with a stranger's texts in it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, in their helpers too, and start processes"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::page::CORPUS;
use common::sample::{Plan, Sample};
use serde_json::{Value, json};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn look(sample: &Sample, how: &Value) {
    let modules = here("target/clients/node/node_modules");
    assert!(modules.join("playwright-core").exists(), "run tests/install-clients.sh");
    assert!(Path::new("/usr/bin/chromium").exists(), "run tests/install.sh");
    let url = format!("http://{}", sample.page.address());
    let ended = Command::new("timeout")
        .args(["--kill-after=5", "600", "node"])
        .arg(here("tests/browser/look.js"))
        .args([url, how.to_string()])
        .env("NODE_PATH", modules)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}: {said}", ended.status);
}

#[test]
fn every_view_can_be_read_and_used() {
    look(&Sample::of(&Plan::usual()), &json!({"mode": "usual"}));
}

#[test]
fn a_strangers_text_makes_nothing() {
    look(&Sample::of(&Plan::hostile(&CORPUS)), &json!({"mode": "hostile", "corpus": CORPUS}));
}

/// cargo test --test page_browser -- --ignored
#[test]
#[ignore = "draws the README's pictures anew"]
fn pictures_for_the_readme() {
    let pictures = here("docs/screenshots");
    std::fs::create_dir_all(&pictures).unwrap();
    look(&Sample::of(&Plan::usual()), &json!({"mode": "usual", "pictures": pictures}));
}
