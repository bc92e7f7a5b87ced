//! Who may ask, and who else there is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::asked::Asked;
use super::forms::micros;
use super::{Answer, CREDENTIAL_SECRET, PASSWORD, State, keystone_fault};

impl State {
    pub(super) fn login(&mut self, asked: &Asked<'_>) -> Answer {
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
    pub(super) fn barred(&self, asked: &Asked<'_>) -> Option<Answer> {
        let token = asked.request.header("x-auth-token")?;
        let is_good = match self.validator {
            Some(port) => is_valid(port, token),
            None => self.tokens.get(token).is_some_and(|expires| *expires > self.now()),
        };
        if is_good {
            return None;
        }
        let message = "The request you have made requires authentication.";
        let keystone = format!("Keystone uri=\"{}/identity/v3\"", asked.base);
        let fault = keystone_fault("401 Unauthorized", "Unauthorized", message);
        Some(fault.with("WWW-Authenticate", keystone))
    }

    pub(super) fn users(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Answer {
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
}

/// Whether the Keystone at this port knows the token.
fn is_valid(port: u16, token: &str) -> bool {
    let headers = [("X-Auth-Token", token), ("X-Subject-Token", token)];
    let told = exchange(port, "GET", "/v3/auth/tokens", &headers, &Value::Null);
    told.split(' ').nth(1) == Some("200")
}

/// One question on a connection of its own, and the whole answer.
pub fn exchange(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}
