//! A fake EC2 whose every answer a test chooses, and who asks it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking"
)]

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use weather_balloon::providers::ec2::{Config, Ec2, Environment};
use weather_balloon::providers::{Error, Listing, Provider, Question};

use super::http::{Request, Step, Upstream, page};

pub const CANARY: &str = "canary-secret-key";

pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        // A plain write is enough for a test.
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn config(&self, upstream: &Upstream) -> Config {
        Config {
            region: "us-east-1".to_owned(),
            endpoint: upstream.url(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key_file: self.secret("secret", CANARY),
            backoff: Duration::from_millis(1),
            request_timeout: Duration::from_secs(5),
            ..Config::default()
        }
    }
}

pub async fn ask(config: &Config, question: &Question) -> Result<Listing, Error> {
    Ec2::new("aws", config, &Environment::default()).unwrap().list(question).await
}

pub async fn list(upstream: &Upstream) -> Result<Listing, Error> {
    ask(&Files::new().config(upstream), &Question::default()).await
}

pub fn xml(status: &str, body: &str) -> Vec<Step> {
    vec![Step::Send(page(status, "text/xml;charset=UTF-8", body))]
}

pub fn refuse(status: &str, code: &str) -> Vec<Step> {
    xml(
        status,
        &format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>no: {code}</Message></Error></Errors><RequestID>r</RequestID></Response>"
        ),
    )
}

pub fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

pub fn instance(id: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><name>running</name></instanceState><instanceType>m1</instanceType><ipAddress>203.0.113.1</ipAddress></item>"
    )
}

pub fn instances(inside: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("<nextToken>{token}</nextToken>")).unwrap_or_default();
    format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">{token}<reservationSet><item><ownerId>1</ownerId><instancesSet>{inside}</instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )
}

pub const TYPES: &str = "<DescribeInstanceTypesResponse><instanceTypeSet><item><instanceType>m1</instanceType><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo></item></instanceTypeSet></DescribeInstanceTypesResponse>";

/// Answers DescribeInstances so, and knows the type m1.
pub fn ec2(answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |request| match parameter(request, "Action") {
        Some("DescribeInstanceTypes") => xml("200 OK", TYPES),
        _ => answer(request),
    })
}

pub fn told(fault: &Error) -> String {
    let mut text = format!("{fault} {fault:?}");
    let mut source = fault.source();
    while let Some(next) = source {
        text.push_str(&format!(" {next} {next:?}"));
        source = next.source();
    }
    text
}
