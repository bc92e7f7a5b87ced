use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;

use super::answer;
use super::credentials::Chain;
use super::sign::{form, signed};
use super::xml::Element;
use crate::providers::http::{Client, Fault};
use crate::providers::{Blame, Error};

/// What EC2 answered, and when, by its clock.
pub(super) struct Told {
    pub document: Element,
    pub at: i64,
}

/// EC2 in one region.
pub(super) struct Api<'a> {
    pub http: &'a Client,
    pub chain: &'a Chain,
    pub backoff: Duration,
    pub region: &'a str,
    pub url: &'a Url,
}

pub(super) type Parameters = Vec<(String, String)>;

impl Api<'_> {
    /// Asks until EC2 has time, a few times. Nothing is asked that must not be
    /// asked twice.
    pub(super) async fn call(&self, action: &str, parameters: &Parameters) -> Result<Told, Error> {
        const ATTEMPTS: u32 = 5;
        let mut attempt = 1;
        loop {
            let fault = match self.try_call(action, parameters).await {
                Ok(told) => return Ok(told),
                Err(fault) => fault,
            };
            let late = matches!(source(&fault), Some(Fault::Late { .. }));
            let passing = matches!(fault.blame, Blame::Throttling | Blame::Trouble) && !late;
            if !passing || attempt == ATTEMPTS {
                return Err(fault);
            }
            // Whoever is told to wait longer than this does better to come
            // again later.
            const LONGEST: Duration = Duration::from_secs(30);
            let asked = fault.retry_after.unwrap_or_default();
            if asked > LONGEST {
                return Err(fault);
            }
            let wait = jitter(self.backoff * 2_u32.pow(attempt - 1)).min(LONGEST).max(asked);
            tracing::debug!(
                action,
                attempt,
                ?wait,
                fault = &fault as &dyn std::error::Error,
                "EC2 is asked again"
            );
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Once; and again with other credentials, where these ones are refused
    /// and there are others.
    async fn try_call(&self, action: &str, parameters: &Parameters) -> Result<Told, Error> {
        let mut keys = self.chain.keys().await?;
        let mut again = true;
        loop {
            let mut form_parameters = vec![
                ("Action".to_owned(), action.to_owned()),
                ("Version".to_owned(), "2016-11-15".to_owned()),
            ];
            form_parameters.extend_from_slice(parameters);
            let request = form(self.url, &form_parameters);
            let request = signed(request, &keys, self.region, SystemTime::now())?;
            let answer = self.http.ask(request).await?;
            match answer::read(&answer, action, self.url) {
                Ok(document) => {
                    let at = answer.date().unwrap_or_else(own_clock);
                    return Ok(Told { document, at });
                }
                Err(fault) if fault.blame == Blame::Credentials && again => {
                    again = false;
                    keys = self.chain.others(&keys).await.ok_or(fault)?;
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

fn source(fault: &Error) -> Option<&Fault> {
    std::error::Error::source(fault)?.downcast_ref()
}

/// From half of the time to all of it, so that many do not come at once.
fn jitter(time: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1000;
    time / 2 + time * u32::try_from(random).unwrap_or(0) / 2000
}

/// For a server that does not say what time it is.
pub(super) fn own_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
