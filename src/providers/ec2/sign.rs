use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use super::credentials::Keys;
use crate::providers::{Blame, Error};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A POST of a form.
pub(super) fn form(url: &Url, parameters: &[(String, String)]) -> Request {
    let mut body = String::new();
    for (name, value) in parameters {
        if !body.is_empty() {
            body.push('&');
        }
        escape(name, &mut body);
        body.push('=');
        escape(value, &mut body);
    }
    let mut request = Request::new(Method::POST, url.clone());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
    *request.body_mut() = Some(body.into());
    request
}

fn escape(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Signs a request of [`form`] by Signature Version 4.
pub(super) fn signed(
    mut request: Request,
    keys: &Keys,
    region: &str,
    now: SystemTime,
) -> Result<Request, Error> {
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Blame::Configuration, "a request to EC2 cannot be signed").because(source)
    };
    let identity =
        Credentials::new(&*keys.id, keys.secret(), keys.token().map(str::to_owned), None, "own")
            .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ec2")
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|source| fault(source.into()))?
        .into();
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    let signable = SignableRequest::new(
        "POST",
        request.url().as_str(),
        std::iter::once(("content-type", FORM)),
        SignableBody::Bytes(body),
    )
    .map_err(|source| fault(source.into()))?;
    let (instructions, _) =
        sign(signable, &params).map_err(|source| fault(source.into()))?.into_parts();
    let (headers, _) = instructions.into_parts();
    for header in headers {
        let mut value =
            HeaderValue::from_str(header.value()).map_err(|source| fault(source.into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static(header.name()), value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn forms() {
        let url = "http://127.0.0.1:1/services/compute".parse().unwrap();
        let request = form(&url, &[("A".into(), "é &=+".into()), ("B.1".into(), "~-_".into())]);
        let body = request.body().unwrap().as_bytes().unwrap();
        assert_eq!(body, b"A=%C3%A9%20%26%3D%2B&B.1=~-_");
    }

    #[test]
    fn no_secret_is_in_a_request() {
        let url = "https://ec2.us-east-1.amazonaws.com/".parse().unwrap();
        let keys = Keys::new("AKIDEXAMPLE", "canary-secret", Some("canary-token".to_owned()));
        let now = UNIX_EPOCH + Duration::from_secs(1_795_356_920);
        let request = signed(form(&url, &[]), &keys, "us-east-1", now).unwrap();
        let head = request.headers()["authorization"].to_str().unwrap();
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
        assert!(head.starts_with(scope), "{head}");
        assert_eq!(request.headers()["x-amz-date"], "20261122T141520Z");
        assert_eq!(request.headers()["x-amz-security-token"], "canary-token");
        let shown = format!("{request:?} {keys:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
