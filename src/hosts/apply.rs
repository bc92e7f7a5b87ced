//! The way of pending generations to the disk, and what Nagios makes of it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::model::{HostId, Source};
use crate::nagios::{HostsFile, VerifyError};
use crate::state::{Applied, Generation, GenerationState, Judgement, LiveSet};

use super::first_checks::Newcomers;
use super::keeper::{Answer, Keeper, Kept};
use super::restarter::{Event, Target};
use crate::telemetry::sentence;

use super::ReplaceError;

impl Keeper {
    /// Brings pending generations to the disk, or rejects them. Of several
    /// sources that are refused together, each is tried alone: one source's
    /// fault is not the others'.
    pub(super) async fn settle(
        &mut self,
        pending: BTreeMap<Source, LiveSet>,
    ) -> BTreeMap<Source, Answer> {
        let sources: Vec<_> = pending.keys().cloned().collect();
        match self.apply(&pending).await {
            Ok(()) => sources
                .into_iter()
                .map(|source| (source.clone(), self.live_answer(&source)))
                .collect(),
            Err(_) if pending.len() > 1 => {
                let mut answers = BTreeMap::new();
                for (source, one) in pending {
                    let alone = BTreeMap::from([(source, one)]);
                    answers.extend(Box::pin(self.settle(alone)).await);
                }
                answers
            }
            Err(fault) => {
                let judgement = Judgement { reason: fault.to_string(), quarantine: false };
                let numbers = pending.values().map(|one| one.generation.number).collect();
                if let Err(fault) =
                    self.state.settle_rejected(numbers, judgement, SystemTime::now()).await
                {
                    tracing::error!("a refusal was not recorded: {}", sentence(&fault));
                }
                tracing::warn!("hosts were not replaced: {fault}");
                sources.into_iter().map(|source| (source, Err(fault.clone()))).collect()
            }
        }
    }

    /// Heals a file that is not what the live generations say.
    pub(super) async fn bring_in_line(&mut self) {
        if self.live.is_empty() && self.applied.is_none() {
            return;
        }
        let outcome = self.apply(&BTreeMap::new()).await;
        let trouble =
            outcome.err().map(|fault| format!("the hosts file is not as it should be: {fault}"));
        if let Some(told) = &trouble
            && self.trouble != trouble
        {
            tracing::error!("{told}");
        }
        if self.trouble != trouble {
            self.trouble = trouble;
            self.publish();
        }
    }

    /// Proves and swaps in the file of the live sets with `pending` in the
    /// place of their sources'. What is on disk already is left alone.
    async fn apply(&mut self, pending: &BTreeMap<Source, LiveSet>) -> Result<(), ReplaceError> {
        let mut sets = self.sets.clone();
        for (source, one) in pending {
            sets.put(source.clone(), one.set.clone());
        }
        let union = sets.union(&self.watched, self.config.max_hosts);
        let pending_numbers = pending.values().map(|one| one.generation.number);
        let live_numbers = self
            .live
            .iter()
            .filter(|(source, _)| !pending.contains_key(source))
            .map(|(_, live)| live.number);
        let newest = pending_numbers.clone().chain(live_numbers).max().unwrap_or_default();
        let templates = &self.config.host_templates;
        let watched = union
            .iter()
            .filter(|one| one.watched)
            .map(|one| (&one.host, templates.get(&one.source).map(String::as_str)));
        let file = self.nagios.render_each(newest, watched);
        let forced = pending.values().any(|one| one.generation.forced);
        let applied = self.put_on_disk(file, newest, forced).await?;
        let numbers: Vec<i64> = pending_numbers.collect();
        let now = SystemTime::now();
        if !numbers.is_empty() || self.applied.as_ref() != Some(&applied) {
            self.state
                .settle_live(numbers, applied.clone(), self.config.keep_generations, now)
                .await
                .map_err(|fault| ReplaceError::Unavailable(sentence(&fault)))?;
        }
        self.sets = sets;
        for (source, one) in pending {
            let generation = Generation {
                state: GenerationState::Live,
                live: Some(applied.swapped),
                proved: applied.proved_by.map(|_| now),
                ..one.generation.clone()
            };
            self.live.insert(source.clone(), generation);
        }
        self.watched =
            union.iter().filter(|one| one.watched).map(|one| one.host.id.clone()).collect();
        self.applied = Some(applied);
        self.trouble = None;
        self.order(self.target());
        self.publish();
        Ok(())
    }

    /// Proves the file and swaps it in, unless it is on disk already.
    async fn put_on_disk(
        &mut self,
        file: HostsFile,
        generation: i64,
        forced: bool,
    ) -> Result<Applied, ReplaceError> {
        let unavailable = |fault| ReplaceError::Unavailable(sentence(&fault));
        let (digest, count) = (file.digest.to_string(), file.count);
        let on_disk = self.nagios.live().await.map_err(unavailable)?;
        if on_disk.is_some_and(|live| live.digest == file.digest) {
            let known = self.applied.as_ref().filter(|applied| applied.file_digest == digest);
            return Ok(match known {
                Some(known) => Applied { generation, ..known.clone() },
                // In place, but nobody noted since when.
                None => fresh(digest, generation, SystemTime::now()),
            });
        }
        let is_fatal = self.fatal.as_ref() == Some(&digest);
        if is_fatal && !forced {
            return Err(ReplaceError::Rejected(FATAL.to_owned()));
        }
        let verified = self.nagios.verify(file).await.map_err(refusal)?;
        let swapped = self.nagios.swap(verified).await.map_err(unavailable)?;
        if is_fatal {
            self.fatal = None;
        }
        tracing::info!(generation, hosts = count, "the hosts file is live");
        Ok(fresh(digest, generation, swapped))
    }

    pub(super) fn target(&self) -> Option<Target> {
        self.applied.as_ref().map(|applied| Target {
            digest: applied.file_digest.clone(),
            swapped: applied.swapped,
            proved: applied.proved_by.is_some(),
        })
    }

    pub(super) fn order(&self, target: Option<Target>) {
        self.link.orders.send_modify(|orders| {
            orders.target = target;
            orders.nagios = self.nagios.clone();
            orders.min_interval = self.config.min_restart_interval;
            orders.confirm_timeout = self.config.confirm_timeout;
        });
    }

    pub(super) async fn hear(&mut self, event: Event) {
        match event {
            Event::Proved { target, program_start } => self.proved(target, program_start).await,
            Event::Died { target, told } => self.died(&target, told).await,
        }
    }

    async fn proved(&mut self, target: Target, program_start: i64) {
        let Some(applied) = self.applied.as_mut().filter(|applied| target.is(applied)) else {
            return;
        };
        applied.proved_by = Some(program_start);
        // What was told of an end of Nagios is over.
        self.trouble = None;
        let now = SystemTime::now();
        for generation in self.live.values_mut() {
            generation.proved.get_or_insert(now);
        }
        self.order(self.target());
        if let Err(fault) = self.state.settle_proved(target.digest, program_start, now).await {
            tracing::error!("a proof was not recorded: {}", sentence(&fault));
        }
        self.last_good = Kept::NotYet;
        self.keep_last_good().await;
        let mut ids: Vec<HostId> = self.watched.difference(&self.proved).cloned().collect();
        ids.sort_unstable();
        self.proved.clone_from(&self.watched);
        let per_second = self.config.first_checks_per_second;
        let new = Newcomers { nagios: self.nagios.clone(), ids, per_second };
        if !new.ids.is_empty() && self.newcomers.try_send(new).is_err() {
            tracing::debug!("first checks of new hosts are left to Nagios's own schedule");
        }
        self.publish();
    }

    /// The live file has been proved, and what is to come back after it is an
    /// older one still.
    pub(super) fn has_to_keep(&self) -> bool {
        let is_proved = self.applied.as_ref().is_some_and(|applied| applied.proved_by.is_some());
        is_proved && self.last_good != Kept::Is
    }

    pub(super) async fn keep_last_good(&mut self) {
        let Some(applied) = &self.applied else { return };
        self.last_good = match self.nagios.keep_as_last_good(&applied.file_digest).await {
            Ok(()) => Kept::Is,
            Err(fault) => {
                let told = sentence(&fault);
                let now = Kept::Failed(told.clone());
                if self.last_good != now {
                    tracing::error!(
                        "the live hosts file was not kept as the last good one, and is tried \
                         again: {told}"
                    );
                }
                now
            }
        };
    }

    /// Nagios died of the live file: the last good one goes back, and what
    /// made the difference is kept out until a caller forces it.
    async fn died(&mut self, target: &Target, told: String) {
        if !self.applied.as_ref().is_some_and(|applied| target.is(applied)) {
            return;
        }
        let judgement = Judgement { reason: told.clone(), quarantine: true };
        let live = match self.state.settle_fatal(judgement, SystemTime::now()).await {
            Ok(live) => live,
            Err(fault) => {
                tracing::error!(
                    "Nagios died of its hosts file and the state cannot be changed: {}",
                    sentence(&fault)
                );
                return;
            }
        };
        self.fatal = Some(target.digest.clone());
        self.take_over(live);
        let restored = match self.nagios.restore_last_good().await {
            Ok(Some((file, swapped))) => {
                Some(fresh(file.digest.to_string(), file.generation, swapped))
            }
            Ok(None) => None,
            Err(fault) => {
                tracing::error!("the last good hosts file was not put back: {}", sentence(&fault));
                None
            }
        };
        let has_last_good = restored.is_some();
        if !has_last_good {
            // Nothing was ever proved: what is left, perhaps nothing, is tried.
            self.bring_in_line().await;
        }
        if let Some(applied) = restored {
            if let Err(fault) = self.state.note_applied(applied.clone()).await {
                tracing::error!(
                    "the return of the last good hosts was not recorded: {}",
                    sentence(&fault)
                );
            }
            self.applied = Some(applied);
            self.watched = self.watched_ids();
        }
        self.order(self.target());
        let back = if has_last_good { "the last good hosts are back" } else { "none are watched" };
        let told = format!("Nagios died of the newest hosts ({told}); {back}: start Nagios");
        tracing::error!("{told}");
        self.trouble = Some(told);
        self.publish();
    }
}

const FATAL: &str = "Nagios died of this very hosts file before; \
                     use `hosts set --force` once the cause is mended";

fn fresh(file_digest: String, generation: i64, swapped: SystemTime) -> Applied {
    Applied { file_digest, generation, swapped, proved_by: None }
}

fn refusal(fault: VerifyError) -> ReplaceError {
    let told = sentence(&fault);
    match fault {
        VerifyError::Refused(_) => ReplaceError::Rejected(told),
        VerifyError::NotAsked(_) => ReplaceError::Unavailable(told),
    }
}
