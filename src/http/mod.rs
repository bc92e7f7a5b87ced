//! The door for people and scripts: a page, JSON under `/v1`, and what
//! Prometheus reads. Reading needs no token; a GET changes nothing.
//!
//! `door` lets connections in, `guard` turns away what no friend would send,
//! `api` answers JSON, `page` answers people, `exposition` answers Prometheus.
//! Every failure is a `problem`.

mod api;
mod config;
mod door;
mod exposition;
mod guard;
mod page;
mod problem;

use std::sync::Arc;

use crate::cloud::Clouds;
use crate::hosts::Hosts;
use crate::metrics::Metrics;
use crate::shipping::Shipping;
use crate::telemetry::Calls;
use crate::usage::Usage;

pub use config::{Config, Fault};
pub use door::{Door, Error};

/// What the door's answers are made from.
#[derive(Clone, Debug)]
pub struct Services {
    pub hosts: Hosts,
    pub metrics: Metrics,
    pub shipping: Shipping,
    pub clouds: Clouds,
    pub usage: Usage,
    pub calls: Calls,
}

/// What every handler is given.
#[derive(Clone)]
struct App {
    services: Services,
    guard: Arc<guard::Guard>,
}
