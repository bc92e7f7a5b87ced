//! EC2's part against servers that fail, lie or are somebody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a helper fails the test by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::http::{Request, Step, Upstream, page};
use futures_util::StreamExt;
use weather_balloon::model::{EventKind, InstanceId, OwnerRank};
use weather_balloon::providers::ec2::{Config, Ec2, Environment};
use weather_balloon::providers::{Blame, Error, Listing, Provider, Question};
use weather_balloon::settings::ByteSize;

const CANARY: &str = "canary-secret-key";
const SAMPLE: &str = include_str!("data/ec2/ec2-moto-DescribeInstances-page1-200.xml");
const UNKNOWN: &str = include_str!("data/ec2/ec2-moto-InvalidInstanceID-400.xml");

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        // A plain write is enough for a test.
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn config(&self, upstream: &Upstream) -> Config {
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

async fn ask(config: &Config, question: &Question) -> Result<Listing, Error> {
    Ec2::new("aws", config, &Environment::default()).unwrap().list(question).await
}

async fn list(upstream: &Upstream) -> Result<Listing, Error> {
    ask(&Files::new().config(upstream), &Question::default()).await
}

fn xml(status: &str, body: &str) -> Vec<Step> {
    vec![Step::Send(page(status, "text/xml;charset=UTF-8", body))]
}

fn refuse(status: &str, code: &str) -> Vec<Step> {
    xml(
        status,
        &format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>no: {code}</Message></Error></Errors><RequestID>r</RequestID></Response>"
        ),
    )
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn instance(id: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><name>running</name></instanceState><instanceType>m1</instanceType><ipAddress>203.0.113.1</ipAddress></item>"
    )
}

fn instances(inside: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("<nextToken>{token}</nextToken>")).unwrap_or_default();
    format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">{token}<reservationSet><item><ownerId>1</ownerId><instancesSet>{inside}</instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )
}

const TYPES: &str = "<DescribeInstanceTypesResponse><instanceTypeSet><item><instanceType>m1</instanceType><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo></item></instanceTypeSet></DescribeInstanceTypesResponse>";

/// Answers DescribeInstances so, and knows the type m1.
fn ec2(answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |request| match parameter(request, "Action") {
        Some("DescribeInstanceTypes") => xml("200 OK", TYPES),
        _ => answer(request),
    })
}

fn told(fault: &Error) -> String {
    let mut text = format!("{fault} {fault:?}");
    let mut source = fault.source();
    while let Some(next) = source {
        text.push_str(&format!(" {next} {next:?}"));
        source = next.source();
    }
    text
}

#[tokio::test]
async fn the_recorded_page_is_read() {
    let last = instances("", None);
    let upstream = ec2(move |request| match parameter(request, "NextToken") {
        Some("r-768e5da060defdced") => xml("200 OK", &last),
        _ => xml("200 OK", SAMPLE),
    });
    let question = Question { since: Some(1_795_356_000), ..Question::default() };
    let listing = ask(&Files::new().config(&upstream), &question).await.unwrap().sighting;
    let shown: Vec<_> = listing
        .instances()
        .iter()
        .map(|one| (one.id.as_str(), one.owner.name(), one.counted, one.created))
        .collect();
    let created = Some(1_795_356_520);
    assert_eq!(
        shown,
        [
            ("i-2b89a99a369953c28", "user0", true, created),
            ("i-627dee8c0e8d16802", "user1", true, Some(1_795_356_521)),
            ("i-de6b65acdde657772", "user0", false, created),
            ("i-f53039d3635c9f098", "user2", true, created),
        ]
    );
    let first = &listing.instances()[0];
    assert_eq!(first.owner.rank(), OwnerRank::Creator);
    let addresses: Vec<_> = first.details.addresses().iter().map(|one| one.as_str()).collect();
    assert_eq!(addresses, ["203.0.113.2", "10.109.31.237"]);
    let [gone] = listing.departed() else { panic!("{:?}", listing.departed()) };
    assert_eq!((gone.id.as_str(), gone.at), ("i-27ff5a9d4c9a478c2", Some(1_795_356_521)));
    let [stop] = listing.events_of(&listing.instances()[2].id) else { panic!("{listing:?}") };
    assert_eq!((stop.at, stop.kind), (1_795_356_521, EventKind::Stopped));
}

#[tokio::test]
async fn the_recorded_refusal_explains_an_absence() {
    let upstream = ec2(|request| match parameter(request, "InstanceId.1") {
        None => xml("200 OK", &instances(&instance("i-1"), None)),
        Some("i-00000000000000000") => xml("400 Bad Request", UNKNOWN),
        Some("i-late") => xml("200 OK", &instances(&instance("i-late"), None)),
        Some(_) => refuse("400 Bad Request", "InvalidInstanceID.Malformed"),
    });
    let ids = ["i-1", "i-00000000000000000", "i-late", "x"];
    let living = ids.iter().map(|id| InstanceId::parse(id).unwrap()).collect();
    let question = Question { living, since: None };
    let listing = ask(&Files::new().config(&upstream), &question).await.unwrap().sighting;
    let shown: Vec<_> = listing.instances().iter().map(|one| one.id.as_str()).collect();
    assert_eq!(shown, ["i-1", "i-late"]);
    let gone: Vec<_> = listing.departed().iter().map(|one| one.id.as_str()).collect();
    assert_eq!(gone, ["i-00000000000000000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_cut_at_any_byte_is_no_listing() {
    let whole = instances(&instance("i-1"), None);
    let length = whole.len();
    let body = whole.clone();
    // The cut is in the path; half of them end as the head says, half do not.
    let upstream = ec2(move |request| {
        let path = request.line.split(' ').nth(1).unwrap();
        let (cut, how) = path.trim_matches('/').split_once('/').unwrap();
        let cut: usize = cut.parse().unwrap();
        match how {
            "short" => xml("200 OK", &body[..cut]),
            _ => {
                let answer = page("200 OK", "text/xml", &body);
                let end = answer.len() - body.len() + cut;
                vec![Step::Send(answer[..end].to_vec()), Step::Close]
            }
        }
    });
    let files = Files::new();
    let config = files.config(&upstream);
    let cuts = (0..length).flat_map(|cut| [(cut, "short"), (cut, "broken")]);
    let outcomes = futures_util::stream::iter(cuts.map(|(cut, how)| {
        let config =
            Config { endpoint: format!("{}/{cut}/{how}", config.endpoint), ..config.clone() };
        async move { (cut, how, ask(&config, &Question::default()).await) }
    }))
    .buffer_unordered(32)
    .collect::<Vec<_>>()
    .await;
    assert_eq!(outcomes.len(), 2 * length);
    for (cut, how, outcome) in outcomes {
        let fault = outcome.expect_err(&format!("cut at {cut} ({how}) was taken for a listing"));
        assert_eq!(fault.blame, Blame::Trouble, "{cut}: {fault:?}");
    }
    let config = Config { endpoint: format!("{}/{length}/short", config.endpoint), ..config };
    assert_eq!(ask(&config, &Question::default()).await.unwrap().sighting.instances().len(), 1);
}

#[tokio::test]
async fn another_service_is_not_taken_for_ec2() {
    let html = "<!DOCTYPE html><html><body>It works!</body></html>";
    let buckets =
        "<?xml version=\"1.0\"?><ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>";
    let other = "<DescribeInstanceTypesResponse/>";
    let empty = "<DescribeInstancesResponse/>";
    for (status, body) in [
        ("200 OK", html),
        ("200 OK", buckets),
        ("200 OK", other),
        ("200 OK", empty),
        ("200 OK", ""),
        ("200 OK", "{}"),
        ("404 Not Found", html),
        ("500 Internal Server Error", html),
        // The right document, with a status that is not right.
        (
            "203 Non-Authoritative Information",
            "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>",
        ),
        (
            "206 Partial Content",
            "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>",
        ),
    ] {
        let upstream = ec2(move |_| xml(status, body));
        let fault = list(&upstream).await.unwrap_err();
        assert!(
            matches!(fault.blame, Blame::Trouble | Blame::Configuration),
            "{status} {body}: {fault:?}"
        );
    }
    let upstream = ec2(|_| {
        vec![Step::Send(
            b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n"
                .to_vec(),
        )]
    });
    let fault = list(&upstream).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Configuration);
}

#[tokio::test]
async fn bombs_do_not_go_off() {
    let lol = "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]><DescribeInstancesResponse><reservationSet>&b;</reservationSet></DescribeInstancesResponse>";
    let file = "<!DOCTYPE l [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><DescribeInstancesResponse><reservationSet>&x;</reservationSet></DescribeInstancesResponse>";
    let undefined = "<DescribeInstancesResponse><reservationSet>&x;</reservationSet></DescribeInstancesResponse>";
    let deep = "<DescribeInstancesResponse>".repeat(200_000);
    for body in [lol.to_owned(), file.to_owned(), undefined.to_owned(), deep] {
        let upstream = ec2(move |_| xml("200 OK", &body));
        let fault = list(&upstream).await.unwrap_err();
        assert_eq!(fault.blame, Blame::Trouble, "{fault:?}");
    }
    // A body without an end.
    let upstream = ec2(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n<a>";
        vec![Step::Send(head.to_vec()), Step::Forever(b"<b/>".repeat(4096))]
    });
    let config = Config { max_body: ByteSize::mib(2), ..Files::new().config(&upstream) };
    let files = Files::new();
    let config = Config { secret_access_key_file: files.secret("s", CANARY), ..config };
    let fault = ask(&config, &Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Configuration, "{fault:?}");
}

#[tokio::test]
async fn pages_come_to_an_end() {
    // The same token again, and a circle of two.
    for circle in [1, 2] {
        let count = AtomicUsize::new(0);
        let upstream = ec2(move |_| {
            let at = count.fetch_add(1, Ordering::SeqCst);
            let token = format!("t{}", at % circle);
            xml("200 OK", &instances(&instance(&format!("i-{at}")), Some(&token)))
        });
        let fault = list(&upstream).await.unwrap_err();
        assert_eq!(fault.blame, Blame::Trouble, "{fault:?}");
        assert!(upstream.requests().len() < 5);
    }
    // Always another one.
    let count = AtomicUsize::new(0);
    let upstream = ec2(move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst);
        xml("200 OK", &instances(&instance(&format!("i-{at}")), Some(&format!("t{at}"))))
    });
    let files = Files::new();
    let config = Config { max_instances: 50, ..files.config(&upstream) };
    let fault = ask(&config, &Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Configuration, "{fault:?}");
    assert_eq!(upstream.requests().len(), 51);
}

/// A fault on page k, for every k: the walk goes on where it was, or is none.
#[tokio::test]
async fn a_fault_on_any_page() {
    const PAGES: usize = 5;
    let pages = |request: &Request| {
        let at: usize = parameter(request, "NextToken").map_or(0, |token| token.parse().unwrap());
        let next = (at + 1 < PAGES).then(|| (at + 1).to_string());
        (at, instances(&instance(&format!("i-{at}")), next.as_deref()))
    };
    for bad in 0..PAGES {
        let count = AtomicUsize::new(0);
        let upstream = ec2(move |request| match pages(request) {
            (at, _) if at == bad && count.fetch_add(1, Ordering::SeqCst) < 3 => {
                refuse("503 Service Unavailable", "RequestLimitExceeded")
            }
            (_, page) => xml("200 OK", &page),
        });
        let listing = list(&upstream).await.unwrap().sighting;
        assert_eq!(listing.instances().len(), PAGES);
        assert_eq!(upstream.requests().len(), PAGES + 3 + 1);
        for (status, code, blame) in [
            ("503 Service Unavailable", "RequestLimitExceeded", Blame::Throttling),
            ("500 Internal Server Error", "InternalError", Blame::Trouble),
            ("401 Unauthorized", "AuthFailure", Blame::Credentials),
            ("403 Forbidden", "UnauthorizedOperation", Blame::Credentials),
            ("400 Bad Request", "InvalidParameterValue", Blame::Configuration),
            ("400 Bad Request", "RequestExpired", Blame::Credentials),
        ] {
            let upstream = ec2(move |request| match pages(request) {
                (at, _) if at == bad => refuse(status, code),
                (_, page) => xml("200 OK", &page),
            });
            let fault = list(&upstream).await.unwrap_err();
            assert_eq!(fault.blame, blame, "{code}: {fault:?}");
            let told = told(&fault);
            assert!(told.contains(code) && !told.contains(CANARY), "{told}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_handed_on_where_it_is_long() {
    let upstream = ec2(|_| {
        vec![Step::Send(
            b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n".to_vec(),
        )]
    });
    let began = Instant::now();
    let fault = list(&upstream).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Throttling);
    assert_eq!(fault.retry_after, Some(Duration::from_secs(120)));
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn hostile_records() {
    let hostile = "<item><instanceId>i-1</instanceId><instanceState><name>running</name></instanceState><instanceType>m1&#10;}</instanceType><ipAddress>$(touch x)</ipAddress><tagSet><item><key>Name</key><value>&lt;script&gt;&#x202e;`id`</value></item><item><key>creator</key><value>a&#10;b</value></item></tagSet></item><item><instanceId>i-2</instanceId></item>";
    let upstream = ec2(move |_| xml("200 OK", &instances(hostile, None)));
    let listing = list(&upstream).await.unwrap();
    let [one] = listing.sighting.instances() else { panic!("{listing:?}") };
    assert_eq!(one.owner.name(), "a b");
    assert_eq!(one.details.addresses(), []);
    let [skipped] = listing.skipped.as_slice() else { panic!("{listing:?}") };
    assert_eq!((skipped.id.as_str(), skipped.reason.as_str()), ("i-2", "has no state"));
    for id in ["", "&#10;", &"x".repeat(300)] {
        let body = instances(&instance(id), None);
        let upstream = ec2(move |_| xml("200 OK", &body));
        assert_eq!(list(&upstream).await.unwrap_err().blame, Blame::Trouble, "{id:?}");
    }
}

/// Eucalyptus: a path and a port of its own, no pages, no types.
#[tokio::test]
async fn an_older_cloud_of_ec2s_kind() {
    let upstream = Upstream::start(|request| match parameter(request, "Action") {
        Some("DescribeInstances") => xml("200 OK", &instances(&instance("i-1"), None)),
        _ => refuse("400 Bad Request", "InvalidAction"),
    });
    let files = Files::new();
    let config = Config {
        endpoint: format!("{}/services/compute", upstream.url()),
        region: "eucalyptus".to_owned(),
        page_size: 0,
        vcpus: [("m1".to_owned(), 8)].into(),
        ..files.config(&upstream)
    };
    let ec2 = Ec2::new("euca", &config, &Environment::default()).unwrap();
    for _ in 0..2 {
        let listing = ec2.list(&Question::default()).await.unwrap().sighting;
        assert_eq!(listing.instances()[0].shape.size.vcpus(), Some(8));
    }
    let requests = upstream.requests();
    let lines: BTreeSet<_> = requests.iter().map(|request| request.line.clone()).collect();
    assert_eq!(lines, ["POST /services/compute HTTP/1.1".to_owned()].into());
    assert!(requests.iter().all(|request| parameter(request, "MaxResults").is_none()));
    // It was asked for its types once.
    assert_eq!(requests.len(), 3);
}

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
