//! What the client of Graphite makes of servers that fail, lie or hang. Each
//! fault is a sentence that says what to do, within the deadline.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking")]

mod common;

use std::error::Error as _;
use std::time::{Duration, Instant};

use common::http::{Request, Step, Upstream, json, open_ended_json, page};
use weather_balloon::graphite::{Client, Config, Error, SetupError};
use weather_balloon::model::{Datapoint, HostId, MetricKey, MetricNode, Series, Window};
use weather_balloon::settings::ByteSize;
use weather_balloon::tls;

const SHORT: Duration = Duration::from_millis(300);
/// No test of this file may need longer for one answer: the machine is busy,
/// but a fault that waits for something else than the deadline shows.
const LIMIT: Duration = Duration::from_secs(5);

const ONE: &str = r#"[{"target": "nagios.h.load.load1", "tags": {}, "datapoints": [[1.5, 600]]}]"#;

fn one() -> Vec<Series> {
    let points = vec![Datapoint { time: 600, value: Some(1.5) }];
    vec![Series { name: "load.load1".to_owned(), points }]
}

fn config(url: String) -> Config {
    Config { url, ..Config::default() }
}

async fn ask(config: &Config) -> Result<Vec<Series>, Error> {
    let client = Client::new(config).unwrap().unwrap();
    ask_with(&client).await
}

async fn ask_with(client: &Client) -> Result<Vec<Series>, Error> {
    let node = MetricNode::of(&HostId::parse("h").unwrap());
    let start = Instant::now();
    let answer = client.render(&node, &MetricKey::parse("").unwrap(), None, None).await;
    assert!(start.elapsed() < LIMIT, "took {:?}", start.elapsed());
    answer
}

/// The whole chain, as the top prints it.
fn told(fault: &Error) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

async fn fault_of(steps: Vec<Step>) -> String {
    let upstream = Upstream::saying(steps);
    let url = format!("{}/render", upstream.url());
    told(&ask(&config(upstream.url())).await.unwrap_err()).replace(&url, "URL")
}

async fn fault_of_page(status: &str, kind: &str, body: impl AsRef<[u8]>) -> String {
    fault_of(vec![Step::Send(page(status, kind, body))]).await
}

fn assert_begins(text: &str, head: &str) {
    assert!(text.starts_with(head), "{text:?} does not begin with {head:?}");
}

#[tokio::test]
async fn a_question_is_one_form() {
    let upstream = Upstream::saying(vec![Step::Send(json(ONE))]);
    let client = Client::new(&config(format!("{}/sub/", upstream.url()))).unwrap().unwrap();
    let node = MetricNode::of(&HostId::parse("a.b:c").unwrap());
    let window = Window::new(1_000_000_000, 1_000_000_600).unwrap();
    let key = MetricKey::parse("load.*").unwrap();
    assert_eq!(client.render(&node, &key, Some(window), Some(5)).await.unwrap(), []);

    let [Request { line, body, headers }] = &upstream.requests()[..] else { panic!() };
    assert_eq!(line, "POST /sub/render HTTP/1.1");
    assert_eq!(
        body,
        "format=json&target=nagios.a_b_c.load.*&from=1000000000&until=1000000600&maxDataPoints=5"
    );
    let mut headers = headers.clone();
    headers.sort();
    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let agent = format!("weather-balloon/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        headers,
        [
            ("accept", "*/*"),
            ("content-length", "87"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", &*upstream.address().to_string()),
            ("user-agent", &*agent),
        ]
    );
}

#[tokio::test]
async fn a_connection_is_used_again_and_its_end_is_survived() {
    let upstream = Upstream::saying(vec![Step::Send(json(ONE))]);
    let client = Client::new(&config(upstream.url())).unwrap().unwrap();
    for _ in 0..5 {
        assert_eq!(ask_with(&client).await.unwrap(), one());
    }
    assert_eq!(upstream.accepted(), 1);

    // A server that closes after each answer, as gunicorn does, but says so
    // only when the next question is already on its way.
    let upstream = Upstream::start(|_| vec![Step::Send(json(ONE)), Step::Close]);
    let client = Client::new(&config(upstream.url())).unwrap().unwrap();
    for _ in 0..50 {
        assert_eq!(ask_with(&client).await.unwrap(), one());
    }
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let fault = ask(&config(url.clone())).await.unwrap_err();
    assert_begins(
        &told(&fault),
        &format!(
            "cannot connect to Graphite at {url}/render; check that graphite-web runs there and that [graphite] url is right: "
        ),
    );
    assert!(told(&fault).contains("Connection refused"), "{}", told(&fault));
    assert!(!fault.blames_question());
}

#[tokio::test]
async fn never_answering() {
    for steps in [
        vec![Step::Silence],
        vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()), Step::Silence],
    ] {
        let upstream = Upstream::saying(steps);
        let fault = ask(&Config { timeout: SHORT, ..config(upstream.url()) }).await.unwrap_err();
        assert_eq!(
            told(&fault),
            format!(
                "Graphite at {}/render did not answer within 300ms; it is down, stuck or has too much to do: look after graphite-web, ask for less, or raise [graphite] timeout",
                upstream.url()
            )
        );
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_listener_that_accepts_nobody() {
    // Full: the kernel drops what comes after these two.
    let listener = socket_with_no_backlog();
    let address = listener.local_addr().unwrap();
    let _fill: Vec<_> = (0..4)
        .filter_map(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok()
        })
        .collect();
    let config = Config { timeout: SHORT, ..config(format!("http://{address}")) };
    let fault = ask(&config).await.unwrap_err();
    assert!(matches!(fault, Error::Late { .. }), "{fault:?}");
}

fn socket_with_no_backlog() -> std::net::TcpListener {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket,
    };
    use std::os::fd::AsRawFd;
    let kind = SockType::Stream;
    let fd = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&fd, Backlog::new(0).unwrap()).unwrap();
    fd.into()
}

#[tokio::test]
async fn an_answer_that_drips() {
    let mut steps = vec![Step::Send(open_ended_json())];
    for _ in 0..1000 {
        steps.push(Step::Send(b" ".to_vec()));
        steps.push(Step::Pause(Duration::from_millis(10)));
    }
    let upstream = Upstream::saying(steps);
    let fault = ask(&Config { timeout: SHORT, ..config(upstream.url()) }).await.unwrap_err();
    let Error::Unfinished { received: 1..100, .. } = fault else { panic!("{fault:?}") };
    let text = told(&fault);
    assert!(text.contains(" bytes of its answer after 300ms; ask for fewer series"), "{text}");
}

#[tokio::test]
async fn closes_at_once() {
    assert_begins(
        &fault_of(vec![Step::Close]).await,
        "what listens at URL gave no HTTP answer; check that it is graphite-web, and look into its log: error sending request: ",
    );
}

#[tokio::test]
async fn not_http() {
    for noise in [&b"220 mail.example ESMTP\r\n"[..], b"\0\0\0\x10\x80\x01\0\x03"] {
        let fault = fault_of(vec![Step::Send(noise.to_vec()), Step::Close]).await;
        assert_begins(&fault, "what listens at URL gave no HTTP answer; ");
    }
}

#[tokio::test]
async fn endless_headers() {
    let start = b"HTTP/1.1 200 OK\r\n".to_vec();
    let upstream =
        Upstream::saying(vec![Step::Send(start), Step::Forever(b"X-Pad: 0123456789\r\n".to_vec())]);
    let fault = ask(&config(upstream.url())).await.unwrap_err();
    assert!(matches!(fault, Error::NotHttp { .. }), "{fault:?}");
    assert!(upstream.sent() < 20 << 20, "{} bytes were taken", upstream.sent());
}

#[tokio::test]
async fn an_error_page() {
    let html = "<!DOCTYPE html><html><head><title>Bad Request</title>\
        <style>body { color: red }</style></head><body><h1>Unknown\n function</h1></body></html>";
    assert_eq!(
        fault_of_page("400 Bad Request", "text/html; charset=utf-8", html).await,
        "Graphite at URL answered with HTTP status 400 Bad Request: \"Bad Request Unknown function\"; ask with another key or window, and look into the log of graphite-web"
    );
    assert_eq!(
        fault_of_page("500 Internal Server Error", "text/html", "<h1>Server Error (500)</h1>")
            .await,
        "Graphite at URL answered with HTTP status 500 Internal Server Error: \"Server Error (500)\"; look into the log of graphite-web"
    );
    assert_eq!(
        fault_of_page("503 Service Unavailable", "text/plain", "").await,
        "Graphite at URL answered with HTTP status 503 Service Unavailable; graphite-web is down or has too much to do: look after it, and try again"
    );
    assert_eq!(
        fault_of_page("404 Not Found", "application/json", "{}").await,
        "Graphite at URL answered with HTTP status 404 Not Found; check that [graphite] url is that of graphite-web"
    );
    assert_eq!(
        fault_of_page("401 Unauthorized", "text/html", "x").await,
        "Graphite at URL answered with HTTP status 401 Unauthorized: \"x\"; let this machine ask without a log-in, which is not supported"
    );
    assert_eq!(
        fault_of_page("204 No Content", "application/json", "").await,
        "Graphite at URL answered with HTTP status 204 No Content; ask with another key or window, and look into the log of graphite-web"
    );
}

#[tokio::test]
async fn an_error_page_that_never_ends() {
    let head = b"HTTP/1.1 500 Oh\r\nContent-Type: text/html\r\n\r\n".to_vec();
    let upstream =
        Upstream::saying(vec![Step::Send(head.clone()), Step::Forever(b"bad ".to_vec())]);
    let fault = ask(&config(upstream.url())).await.unwrap_err();
    assert!(told(&fault).contains("500 Internal Server Error: \"bad bad "), "{fault:?}");
    assert!(told(&fault).len() < 500);

    let upstream = Upstream::saying(vec![Step::Send(head), Step::Silence]);
    let fault = ask(&Config { timeout: SHORT, ..config(upstream.url()) }).await.unwrap_err();
    assert!(matches!(fault, Error::Status { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_page_that_is_no_json() {
    assert_eq!(
        fault_of_page("200 OK", "image/png", b"\x89PNG\r\n\x1a\n").await,
        "Graphite at URL answered with image/png instead of JSON; check that [graphite] url is that of graphite-web"
    );
    assert_eq!(
        fault_of_page("200 OK", "text/html", "<title>Welcome to nginx!</title>").await,
        "Graphite at URL answered with text/html instead of JSON: \"Welcome to nginx!\"; check that [graphite] url is that of graphite-web"
    );
    let bare = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_vec();
    assert_eq!(
        fault_of(vec![Step::Send(bare)]).await,
        "Graphite at URL answered with no content type instead of JSON; check that [graphite] url is that of graphite-web"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Upstream::saying(vec![Step::Send(json(ONE))]);
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}/render\r\nContent-Length: 0\r\n\r\n",
        other.url()
    );
    assert_eq!(
        fault_of(vec![Step::Send(answer.into_bytes())]).await,
        format!(
            "Graphite at URL answered with HTTP status 302 Found; redirects are not followed, so set [graphite] url to where graphite-web is ({}/render)",
            other.url()
        )
    );
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn half_an_answer_at_every_cut() {
    // Cut before the length that was promised, and at the end of the
    // connection with no length promised.
    let whole = json(ONE);
    let body_at = whole.len() - ONE.len();
    let open = [open_ended_json(), ONE.as_bytes().to_vec()].concat();
    let open_body_at = open.len() - ONE.len();
    let upstream = Upstream::start(move |request| {
        let (open_ended, cut) =
            request.line.split_once("/cut/").unwrap().1.split_once('/').unwrap();
        let cut: usize = cut.split_once('/').unwrap().0.parse().unwrap();
        let bytes = if open_ended == "1" { &open } else { &whole };
        vec![Step::Send(bytes[..cut].to_vec()), Step::Close]
    });
    let ask_cut = async |open_ended: usize, cut: usize| {
        ask(&config(format!("{}/cut/{open_ended}/{cut}", upstream.url()))).await
    };
    for (open_ended, head) in [(0, body_at), (1, open_body_at)] {
        for cut in 0..head + ONE.len() {
            let fault = ask_cut(open_ended, cut).await.unwrap_err();
            let fits = match &fault {
                Error::NotHttp { .. } => cut < head,
                Error::BrokenOff { received, .. } => open_ended == 0 && *received == cut - head,
                Error::Malformed { .. } => open_ended == 1 && cut >= head,
                _ => false,
            };
            assert!(fits, "cut at {cut}: {fault:?}");
        }
        assert_eq!(ask_cut(open_ended, head + ONE.len()).await.unwrap(), one());
    }
    let fault = ask_cut(0, body_at + 10).await.unwrap_err();
    let text = told(&fault);
    assert!(
        text.contains(" broke off after 10 bytes of the answer; try again, and look"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_without_end() {
    let max_body = ByteSize::mib(1);
    let big = |steps| async {
        let upstream = Upstream::saying(steps);
        let config = Config { max_body, ..config(upstream.url()) };
        let fault = ask(&config).await.unwrap_err();
        (told(&fault).replace(&upstream.url(), ""), upstream.sent())
    };
    let sentence = "the answer of Graphite at /render is larger than [graphite] max_body (1.0 MiB); ask with a narrower key, a shorter window or fewer points";
    let (fault, sent) =
        big(vec![Step::Send(open_ended_json()), Step::Forever(b"         ".to_vec())]).await;
    assert_eq!(fault, sentence);
    // The kernel's buffers take a few MiB more than we do.
    assert!(sent < 20 << 20, "{sent} bytes were taken");

    let chunked =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (fault, _) =
        big(vec![Step::Send(chunked.to_vec()), Step::Forever(b"4\r\n    \r\n".to_vec())]).await;
    assert_eq!(fault, sentence);
}

#[tokio::test]
async fn a_promised_length_costs_nothing() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9000000000000000000\r\n\r\n[";
    let fault = fault_of(vec![Step::Send(head.as_bytes().to_vec()), Step::Close]).await;
    assert_begins(&fault, "the connection to Graphite at URL broke off after 1 bytes");
}

#[tokio::test]
async fn large_answers_share_one_room() {
    // Each needs three MiB of the four. The first that finds no room gives up
    // its own, so that the other gets on.
    let upstream = Upstream::saying(vec![
        Step::Send(open_ended_json()),
        Step::Send(vec![b' '; 3 << 20]),
        Step::Silence,
    ]);
    let config = Config {
        timeout: Duration::from_secs(2),
        max_body: ByteSize::mib(4),
        max_buffered: ByteSize::mib(4),
        ..config(upstream.url())
    };
    let client = Client::new(&config).unwrap().unwrap();
    let both = tokio::join!(ask_with(&client), ask_with(&client));
    let (refused, other) = match both {
        (Err(refused @ Error::NoRoom { .. }), other) => (refused, other),
        (other, Err(refused)) => (refused, other),
        both => panic!("{both:?}"),
    };
    assert_eq!(
        told(&refused),
        "large answers of Graphite already fill [graphite] max_buffered (4.0 MiB); try again later or ask for less"
    );
    assert!(matches!(other, Err(Error::Unfinished { received: 3_145_728, .. })), "{other:?}");
    // The room is free again.
    let third = ask_with(&client).await;
    assert!(matches!(third, Err(Error::Unfinished { received: 3_145_728, .. })), "{third:?}");
}

#[tokio::test]
async fn questions_wait_for_a_free_slot_within_the_deadline() {
    let upstream = Upstream::saying(vec![Step::Silence]);
    let config = Config { timeout: SHORT, max_requests: 1, ..config(upstream.url()) };
    let client = Client::new(&config).unwrap().unwrap();
    let (first, second) = tokio::join!(ask_with(&client), ask_with(&client));
    assert!(matches!(first, Err(Error::Late { .. })), "{first:?}");
    assert!(
        matches!(second, Err(Error::Crowded { requests: 1, .. } | Error::Late { .. })),
        "{second:?}"
    );
}

#[tokio::test]
async fn two_hundred_slow_answers_at_once() {
    let upstream = Upstream::saying(vec![Step::Pause(SHORT), Step::Send(json(ONE))]);
    let client = Client::new(&config(upstream.url())).unwrap().unwrap();
    let start = Instant::now();
    let answers = futures_util::future::join_all((0..200).map(|_| ask_with(&client))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == one()));
    assert!(start.elapsed() < LIMIT, "took {:?}", start.elapsed());
}

#[tokio::test]
async fn malformed_answers() {
    for body in [
        &b""[..],
        b"{}",
        b"[] []",
        b"[{\"target\": 1, \"datapoints\": []}]",
        b"[{\"target\": \"nagios.h.a\", \"datapoints\": [[1, 2, 3]]}]",
        b"[{\"target\": \"nagios.h.\xff\", \"datapoints\": []}]",
        b"\xff\xfe[\0]\0",
    ] {
        assert_begins(
            &fault_of_page("200 OK", "application/json", body).await,
            "the answer of Graphite at URL is not what its render API gives; try again, and check that [graphite] url is that of graphite-web: ",
        );
    }
    let deep = format!("[{{\"target\": \"nagios.h.a\", \"datapoints\": {}", "[".repeat(5_000_000));
    let fault = fault_of_page("200 OK", "application/json", deep).await;
    assert_begins(&fault, "the answer of Graphite at URL is not what its render API gives");
}

#[tokio::test]
async fn compressed_without_being_asked() {
    let gzip = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0";
    let fault = fault_of(vec![Step::Send(gzip.to_vec())]).await;
    assert_begins(&fault, "the answer of Graphite at URL is not what its render API gives");
}

#[tokio::test]
async fn numbers_that_are_none() {
    let body = r#"[{"target": "nagios.h.x", "datapoints": [[1e9999, 1], [-1e9999, 2], [NaN, 3], [1e-9999, 4], [123456789012345678901234567890, 5]]}]"#;
    let upstream = Upstream::saying(vec![Step::Send(json(body))]);
    let series = ask(&config(upstream.url())).await.unwrap();
    let values: Vec<_> = series[0].points.iter().map(|point| point.value).collect();
    assert_eq!(
        values,
        [None, None, None, Some(0.0), Some(123_456_789_012_345_680_000_000_000_000.0)]
    );
}

#[tokio::test]
async fn series_of_others_are_left_out() {
    let body = r#"[{"target": "nagios.h2.a", "datapoints": [[1, 1]]}, {"target": "nagios.h.a", "datapoints": [[2, 1]]}, {"target": "nagios.h", "datapoints": [[3, 1]]}]"#;
    let upstream = Upstream::saying(vec![Step::Send(json(body))]);
    let series = ask(&config(upstream.url())).await.unwrap();
    let points = vec![Datapoint { time: 1, value: Some(2.0) }];
    assert_eq!(series, [Series { name: "a".to_owned(), points }], "another host's series");
}

#[tokio::test]
async fn more_than_the_caps() {
    let body = |series: usize, points: usize| {
        let points = vec!["[1, 1]"; points].join(",");
        let one = |n| format!(r#"{{"target": "nagios.h.s{n:05}", "datapoints": [{points}]}}"#);
        format!("[{}]", (0..series).map(one).collect::<Vec<_>>().join(","))
    };
    assert_eq!(
        fault_of_page("200 OK", "application/json", body(10_000, 1)).await,
        "the answer of Graphite at URL has more than 2000 series, the limit of [graphite] max_series; ask with a narrower key"
    );
    let upstream = Upstream::saying(vec![Step::Send(json(body(2_000, 10)))]);
    assert_eq!(ask(&config(upstream.url())).await.unwrap().len(), 2_000);
    let narrow = Config { max_points: 19_999, ..config(upstream.url()) };
    let fault = ask(&narrow).await.unwrap_err();
    assert!(fault.blames_question());
    assert_eq!(
        told(&fault).replace(&upstream.url(), ""),
        "the answer of Graphite at /render has more than 19999 points, the limit of [graphite] max_points; ask with a narrower key, a shorter window or a smaller max_points"
    );
}

#[tokio::test]
async fn tls_with_an_authority_of_our_own() {
    let (upstream, pem) = Upstream::start_tls(|_| vec![Step::Send(json(ONE))]);
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    let trusting = Config { ca_file: ca_file.clone(), ..config(upstream.url()) };
    assert_eq!(ask(&trusting).await.unwrap(), one());

    let (stranger, _) = Upstream::start_tls(|_| vec![Step::Send(json(ONE))]);
    let fault = ask(&Config { ca_file, ..config(stranger.url()) }).await.unwrap_err();
    let text = told(&fault);
    assert_begins(&text, &format!("cannot connect to Graphite at {}/render; ", stranger.url()));
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(stranger.requests().len(), 0);
}

#[tokio::test]
async fn a_ca_file_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    let of = |ca_file: &std::path::Path| {
        let url = "https://127.0.0.1:1".to_owned();
        Client::new(&Config { ca_file: ca_file.to_owned(), ..config(url) }).unwrap_err()
    };
    let fault = of(&ca_file);
    assert!(matches!(fault, SetupError::Tls(tls::Error::CaFile { .. })), "{fault:?}");
    std::fs::write(&ca_file, "nothing").unwrap();
    let fault = anyhow::Error::new(of(&ca_file));
    assert_eq!(
        format!("{fault:#}"),
        format!(
            "cannot set up TLS for [graphite] url and ca_file: {} holds no certificate",
            ca_file.display()
        )
    );
}
