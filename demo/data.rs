//! What the demo is made of. The tests' page and the README's pictures show
//! the same, with a month of history that a demo of minutes does not have.

#![allow(dead_code, reason = "each program uses a part of it")]

/// As an owner may call machines.
pub const MACHINES: [&str; 8] = [
    "Course website",
    "Genome browser",
    "Jupyter for physics",
    "Mail relay",
    "Registration",
    "Library catalogue",
    "Render farm head",
    "Wiki",
];

/// The n-th machine that a caller sets, from 1 on: its id, its name and its
/// address, at which the demo's NRPE answers for all of them.
pub fn machine(n: usize) -> (String, String, String) {
    let (name, round) = (MACHINES[(n - 1) % MACHINES.len()], (n - 1) / MACHINES.len() + 1);
    (format!("i-{n:08x}"), format!("{name} {round}"), format!("127.0.0.{n}"))
}

/// The cloud, and who uses it.
pub const CLOUD: &str = "demo";
pub const PEOPLE: [&str; 6] = ["amelia", "bruno", "chidi", "dagny", "emre", "farah"];

/// What the demo's NRPE measures, as it is called where it is kept.
pub const METRICS: [&str; 9] = [
    "connections.established",
    "disk._",
    "idle.idle",
    "load.load1",
    "load.load15",
    "load.load5",
    "memory.used",
    "procs.procs",
    "users.users",
];
