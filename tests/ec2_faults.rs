//! EC2's part against servers that fail, lie or are somebody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a helper fails the test by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::ec2::{
    CANARY, Files, ask, ec2, instance, instances, list, parameter, refuse, told, xml,
};
use common::http::{Request, Step, Upstream, page};
use futures_util::StreamExt;
use weather_balloon::model::{EventKind, InstanceId, OwnerRank};
use weather_balloon::providers::ec2::{Config, Ec2, Environment};
use weather_balloon::providers::{Blame, Provider, Question};
use weather_balloon::settings::ByteSize;

const SAMPLE: &str = include_str!("data/ec2/ec2-moto-DescribeInstances-page1-200.xml");
const UNKNOWN: &str = include_str!("data/ec2/ec2-moto-InvalidInstanceID-400.xml");

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
    let stopped = listing.instances()[2].id.clone();
    let [stop] = listing.events_of(&stopped) else { panic!("{listing:?}") };
    assert_eq!((stop.at, stop.kind), (1_795_356_521, EventKind::Stopped));

    // Long ago by the last listing, and not yet told where it was not seen.
    let since = Some(1_795_360_000);
    for (seen, told) in [(None, 0), (Some(1_795_356_300), 1), (Some(1_795_359_000), 0)] {
        let unseen = seen.map(|at| (stopped.clone(), at)).into_iter().collect();
        let question = Question { since, unseen, ..Question::default() };
        let listing = ask(&Files::new().config(&upstream), &question).await.unwrap().sighting;
        assert_eq!(listing.events_of(&stopped).len(), told, "{seen:?}");
    }
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
    let question = Question { living, since: None, ..Question::default() };
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
