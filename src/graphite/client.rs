use std::fmt::Write;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::answer::{self, Limits};
use super::{Config, Error, SetupError, page};
use crate::model::{MetricKey, MetricNode, Series, Window};
use crate::tls::{self, Trust};

/// Asks one Graphite. Clones share connections and limits.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    render: Url,
    config: Config,
    /// One permit a question under way.
    slots: Semaphore,
    /// One permit a KiB of unread answers.
    room: Arc<Semaphore>,
}

/// An answer's bytes and the room they take up.
struct Body {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Client {
    /// Nothing where no `url` is configured. Connects to nobody yet.
    pub fn new(config: &Config) -> Result<Option<Self>, SetupError> {
        if config.url.is_empty() {
            return Ok(None);
        }
        if let Some((key, reason)) = config.check().into_iter().next() {
            return Err(SetupError::Config { key, reason });
        }
        let mut render =
            config.base().map_err(|reason| SetupError::Config { key: "url", reason })?;
        let path = format!("{}/render", render.path().trim_end_matches('/'));
        render.set_path(&path);
        // No redirect is followed, so a plain URL never leads to a TLS connection.
        let trust = match render.scheme() {
            "https" => Trust::Authorities(&config.ca_file),
            _ => Trust::Nobody,
        };
        // reqwest without a TLS provider of its own wants a process-wide one or
        // a ready-made configuration, for plain HTTP too; this is the latter.
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(trust)?)
            .user_agent(concat!("weather-balloon/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(16)
            // Shorter than Apache's KeepAliveTimeout of 5 s, so that we are the
            // ones to close.
            .pool_idle_timeout(Duration::from_secs(4))
            .build()?;
        let room = usize::try_from(config.max_buffered.as_u64() / 1024)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .clamp(1, Semaphore::MAX_PERMITS);
        Ok(Some(Self(Arc::new(Inner {
            http,
            render,
            slots: Semaphore::new(config.max_requests.min(Semaphore::MAX_PERMITS)),
            room: Arc::new(Semaphore::new(room)),
            config: config.clone(),
        }))))
    }

    /// The nodes above every host's node.
    pub fn prefix(&self) -> &str {
        &self.0.config.prefix
    }

    /// A host's series whose names match the key, sorted by name; times
    /// ascending. Without a window it is the 24 hours up to now; with one, what
    /// lies after its start, up to and with its end. `max_points` is for each
    /// series, 0 for no limit; Graphite then takes averages.
    ///
    /// A host or a key that Graphite does not know has no series.
    pub async fn render(
        &self,
        node: &MetricNode,
        key: &MetricKey,
        window: Option<Window>,
        max_points: Option<u32>,
    ) -> Result<Vec<Series>, Error> {
        let this = &*self.0;
        let mut deadline = pin!(tokio::time::sleep(this.config.timeout));
        let Some(Ok(_slot)) = before(&mut deadline, this.slots.acquire()).await else {
            return Err(Error::Crowded {
                url: this.url(),
                timeout: this.config.timeout,
                requests: this.config.max_requests,
            });
        };
        let head = format!("{}.{node}.", this.config.prefix);
        let response = this.ask(&question(&head, key, window, max_points), &mut deadline).await?;
        let body = this.take(response, &mut deadline).await?;
        let answer = this.read(body, &head).await?;
        if answer.foreign > 0 {
            tracing::debug!(
                foreign = answer.foreign,
                head,
                "Graphite sent series of others; they are left out"
            );
        }
        Ok(answer.series)
    }
}

impl Inner {
    fn url(&self) -> String {
        self.render.to_string()
    }

    /// One POST, and a second one when the first went to a kept connection
    /// that Graphite closed meanwhile: a question changes nothing there.
    async fn ask(&self, form: &str, deadline: &mut Deadline<'_>) -> Result<Response, Error> {
        const FORM: &str = "application/x-www-form-urlencoded";
        let mut again = true;
        loop {
            let request = self
                .http
                .post(self.render.clone())
                .header(CONTENT_TYPE, FORM)
                .body(form.to_owned());
            let fault = match before(deadline, request.send()).await {
                None => {
                    return Err(Error::Late { url: self.url(), timeout: self.config.timeout });
                }
                Some(Ok(response)) => return self.approve(response, deadline).await,
                Some(Err(fault)) => fault.without_url(),
            };
            if fault.is_connect() {
                return Err(Error::Unreachable { url: self.url(), source: fault });
            }
            if !std::mem::take(&mut again) {
                return Err(Error::NotHttp { url: self.url(), source: fault });
            }
        }
    }

    /// Lets JSON with status 200 pass.
    async fn approve(
        &self,
        response: Response,
        deadline: &mut Deadline<'_>,
    ) -> Result<Response, Error> {
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).map(|kind| cut(kind.as_bytes()));
        if status == StatusCode::OK && kind.as_deref().is_some_and(is_json) {
            return Ok(response);
        }
        let url = self.url();
        let location = response.headers().get(LOCATION).map(|place| cut(place.as_bytes()));
        let is_text = kind.as_deref().is_some_and(|kind| kind.starts_with("text/"));
        let page = if is_text { self.first_words(response, deadline).await } else { String::new() };
        if status == StatusCode::OK {
            let kind = kind.unwrap_or_else(|| "no content type".to_owned());
            return Err(Error::NotJson { url, kind, page });
        }
        Err(Error::Status { url, status, page, advice: advice(status, location) })
    }

    /// Best effort: what fails here is told by the status alone.
    async fn first_words(&self, mut response: Response, deadline: &mut Deadline<'_>) -> String {
        const MAX_BYTES: usize = 16 * 1024;
        let mut bytes = Vec::new();
        while bytes.len() < MAX_BYTES
            && let Some(Ok(Some(chunk))) = before(deadline, response.chunk()).await
        {
            bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_BYTES - bytes.len())]);
        }
        page::excerpt(&bytes)
    }

    /// The whole body, as long as there is room for it.
    async fn take(
        &self,
        mut response: Response,
        deadline: &mut Deadline<'_>,
    ) -> Result<Body, Error> {
        /// How far a promised length is believed. Memory that is asked for and
        /// not written costs nothing.
        const BELIEVED: u64 = 512 * 1024;
        let max = self.config.max_body;
        let promised = response.content_length().unwrap_or(0).min(BELIEVED) as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        loop {
            let chunk = match before(deadline, response.chunk()).await {
                Some(Ok(Some(chunk))) => chunk,
                Some(Ok(None)) => return Ok(Body { bytes, _room: room }),
                Some(Err(fault)) => {
                    return Err(Error::BrokenOff {
                        url: self.url(),
                        received: bytes.len(),
                        source: fault.without_url(),
                    });
                }
                None => {
                    return Err(Error::Unfinished {
                        url: self.url(),
                        timeout: self.config.timeout,
                        received: bytes.len(),
                    });
                }
            };
            if (bytes.len() + chunk.len()) as u64 > max.as_u64() {
                return Err(Error::TooLarge { url: self.url(), max });
            }
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let missing = (bytes.len() + chunk.len()).div_ceil(1024).saturating_sub(held);
            let missing = u32::try_from(missing).unwrap_or(u32::MAX);
            let Ok(more) = self.room.clone().try_acquire_many_owned(missing) else {
                return Err(Error::NoRoom { max: self.config.max_buffered });
            };
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            if bytes.is_empty() {
                bytes.reserve_exact(promised);
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    async fn read(&self, body: Body, head: &str) -> Result<answer::Answer, Error> {
        /// About a millisecond's work.
        const LONG_BYTES: usize = 512 * 1024;
        let limits = Limits { series: self.config.max_series, points: self.config.max_points };
        let outcome = if body.bytes.len() < LONG_BYTES {
            answer::read(&body.bytes, head, limits)
        } else {
            let head = head.to_owned();
            tokio::task::spawn_blocking(move || answer::read(&body.bytes, &head, limits))
                .await
                .map_err(|source| Error::CutShort { source })?
        };
        outcome.map_err(|fault| match fault {
            answer::Fault::TooManySeries => {
                Error::TooManySeries { url: self.url(), max: limits.series }
            }
            answer::Fault::TooManyPoints => {
                Error::TooManyPoints { url: self.url(), max: limits.points }
            }
            answer::Fault::Malformed(source) => Error::Malformed { url: self.url(), source },
        })
    }
}

/// One timer for a whole question: setting one wakes the runtime's timer
/// thread, which costs more than reading a small answer.
type Deadline<'a> = Pin<&'a mut Sleep>;

/// What the work gives, if it does so in time.
async fn before<T>(deadline: &mut Deadline<'_>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = deadline.as_mut() => None,
    }
}

/// The form to post. Prefix, node and key hold only characters that a form
/// leaves as they are.
fn question(
    head: &str,
    key: &MetricKey,
    window: Option<Window>,
    max_points: Option<u32>,
) -> String {
    // graphite-web reads eight digits as a date, YYYYMMDD; this is the first
    // second with nine, in 1973. The last is that of the year 9998: its Python
    // fails beyond 9999, which some time zones reach earlier.
    const FIRST: i64 = 100_000_000;
    const LAST: i64 = 253_370_764_799;
    let mut form = format!("format=json&target={head}{key}");
    let mut add = |name: &str, number: i64| {
        // Writing to a String cannot fail.
        let _ = write!(form, "&{name}={number}");
    };
    if let Some(window) = window {
        let start = window.start().clamp(FIRST, LAST - 1);
        add("from", start);
        add("until", window.end().clamp(start + 1, LAST));
    }
    if let Some(max) = max_points.filter(|max| *max > 0) {
        add("maxDataPoints", max.into());
    }
    form
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("text/json")
}

fn cut(header: &[u8]) -> String {
    String::from_utf8_lossy(header).chars().filter(|c| !c.is_control()).take(120).collect()
}

fn advice(status: StatusCode, location: Option<String>) -> String {
    match status.as_u16() {
        300..=399 => format!(
            "redirects are not followed, so set [graphite] url to where graphite-web is ({})",
            location.as_deref().unwrap_or("it does not say where")
        ),
        401 | 403 | 407 => {
            "let this machine ask without a log-in, which is not supported".to_owned()
        }
        404 | 405 => "check that [graphite] url is that of graphite-web".to_owned(),
        408 | 429 | 502..=504 => {
            "graphite-web is down or has too much to do: look after it, and try again".to_owned()
        }
        500.. => "look into the log of graphite-web".to_owned(),
        _ => "ask with another key or window, and look into the log of graphite-web".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostId;

    fn form(window: Option<(i64, i64)>, max_points: Option<u32>) -> String {
        let window = window.map(|(start, end)| Window::new(start, end).unwrap());
        question("nagios.h.", &MetricKey::parse("*.a_-").unwrap(), window, max_points)
    }

    #[test]
    fn questions() {
        assert_eq!(form(None, None), "format=json&target=nagios.h.*.a_-");
        assert_eq!(
            form(Some((1_000_000_000, 1_000_000_600)), Some(7)),
            "format=json&target=nagios.h.*.a_-&from=1000000000&until=1000000600&maxDataPoints=7"
        );
        assert_eq!(form(None, Some(0)), form(None, None));
    }

    #[test]
    fn times_are_ones_that_graphite_reads_as_seconds() {
        let whole = "&from=100000000&until=253370764799";
        assert!(form(Some((i64::MIN, i64::MAX)), None).ends_with(whole));
        // As dates these would be the first of January 2020 and 2021.
        let early = form(Some((20_200_101, 20_210_101)), None);
        assert!(early.ends_with("&from=100000000&until=100000001"), "{early}");
        let late = form(Some((i64::MAX - 1, i64::MAX)), None);
        assert!(late.ends_with("&from=253370764798&until=253370764799"), "{late}");
    }

    #[test]
    fn every_character_of_a_target_is_left_alone_by_forms() {
        let node = MetricNode::of(&HostId::parse("a.b:c@d+e_f-g").unwrap());
        let target = format!("nagios.{node}.*.x_-");
        let mut url: Url = "http://x".parse().unwrap();
        url.query_pairs_mut().append_pair("target", &target);
        assert_eq!(url.query(), Some(&*format!("target={target}")));
    }

    #[tokio::test]
    async fn no_url_is_no_client() {
        assert!(Client::new(&Config::default()).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_bad_configuration_is_named() {
        let config = Config { url: "gopher://x".to_owned(), ..Config::default() };
        let fault = Client::new(&config).unwrap_err().to_string();
        assert_eq!(fault, "[graphite] url begins with \"gopher:\"; give an http or https URL");
    }

    #[tokio::test]
    async fn render_is_put_below_the_path() {
        for (url, render) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/render"),
            ("http://[::1]/graphite/", "http://[::1]/graphite/render"),
        ] {
            let config = Config { url: url.to_owned(), ..Config::default() };
            assert_eq!(Client::new(&config).unwrap().unwrap().0.url(), render);
        }
    }
}
