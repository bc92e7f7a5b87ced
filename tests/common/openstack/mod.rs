//! A fake OpenStack on a real socket: Keystone's version 3, Nova and the
//! floating IPs of Neutron, with the statuses, headers, bodies and paging that
//! a real one (Zed) was seen to give. A test changes its fleet and its clock,
//! and may meddle with single answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking"
)]

mod asked;
mod fleet;
mod forms;
mod keystone;
mod neutron;
mod nova;
pub mod real_keystone;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::http::{Request, Step, Upstream};
use asked::Asked;

pub const PASSWORD: &str = "canary-password-5b1c";
pub const CREDENTIAL_SECRET: &str = "canary-credential-77aa";
pub const REGION: &str = "RegionOne";

/// Told of every request: what was asked, how many pages of servers were asked
/// for before it, and what the cloud answers.
type Meddler = Box<dyn FnMut(&mut State, &Request, usize, Answer) -> Vec<Step> + Send>;

pub struct OpenStack {
    upstream: Upstream,
    state: Arc<Mutex<State>>,
}

pub struct State {
    /// Absent: the machine's clock.
    pub clock: Option<i64>,
    /// Nova's `max_limit`.
    pub max_limit: usize,
    /// Nova's highest microversion is 2.this.
    pub minor: u32,
    pub regions: Vec<String>,
    /// In seconds.
    pub token_life: i64,
    /// Nobody may list other projects' servers.
    pub member: bool,
    /// Nobody may ask for users.
    pub users_hidden: bool,
    pub users: BTreeMap<String, String>,
    pub flavors: Vec<Flavor>,
    /// What links begin with, where it is not what was asked for.
    pub link_base: Option<String>,
    /// The first address of every new server; absent: one of its own.
    pub address: Option<String>,
    servers: Vec<Server>,
    places: HashMap<String, usize>,
    tokens: HashMap<String, i64>,
    /// The port of a real Keystone, whose tokens are good instead of ours.
    validator: Option<u16>,
    /// Questions for pages of servers, and log-ins.
    pub pages: usize,
    pub logins: usize,
    serial: u64,
    meddler: Option<Meddler>,
}

#[derive(Clone, Debug)]
pub struct Flavor {
    pub id: String,
    pub name: String,
    pub vcpus: u32,
    pub ram: u32,
    pub disk: u32,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub id: String,
    pub region: String,
    pub name: String,
    pub status: String,
    pub task: Option<String>,
    pub user: String,
    pub metadata: BTreeMap<String, String>,
    pub flavor: Flavor,
    pub created: i64,
    pub updated: i64,
    pub launched: i64,
    pub terminated: Option<i64>,
    pub addresses: Value,
    /// Oldest first.
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug)]
pub struct Action {
    pub name: String,
    pub start: i64,
    pub end: i64,
    pub failed: bool,
}

/// An answer before it is bytes.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: &'static str, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn steps(&self) -> Vec<Step> {
        vec![Step::Send(self.bytes())]
    }
}

fn wrapped(status: &'static str, kind: &str, message: impl Into<String>) -> Answer {
    let code: u16 = status[..3].parse().unwrap();
    Answer::json(status, &json!({kind: {"code": code, "message": message.into()}}))
}

fn keystone_fault(status: &'static str, title: &str, message: impl Into<String>) -> Answer {
    let code: u16 = status[..3].parse().unwrap();
    let body = json!({"error": {"code": code, "title": title, "message": message.into()}});
    Answer::json(status, &body)
}

pub fn later(status: &'static str, after: &str) -> Answer {
    wrapped(status, "overLimit", "This request was rate-limited.").with("Retry-After", after)
}

impl OpenStack {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub fn start_at(address: &str) -> Self {
        let state = Arc::new(Mutex::new(State::new()));
        let there = Arc::clone(&state);
        let upstream =
            Upstream::start_at(address, move |request| there.lock().unwrap().steps(request));
        Self { upstream, state }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    pub fn auth_url(&self) -> String {
        format!("{}/identity", self.url())
    }

    pub fn requests(&self) -> Vec<Request> {
        self.upstream.requests()
    }

    /// Nobody is answered while it is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers are what `meddler` makes of them, until another one comes.
    pub fn meddle(
        &self,
        meddler: impl FnMut(&mut State, &Request, usize, Answer) -> Vec<Step> + Send + 'static,
    ) {
        self.state().meddler = Some(Box::new(meddler));
    }

    pub fn behave(&self) {
        self.state().meddler = None;
    }
}

impl State {
    fn steps(&mut self, request: &Request) -> Vec<Step> {
        let link_base = self.link_base.clone();
        let asked = Asked::of(request, link_base.as_ref());
        let page = self.pages;
        let mut answer = self.answer(&asked);
        let date = UNIX_EPOCH + Duration::from_secs(u64::try_from(self.now()).unwrap());
        answer = answer.with("Date", httpdate::fmt_http_date(date));
        match self.meddler.take() {
            None => answer.steps(),
            Some(mut meddler) => {
                let steps = meddler(self, request, page, answer);
                self.meddler = Some(meddler);
                steps
            }
        }
    }

    fn answer(&mut self, asked: &Asked<'_>) -> Answer {
        match (asked.method, asked.path.as_slice()) {
            ("POST", ["identity", "v3", "auth", "tokens"]) => self.login(asked),
            ("GET", ["identity", "v3", "users", rest @ ..]) => self.users(asked, rest),
            ("GET", ["network", "v2.0", "floatingips"]) => self.floating(asked),
            ("GET", ["compute", region]) if self.regions.iter().any(|known| known == region) => {
                let versions = json!({"versions": [self.version_form()]});
                Answer::json("200 OK", &versions)
            }
            ("GET", ["compute", region, "v2.1", rest @ ..])
                if self.regions.iter().any(|known| known == region) =>
            {
                self.nova(asked, region, rest)
            }
            _ => Answer {
                status: "404 Not Found",
                headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
                body: b"<html><title>404 Not Found</title></html>".to_vec(),
            },
        }
    }
}
