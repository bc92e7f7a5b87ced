//! The service as 2014's Python would have it, written anew: see
//! benches/baseline/server.py.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::child::Server;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Asks `url` for each get_metrics.
pub fn simple_server(url: &str) -> anyhow::Result<Server> {
    let baseline = Path::new(ROOT).join("benches/baseline");
    let installed = Command::new("bash")
        .arg(baseline.join("install.sh"))
        .stdin(Stdio::null())
        .output()
        .context("cannot run bash")?;
    ensure!(
        installed.status.success(),
        "benches/baseline/install.sh failed: {}",
        String::from_utf8_lossy(&installed.stderr)
    );
    let place = Path::new(ROOT).join("target/clients/baseline");
    let mut command = Command::new(place.join("venv/bin/python"));
    command.arg(baseline.join("server.py")).arg(place.join("generated")).arg(url);
    Server::start(command)
}
