//! What the page's door says of itself in `/v1/openapi.json` holds, for
//! questions good and bad.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, in their helpers too, and start processes"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::page::TOKEN;
use common::sample::{Plan, Sample};

/// Of answers: a status that the document does not name, another kind of
/// content, another shape.
const CHECKS: &str = "status_code_conformance,content_type_conformance,response_schema_conformance";

fn hold(examples: u32, seconds: u32) {
    let sample = Sample::of(&Plan::usual());
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/python/bin/schemathesis");
    assert!(program.exists(), "run tests/install-clients.sh");
    let scratch = tempfile::tempdir().unwrap();
    let ended = Command::new("timeout")
        .args(["--kill-after=5", &(seconds + 120).to_string()])
        .arg(program)
        .args(["run", &format!("http://{}/v1/openapi.json", sample.page.address())])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &examples.to_string(), "--max-time", &seconds.to_string()])
        .args(["--seed", "7", "--warnings", "off", "--no-color", "--request-timeout", "30"])
        .args(["--generation-database", "none", "--suppress-health-check", "all"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}\n{said}\n{complaints}", ended.status);
    assert!(said.contains("No issues found"), "{said}");
}

#[test]
fn answers_are_as_the_document_says() {
    hold(5, 60);
}

/// cargo test --test page_schema -- --ignored
#[test]
#[ignore = "takes minutes"]
fn answers_are_as_the_document_says_for_long() {
    hold(300, 300);
}
