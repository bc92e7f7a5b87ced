//! How the clouds are polled: what is asked of `cloud`, and its answers in the
//! values of the wire.

use crate::cloud::{CloudView, Clouds, Error, HeldView, Role};
use crate::providers::Blame;
use crate::telemetry::sentence;

use super::call::{Failure, Reply};
use super::wire::cloud as wire;

pub(super) async fn sync(clouds: &Clouds, order: wire::CloudOrder) -> Result<Reply, Failure> {
    let polled = clouds.sync(order.name.as_deref()).await;
    polled.map(Reply::Clouds).map_err(failed)
}

pub(super) async fn release(clouds: &Clouds, order: wire::CloudOrder) -> Result<Reply, Failure> {
    let Some(name) = order.name else {
        return Err(Failure::BadQuestion("there is no name of a cloud".to_owned()));
    };
    let released = clouds.release(&name, order.held_token).await;
    released.map(|view| Reply::Clouds(vec![view])).map_err(failed)
}

fn failed(fault: Error) -> Failure {
    let told = sentence(&fault);
    match fault {
        Error::Unknown(_) | Error::NothingHeld(_) | Error::Changed(_) | Error::Elsewhere(_) => {
            Failure::BadQuestion(told)
        }
        Error::Config { .. } | Error::Failed(_) | Error::Stopping => Failure::Unavailable(told),
    }
}

pub(super) fn status(view: &CloudView, now: i64) -> wire::CloudStatus {
    let count = |number: usize| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let skipped = view.shown.skipped.iter().map(|one| wire::SkippedInstance {
        instance_id: Some(one.id.to_string()),
        reason: Some(one.reason.to_string()),
    });
    wire::CloudStatus {
        name: Some(view.name.clone()),
        kind: Some(view.kind.clone()),
        configured: Some(view.configured),
        role: Some(role(view.role)),
        last_attempt_time: view.last_attempt,
        last_success_time: view.last_success,
        lag_seconds: view.last_success.map(|last| now.saturating_sub(last).max(0)),
        next_poll_time: view.next_poll,
        took_ms: view.took_ms,
        error: view.error.clone(),
        blame: view.blame.map(blame),
        trouble: view.trouble.clone(),
        instance_count: count(view.shown.listed),
        running_count: count(view.shown.running),
        watched_count: count(view.watched),
        without_address_count: count(view.shown.without_address),
        missing_count: count(view.shown.missing),
        held_count: count(view.held_total),
        held: Some(view.held.iter().map(held).collect()),
        held_token: Some(view.held_token),
        skipped_count: count(view.shown.skipped_total),
        skipped: Some(skipped.collect()),
        clashes: Some(view.clashes.clone()),
        skew_seconds: Some(view.skew),
    }
}

fn held(one: &HeldView) -> wire::HeldInstance {
    wire::HeldInstance {
        instance_id: Some(one.instance.to_string()),
        host_id: one.host.as_ref().map(ToString::to_string),
        address: one.address.as_ref().map(ToString::to_string),
        since_time: Some(one.since),
        held_time: Some(one.held_at),
        reason: Some(one.by.as_str().to_owned()),
    }
}

fn role(role: Role) -> wire::CloudRole {
    match role {
        Role::Starting => wire::CloudRole::STARTING,
        Role::Polls => wire::CloudRole::POLLS,
        Role::Follows => wire::CloudRole::FOLLOWS,
        Role::NoLedger => wire::CloudRole::NO_LEDGER,
    }
}

fn blame(blame: Blame) -> wire::CloudBlame {
    match blame {
        Blame::Configuration => wire::CloudBlame::CONFIGURATION,
        Blame::Credentials => wire::CloudBlame::CREDENTIALS,
        Blame::Throttling => wire::CloudBlame::THROTTLING,
        Blame::Trouble => wire::CloudBlame::TROUBLE,
    }
}
