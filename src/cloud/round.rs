//! What one complete listing changes: in the ledger, in what Nagios watches,
//! and in what is held. Pure: what Nagios saw and the clock are handed in.
//!
//! - What the cloud explains (stopped, deleted, unknown to it by its own word)
//!   goes at once.
//! - What it just does not show any more stays until a second listing, and
//!   then passes the brake and the second witness, or is held.
//! - What runs and has lost its address, and what Nagios watches and the
//!   ledger does not know, is treated like that, too.
//! - Nothing that is held goes before it is released, or explained.

use std::collections::{HashMap, HashSet};

use crate::hosts::BrakeConfig;
use crate::ledger::{Changes, Known, Presence, Rhythm, View, reconcile};
use crate::model::{Host, HostId, HostSet, Instance, InstanceId, Sighting};
use crate::providers::{Listing, Skipped};
use crate::state::{Absence, Held, HeldBy};

use super::CloudName;
use super::unseen::unseen;
use super::wanted::Wanted;

/// What stands before a listing.
#[derive(Clone, Debug)]
pub struct Ground {
    pub cloud: CloudName,
    /// With what is gone of the instances that Nagios watches.
    pub view: View,
    /// What Nagios watches of this cloud.
    pub watched: HostSet,
    pub absences: Vec<Absence>,
    pub brake: BrakeConfig,
}

/// A listing laid over the ground, not yet decided.
#[derive(Debug)]
pub struct Round {
    ground: Ground,
    now: i64,
    sighting: Sighting,
    changes: Changes,
    wanted: Wanted,
    kept: HashMap<InstanceId, Absence>,
    /// Watched hosts that stay without being shown.
    staying: Vec<Host>,
    /// Absences to be kept beside the ledger: held, or none of the ledger's.
    waiting: Vec<Absence>,
    candidates: Vec<Candidate>,
    /// Watched hosts that leave because the cloud explained it.
    explained_hosts: usize,
    /// Instances that count for the brake and that the ledger does not know.
    strays: usize,
    unseen: HashMap<InstanceId, i64>,
}

/// Two listings agree that it is gone, and the cloud says nothing.
#[derive(Debug)]
struct Candidate {
    absence: Absence,
    /// The ledger's, where it knows it.
    row: Option<i64>,
    /// As Nagios watches it.
    host: Option<Host>,
}

/// What a round comes to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// For the ledger.
    pub changes: Changes,
    /// For Nagios.
    pub hosts: HostSet,
    /// Before the changes are applied: no release may be forgotten.
    pub absences_before: Vec<Absence>,
    /// Once they are.
    pub absences: Vec<Absence>,
    /// Leave with the changes and stay without them.
    pub ending: Vec<Host>,
    /// For the next question and the next view, once the changes are applied.
    pub unseen: HashMap<InstanceId, i64>,
    pub shown: Shown,
}

/// What of a listing is shown to people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub listed: usize,
    pub running: usize,
    pub without_address: usize,
    pub missing: usize,
    pub skipped: Vec<Skipped>,
    pub skipped_total: usize,
    /// Unexplained absences that ended now.
    pub ended: usize,
    pub newly_held: usize,
}

impl Round {
    pub fn new(mut ground: Ground, listing: Listing, now: i64, rhythm: Rhythm) -> Self {
        let listing = as_they_were(&ground.view, listing);
        let wanted = Wanted::of(&ground.cloud, &listing, &ground.watched);
        let changes = reconcile(&ground.view, &listing.sighting, now, rhythm);
        let unseen = unseen(&ground.view, &listing, changes.at);
        let unreadable: HashSet<_> = listing.skipped.iter().map(|one| one.id.clone()).collect();
        let absences = std::mem::take(&mut ground.absences).into_iter();
        let mut round = Self {
            ground,
            now,
            sighting: listing.sighting,
            changes,
            wanted,
            kept: absences.map(|one| (one.instance.clone(), one)).collect(),
            staying: Vec::new(),
            waiting: Vec::new(),
            candidates: Vec::new(),
            explained_hosts: 0,
            strays: 0,
            unseen,
        };
        let gone = round.gone_rows();
        round.look_at_ledger(&gone);
        round.look_at_watched(&gone, &unreadable);
        round
    }

    /// The ledger's rows that end now, and whether the cloud explained it.
    fn gone_rows(&self) -> HashMap<i64, bool> {
        let touched = self.changes.touched.iter();
        touched
            .filter(|one| matches!(one.after.presence, Presence::Gone { .. }))
            .map(|one| (one.before.row, !one.ends_unexplained()))
            .collect()
    }

    /// What the ledger has as living and the listing does not show.
    fn look_at_ledger(&mut self, gone: &HashMap<i64, bool>) {
        let live = self.ground.view.live.iter();
        let mut absent: Vec<_> = live.filter(|(id, _)| !self.is_named(id)).collect();
        absent.sort_unstable_by_key(|(_, known)| known.row);
        let (mut candidates, mut staying, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for (id, known) in absent {
            let host = self.host_of(id, known);
            let decided = self.decided(id, known).cloned();
            match (gone.get(&known.row), known.presence) {
                (Some(true), _) => (),
                (Some(false), Presence::Missing { since, noticed, .. }) => {
                    let new = || Absence { instance: id.clone(), since, noticed, held: None };
                    let absence = decided.unwrap_or_else(new);
                    candidates.push(Candidate { absence, row: Some(known.row), host });
                }
                (Some(false), _) | (None, _) => {
                    staying.extend(host);
                    waiting.extend(decided);
                }
            }
        }
        self.candidates.extend(candidates);
        self.staying.extend(staying);
        self.waiting.extend(waiting);
    }

    /// What was decided about this very absence.
    fn decided(&self, id: &InstanceId, known: &Known) -> Option<&Absence> {
        let Presence::Missing { since, .. } = known.presence else { return None };
        let kept = self.kept.get(id);
        kept.filter(|kept| kept.since == since && kept.held.is_some())
    }

    /// What Nagios watches and the listing does not ask for.
    fn look_at_watched(&mut self, gone: &HashMap<i64, bool>, unreadable: &HashSet<InstanceId>) {
        let wanted: HashSet<&HostId> = self.wanted.hosts.iter().map(|host| &host.id).collect();
        let watched = self.ground.watched.iter();
        let unasked: Vec<Host> =
            watched.filter(|host| !wanted.contains(&host.id)).cloned().collect();
        for host in unasked {
            let Some(id) = self.ground.cloud.instance_of(&host.id) else { continue };
            let known = self.ground.view.live.get(&id);
            match self.sighting.instance(&id) {
                _ if unreadable.contains(&id) => self.staying.push(host),
                Some(shown) if !shown.counted => self.explained_hosts += 1,
                Some(_) => self.doubt(id, host),
                None if self.sighting.is_departed(&id) => self.explained_hosts += 1,
                None => match known {
                    Some(known) if gone.get(&known.row) == Some(&true) => self.explained_hosts += 1,
                    // Looked at with the ledger.
                    Some(_) => (),
                    None if self.ground.view.gone.contains_key(&id) => self.explained_hosts += 1,
                    None => self.doubt(id, host),
                },
            }
        }
    }

    /// An absence that the ledger does not keep.
    fn doubt(&mut self, id: InstanceId, host: Host) {
        let at = self.changes.at;
        self.strays += usize::from(!self.ground.view.live.contains_key(&id));
        let kept = self.kept.remove(&id);
        let mut absence =
            kept.unwrap_or(Absence { instance: id, since: at, noticed: self.now, held: None });
        absence.noticed = absence.noticed.min(self.now);
        absence.since = absence.since.min(at);
        let witness = !self.changes.stepped
            && self.ground.view.last.is_some_and(|last| last.at < at)
            && Rhythm::confirms(absence.since, absence.noticed, at, self.now);
        if witness {
            self.candidates.push(Candidate { absence, row: None, host: Some(host) });
        } else {
            self.staying.push(host);
            self.waiting.push(absence);
        }
    }

    fn is_named(&self, id: &InstanceId) -> bool {
        self.sighting.instance(id).is_some() || self.sighting.is_departed(id)
    }

    /// As Nagios watches it, or as the ledger last knew it to run.
    fn host_of(&self, id: &InstanceId, known: &Known) -> Option<Host> {
        let cloud = &self.ground.cloud;
        let ran = known.segment.as_ref().is_some_and(|kept| kept.segment.counted);
        let address = known.details.addresses().first().filter(|_| ran);
        let last = address.and_then(|address| cloud.host(id, address).ok());
        let watched = HostId::parse(&format!("{cloud}_{id}")).ok();
        let watched = watched.and_then(|id| self.ground.watched.get(&id)).cloned();
        watched.or(last)
    }

    /// The hosts whose checks are to be looked at, and since when.
    pub fn witnesses(&self) -> HashSet<HostId> {
        if self.is_braked() {
            return HashSet::new();
        }
        let undecided = self.candidates.iter().filter(|one| one.absence.held.is_none());
        undecided.filter_map(|one| Some(one.host.as_ref()?.id.clone())).collect()
    }

    /// Whether more went without a word than the brake lets pass.
    fn is_braked(&self) -> bool {
        let Ground { view, watched, brake, .. } = &self.ground;
        let released = self.candidates.iter().filter(|one| one.absence.is_released());
        let (released, released_hosts) = count(released);
        let held = self.candidates.iter().filter(|one| !one.absence.is_released());
        let (removed, removed_hosts) = count(held);
        let touched = self.changes.touched.iter();
        let explained = touched
            .filter(|one| matches!(one.after.presence, Presence::Gone { explained: true, .. }))
            .filter(|one| !matches!(one.before.presence, Presence::Gone { .. }))
            .count();
        let before = (view.live.len() + self.strays).saturating_sub(explained + released);
        let hosts_before = watched.len().saturating_sub(self.explained_hosts + released_hosts);
        removed > 0
            && (brake.holds(removed, before)
                || (removed_hosts > 0 && brake.holds(removed_hosts, hosts_before)))
    }

    /// `last_ok`: when checks of the witnesses last ended OK. Absent: it could
    /// not be learned, and who might be a witness waits for the next listing.
    pub fn decide(mut self, last_ok: Option<&HashMap<HostId, i64>>) -> Outcome {
        let braked = self.is_braked();
        let addresses: HashSet<_> = self.wanted.hosts.iter().map(|host| &host.address).collect();
        let (mut ending, mut ending_hosts) = (Vec::new(), Vec::new());
        let mut staying_rows = HashSet::new();
        let mut newly_held = 0;
        for Candidate { mut absence, row, host } in std::mem::take(&mut self.candidates) {
            let testimony = host.as_ref().map(|host| {
                last_ok.map(|told| {
                    told.get(&host.id).is_some_and(|at| *at > absence.noticed)
                        && !addresses.contains(&host.address)
                })
            });
            let by = match (absence.held, testimony) {
                (Some(_), _) => None,
                _ if braked => Some(HeldBy::Brake),
                (None, Some(Some(true))) => Some(HeldBy::Witness),
                _ => None,
            };
            if let Some(by) = by {
                newly_held += 1;
                absence.held = Some(Held { at: self.now, by, released: None });
            }
            let unheard = absence.held.is_none() && testimony == Some(None);
            if absence.is_held() || unheard {
                staying_rows.extend(row);
                self.staying.extend(host);
                if absence.held.is_some() || row.is_none() {
                    self.waiting.push(absence);
                }
            } else {
                ending.push(absence);
                ending_hosts.extend(host);
            }
        }
        self.changes.hold(|one| staying_rows.contains(&one.before.row));
        Outcome { ending: ending_hosts, ..self.outcome(ending, newly_held) }
    }

    fn outcome(self, ending: Vec<Absence>, newly_held: usize) -> Outcome {
        let Self { changes, wanted, staying, mut waiting, unseen, .. } = self;
        waiting.sort_unstable_by(|a, b| a.instance.cmp(&b.instance));
        let ended = ending.len();
        let released = ending.into_iter().filter(Absence::is_released);
        let mut absences_before: Vec<_> = waiting.iter().cloned().chain(released).collect();
        absences_before.sort_unstable_by(|a, b| a.instance.cmp(&b.instance));
        let shown = Shown {
            listed: wanted.listed,
            running: wanted.running,
            without_address: wanted.without_address,
            missing: changes.tally.missing,
            skipped: wanted.skipped,
            skipped_total: wanted.skipped_total,
            ended,
            newly_held,
        };
        let hosts = HostSet::of_first(wanted.hosts.into_iter().chain(staying));
        let ending = Vec::new();
        Outcome { changes, hosts, absences_before, absences: waiting, ending, unseen, shown }
    }
}

fn count<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> (usize, usize) {
    candidates.fold((0, 0), |(all, hosts), one| (all + 1, hosts + usize::from(one.host.is_some())))
}

/// The listing with each instance whose record could not be read as it was
/// known: it is neither absent nor changed.
fn as_they_were(view: &View, mut listing: Listing) -> Listing {
    if listing.skipped.is_empty() {
        return listing;
    }
    let unreadable = listing.skipped.iter().filter_map(|one| {
        let known = view.live.get(&one.id)?;
        let last = &known.segment.as_ref()?.segment;
        Some(Instance {
            id: one.id.clone(),
            created: known.created,
            owner: known.owner.clone(),
            details: known.details.clone(),
            shape: last.shape.clone(),
            counted: last.counted,
        })
    });
    let unreadable = unreadable.collect();
    listing.sighting = listing.sighting.also(unreadable);
    listing
}
