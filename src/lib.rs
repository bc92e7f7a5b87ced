//! Weather Balloon keeps Nagios watching exactly the machines it was told to,
//! and answers what was measured on them.
//!
//! The modules below stand on floors. A module uses the floors under its own
//! and never a neighbour; `tests/architecture.rs` reads this list and holds
//! the code to it. ARCHITECTURE.md says what each module owns.

#![forbid(unsafe_code)]

// floor 0: values that are valid by construction; no I/O, no clocks
pub mod model;
// floor 1: tools that know no part of the product
pub mod disk;
pub mod group;
pub mod ledger;
pub mod settings;
pub mod sqlite;
pub mod telemetry;
pub mod tls;
// floor 2: one outside system each
pub mod archive;
pub mod carbon;
pub mod directory;
pub mod graphite;
pub mod listen;
pub mod nagios;
pub mod perfdata;
pub mod providers;
pub mod state;
pub mod store;
pub mod whisper;
// floor 3: the jobs
pub mod backup;
pub mod hosts;
pub mod metrics;
pub mod shipping;
pub mod usage;
// floor 4: the clouds
pub mod cloud;
// floor 5: the appliance as a whole
pub mod inspect;
pub mod setup;
// floor 6: the doors
pub mod http;
pub mod rpc;
// floor 7: the configuration file
pub mod config;
// floor 8: the process
pub mod daemon;
// floor 9: the command line
pub mod cli;
