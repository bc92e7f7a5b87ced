use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;

use super::{Keys, fault, time};
use crate::providers::Error;
use crate::providers::ec2::config::{Config, place};
use crate::providers::ec2::environment::Environment;
use crate::providers::http::{Client, Limits};
use crate::settings::ByteSize;

const AMAZONS: &str = "http://169.254.169.254";
const ROLES: &str = "latest/meta-data/iam/security-credentials/";

/// The keys of the machine that this runs on, by the instance metadata
/// service, version 2.
pub(super) struct Metadata {
    http: Client,
    base: Url,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKeys {
    code: String,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

impl Metadata {
    pub(super) fn new(config: &Config, environment: &Environment) -> Result<Self, Error> {
        let base = match (&*config.metadata_endpoint, &environment.metadata_endpoint) {
            ("", Some(own)) => own,
            ("", None) => AMAZONS,
            (own, _) => own,
        };
        let mut base =
            place(base, "").map_err(|reason| fault(format!("metadata_endpoint {reason}")))?;
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        // It is on this machine's own link, or nowhere.
        let limits = Limits {
            connect: Duration::from_secs(1),
            read: Duration::from_secs(2),
            answer: Duration::from_secs(4),
            max_body: ByteSize::kib(64),
        };
        let http = Client::new(base.scheme() == "https", Path::new(""), limits)?;
        Ok(Self { http, base })
    }

    pub(super) async fn keys(&self) -> Result<Keys, Error> {
        const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
        let token = self.ask(Method::PUT, "latest/api/token", TTL, "300").await.map_err(|source| {
            fault("there are no credentials for EC2: none are configured, and the instance metadata service gives none; set access_key_id and secret_access_key_file".to_owned())
                .because(source)
        })?;
        let roles = self.get(ROLES, &token).await?;
        let role = roles.lines().next().unwrap_or_default().trim();
        // The name becomes a part of a path.
        let is_name = (1..=64).contains(&role.len())
            && role.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
            && role.bytes().any(|b| b != b'.');
        if !is_name {
            return Err(fault(
                "this machine has no role for EC2; give it one, or set access_key_id".to_owned(),
            ));
        }
        let text = self.get(&format!("{ROLES}{role}"), &token).await?;
        let broken = || fault("the instance metadata service gave no keys for its role".to_owned());
        // serde's own message could quote a secret.
        let keys: RoleKeys = serde_json::from_str(&text).map_err(|_| broken())?;
        if keys.code != "Success" {
            return Err(broken());
        }
        let (Some(id), Some(secret), Some(token), Some(end)) =
            (keys.access_key_id, keys.secret_access_key, keys.token, keys.expiration)
        else {
            return Err(broken());
        };
        Ok(Keys::new(&id, &secret, Some(token)).until(time(&end)?))
    }

    async fn get(&self, path: &str, token: &str) -> Result<String, Error> {
        self.ask(Method::GET, path, "x-aws-ec2-metadata-token", token).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        header: &'static str,
        value: &str,
    ) -> Result<String, Error> {
        let wrong = |what: &str| fault(format!("the instance metadata service {what}"));
        let url = self.base.join(path).map_err(|_| wrong("has no such path"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong("gave a bad token"))?;
        value.set_sensitive(true);
        let mut request = Request::new(method, url);
        request.headers_mut().insert(HeaderName::from_static(header), value);
        let answer = self.http.ask(request).await?;
        if answer.status != StatusCode::OK {
            return Err(wrong(&format!("answered with HTTP status {}", answer.status)));
        }
        String::from_utf8(answer.body).map_err(|_| wrong("answered with no text"))
    }
}
