//! What became of one host from generation to generation. Pure.

use std::collections::HashMap;

use super::{Generation, GenerationState};
use crate::model::{Host, Source};

/// A generation that did something to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub generation: Generation,
    pub deed: Deed,
    /// As it was then; of a removed one, before.
    pub host: Host,
    /// False: it may have been an earlier generation that is not kept any more.
    pub certain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Added,
    Changed,
    Removed,
}

impl Deed {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// Newest first; more say nothing that somebody could read.
pub(super) const MAX_STEPS: usize = 100;

struct Before {
    number: i64,
    /// Among all that are kept.
    place: usize,
    host: Option<Host>,
}

/// `kept` is all that is kept, oldest first. What never reached the disk
/// changed nothing; what Nagios died of was taken back.
pub(super) fn steps(kept: Vec<(Generation, Option<Host>)>) -> Vec<Step> {
    let mut last: HashMap<Source, Before> = HashMap::new();
    let mut steps = Vec::new();
    for (place, (generation, host)) in kept.into_iter().enumerate() {
        if generation.live.is_none() {
            continue;
        }
        let before = last.get(&generation.source);
        // Numbers have no gaps but for what is not kept.
        let certain = {
            let (number, at) = before.map_or((0, 0), |before| (before.number, before.place + 1));
            i64::try_from(place + 1 - at).is_ok_and(|passed| generation.number - number == passed)
        };
        let deed = match (before.and_then(|before| before.host.as_ref()), &host) {
            (None, Some(new)) => Some((Deed::Added, new)),
            (Some(old), Some(new)) if old != new => Some((Deed::Changed, new)),
            (Some(old), None) => Some((Deed::Removed, old)),
            _ => None,
        };
        if let Some((deed, host)) = deed {
            let (generation, host) = (generation.clone(), host.clone());
            steps.push(Step { generation, deed, host, certain });
        }
        if generation.state != GenerationState::Rejected {
            let number = generation.number;
            last.insert(generation.source, Before { number, place, host });
        }
    }
    steps.reverse();
    steps.truncate(MAX_STEPS);
    steps
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// None for no address.
    fn host(address: &str) -> Option<Host> {
        let restore = |address| Host::restore("a", address, "a", None).unwrap();
        Some(address).filter(|address| !address.is_empty()).map(restore)
    }

    fn generation(number: i64, source: &str, state: GenerationState) -> Generation {
        Generation {
            number,
            source: source.parse().unwrap(),
            state,
            host_count: 1,
            created: UNIX_EPOCH,
            live: (state != GenerationState::Pending).then_some(UNIX_EPOCH),
            proved: None,
            reason: None,
            forced: false,
            restores: None,
            caller: None,
        }
    }

    fn told(kept: Vec<(Generation, Option<Host>)>) -> Vec<(i64, Deed, String, bool)> {
        let all = steps(kept).into_iter();
        all.map(|one| (one.generation.number, one.deed, one.host.address.to_string(), one.certain))
            .collect()
    }

    #[test]
    fn each_source_has_its_own_way() {
        use Deed::{Added, Changed, Removed};
        use GenerationState::{Live, Pending, Rejected, Superseded};
        let kept = [
            (1, "rpc", Superseded, "::1"),
            (2, "cloud:east", Superseded, "::1"),
            (3, "rpc", Superseded, "::1"),
            (4, "rpc", Superseded, "::2"),
            (5, "cloud:east", Live, ""),
            (6, "rpc", Rejected, ""),
            (7, "rpc", Live, "::2"),
            (8, "rpc", Pending, ""),
        ];
        let kept = kept.map(|(number, source, state, address)| {
            (generation(number, source, state), host(address))
        });
        let wanted = [
            (6, Removed, "::2", true),
            (5, Removed, "::1", true),
            (4, Changed, "::2", true),
            (2, Added, "::1", true),
            (1, Added, "::1", true),
        ];
        let wanted =
            wanted.map(|(number, deed, address, sure)| (number, deed, address.to_owned(), sure));
        assert_eq!(told(kept.to_vec()), wanted);
    }

    #[test]
    fn what_is_not_kept_is_not_claimed() {
        let live = |number| generation(number, "rpc", GenerationState::Superseded);
        let first = told(vec![(live(7), host("::1")), (live(8), None), (live(12), host("::1"))]);
        let certain: Vec<_> = first.iter().map(|step| (step.0, step.3)).collect();
        assert_eq!(certain, [(12, false), (8, true), (7, false)]);
    }

    #[test]
    fn it_ends_somewhere() {
        let flapping = (1..1000).map(|number| {
            let at = generation(number, "rpc", GenerationState::Superseded);
            (at, host("::1").filter(|_| number % 2 == 0))
        });
        let steps = told(flapping.collect());
        assert_eq!((steps.len(), steps[0].0), (MAX_STEPS, 999));
    }
}
