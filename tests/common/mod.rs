#![allow(dead_code, reason = "each test file uses a part of the rigs")]

pub mod appliance;
pub mod graphite;
pub mod http;
pub mod keeper;
pub mod ledger;
pub mod nagios;
pub mod nrpe;
pub mod postgres;
