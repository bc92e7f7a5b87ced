//! What every request passes before a handler sees it, and what every answer
//! carries away.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::App;
use super::problem::Problem;

/// Who may come, and who may write.
pub(super) struct Guard {
    /// In lower case, without ports.
    names: Vec<String>,
    /// Of the token, so that comparing takes the same time for every guess.
    token: Option<[u8; 32]>,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Visitor {
    Tcp(SocketAddr),
    /// Through a unix socket: no browser, so no name to check. Of this user,
    /// where the kernel tells.
    Unix(Option<u32>),
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "HTTP, {address}"),
            Self::Unix(Some(uid)) => write!(f, "HTTP, unix, user {uid}"),
            Self::Unix(None) => f.write_str("HTTP, unix"),
        }
    }
}

impl Guard {
    pub(super) fn new(names: &[String], token: Option<&[u8]>) -> Self {
        Self {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            token: token.map(|token| Sha256::digest(token).into()),
        }
    }

    /// A page of another site whose name was made to resolve to this address
    /// sends its own name.
    fn knows(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        name == "localhost"
            || address.unwrap_or(&name).parse::<IpAddr>().is_ok()
            || self.names.contains(&name)
    }

    /// May this request change something?
    pub(super) fn may_write(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "nobody may write here: [http] token_file is not set",
            ));
        };
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, shown)| <[u8; 32]>::from(Sha256::digest(shown.trim())));
        if shown.as_ref() == Some(token) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "writing needs \"Authorization: Bearer\" with the token of [http] token_file",
        ))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// No script and no style but our own files, nothing from elsewhere, nobody's
/// frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const CARRIED: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

pub(super) async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match examine(&app.guard, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in CARRIED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn examine(guard: &Guard, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let local = matches!(request.extensions().get(), Some(Visitor::Unix(_)));
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    let named = match hosts.as_slice() {
        [one] => one.to_str().ok(),
        _ => None,
    };
    let known = named.is_some_and(|host| guard.knows(host));
    let absolute = request.uri().host().is_some_and(|host| !guard.knows(host));
    if !local && (!known || absolute) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this door is not known by that name; add it to [http] names if it is meant",
        ));
    }
    if !request.method().is_safe() {
        refuse_other_sites(guard, headers, local)?;
        guard.may_write(headers)?;
    }
    Ok(())
}

/// A browser says where a request came from; a script says nothing.
fn refuse_other_sites(guard: &Guard, headers: &HeaderMap, local: bool) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign_site = !matches!(site, None | Some(b"same-origin" | b"none"));
    let origin = headers.get(header::ORIGIN).map(|origin| {
        let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        uri.is_some_and(|uri| uri.host().is_some_and(|host| guard.knows(host)))
    });
    if foreign_site || (!local && origin == Some(false)) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "another site's page may not write here"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_with_and_without_ports() {
        let guard = Guard::new(&["Nagios.Example.org".to_owned()], None);
        for known in [
            "localhost",
            "LOCALHOST:8001",
            "127.0.0.1",
            "127.0.0.1:8001",
            "[::1]",
            "[::1]:8001",
            "10.1.2.3:80",
            "nagios.example.org:8001",
        ] {
            assert!(guard.knows(known), "{known} was refused");
        }
        for foreign in ["evil.example", "localhost.evil.example:80", "", ":80", "127.0.0.1.nip.io"]
        {
            assert!(!guard.knows(foreign), "{foreign} was let in");
        }
    }

    #[test]
    fn only_the_token_may_write() {
        let shown = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
        };
        let guard = Guard::new(&[], Some(b"s3cret"));
        assert!(guard.may_write(&shown("Bearer s3cret")).is_ok());
        assert!(guard.may_write(&shown("bearer s3cret")).is_ok());
        for wrong in ["Bearer s3cre", "Bearer ", "s3cret", "Basic s3cret", ""] {
            let problem = guard.may_write(&shown(wrong)).unwrap_err();
            assert_eq!(problem.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
        }
        let shut = Guard::new(&[], None).may_write(&shown("Bearer ")).unwrap_err();
        assert_eq!(shut.status(), StatusCode::FORBIDDEN);
    }
}
