//! The HTTP client of the clouds. Whoever answers is not trusted: an answer is
//! bounded in time and bytes, and a redirect is not followed.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Request, Response, StatusCode, Url};

use super::{Blame, Error};
use crate::model::Label;
use crate::settings::ByteSize;
use crate::tls::{self, Trust};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, its TLS handshake included.
    pub connect: Duration,
    /// For each wait for more bytes.
    pub read: Duration,
    /// From the connection to the last byte of one answer.
    pub answer: Duration,
    /// Of one answer.
    pub max_body: ByteSize,
}

/// Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    limits: Limits,
}

/// A whole answer of any status but a redirect's.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why there is no answer. `at` is the origin alone: a path or a query may
/// hold what is not to be shown.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("cannot connect to {at}; check the network, and that the URL is right")]
    Unreachable { at: String, source: reqwest::Error },
    #[error("{at} did not answer in time")]
    Late { at: String, source: reqwest::Error },
    #[error("what listens at {at} gave no whole HTTP answer")]
    BrokenOff { at: String, source: reqwest::Error },
    #[error("an answer of {at} is larger than max_body ({max})")]
    TooLarge { at: String, max: ByteSize },
    #[error("{at} sends us elsewhere ({place}); redirects are not followed, so set the right URL")]
    Redirect { at: String, place: Label },
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let blame = match fault {
            Fault::Redirect { .. } | Fault::TooLarge { .. } => Blame::Configuration,
            _ => Blame::Trouble,
        };
        Self::new(blame, "the cloud did not answer").because(fault)
    }
}

impl Client {
    /// `https`: TLS connections are opened, and `ca_file` (empty: the system's
    /// authorities) says whom they believe.
    pub fn new(https: bool, ca_file: &Path, limits: Limits) -> Result<Self, Error> {
        let trust = if https { Trust::Authorities(ca_file) } else { Trust::Nobody };
        let fault = |what| Error::new(Blame::Configuration, what);
        let tls = tls::client(trust)
            .map_err(|source| fault("TLS to the cloud cannot be set up").because(source))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("weather-balloon/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(limits.connect)
            .read_timeout(limits.read)
            .timeout(limits.answer)
            .pool_max_idle_per_host(8)
            // Shorter than Apache's KeepAliveTimeout of 5 s, so that we are
            // the ones to close.
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(|source| fault("the HTTP client cannot be set up").because(source))?;
        Ok(Self { http, limits })
    }

    /// Asks once, and a second time where a kept connection was closed
    /// meanwhile: send only what may be asked twice.
    pub async fn ask(&self, request: Request) -> Result<Answer, Fault> {
        let at = origin(request.url());
        let again = request.try_clone();
        let response = match (self.http.execute(request).await, again) {
            (Err(fault), Some(again)) if !fault.is_connect() && !fault.is_timeout() => {
                self.http.execute(again).await
            }
            (outcome, _) => outcome,
        };
        let response = response.map_err(|source| tell(&at, source))?;
        if response.status().is_redirection() {
            let place = response.headers().get(LOCATION).map(|place| place.as_bytes());
            let place = Label::tame(&String::from_utf8_lossy(place.unwrap_or(b"it does not say")));
            return Err(Fault::Redirect { at, place });
        }
        self.take(at, response).await
    }

    async fn take(&self, at: String, mut response: Response) -> Result<Answer, Fault> {
        let max = self.limits.max_body;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| tell(&at, source))? {
            if (body.len() + chunk.len()) as u64 > max.as_u64() {
                return Err(Fault::TooLarge { at, max });
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body })
    }
}

fn tell(at: &str, source: reqwest::Error) -> Fault {
    let (at, source) = (at.to_owned(), source.without_url());
    if source.is_timeout() {
        Fault::Late { at, source }
    } else if source.is_connect() {
        Fault::Unreachable { at, source }
    } else {
        Fault::BrokenOff { at, source }
    }
}

/// Scheme, host and port.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the cloud's clock said, in UTC seconds.
    pub fn date(&self) -> Option<i64> {
        unix_seconds(httpdate::parse_http_date(self.header(DATE.as_str())?).ok()?)
    }

    /// When to ask again: a number of seconds or a date. A date is counted
    /// from the answer's own.
    pub fn retry_after(&self) -> Option<Duration> {
        /// Longer than anybody waits.
        const MAX: u64 = 24 * 3600;
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds.min(MAX)));
        }
        let at = unix_seconds(httpdate::parse_http_date(text).ok()?)?;
        let now = self.date().or_else(|| unix_seconds(SystemTime::now()))?;
        Some(Duration::from_secs(u64::try_from(at - now).unwrap_or(0).min(MAX)))
    }
}

fn unix_seconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
        });
        Answer { status: StatusCode::OK, headers: headers.collect(), body: Vec::new() }
    }

    #[test]
    fn the_clouds_clock() {
        let at = |text| answer(&[("date", text)]).date();
        assert_eq!(at("Sun, 22 Nov 2026 14:15:20 GMT"), Some(1_795_356_920));
        assert_eq!(at("yesterday"), None);
        assert_eq!(answer(&[]).date(), None);
    }

    #[test]
    fn when_to_ask_again() {
        let date = ("date", "Sun, 22 Nov 2026 14:15:20 GMT");
        let wait = |text| answer(&[date, ("retry-after", text)]).retry_after();
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 22 Nov 2026 14:16:20 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(wait("Sun, 22 Nov 2026 14:14:20 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(Duration::from_secs(24 * 3600)));
        for nothing in ["-1", "soon", ""] {
            assert_eq!(wait(nothing), None, "{nothing:?}");
        }
    }
}
