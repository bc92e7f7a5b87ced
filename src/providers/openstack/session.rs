use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use super::access::Access;
use super::answers;
use super::config::Config;
use super::keystone::{self, Grant};
use crate::providers::http::{Answer, Client, Limits};
use crate::providers::{Blame, Error};

/// Asks one cloud with a token that is renewed.
#[derive(Debug)]
pub(super) struct Session {
    config: Config,
    http: Client,
    grant: tokio::sync::Mutex<Option<Arc<Grant>>>,
}

/// What one listing keeps of all its answers.
#[derive(Debug)]
pub(super) struct Poll {
    clock: Mutex<Option<(i64, i64)>>,
    /// How often a cloud that asks for it is still waited for.
    waits: AtomicUsize,
}

impl Poll {
    pub(super) fn new() -> Self {
        const WAITS: usize = 10;
        Self { clock: Mutex::new(None), waits: AtomicUsize::new(WAITS) }
    }

    fn note(&self, date: Option<i64>) {
        let Some(date) = date else { return };
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = clock.unwrap_or((date, date));
        *clock = Some((first.min(date), last.max(date)));
    }

    /// The least and the greatest time that the cloud's answers bore.
    pub(super) fn clock(&self) -> Option<(i64, i64)> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let access = Access::load(config)?;
        let limits = Limits {
            connect: config.connect_timeout,
            read: config.request_timeout,
            answer: config.request_timeout,
            max_body: config.max_body,
        };
        let encrypted = access.auth_url.scheme() == "https";
        let http = match Client::new(true, &access.ca_file, limits) {
            // A cloud of plain HTTP needs no authorities.
            Err(_) if !encrypted && access.ca_file.as_os_str().is_empty() => {
                Client::new(false, &access.ca_file, limits)?
            }
            http => http?,
        };
        Ok(Self { config: config.clone(), http, grant: tokio::sync::Mutex::new(None) })
    }

    /// The grant of now. One that is `spent` or soon will be is replaced.
    pub(super) async fn grant(&self, spent: Option<&Grant>) -> Result<Arc<Grant>, Error> {
        // Held over the log-in, so that many questions log in once.
        let mut kept = self.grant.lock().await;
        if let Some(grant) = &*kept
            && grant.renew_at > Instant::now()
            && spent.is_none_or(|spent| spent.token != grant.token)
        {
            return Ok(Arc::clone(grant));
        }
        let config = self.config.clone();
        let access = tokio::task::spawn_blocking(move || Access::load(&config)).await.map_err(
            |source| {
                Error::new(Blame::Trouble, "reading the credentials was cut short").because(source)
            },
        )??;
        *kept = None;
        let grant = Arc::new(keystone::authenticate(&self.http, &access).await?);
        for region in &grant.compute {
            if access.auth_url.scheme() == "https" && region.url.scheme() == "http" {
                tracing::warn!(region = region.name, url = %region.url, "the catalog sends the token in the clear; give Nova an https endpoint");
            }
        }
        *kept = Some(Arc::clone(&grant));
        Ok(grant)
    }

    /// One GET. A token that is no longer taken is renewed once, a cloud that
    /// is busy waited for within bounds. Statuses 2xx, 400, 403, 404 and 406
    /// are answers; `what` names the question in an error.
    pub(super) async fn get(
        &self,
        poll: &Poll,
        url: &Url,
        version: Option<&str>,
        what: &str,
    ) -> Result<Answer, Error> {
        let mut grant = self.grant(None).await?;
        let mut renewed = false;
        loop {
            let answer = self.http.ask(request(&grant, url, version)?).await?;
            poll.note(answer.date());
            match answer.status.as_u16() {
                200..=299 | 400 | 403 | 404 | 406 => return Ok(answer),
                401 if !renewed => {
                    renewed = true;
                    grant = self.grant(Some(&grant)).await?;
                }
                413 | 429 | 503 if self.waited(poll, &answer).await => (),
                _ => return Err(answers::refusal(&answer, what, &[&grant.token])),
            }
        }
    }

    pub(super) async fn refusal(&self, answer: &Answer, what: &str) -> Error {
        let kept = self.grant.lock().await;
        let secrets: Vec<_> = kept.iter().map(|grant| &grant.token).collect();
        answers::refusal(answer, what, &secrets)
    }

    async fn waited(&self, poll: &Poll, answer: &Answer) -> bool {
        let Some(wait) = answer.retry_after().filter(|wait| *wait <= self.config.max_wait) else {
            return false;
        };
        let left = poll
            .waits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            tokio::time::sleep(wait).await;
        }
        left.is_ok()
    }
}

fn request(grant: &Grant, url: &Url, version: Option<&str>) -> Result<Request, Error> {
    let bad = |_| Error::new(Blame::Trouble, "Keystone gave a token that no header can hold");
    let mut request = Request::new(Method::GET, url.clone());
    let headers = request.headers_mut();
    let mut token = HeaderValue::from_str(grant.token.reveal()).map_err(bad)?;
    token.set_sensitive(true);
    headers.insert(HeaderName::from_static("x-auth-token"), token);
    headers.insert(reqwest::header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(version) = version {
        let value = HeaderValue::from_str(version).map_err(bad)?;
        headers.insert(HeaderName::from_static("x-openstack-nova-api-version"), value);
        let value = HeaderValue::from_str(&format!("compute {version}")).map_err(bad)?;
        headers.insert(HeaderName::from_static("openstack-api-version"), value);
    }
    Ok(request)
}
