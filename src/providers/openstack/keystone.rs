use std::time::{Duration, Instant};

use reqwest::{Method, Request, Url};
use serde::Deserialize;

use super::access::{Access, Secret};
use super::answers;
use super::config;
use super::time;
use crate::providers::http::{Answer, Client};
use crate::providers::{Blame, Error};

/// What Keystone let us have.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub token: Secret,
    pub renew_at: Instant,
    /// Keystone's URL with `/v3`.
    pub identity: Url,
    /// Nova's, region by region.
    pub compute: Vec<Region>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub name: String,
    /// Without a slash at its end.
    pub url: Url,
}

pub(super) async fn authenticate(http: &Client, access: &Access) -> Result<Grant, Error> {
    let asked = Instant::now();
    let mut request = Request::new(Method::POST, below(&access.auth_url, "auth/tokens"));
    *request.body_mut() = Some(access.request().to_string().into());
    request.headers_mut().insert(
        reqwest::header::CONTENT_TYPE,
        reqwest::header::HeaderValue::from_static("application/json"),
    );
    let answer = http.ask(request).await?;
    if !answer.status.is_success() {
        return Err(refused(access, &answer));
    }
    let token = answer.header("x-subject-token").filter(|token| !token.is_empty());
    let Some(token) = token else {
        return Err(Error::new(
            Blame::Configuration,
            "what answers at auth_url gave no token; check that it is Keystone's version 3",
        ));
    };
    let form: Granted = serde_json::from_slice(&answer.body).map_err(|source| {
        Error::new(Blame::Trouble, "Keystone's answer is not what its API gives").because(source)
    })?;
    Ok(Grant {
        token: Secret::new(token),
        renew_at: asked + form.token.fresh_for(),
        identity: access.auth_url.clone(),
        compute: compute(&form.token.catalog, access)?,
    })
}

fn refused(access: &Access, answer: &Answer) -> Error {
    let said = answers::said(answer, &[access.secret()]);
    // Of an application credential that was deleted Keystone 22 says so with a
    // 404; of a path that it does not know it says nothing of the kind.
    let names_nobody = answer.status.as_u16() == 404 && said.contains("Could not find ");
    let error = match answer.status.as_u16() {
        404 if !names_nobody => not_there(answer, &said),
        401 | 403 | 404 => Error::new(
            Blame::Credentials,
            format!(
                "Keystone does not take the credentials{said}; check the user or the application credential, its project and its secret file"
            ),
        ),
        400 | 405 => not_there(answer, &said),
        429 => Error::new(Blame::Throttling, format!("Keystone wants to be asked later{said}")),
        status => {
            Error::new(Blame::Trouble, format!("Keystone answered with status {status}{said}"))
        }
    };
    error.retry_after(answer.retry_after())
}

fn not_there(answer: &Answer, said: &str) -> Error {
    let told = format!("Keystone's version 3 is not at auth_url (status {}{said})", answer.status);
    Error::new(Blame::Configuration, told)
}

/// The URL with more path behind it.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[derive(Deserialize)]
struct Granted {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    issued_at: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    region_id: Option<String>,
    region: Option<String>,
    #[serde(default)]
    url: String,
}

impl Token {
    /// Four fifths of its life, by the cloud's own two times, so that our
    /// clock does not matter.
    fn fresh_for(&self) -> Duration {
        const UNKNOWN: Duration = Duration::from_secs(15 * 60);
        const MAX: Duration = Duration::from_secs(24 * 3600);
        let at = |text: &Option<String>| text.as_deref().and_then(time::parse);
        let life = at(&self.expires_at).zip(at(&self.issued_at)).map(|(end, start)| end - start);
        life.and_then(|life| u64::try_from(life).ok())
            .map_or(UNKNOWN, |life| (Duration::from_secs(life) * 4 / 5).min(MAX))
    }
}

fn compute(catalog: &[Service], access: &Access) -> Result<Vec<Region>, Error> {
    let fault = |what: String| Error::new(Blame::Configuration, what);
    let mut found = Vec::<Region>::new();
    let endpoints =
        catalog.iter().filter(|one| one.kind == "compute").flat_map(|one| &one.endpoints);
    for endpoint in endpoints.filter(|one| one.interface == access.interface.as_str()) {
        let name = endpoint.region_id.as_ref().or(endpoint.region.as_ref());
        let name = name.cloned().unwrap_or_default();
        let mut url = config::web_url(&endpoint.url).map_err(|reason| {
            fault(format!("the catalog's compute endpoint of region {name:?} {reason}"))
        })?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        if !found.iter().any(|known| known.name == name) {
            found.push(Region { name, url });
        }
    }
    let names = || found.iter().map(|region| region.name.clone()).collect::<Vec<_>>();
    let interface = access.interface.as_str();
    if access.regions.is_empty() {
        return match found.len() {
            0 => Err(fault(format!(
                "the catalog has no compute service with interface {interface:?}; check interface, and the role in the project"
            ))),
            1 => Ok(found),
            _ => Err(fault(format!(
                "the catalog has several regions; set region or regions to some of {:?}",
                names()
            ))),
        };
    }
    access
        .regions
        .iter()
        .map(|wanted| found.iter().find(|region| region.name == *wanted).cloned().ok_or(wanted))
        .collect::<Result<_, _>>()
        .map_err(|wanted| fault(format!("the catalog has no compute service with interface {interface:?} in region {wanted:?}; it has {:?}", names())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let token = |issued: &str, expires: &str| {
            let text = format!(r#"{{"issued_at": "{issued}", "expires_at": "{expires}"}}"#);
            serde_json::from_str::<Token>(&text).unwrap().fresh_for().as_secs()
        };
        let hour = token("2026-11-22T14:05:41.000000Z", "2026-11-22T15:05:41.000000Z");
        assert_eq!(hour, 2880);
        assert_eq!(token("2026-11-22T14:05:41Z", "2026-11-22T14:05:40Z"), 900);
        assert_eq!(token("now", "later"), 900);
        assert_eq!(token("2026-11-22T14:05:41Z", "9999-11-22T14:05:40Z"), 86_400);
    }

    #[test]
    fn paths_are_joined_with_one_slash() {
        for base in ["http://k/v3", "http://k/v3/"] {
            let url = below(&base.parse().unwrap(), "auth/tokens");
            assert_eq!(url.as_str(), "http://k/v3/auth/tokens");
        }
    }
}
