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

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::demo::PEOPLE;
use super::http::{Request, Step, Upstream};

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
    fn new() -> Self {
        let flavor = |id: &str, name: &str, vcpus, ram, disk| Flavor {
            id: id.to_owned(),
            name: name.to_owned(),
            vcpus,
            ram,
            disk,
        };
        Self {
            clock: None,
            max_limit: 1000,
            minor: 93,
            regions: vec![REGION.to_owned()],
            token_life: 3600,
            member: false,
            users_hidden: false,
            users: BTreeMap::new(),
            flavors: vec![
                flavor("1", "m1.tiny", 1, 512, 1),
                flavor("2", "m1.small", 2, 2048, 20),
                flavor("3", "m1.large", 8, 8192, 80),
            ],
            link_base: None,
            address: None,
            servers: Vec::new(),
            places: HashMap::new(),
            tokens: HashMap::new(),
            pages: 0,
            logins: 0,
            serial: 0,
            meddler: None,
        }
    }

    pub fn now(&self) -> i64 {
        let real = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.clock.unwrap_or_else(|| i64::try_from(real()).unwrap())
    }

    pub fn pass(&mut self, seconds: i64) {
        self.clock = Some(self.now() + seconds);
    }

    /// A server that runs since now. Its owner is `creator`, where there is one.
    pub fn boot(&mut self, creator: Option<&str>, flavor: usize) -> String {
        self.boot_in(REGION, creator, flavor)
    }

    pub fn boot_in(&mut self, region: &str, creator: Option<&str>, flavor: usize) -> String {
        let now = self.now();
        self.serial += 1;
        let n = self.serial;
        let id =
            format!("{n:08x}-0000-4000-8000-{:012x}", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
        let user = creator.map_or_else(|| "u-shared".to_owned(), |name| format!("u-{name}"));
        let name = creator.unwrap_or("shared").to_owned();
        self.users.entry(user.clone()).or_insert(name);
        let own = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
        let address = self.address.clone().unwrap_or(own);
        let addresses = json!({"private": [{
            "version": 4, "addr": address, "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01",
        }]});
        let server = Server {
            id: id.clone(),
            region: region.to_owned(),
            name: format!("vm-{n}"),
            status: "ACTIVE".to_owned(),
            task: None,
            user,
            metadata: creator
                .map(|name| ("creator".to_owned(), name.to_owned()))
                .into_iter()
                .collect(),
            flavor: self.flavors[flavor].clone(),
            created: now,
            updated: now,
            launched: now,
            terminated: None,
            addresses,
            actions: Vec::new(),
        };
        self.places.insert(id.clone(), self.servers.len());
        self.servers.push(server);
        self.act(&id, "create");
        id
    }

    pub fn server(&mut self, id: &str) -> &mut Server {
        let place = self.places[id];
        &mut self.servers[place]
    }

    pub fn living(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.terminated.is_none())
    }

    fn act(&mut self, id: &str, name: &str) {
        let now = self.now();
        let server = self.server(id);
        server.updated = now;
        server.actions.push(Action { name: name.to_owned(), start: now, end: now, failed: false });
    }

    fn change(&mut self, id: &str, action: &str, status: &str) {
        status.clone_into(&mut self.server(id).status);
        self.act(id, action);
    }

    pub fn stop(&mut self, id: &str) {
        self.change(id, "stop", "SHUTOFF");
    }

    pub fn power_on(&mut self, id: &str) {
        self.change(id, "start", "ACTIVE");
    }

    /// As it is after confirmResize; `launched_at` moves.
    pub fn resize(&mut self, id: &str, flavor: usize) {
        let (now, flavor) = (self.now(), self.flavors[flavor].clone());
        let server = self.server(id);
        (server.flavor, server.launched) = (flavor, now);
        self.act(id, "resize");
        self.act(id, "confirmResize");
    }

    pub fn delete(&mut self, id: &str) {
        let now = self.now();
        self.change(id, "delete", "DELETED");
        let server = self.server(id);
        server.terminated = Some(now);
        server.metadata.clear();
        server.addresses = json!({});
    }

    /// Without a trace, as after the purge of Nova's old rows.
    pub fn forget(&mut self, id: &str) {
        let place = self.places[id];
        self.servers.remove(place);
        self.places =
            self.servers.iter().enumerate().map(|(at, server)| (server.id.clone(), at)).collect();
    }

    /// Some come, go, stop, start and grow; about `fleet` stay.
    pub fn churn(&mut self, fleet: usize) {
        self.serial = self.serial.wrapping_add(1);
        let mut dice = self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
        let mut roll = |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            usize::try_from(dice % sides as u64).unwrap()
        };
        let living: Vec<_> =
            self.living().map(|server| (server.id.clone(), server.status.clone())).collect();
        if living.len() < fleet {
            for _ in 0..(fleet - living.len()).min(3) {
                self.boot(Some(PEOPLE[roll(PEOPLE.len())]), roll(3));
            }
        }
        let Some((id, status)) = living.get(roll(living.len().max(1))) else { return };
        match (roll(4), status.as_str()) {
            (0, _) if living.len() >= fleet / 2 => self.delete(id),
            (1, "ACTIVE") => self.resize(id, roll(3)),
            (2, "ACTIVE") => self.stop(id),
            (_, "SHUTOFF") => self.power_on(id),
            _ => (),
        }
    }
}

/// A request, taken apart.
struct Asked<'a> {
    request: &'a Request,
    method: &'a str,
    path: Vec<&'a str>,
    query: BTreeMap<String, String>,
    /// The query as it came.
    raw: &'a str,
    base: String,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request, link_base: Option<&String>) -> Self {
        let mut line = request.line.split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        let (path, raw) = target.split_once('?').unwrap_or((target, ""));
        let url: reqwest::Url = format!("http://x{target}").parse().unwrap();
        let query = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let here = || format!("http://{}", request.header("host").unwrap_or_default());
        Self {
            request,
            method,
            path: path.split('/').filter(|part| !part.is_empty()).collect(),
            query,
            raw,
            base: link_base.cloned().unwrap_or_else(here),
        }
    }

    /// The same question with another marker.
    fn link(&self, marker: &str) -> Value {
        let kept =
            self.raw.split('&').filter(|part| !part.is_empty() && !part.starts_with("marker="));
        let query: Vec<_> = kept.map(str::to_owned).chain([format!("marker={marker}")]).collect();
        let href = format!("{}/{}?{}", self.base, self.path.join("/"), query.join("&"));
        json!([{"rel": "next", "href": href}])
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

    fn login(&mut self, asked: &Asked<'_>) -> Answer {
        self.logins += 1;
        let refused = || {
            let message = "The request you have made requires authentication.";
            keystone_fault("401 UNAUTHORIZED", "Unauthorized", message)
        };
        let Ok(body) = serde_json::from_str::<Value>(&asked.request.body) else {
            return keystone_fault("400 BAD REQUEST", "Bad Request", "not JSON");
        };
        let identity = &body["auth"]["identity"];
        let scope = &body["auth"]["scope"];
        let credential = identity["methods"] == json!(["application_credential"]);
        let fits = if credential {
            let given = &identity["application_credential"];
            given["id"] == "ac-1" && given["secret"] == CREDENTIAL_SECRET && scope.is_null()
        } else {
            let user = &identity["password"]["user"];
            let named = user["name"] == "weatherballoon" && user["domain"]["name"] == "Default";
            let project = &scope["project"];
            let placed = project["id"] == "p-admin"
                || (project["name"] == "admin" && project["domain"]["name"] == "Default");
            identity["methods"] == json!(["password"])
                && (named || user["id"] == "u-wb")
                && user["password"] == PASSWORD
                && placed
        };
        if !fits {
            return refused();
        }
        self.serial += 1;
        let token = format!("canary-token-{:08x}", self.serial);
        let expires = self.now() + self.token_life;
        self.tokens.insert(token.clone(), expires);
        let form = json!({"token": {
            "methods": identity["methods"], "is_domain": false, "audit_ids": ["a"],
            "issued_at": micros(self.now(), "Z"), "expires_at": micros(expires, "Z"),
            "user": {"id": "u-wb", "name": "weatherballoon", "password_expires_at": null,
                     "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p-admin", "name": "admin",
                        "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r1", "name": "reader"}, {"id": "r2", "name": "admin"}],
            "catalog": self.catalog(asked),
        }});
        Answer::json("201 CREATED", &form)
            .with("X-Subject-Token", token)
            .with("Vary", "X-Auth-Token")
    }

    fn catalog(&self, asked: &Asked<'_>) -> Value {
        let here = format!("http://{}", asked.request.header("host").unwrap_or_default());
        let service = |kind: &str, name: &str, path: &dyn Fn(&str) -> String| {
            let mut endpoints = Vec::new();
            for region in &self.regions {
                for interface in ["public", "internal", "admin"] {
                    let url = format!("{here}{}", path(region));
                    endpoints.push(json!({"id": "e", "interface": interface, "region": region,
                                          "region_id": region, "url": url}));
                }
            }
            json!({"id": kind, "type": kind, "name": name, "endpoints": endpoints})
        };
        json!([
            service("identity", "keystone", &|_| "/identity/v3/".to_owned()),
            service("compute", "nova", &|region| format!("/compute/{region}/v2.1")),
            service("network", "neutron", &|_| "/network".to_owned()),
        ])
    }

    /// What a request without a good token gets.
    fn barred(&self, asked: &Asked<'_>) -> Option<Answer> {
        let expires = self.tokens.get(asked.request.header("x-auth-token")?);
        if expires.is_some_and(|expires| *expires > self.now()) {
            return None;
        }
        let message = "The request you have made requires authentication.";
        let keystone = format!("Keystone uri=\"{}/identity/v3\"", asked.base);
        let fault = keystone_fault("401 Unauthorized", "Unauthorized", message);
        Some(fault.with("WWW-Authenticate", keystone))
    }

    fn users(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Answer {
        if let Some(barred) = self.barred(asked) {
            return barred;
        }
        if self.users_hidden || self.member {
            let message =
                "You are not authorized to perform the requested action: identity:list_users.";
            return keystone_fault("403 FORBIDDEN", "Forbidden", message);
        }
        let form = |(id, name): (&String, &String)| {
            json!({"id": id, "name": name, "domain_id": "default", "enabled": true,
                   "options": {}, "password_expires_at": null})
        };
        match rest {
            [] => {
                let users: Vec<_> = self.users.iter().map(form).collect();
                let links = json!({"next": null, "previous": null, "self": asked.base});
                Answer::json("200 OK", &json!({"links": links, "users": users}))
            }
            [id, ..] => match self.users.get_key_value(*id) {
                Some(user) => Answer::json("200 OK", &json!({"user": form(user)})),
                None => {
                    let message = format!("Could not find user: {id}.");
                    keystone_fault("404 NOT FOUND", "Not Found", message)
                }
            },
        }
    }

    fn floating(&mut self, asked: &Asked<'_>) -> Answer {
        if let Some(barred) = self.barred(asked) {
            return barred;
        }
        let mut found = Vec::new();
        for server in self.living() {
            let networks = server.addresses.as_object().into_iter().flat_map(|all| all.values());
            for port in networks.flat_map(|ports| ports.as_array().unwrap()) {
                if port["OS-EXT-IPS:type"] == "floating" {
                    found.push(json!({
                        "id": format!("f-{}", server.id), "floating_ip_address": port["addr"],
                        "fixed_ip_address": null, "port_id": "p", "router_id": "r",
                        "floating_network_id": "n", "status": "ACTIVE", "tags": [],
                        "port_details": {"device_id": server.id, "device_owner": "compute:nova"},
                    }));
                }
            }
        }
        Answer::json("200 OK", &json!({"floatingips": found}))
    }

    fn version_form(&self) -> Value {
        json!({"id": "v2.1", "status": "CURRENT", "version": format!("2.{}", self.minor),
               "min_version": "2.1", "updated": "2013-07-23T11:33:21Z", "links": []})
    }

    fn nova(&mut self, asked: &Asked<'_>, region: &str, rest: &[&str]) -> Answer {
        if rest.is_empty() {
            return Answer::json("200 OK", &json!({"version": self.version_form()}));
        }
        if let Some(barred) = self.barred(asked) {
            return barred;
        }
        let header = asked
            .request
            .header("x-openstack-nova-api-version")
            .or_else(|| asked.request.header("openstack-api-version")?.strip_prefix("compute "));
        let minor = match header {
            None => 1,
            Some("latest") => self.minor,
            Some(version) => version.strip_prefix("2.").and_then(|m| m.parse().ok()).unwrap_or(999),
        };
        let answer = if minor > self.minor {
            let message = format!(
                "Version 2.{minor} is not supported by the API. Minimum is 2.1 and maximum is 2.{}.",
                self.minor
            );
            wrapped("406 Not Acceptable", "computeFault", message)
        } else {
            self.versioned(asked, region, rest, minor)
        };
        answer
            .with("OpenStack-API-Version", format!("compute 2.{minor}"))
            .with("X-OpenStack-Nova-API-Version", format!("2.{minor}"))
            .with("Vary", "X-OpenStack-Nova-API-Version")
    }

    fn versioned(&mut self, asked: &Asked<'_>, region: &str, rest: &[&str], minor: u32) -> Answer {
        match rest {
            ["servers", "detail"] => self.servers_page(asked, region, minor),
            ["servers", id] => match self.find(region, id).filter(|one| one.terminated.is_none()) {
                Some(server) => Answer::json("200 OK", &json!({"server": form(server, minor)})),
                None => no_instance(id),
            },
            ["servers", id, "os-instance-actions"] => match self.find(region, id) {
                Some(server) if minor >= 21 || server.terminated.is_none() => {
                    self.actions_page(asked, server, minor)
                }
                _ => no_instance(id),
            },
            ["flavors", "detail"] => self.flavors_page(asked),
            ["flavors", id] => match self.flavors.iter().find(|flavor| flavor.id == *id) {
                Some(flavor) => Answer::json("200 OK", &json!({"flavor": flavor_form(flavor)})),
                None => wrapped(
                    "404 Not Found",
                    "itemNotFound",
                    format!("Flavor {id} could not be found."),
                ),
            },
            _ => wrapped("404 Not Found", "itemNotFound", "The resource could not be found."),
        }
    }

    fn find(&self, region: &str, id: &str) -> Option<&Server> {
        let server = &self.servers[*self.places.get(id)?];
        (server.region == region).then_some(server)
    }

    fn limit(&self, asked: &Asked<'_>) -> usize {
        let asked = asked.query.get("limit").map(|limit| limit.parse().unwrap());
        asked.unwrap_or(self.max_limit).min(self.max_limit)
    }

    fn servers_page(&mut self, asked: &Asked<'_>, region: &str, minor: u32) -> Answer {
        self.pages += 1;
        let all = asked.query.get("all_tenants").is_some_and(|all| all == "1");
        if all && self.member {
            let message = "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.";
            return wrapped("403 Forbidden", "forbidden", message);
        }
        let since = asked.query.get("changes-since").map(|since| {
            let since = humantime::parse_rfc3339_weak(since).unwrap();
            i64::try_from(since.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
        });
        // Newest first; a deleted server's row is still a marker.
        let from = match asked.query.get("marker") {
            None => self.servers.len(),
            Some(marker) => match self.places.get(marker) {
                Some(place) => *place,
                None => {
                    return wrapped(
                        "400 Bad Request",
                        "badRequest",
                        format!("marker [{marker}] not found"),
                    );
                }
            },
        };
        let limit = self.limit(asked);
        let shown: Vec<_> = self.servers[..from]
            .iter()
            .rev()
            .filter(|server| server.region == region)
            .filter(|server| match since {
                Some(since) => server.updated >= since,
                None => server.terminated.is_none() && server.status != "SOFT_DELETED",
            })
            .take(limit)
            .collect();
        let mut body =
            json!({"servers": shown.iter().map(|one| form(one, minor)).collect::<Vec<_>>()});
        if let Some(last) = shown.last().filter(|_| shown.len() == limit) {
            body["servers_links"] = asked.link(&last.id);
        }
        Answer::json("200 OK", &body)
    }

    fn actions_page(&self, asked: &Asked<'_>, server: &Server, minor: u32) -> Answer {
        let name = |index: usize| format!("req-{}-{index}", server.id);
        let marker = asked.query.get("marker");
        let newest_first = (0..server.actions.len()).rev();
        let after: Vec<_> = match marker {
            None => newest_first.collect(),
            Some(marker) => newest_first.skip_while(|at| name(*at) != *marker).skip(1).collect(),
        };
        let limit = if minor >= 58 { self.limit(asked) } else { usize::MAX };
        let shown: Vec<_> = after.into_iter().take(limit).collect();
        let forms: Vec<_> = shown
            .iter()
            .map(|at| {
                let action = &server.actions[*at];
                let mut form = json!({
                    "action": action.name, "instance_uuid": server.id, "request_id": name(*at),
                    "user_id": server.user, "project_id": "p",
                    "start_time": micros(action.start, ""),
                    "message": if action.failed { json!("Error") } else { Value::Null },
                });
                if minor >= 58 {
                    form["updated_at"] = micros(action.end, "").into();
                }
                form
            })
            .collect();
        let mut body = json!({"instanceActions": forms});
        if let Some(last) = shown.last().filter(|_| shown.len() == limit) {
            body["links"] = asked.link(&name(*last));
        }
        Answer::json("200 OK", &body)
    }

    fn flavors_page(&self, asked: &Asked<'_>) -> Answer {
        let limit = self.limit(asked);
        let marker = asked.query.get("marker");
        let from = marker.map_or(0, |marker| {
            self.flavors.iter().position(|flavor| flavor.id == *marker).unwrap() + 1
        });
        let shown: Vec<_> = self.flavors[from..].iter().take(limit).collect();
        let mut body =
            json!({"flavors": shown.iter().map(|one| flavor_form(one)).collect::<Vec<_>>()});
        if let Some(last) = shown.last().filter(|_| shown.len() == limit) {
            body["flavors_links"] = asked.link(&last.id);
        }
        Answer::json("200 OK", &body)
    }
}

fn no_instance(id: &str) -> Answer {
    wrapped("404 Not Found", "itemNotFound", format!("Instance {id} could not be found."))
}

fn flavor_form(flavor: &Flavor) -> Value {
    json!({"id": flavor.id, "name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram,
           "disk": flavor.disk, "swap": 0, "rxtx_factor": 1.0, "OS-FLV-EXT-DATA:ephemeral": 0,
           "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": true,
           "description": null, "extra_specs": {}, "links": []})
}

fn form(server: &Server, minor: u32) -> Value {
    let flavor = &server.flavor;
    let flavor = if minor >= 47 {
        json!({"original_name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram,
               "disk": flavor.disk, "ephemeral": 0, "swap": 0, "extra_specs": {}})
    } else {
        json!({"id": flavor.id, "links": [{"rel": "bookmark", "href": "http://localhost/flavors"}]})
    };
    let vm_state = match server.status.as_str() {
        "ACTIVE" => "active",
        "SHUTOFF" => "stopped",
        "DELETED" => "deleted",
        _ => "other",
    };
    json!({
        "OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-SRV-ATTR:host": "localhost", "OS-EXT-SRV-ATTR:hostname": server.name,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": "localhost",
        "OS-EXT-SRV-ATTR:instance_name": "instance-0000000a",
        "OS-EXT-SRV-ATTR:kernel_id": "", "OS-EXT-SRV-ATTR:launch_index": 0,
        "OS-EXT-SRV-ATTR:ramdisk_id": "", "OS-EXT-SRV-ATTR:reservation_id": "r-1mig7w50",
        "OS-EXT-SRV-ATTR:root_device_name": "/dev/sda", "OS-EXT-SRV-ATTR:user_data": null,
        "OS-EXT-STS:power_state": u8::from(server.status == "ACTIVE"),
        "OS-EXT-STS:task_state": server.task, "OS-EXT-STS:vm_state": vm_state,
        "OS-SRV-USG:launched_at": micros(server.launched, ""),
        "OS-SRV-USG:terminated_at": server.terminated.map(|at| micros(at, "")),
        "accessIPv4": "", "accessIPv6": "", "addresses": server.addresses, "config_drive": "",
        "created": whole(server.created), "updated": whole(server.updated),
        "description": null, "flavor": flavor, "host_status": "UP",
        "hostId": "5e5e7ad53136917b6c2b4c1cbbe1adc042bd14889797b51a1a4bf029",
        "id": server.id, "image": {"id": "6b592046-f3d8-4c42-9afa-f8bce2b3bc58", "links": []},
        "key_name": null, "links": [], "locked": false, "locked_reason": null,
        "metadata": server.metadata, "name": server.name,
        "os-extended-volumes:volumes_attached": [], "status": server.status, "tags": [],
        "tenant_id": "p", "trusted_image_certificates": null, "user_id": server.user,
    })
}

fn whole(seconds: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
    humantime::format_rfc3339_seconds(time).to_string()
}

/// With a fraction of its own, and with `zone` behind it.
fn micros(seconds: i64, zone: &str) -> String {
    format!("{}.251000{zone}", whole(seconds).trim_end_matches('Z'))
}
