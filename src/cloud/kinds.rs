//! The kinds of clouds: what each is configured by and who asks it.

use std::sync::Arc;

use crate::providers::ec2::{self, Environment};
use crate::providers::{self, Provider, openstack};
use crate::telemetry::sentence;

use super::{Cloud, CloudName, Config, Error};

/// A cloud's own keys, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    OpenStack(openstack::Config),
    Ec2(ec2::Config),
}

impl Kind {
    pub const NAMES: [&str; 2] = [Self::OPENSTACK, Self::EC2];
    pub const OPENSTACK: &str = "openstack";
    pub const EC2: &str = "ec2";

    /// Every fault, as (key, reason).
    pub fn check(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::OpenStack(config) => config.check(),
            Self::Ec2(config) => config.check(),
        }
    }

    fn provider(
        &self,
        name: &CloudName,
        environment: &Environment,
    ) -> Result<Arc<dyn Provider>, providers::Error> {
        match self {
            Self::OpenStack(config) => {
                Ok(Arc::new(openstack::OpenStack::new(name.as_str(), config)?))
            }
            Self::Ec2(config) => Ok(Arc::new(ec2::Ec2::new(name.as_str(), config, environment)?)),
        }
    }
}

impl Cloud {
    /// Reaches nothing yet. `environment`: what the process was started with.
    pub fn new(config: &Config, kind: &Kind, environment: &Environment) -> Result<Self, Error> {
        let fault = |reason| Error::Config { cloud: config.name.clone(), reason };
        let name = CloudName::parse(&config.name).map_err(|reason| fault(reason.to_owned()))?;
        let provider =
            kind.provider(&name, environment).map_err(|cause| fault(sentence(&cause)))?;
        Ok(Self {
            name,
            kind: config.kind.clone(),
            interval: config.interval,
            timeout: config.timeout,
            provider,
        })
    }
}
