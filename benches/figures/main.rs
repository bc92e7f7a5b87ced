//! The figures that the product is held to, each beside a baseline of the same
//! run: `make bench`. With names of parts behind it (door, overhead, sets,
//! proof, idle) only those are measured, and benches/RESULTS.md stays.
//!
//! Servers are processes of their own, so that their CPU time is theirs alone;
//! those that are ours to write are this program again, with `--role`.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark writes plain files and owns its threads; it is not part of the product"
)]

mod appliance;
mod canned;
mod child;
mod door;
mod echo;
mod idle;
#[path = "../../tests/common/keeper.rs"]
#[allow(dead_code, reason = "a part of the tests' rig is used")]
mod keeper;
mod load;
#[path = "../../tests/common/nagios.rs"]
#[allow(dead_code, reason = "a part of the tests' rig is used")]
mod nagios;
mod overhead;
mod proof;
mod python;
mod report;
#[path = "../../tests/common/results.rs"]
#[allow(dead_code, reason = "each bench uses a part of it")]
mod results;
mod rounds;
mod sets;
mod upstream;
mod wire;

use anyhow::bail;

use report::{Report, Row};

type Part = fn() -> anyhow::Result<Vec<Row>>;

const PARTS: [(&str, Part); 5] = [
    ("door", door::measure),
    ("overhead", overhead::measure),
    ("sets", sets::measure),
    ("proof", proof::measure),
    ("idle", idle::measure),
];

fn main() -> anyhow::Result<()> {
    // Cargo adds --bench.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench").collect::<Vec<_>>();
    if let Some(("--role", role)) =
        arguments.split_first().map(|(head, role)| (head.as_str(), role))
    {
        return play(role);
    }
    for word in &arguments {
        if !PARTS.iter().any(|(name, _)| name == word) {
            bail!("{word:?} is no part of this benchmark");
        }
    }
    let mut report = Report::begin();
    for (name, part) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|word| word == name) {
            eprintln!("measuring: {name}");
            report.add(name, part());
        }
    }
    let results = report.end();
    if arguments.is_empty() {
        results.publish();
    } else {
        results.print();
    }
    Ok(())
}

fn play(role: &[String]) -> anyhow::Result<()> {
    let role = role.iter().map(String::as_str).collect::<Vec<_>>();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match role[..] {
        ["echo", reply] => runtime.block_on(echo::serve(reply, None)),
        ["bare-get", reply, url] => runtime.block_on(echo::serve(reply, Some(url))),
        ["upstream", body] => runtime.block_on(upstream::serve(body)),
        ["door", "memory"] => runtime.block_on(door::serve(None)),
        ["door", url] => runtime.block_on(door::serve(Some(url))),
        _ => bail!("unknown role {role:?}"),
    }
}
