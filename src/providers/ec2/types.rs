use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::refusal;
use super::api::{Api, Parameters};
use super::xml::Element;
use crate::model::Size;
use crate::providers::Error;

/// What is given to the instances of each type: as the cloud says, else as the
/// configuration does.
pub(super) struct Types {
    configured: BTreeMap<String, u32>,
    /// Guards what the cloud said of each type so far, and when.
    asked: Mutex<HashMap<String, (Option<Size>, Instant)>>,
}

/// More types than any cloud has; a bound for what a listing makes us keep.
const MAX_TYPES: usize = 10_000;
const IN_A_CALL: usize = 50;
/// One unknown type fails a whole call, so they are then asked alone.
const MAX_ALONE: usize = 100;
/// Until the cloud is asked again for a type that it did not know.
const UNKNOWN_FOR: Duration = Duration::from_secs(3600);

impl Types {
    pub(super) fn new(configured: BTreeMap<String, u32>) -> Self {
        Self { configured, asked: Mutex::default() }
    }

    /// The size of a type as far as it is known by now.
    pub(super) fn size(&self, kind: &str) -> Size {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let told = asked.get(kind).and_then(|(size, _)| *size).unwrap_or_default();
        let configured = self.configured.get(kind).copied().map(u64::from);
        told.or(Size::new(configured, None, None))
    }

    /// Asks for those that are not known yet. A cloud that does not tell does
    /// no harm to its listing: the configuration's table remains.
    pub(super) async fn learn(&self, api: &Api<'_>, kinds: &BTreeSet<String>) {
        let unknown = self.unknown(kinds);
        for some in unknown.chunks(IN_A_CALL) {
            match self.ask(api, some).await {
                Ok(()) => (),
                Err(fault) if is_unknown_type(&fault) => {
                    for kind in some.iter().take(MAX_ALONE) {
                        let one = std::slice::from_ref(kind);
                        match self.ask(api, one).await {
                            Err(fault) if is_unknown_type(&fault) => self.keep(kind, None),
                            Err(fault) => return missing(&fault, some),
                            Ok(()) => (),
                        }
                    }
                }
                Err(fault) => {
                    // A cloud that has no such call, or forbids it, is not
                    // asked again at each poll.
                    if refusal(&fault).is_some() {
                        some.iter().for_each(|kind| self.keep(kind, None));
                    }
                    return missing(&fault, some);
                }
            }
        }
    }

    fn unknown(&self, kinds: &BTreeSet<String>) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_TYPES.saturating_sub(asked.len());
        let is_open = |kind: &&String| match asked.get(*kind) {
            None => !kind.is_empty() && kind.len() <= 64,
            Some((Some(_), _)) => false,
            Some((None, at)) => at.elapsed() > UNKNOWN_FOR,
        };
        kinds.iter().filter(is_open).take(room).cloned().collect()
    }

    async fn ask(&self, api: &Api<'_>, kinds: &[String]) -> Result<(), Error> {
        let parameters: Parameters = kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| (format!("InstanceType.{}", at + 1), kind.clone()))
            .collect();
        let told = api.call("DescribeInstanceTypes", &parameters).await?;
        let mut sizes: HashMap<&str, Size> = HashMap::new();
        for one in told.document.items("instanceTypeSet") {
            if let Some(kind) = one.text_at(&["instanceType"]) {
                sizes.insert(kind, size(one));
            }
        }
        for kind in kinds {
            self.keep(kind, sizes.get(kind.as_str()).copied());
        }
        Ok(())
    }

    fn keep(&self, kind: &str, size: Option<Size>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(kind.to_owned(), (size, Instant::now()));
    }
}

fn is_unknown_type(fault: &Error) -> bool {
    refusal(fault).is_some_and(|refusal| {
        matches!(refusal.code.as_str(), "InvalidInstanceType" | "InvalidParameterValue")
    })
}

fn missing(fault: &Error, kinds: &[String]) {
    tracing::warn!(
        types = kinds.join(" "),
        fault = fault as &dyn std::error::Error,
        "EC2 does not tell the vCPUs of instance types; those of the configuration's vcpus are taken"
    );
}

fn size(one: &Element) -> Size {
    let number = |path: &[&str]| one.text_at(path)?.parse::<u64>().ok();
    Size::new(
        number(&["vCpuInfo", "defaultVCpus"]),
        number(&["memoryInfo", "sizeInMiB"]),
        number(&["instanceStorageInfo", "totalSizeInGB"]),
    )
}
