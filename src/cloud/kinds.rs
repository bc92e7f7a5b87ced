//! The kinds of clouds: what each is configured by and who asks it.

use std::sync::Arc;

use crate::providers::{self, Provider, openstack};
use crate::telemetry::sentence;

use super::{Cloud, CloudName, Config, Error};

/// A cloud's own keys, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    OpenStack(openstack::Config),
}

impl Kind {
    pub const NAMES: [&str; 1] = [Self::OPENSTACK];
    pub const OPENSTACK: &str = "openstack";

    /// Every fault, as (key, reason).
    pub fn check(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OpenStack(config) => config.check(),
        }
    }

    fn provider(&self, name: &CloudName) -> Result<Arc<dyn Provider>, providers::Error> {
        match self {
            Self::OpenStack(config) => {
                Ok(Arc::new(openstack::OpenStack::new(name.as_str(), config)?))
            }
        }
    }
}

impl Cloud {
    /// Reaches nothing yet.
    pub fn new(config: &Config, kind: &Kind) -> Result<Self, Error> {
        let fault = |reason| Error::Config { cloud: config.name.clone(), reason };
        let name = CloudName::parse(&config.name).map_err(|reason| fault(reason.to_owned()))?;
        let provider = kind.provider(&name).map_err(|cause| fault(sentence(&cause)))?;
        Ok(Self {
            name,
            kind: config.kind.clone(),
            interval: config.interval,
            timeout: config.timeout,
            provider,
        })
    }
}
