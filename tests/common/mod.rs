#![allow(dead_code, reason = "each test file uses a part of the rigs")]

pub mod appliance;
pub mod carbon;
pub mod clients;
pub mod cloud;
pub mod cloud_user;
pub mod commands;
pub mod flow;
pub mod graphite;
pub mod histories;
pub mod http;
pub mod keeper;
pub mod layout;
pub mod ledger;
pub mod moto;
pub mod nagios;
pub mod nrpe;
pub mod openstack;
pub mod perfdata;
pub mod postgres;
pub mod receiver;
pub mod rounds;
pub mod slapd;
pub mod small_disk;
pub mod thrift;
pub mod usage;
