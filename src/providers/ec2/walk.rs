//! All pages of DescribeInstances, and the question after those that they do
//! not show.

use std::collections::{BTreeSet, HashSet};

use super::answer::refusal;
use super::api::{Api, Parameters, Told};
use super::config::Config;
use super::records::{Bad, Record};
use super::xml::Element;
use crate::model::{InstanceId, Label};
use crate::providers::{Blame, Error, Skipped};

/// What one region showed.
#[derive(Default)]
pub(super) struct Shown {
    pub records: Vec<Record>,
    pub skipped: Vec<Skipped>,
    pub began: Option<i64>,
    pub ended: Option<i64>,
}

const MAX_PAGES: usize = 10_000;
const MAX_TOKEN_BYTES: usize = 16 * 1024;

impl Shown {
    pub(super) async fn walk(api: &Api<'_>, config: &Config) -> Result<Self, Error> {
        let mut shown = Self::default();
        let mut seen = HashSet::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut parameters = Parameters::new();
            if config.page_size > 0 {
                parameters.push(("MaxResults".to_owned(), config.page_size.to_string()));
            }
            parameters.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let told = api.call("DescribeInstances", &parameters).await?;
            shown.take(&told, config)?;
            if shown.records.len() > config.max_instances {
                return Err(Error::new(
                    Blame::Configuration,
                    format!(
                        "EC2 in {} has more than {} instances; raise max_instances",
                        api.region, config.max_instances
                    ),
                ));
            }
            match told.document.text_at(&["nextToken"]) {
                None => return Ok(shown),
                Some(next) if next.len() > MAX_TOKEN_BYTES => break,
                Some(next) if !seen.insert(next.to_owned()) => break,
                Some(next) => token = Some(next.to_owned()),
            }
        }
        Err(Error::new(
            Blame::Trouble,
            format!(
                "EC2 in {} does not come to an end with its pages; if it knows no pages, set page_size = 0",
                api.region
            ),
        ))
    }

    pub(super) fn take(&mut self, told: &Told, config: &Config) -> Result<(), Error> {
        // An answer without the set is not one of nothing.
        if told.document.get("reservationSet").is_none() {
            return Err(Error::new(
                Blame::Trouble,
                "EC2 answered DescribeInstances without a reservationSet; check that endpoint is that of EC2",
            ));
        }
        self.began = self.began.or(Some(told.at));
        self.ended = Some(told.at);
        for reservation in told.document.items("reservationSet") {
            let account = reservation.text_at(&["ownerId"]);
            for record in reservation.items("instancesSet") {
                self.record(record, account, config)?;
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        record: &Element,
        account: Option<&str>,
        config: &Config,
    ) -> Result<(), Error> {
        match Record::read(record, account, config) {
            Ok(record) => self.records.push(record),
            Err(Bad::Rest(id, reason)) => {
                self.skipped.push(Skipped { id, reason: Label::tame(reason) });
            }
            Err(Bad::Id(reason)) => {
                return Err(Error::new(
                    Blame::Trouble,
                    format!("EC2 shows an instance whose id {reason}, so the listing is not taken"),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &InstanceId> {
        let records = self.records.iter().map(|record| &record.instance.id);
        records.chain(self.skipped.iter().map(|skipped| &skipped.id))
    }

    /// Asks for instances by their ids: adds those that are there after all,
    /// and returns those that EC2 says it does not have. What is neither, or
    /// is beyond the bounds, stays open.
    pub(super) async fn ask(
        &mut self,
        api: &Api<'_>,
        config: &Config,
        ids: &BTreeSet<InstanceId>,
    ) -> Result<BTreeSet<InstanceId>, Error> {
        const IN_A_CALL: usize = 100;
        const MAX_CALLS: usize = 100;
        let all: Vec<_> = ids.iter().cloned().collect();
        let mut open: Vec<Vec<InstanceId>> = all.chunks(IN_A_CALL).map(<[_]>::to_vec).collect();
        let mut unknown = BTreeSet::new();
        for _ in 0..MAX_CALLS {
            let Some(some) = open.pop() else { break };
            let parameters: Parameters = some
                .iter()
                .enumerate()
                .map(|(at, id)| (format!("InstanceId.{}", at + 1), id.to_string()))
                .collect();
            let fault = match api.call("DescribeInstances", &parameters).await {
                Ok(told) => {
                    self.take(&told, config)?;
                    continue;
                }
                Err(fault) => fault,
            };
            let Some(refusal) = refusal(&fault) else { return Err(fault) };
            match refusal.code.as_str() {
                // One that EC2 does not have fails the whole call.
                "InvalidInstanceID.NotFound" if some.len() == 1 => unknown.extend(some),
                "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" if some.len() > 1 => {
                    let named = named(&some, refusal.message.as_str());
                    if named.is_empty() || refusal.code.ends_with("Malformed") {
                        let (left, right) = some.split_at(some.len() / 2);
                        open.extend([left.to_vec(), right.to_vec()]);
                    } else {
                        let others: Vec<_> =
                            some.into_iter().filter(|id| !named.contains(id)).collect();
                        unknown.extend(named);
                        open.extend((!others.is_empty()).then_some(others));
                    }
                }
                "InvalidInstanceID.Malformed" => (),
                _ => return Err(fault),
            }
        }
        Ok(unknown)
    }
}

/// Those that a message such as "The instance IDs 'i-1, i-2' do not exist"
/// names.
fn named(asked: &[InstanceId], message: &str) -> BTreeSet<InstanceId> {
    // A message that was cut may end in a part of an id.
    let Some((_, inside)) = message.split_once('\'') else { return BTreeSet::new() };
    let Some((inside, _)) = inside.split_once('\'') else { return BTreeSet::new() };
    let words: HashSet<&str> = inside.split(',').map(str::trim).collect();
    asked.iter().filter(|id| words.contains(id.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named() {
        let ids = ["i-1", "i-12", "i-2"].map(|id| InstanceId::parse(id).unwrap());
        let told =
            |message| named(&ids, message).iter().map(InstanceId::to_string).collect::<Vec<_>>();
        assert_eq!(told("The instance IDs 'i-12, i-9' do not exist"), ["i-12"]);
        assert_eq!(told("The instance ID 'i-1' does not exist"), ["i-1"]);
        assert_eq!(told("The instance IDs 'i-12, i-1"), [""; 0]);
        assert_eq!(told("no i-1"), [""; 0]);
    }
}
