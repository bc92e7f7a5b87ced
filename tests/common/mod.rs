#![allow(dead_code, reason = "each test file uses a part of the rigs")]

pub mod appliance;
pub mod carbon;
pub mod clients;
pub mod flow;
pub mod graphite;
pub mod http;
pub mod keeper;
pub mod ledger;
pub mod nagios;
pub mod nrpe;
pub mod perfdata;
pub mod postgres;
pub mod receiver;
pub mod small_disk;
pub mod thrift;
pub mod usage;
