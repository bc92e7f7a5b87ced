//! What is shown of a cloud.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::{Address, HostId, InstanceId};
use crate::providers::Blame;
use crate::state::{Absence, HeldBy};

use super::Owners;
use super::round::Shown;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudView {
    pub name: String,
    pub kind: String,
    /// False: hosts of it are still watched, and it is not in the configuration.
    pub configured: bool,
    pub role: Role,
    /// Seconds between two polls as they are configured.
    pub interval: u64,
    /// Times are UTC seconds by this host's clock.
    pub last_attempt: Option<i64>,
    /// The last complete listing that was taken over.
    pub last_success: Option<i64>,
    /// Milliseconds that it took.
    pub took_ms: Option<i64>,
    pub next_poll: Option<i64>,
    /// Why the last poll gave nothing; absent when it did.
    pub error: Option<String>,
    pub blame: Option<Blame>,
    /// What hinders the ledger or Nagios, while the cloud itself answers.
    pub trouble: Option<String>,
    pub shown: Shown,
    /// Of its hosts those that cannot stand beside another source's.
    pub clashes: Vec<String>,
    /// Hosts of this cloud that Nagios is to watch.
    pub watched: usize,
    /// Whose its instances are, by the host that each would be.
    pub owners: Arc<Owners>,
    /// Since this process started.
    pub polls: u64,
    /// Those of them that gave nothing.
    pub failed_polls: u64,
    /// Seconds by which the cloud's clock is ahead of ours.
    pub skew: i64,
    /// The first of them.
    pub held: Vec<HeldView>,
    pub held_total: usize,
    /// Names what is held: a release that brings it applies to nothing else.
    pub held_token: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The first poll is not over.
    #[default]
    Starting,
    Polls,
    /// Another appliance polls, and its ledger is followed.
    Follows,
    /// It polls, but nothing is recorded.
    NoLedger,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    pub instance: InstanceId,
    pub host: Option<HostId>,
    pub address: Option<Address>,
    /// The first complete listing without it, by the cloud's clock.
    pub since: i64,
    pub held_at: i64,
    pub by: HeldBy,
}

/// Held absences that are shown; all are counted and named by the token.
pub(super) const MAX_HELD: usize = 1000;

/// 0 where nothing is held.
pub(super) fn token(absences: &[Absence]) -> i64 {
    let mut hash = Sha256::new();
    let mut any = false;
    for one in absences.iter().filter(|one| one.is_held()) {
        any = true;
        hash.update((one.instance.as_str().len() as u64).to_be_bytes());
        hash.update(one.instance.as_str());
        hash.update(one.since.to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (head, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    if any { i64::from_be_bytes(*head) & i64::MAX | 1 } else { 0 }
}
