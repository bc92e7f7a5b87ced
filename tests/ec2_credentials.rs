//! Where EC2's keys come from, when they are replaced, and whom they are shown
//! to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a helper fails the test by panicking"
)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::ec2::{
    CANARY, Files, TYPES, ask, ec2, instance, instances, parameter, refuse, told, xml,
};
use common::http::{Request, Step, Upstream, page};
use weather_balloon::providers::ec2::{Config, Ec2, Environment};
use weather_balloon::providers::{Blame, Provider, Question};
/// The keys' id in a request's signature.
fn key_of(request: &Request) -> &str {
    let signature = request.header("authorization").unwrap();
    signature.split("Credential=").nth(1).unwrap().split('/').next().unwrap()
}

fn in_seconds(seconds: u64) -> String {
    let at = std::time::SystemTime::now() + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(at).to_string()
}

fn by_metadata(upstream: &Upstream) -> Config {
    Config {
        region: "us-east-1".to_owned(),
        endpoint: upstream.url(),
        metadata_endpoint: upstream.url(),
        backoff: Duration::from_millis(1),
        ..Config::default()
    }
}

#[tokio::test]
async fn keys_of_the_metadata_service() {
    let rounds = AtomicUsize::new(0);
    let upstream = ec2(move |request| {
        let line = request.line.as_str();
        let token = request.header("x-aws-ec2-metadata-token");
        let text = |body: &str| vec![Step::Send(page("200 OK", "text/plain", body))];
        if line.starts_with("PUT /latest/api/token ") {
            assert!(request.header("x-aws-ec2-metadata-token-ttl-seconds").is_some());
            return text("canary-token");
        }
        if line.starts_with("GET ") {
            assert_eq!(token, Some("canary-token"));
            if line.starts_with("GET /latest/meta-data/iam/security-credentials/ ") {
                return text("balloon-role\n");
            }
            assert!(line.contains("/security-credentials/balloon-role "), "{line}");
            // The first ones end within the five minutes before which others
            // are asked for.
            let round = rounds.fetch_add(1, Ordering::SeqCst);
            let end = in_seconds(if round == 0 { 100 } else { 10_000 });
            return text(&format!(
                "{{\"Code\":\"Success\",\"AccessKeyId\":\"AKID{round}\",\"SecretAccessKey\":\"{CANARY}\",\"Token\":\"session{round}\",\"Expiration\":\"{end}\"}}"
            ));
        }
        xml("200 OK", &instances(&instance("i-1"), None))
    });
    let config = by_metadata(&upstream);
    let ec2 = Ec2::new("aws", &config, &Environment::default()).unwrap();
    for _ in 0..3 {
        assert!(ec2.list(&Question::default()).await.is_ok());
    }
    let calls: Vec<_> = upstream
        .requests()
        .into_iter()
        .filter(|request| request.body.starts_with("Action="))
        .map(|request| {
            let token = request.header("x-amz-security-token").unwrap().to_owned();
            (key_of(&request).to_owned(), token)
        })
        .collect();
    let pair = |round| (format!("AKID{round}"), format!("session{round}"));
    // Instances and types, then instances.
    assert_eq!(calls, [pair(0), pair(1), pair(1), pair(1)]);
}

#[tokio::test]
async fn a_metadata_service_that_has_nothing_or_hangs() {
    for steps in [
        vec![Step::Send(page("404 Not Found", "text/html", "<html/>"))],
        vec![Step::Send(page("200 OK", "text/plain", "../../../evil"))],
        vec![Step::Send(page("200 OK", "text/plain", ""))],
        vec![Step::Silence],
    ] {
        let upstream = Upstream::saying(steps);
        let began = Instant::now();
        let fault = ask(&by_metadata(&upstream), &Question::default()).await.unwrap_err();
        assert!(matches!(fault.blame, Blame::Credentials), "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    // What it says of keys is quoted nowhere.
    let upstream = Upstream::start(|request| {
        let body = match request.line.contains("role") {
            true => "{\"Code\":\"Success\",\"SecretAccessKey\":\"canary-secret-key\",\"Token\":7}",
            false => "role",
        };
        vec![Step::Send(page("200 OK", "text/plain", body))]
    });
    let fault = ask(&by_metadata(&upstream), &Question::default()).await.unwrap_err();
    assert!(!told(&fault).contains(CANARY), "{}", told(&fault));
}

#[tokio::test]
async fn keys_of_a_web_identity() {
    let upstream = ec2(|request| match parameter(request, "Action") {
        Some("AssumeRoleWithWebIdentity") => {
            assert_eq!(request.header("authorization"), None);
            if parameter(request, "WebIdentityToken") != Some("canary-identity") {
                return refuse("400 Bad Request", "InvalidIdentityToken");
            }
            assert_eq!(parameter(request, "RoleArn"), Some("arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"));
            xml(
                "200 OK",
                &format!(
                    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDWEB</AccessKeyId><SecretAccessKey>{CANARY}</SecretAccessKey><SessionToken>s</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
                    in_seconds(3600)
                ),
            )
        }
        _ if request.header("x-amz-security-token") == Some("s") => {
            assert_eq!(key_of(request), "AKIDWEB");
            xml("200 OK", &instances(&instance("i-1"), None))
        }
        _ => refuse("401 Unauthorized", "AuthFailure"),
    });
    let files = Files::new();
    let config = Config {
        access_key_id: String::new(),
        secret_access_key_file: PathBuf::new(),
        sts_endpoint: upstream.url(),
        role_arn: "arn:aws:iam::1:role/r".to_owned(),
        web_identity_token_file: files.secret("token", "canary-identity\n"),
        ..files.config(&upstream)
    };
    assert_eq!(ask(&config, &Question::default()).await.unwrap().sighting.instances().len(), 1);
    let wrong = Config { web_identity_token_file: files.secret("wrong", "canary-wrong"), ..config };
    let fault = ask(&wrong, &Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Credentials, "{fault:?}");
    assert!(!told(&fault).contains("canary"), "{}", told(&fault));
}

/// A secret that was replaced in its file is taken up when the old one is
/// refused.
#[tokio::test]
async fn replaced_keys_are_read_again() {
    let files = Files::new();
    let path = files.secret("secret", "canary-old");
    let replaced = path.clone();
    let count = AtomicUsize::new(0);
    let upstream = ec2(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 1 {
            fs::OpenOptions::new().write(true).truncate(true).open(&replaced).unwrap();
            let mut file = fs::OpenOptions::new().append(true).open(&replaced).unwrap();
            std::io::Write::write_all(&mut file, b"canary-new").unwrap();
            return refuse("401 Unauthorized", "AuthFailure");
        }
        xml("200 OK", &instances(&instance("i-1"), None))
    });
    let config = Config { secret_access_key_file: path, ..files.config(&upstream) };
    let ec2 = Ec2::new("aws", &config, &Environment::default()).unwrap();
    for _ in 0..2 {
        assert!(ec2.list(&Question::default()).await.is_ok());
    }
}

#[tokio::test]
async fn by_tls_to_the_authority_of_ca_file_only() {
    let (upstream, pem) = Upstream::start_tls(|request| match parameter(request, "Action") {
        Some("DescribeInstanceTypes") => xml("200 OK", TYPES),
        _ => xml("200 OK", &instances(&instance("i-1"), None)),
    });
    let files = Files::new();
    let config = Config { ca_file: files.secret("ca.pem", &pem), ..files.config(&upstream) };
    assert!(ask(&config, &Question::default()).await.is_ok());
    let fault =
        ask(&Config { ca_file: PathBuf::new(), ..config }, &Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Trouble);
    assert!(!told(&fault).contains(CANARY));
}
