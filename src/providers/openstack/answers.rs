use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::access::Secret;
use crate::model::Label;
use crate::providers::http::Answer;
use crate::providers::{Blame, Error};

/// `: "..."` with what an error's body says, or nothing. Nova wraps it in a
/// key that names its kind, Keystone in `error`; some bodies are no JSON.
pub(super) fn said(answer: &Answer, secrets: &[&Secret]) -> String {
    const MAX_BYTES: usize = 64 * 1024;
    if answer.body.len() > MAX_BYTES {
        return String::new();
    }
    let message = serde_json::from_slice::<BTreeMap<String, Wrapped>>(&answer.body)
        .ok()
        .and_then(|wrapped| wrapped.into_values().find_map(|inner| inner.message));
    let Some(mut message) = message else { return String::new() };
    // What is told back to us may have been put together of what we sent.
    for secret in secrets {
        message = message.replace(secret.reveal(), "***");
    }
    match Label::tame(&message) {
        empty if empty.is_empty() => String::new(),
        told => format!(": {told:?}", told = told.as_str()),
    }
}

#[derive(Deserialize)]
struct Wrapped {
    message: Option<String>,
}

/// Nova knows no such thing; a proxy's own 404 does not say so.
pub(super) fn is_not_found(answer: &Answer) -> bool {
    answer.status.as_u16() == 404
        && serde_json::from_slice::<Value>(&answer.body)
            .is_ok_and(|body| body.get("itemNotFound").is_some())
}

pub(super) fn is_lost_marker(answer: &Answer) -> bool {
    answer.status.as_u16() == 400 && said(answer, &[]).contains("marker")
}

/// The error that an answer stands for, where it was of no use. `what` was
/// asked for.
pub(super) fn refusal(answer: &Answer, what: &str, secrets: &[&Secret]) -> Error {
    let said = said(answer, secrets);
    let status = answer.status;
    let error = match status.as_u16() {
        401 => Error::new(
            Blame::Credentials,
            format!("the cloud does not take a token that Keystone just gave, for {what}{said}"),
        ),
        403 => Error::new(
            Blame::Credentials,
            format!("the cloud does not let us ask for {what}{said}"),
        ),
        400 | 404 | 405 | 406 => Error::new(
            Blame::Trouble,
            format!("the cloud refused the question for {what} with status {status}{said}"),
        ),
        413 | 429 | 503 => Error::new(
            Blame::Throttling,
            format!("the cloud wants to be asked later for {what}, with status {status}{said}"),
        ),
        _ => Error::new(
            Blame::Trouble,
            format!("the cloud answered the question for {what} with status {status}{said}"),
        ),
    };
    error.retry_after(answer.retry_after())
}

/// Something that is not what the API gives.
pub(super) fn malformed(what: &str, source: serde_json::Error) -> Error {
    let sentence = format!("the cloud's answer with {what} is cut short or not what its API gives");
    Error::new(Blame::Trouble, sentence).because(source)
}
