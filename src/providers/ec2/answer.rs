//! What an answer of EC2 or STS says: the document that was asked for, or
//! whose fault it is that it is another.

use reqwest::{StatusCode, Url};

use super::xml::Element;
use crate::model::Label;
use crate::providers::http::{self, Answer};
use crate::providers::{Blame, Error};

/// EC2's own words for a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Refusal {
    pub code: String,
    pub message: Label,
}

/// The document that answers `action`. Status 200 alone proves nothing: another
/// service at the same address may have answered.
pub(super) fn read(answer: &Answer, action: &str, url: &Url) -> Result<Element, Error> {
    let at = http::origin(url);
    let document = match Element::parse(&answer.body) {
        Ok(document) => document,
        Err(malformed) => return Err(no_xml(answer, action, &at).because(malformed)),
    };
    if let Some(name) = document.name().strip_suffix("Response")
        && answer.status == StatusCode::OK
        && name == action
    {
        return Ok(document);
    }
    if let Some(error) = document.find("Error")
        && let Some(code) = error.text_at(&["Code"])
    {
        let code: String = code.chars().filter(char::is_ascii_graphic).take(100).collect();
        let message = Label::tame(error.text_at(&["Message"]).unwrap_or_default());
        let refusal = Refusal { code, message };
        return Err(refused(answer, action, &at, refusal));
    }
    let root = Label::tame(document.name());
    Err(Error::new(
        Blame::Configuration,
        format!(
            "{at} answered {action} with status {} and a document <{root}>; check that endpoint is that of EC2",
            answer.status
        ),
    ))
}

fn no_xml(answer: &Answer, action: &str, at: &str) -> Error {
    let (status, wait) = (answer.status, answer.retry_after());
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        return Error::new(Blame::Throttling, format!("{at} has too much to do ({status})"))
            .retry_after(wait);
    }
    let (blame, advice) = match status.as_u16() {
        // A cut answer is trouble on the way.
        200 => (Blame::Trouble, "check that endpoint is that of EC2, and what is between"),
        401 | 403 => (Blame::Credentials, "check the keys, and what is between"),
        500.. => (Blame::Trouble, "look into the log there"),
        _ => (Blame::Configuration, "check that endpoint is that of EC2"),
    };
    Error::new(
        blame,
        format!(
            "{at} answered {action} with status {status} and no XML that can be read; {advice}"
        ),
    )
}

fn refused(answer: &Answer, action: &str, at: &str, refusal: Refusal) -> Error {
    let (blame, advice) = blame(&refusal.code, answer.status);
    Error::new(blame, format!("{at} refused {action}; {advice}"))
        .retry_after(answer.retry_after())
        .because(refusal)
}

/// The codes are of the EC2 API reference ("Error codes for the Amazon EC2
/// API", "Common errors" of STS) and of moto.
fn blame(code: &str, status: StatusCode) -> (Blame, &'static str) {
    match code {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "SlowDown"
        | "RequestThrottled"
        | "EC2ThrottledException"
        | "TooManyRequestsException"
        | "BandwidthLimitExceeded" => (Blame::Throttling, "it is asked too often"),
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" => {
            (Blame::Credentials, "the credentials have expired, or this host's clock is wrong")
        }
        "SignatureDoesNotMatch"
        | "AuthFailure"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "UnrecognizedClientException"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "Blocked"
        | "OptInRequired"
        | "PendingVerification" => (Blame::Credentials, "check the key and its secret"),
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            (Blame::Credentials, "allow it ec2:DescribeInstances and ec2:DescribeInstanceTypes")
        }
        "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "Unavailable"
        | "Server"
        | "InsufficientInstanceCapacity" => (Blame::Trouble, "it has trouble of its own"),
        _ if status.is_server_error() => (Blame::Trouble, "it has trouble of its own"),
        _ => (Blame::Configuration, "check endpoint, region and what it supports"),
    }
}

/// EC2's code for a fault, where it gave one.
pub(super) fn refusal(fault: &Error) -> Option<&Refusal> {
    std::error::Error::source(fault)?.downcast_ref()
}
