//! EC2, and clouds that speak like it. Two calls are enough:
//! DescribeInstances, page by page, and DescribeInstanceTypes.
//!
//! EC2 has no feed of changes. The times of a start and of a stop are in the
//! records themselves, and a terminated instance stays listed for about an
//! hour; what vanished meanwhile is asked for by its id.

mod answer;
mod api;
mod config;
mod credentials;
mod environment;
#[doc(hidden)]
pub mod fuzz;
mod records;
mod sign;
mod types;
mod walk;
mod xml;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;

use super::http::{Client, Limits};
use super::{Blame, Error, Listing, Provider, Question};
use crate::model::{Departure, Event, EventKind, Instance, InstanceId, Sighting};
use api::Api;
pub use config::{AddressKind, Config};
use credentials::Chain;
pub use environment::Environment;
use records::Record;
use types::Types;
use walk::Shown;
pub use xml::Malformed;

/// One account in one region, or in several that are listed together.
pub struct Ec2 {
    cloud: String,
    config: Config,
    http: Client,
    chain: Chain,
    types: Types,
    regions: Vec<(String, Url)>,
}

impl Ec2 {
    /// Connects to nobody yet.
    pub fn new(cloud: &str, config: &Config, environment: &Environment) -> Result<Self, Error> {
        let fault = |key: &str, reason: &str| {
            Error::new(Blame::Configuration, format!("{key} of the cloud {cloud} {reason}"))
        };
        if let Some((key, reason)) = config.check().into_iter().next() {
            return Err(fault(key, &reason));
        }
        let mut names = config.all_regions();
        if names.is_empty() {
            names.extend(environment.region.clone());
        }
        let first = names
            .first()
            .cloned()
            .ok_or_else(|| fault("region", "is missing; give one such as \"us-east-1\""))?;
        let mut regions = Vec::new();
        for name in names {
            let template = match config.endpoint.as_str() {
                "" => config::amazons("ec2", &name),
                own => own.to_owned(),
            };
            let url =
                config::place(&template, &name).map_err(|reason| fault("endpoint", &reason))?;
            regions.push((name, url));
        }
        let asks_sts = !config.role_arn.is_empty() || environment.role_arn.is_some();
        let https = asks_sts && !config.sts_endpoint.starts_with("http:")
            || regions.iter().any(|(_, url)| url.scheme() == "https");
        let limits = Limits {
            connect: config.request_timeout.min(Duration::from_secs(10)),
            read: config.request_timeout,
            answer: config.request_timeout,
            max_body: config.max_body,
        };
        let http = Client::new(https, &config.ca_file, limits)?;
        Ok(Self {
            cloud: cloud.to_owned(),
            chain: Chain::new(config, environment, &first, &http)?,
            types: Types::new(config.vcpus.clone()),
            config: config.clone(),
            http,
            regions,
        })
    }

    fn api<'a>(&'a self, (region, url): &'a (String, Url)) -> Api<'a> {
        let Self { http, chain, config, .. } = self;
        Api { http, chain, backoff: config.backoff, region, url }
    }

    /// Asks each region for those that none of them showed, and returns those
    /// that no region has.
    async fn explain(
        &self,
        question: &Question,
        regions: &mut [Shown],
    ) -> Result<BTreeSet<InstanceId>, Error> {
        let shown: BTreeSet<_> = regions.iter().flat_map(Shown::ids).cloned().collect();
        let absent = question.living.iter().filter(|id| !shown.contains(*id));
        let absent: BTreeSet<_> = absent.cloned().collect();
        if absent.is_empty() {
            return Ok(absent);
        }
        let mut nowhere = absent.clone();
        for (place, shown) in self.regions.iter().zip(regions) {
            let unknown = shown.ask(&self.api(place), &self.config, &nowhere).await?;
            nowhere.retain(|id| unknown.contains(id));
        }
        // Another account or region knows none of them either. Where most are
        // unknown we may be talking to the wrong one: that explains nothing.
        let known = question.living.len() - absent.len();
        if nowhere.len() > known {
            tracing::warn!(
                cloud = self.cloud,
                unknown = nowhere.len(),
                known,
                "EC2 does not know most of the instances that lived here; check account and region"
            );
            nowhere.clear();
        }
        Ok(nowhere)
    }
}

#[async_trait]
impl Provider for Ec2 {
    async fn list(&self, question: &Question) -> Result<Listing, Error> {
        let mut regions = Vec::with_capacity(self.regions.len());
        for place in &self.regions {
            regions.push(Shown::walk(&self.api(place), &self.config).await?);
        }
        let nowhere = self.explain(question, &mut regions).await?;
        for (place, shown) in self.regions.iter().zip(&regions) {
            let kinds = shown.records.iter().map(|record| record.kind.clone()).collect();
            self.types.learn(&self.api(place), &kinds).await;
        }
        let began = regions.iter().filter_map(|shown| shown.began).min();
        let ended = regions.iter().filter_map(|shown| shown.ended).max();
        let mut sum = Sum::new(question);
        for id in nowhere {
            sum.departed.push(Departure { id, at: None, record: None });
        }
        let mut skipped = Vec::new();
        for shown in regions {
            skipped.extend(shown.skipped);
            for mut record in shown.records {
                let size = self.types.size(&record.kind);
                record.instance.shape.size = record.instance.shape.size.or(size);
                sum.add(record);
            }
        }
        let (began, ended) = (began.unwrap_or_else(api::own_clock), ended.unwrap_or_default());
        let Sum { instances, departed, events, .. } = sum;
        let sighting = Sighting::new(&self.cloud, began, ended, instances, departed, events)
            .map_err(|source| {
                Error::new(Blame::Trouble, "a listing of EC2 has no time").because(source)
            })?;
        Ok(Listing { sighting, skipped })
    }
}

/// The parts of a sighting.
struct Sum<'a> {
    /// Events from here on are told.
    from: i64,
    /// Of these, from here on.
    unseen: &'a HashMap<InstanceId, i64>,
    instances: Vec<Instance>,
    departed: Vec<Departure>,
    events: Vec<Event>,
}

impl<'a> Sum<'a> {
    /// EC2's answers may be late with the truth by seconds.
    const OVERLAP: i64 = 300;

    fn new(question: &'a Question) -> Self {
        Self {
            // What was before the first listing is not ours to bill.
            from: question.since.unwrap_or(i64::MAX).saturating_sub(Self::OVERLAP),
            unseen: &question.unseen,
            instances: Vec::new(),
            departed: Vec::new(),
            events: Vec::new(),
        }
    }

    fn since_of(&self, id: &InstanceId) -> i64 {
        let last_seen = self.unseen.get(id).map(|last| last.saturating_sub(Self::OVERLAP));
        last_seen.map_or(self.from, |last| last.min(self.from))
    }

    fn add(&mut self, record: Record) {
        let Record { instance, terminated, event, .. } = record;
        if terminated {
            let at = event.filter(|event| event.kind == EventKind::Deleted).map(|event| event.at);
            let id = instance.id.clone();
            return self.departed.push(Departure { id, at, record: Some(instance) });
        }
        let from = self.since_of(&instance.id);
        self.events.extend(event.filter(|event| event.at >= from));
        self.instances.push(instance);
    }
}
