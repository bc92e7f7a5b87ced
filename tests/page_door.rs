//! Who the page's door lets in, and what it makes of those whom it should not.

mod common;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use common::page::{Page, TOKEN, status};
use common::tls::{authority, files, over};

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

#[test]
fn every_answer_carries_the_policy() {
    let page = Page::open("");
    for path in ["/v1/status", "/healthz", "/metrics", "/v1/openapi.json", "/no/such/thing"] {
        let answer = page.get(path).to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(header), "{path} has no {header}:\n{answer}");
        }
        assert!(!answer.contains("access-control-allow"), "{path}: {answer}");
    }
    assert_eq!(status(&page.get("/v1/status")), 200);
    assert_eq!(status(&page.get("/no/such/thing")), 404);
    assert!(page.get("/no/such/thing").contains("application/problem+json"));
}

#[test]
fn a_name_that_is_not_ours_is_refused() {
    let page = Page::open("names = ['nagios.example.org']");
    let named = |lines: &str| {
        status(
            &page.exchange(&format!("GET /v1/hosts HTTP/1.1\r\n{lines}Connection: close\r\n\r\n")),
        )
    };
    assert_eq!(named("Host: localhost\r\n"), 200);
    assert_eq!(named("Host: Nagios.Example.ORG:8001\r\n"), 200);
    assert_eq!(named(&format!("Host: {}\r\n", page.address())), 200);
    assert_eq!(named("Host: rebound.example.com\r\n"), 421);
    assert_eq!(named("Host: localhost\r\nHost: rebound.example.com\r\n"), 421);
    assert!(matches!(named(""), 400 | 421));
    let absolute = page.exchange(
        "GET http://rebound.example.com/v1/hosts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(status(&absolute), 421);
}

#[test]
fn writing_needs_the_token_and_our_own_page() {
    let page = Page::open("");
    let put = |headers: &str| status(&page.write("PUT", "/v1/hosts", headers, "[]"));
    assert_eq!(put(""), 401);
    assert_eq!(put("Authorization: Bearer wrong\r\n"), 401);
    assert_eq!(put(&format!("Authorization: Basic {TOKEN}\r\n")), 401);
    // Nothing stands behind this door, and only who may write gets so far.
    assert_eq!(put(&bearer()), 503);
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_eq!(put(&format!("{headers}{}", bearer())), 403, "{headers}");
    }
    assert_eq!(put(&format!("Origin: http://localhost:8001\r\n{}", bearer())), 503);
    for (method, path) in
        [("POST", "/v1/rollback"), ("POST", "/v1/clouds/x/sync"), ("POST", "/v1/clouds/x/release")]
    {
        assert_eq!(status(&page.write(method, path, "", "{}")), 401, "{path}");
    }
}

#[test]
fn a_token_that_cannot_be_read_is_named() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = toml::from_str("listen = ['127.0.0.1:0']\ntoken_file = '/nowhere/token'").unwrap();
    let refused = runtime.block_on(weather_balloon::http::Door::bind(&config)).err();
    let told = weather_balloon::telemetry::sentence(&refused.expect("it opened"));
    assert!(told.contains("/nowhere/token"), "{told}");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let page = Page::open("max_body = '64KiB'");
    let answer = page.write("PUT", "/v1/hosts", &bearer(), &" ".repeat(65 * 1024));
    assert_eq!(status(&answer), 413, "{answer}");
    let chunked = page.exchange(&format!(
        "PUT /v1/hosts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n{}\r\n{}0\r\n\r\n",
        bearer(),
        format!("4000\r\n{}\r\n", " ".repeat(0x4000)).repeat(5)
    ));
    assert_eq!(status(&chunked), 413, "{chunked}");
}

#[test]
fn what_cannot_be_read_is_a_problem_that_says_so() {
    let page = Page::open("");
    for (path, words) in [
        ("/v1/hosts?limit=0", "limit 0"),
        ("/v1/hosts?limit=x", "limit"),
        ("/v1/hosts?wanted=1", "wanted"),
        ("/v1/hosts?source=moon", "moon"),
        ("/v1/hosts/a/metrics?from=tomorrow", "tomorrow"),
        ("/v1/hosts/a/metrics?from=2&until=1", "begin before"),
        ("/v1/hosts/a%20b/metrics", "character"),
        ("/v1/usage?by=moon", "moon"),
        ("/v1/generations/x", "`x`"),
    ] {
        let answer = page.get(path);
        assert_eq!(status(&answer), 400, "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
        assert!(answer.contains(words), "{path}: {answer}");
    }
    let broken = page.write("PUT", "/v1/hosts", &bearer(), "[{\"id\": ");
    assert_eq!(status(&broken), 400, "{broken}");
    let fault = page.write("PUT", "/v1/hosts", &bearer(), "[{\"id\":\"a b\",\"address\":\"x y\"}]");
    assert_eq!(status(&fault), 422, "{fault}");
    assert!(fault.contains("\"faults\":[") && fault.contains("a b"), "{fault}");
    assert!(fault.contains("application/problem+json"), "{fault}");
    assert_eq!(status(&page.write("DELETE", "/v1/hosts", &bearer(), "")), 405);
}

#[test]
fn a_slow_head_is_cut_and_idle_ones_leave_room() {
    let page = Page::open("max_connections = 64\nidle_timeout = '100ms'");
    let mut slow = page.connect();
    slow.write_all(b"GET /v1/status HTT").unwrap();
    let idle: Vec<_> =
        (0..1000).filter_map(|_| std::net::TcpStream::connect(page.address()).ok()).collect();
    assert!(idle.len() > 100, "the connections were refused by the system");
    let began = Instant::now();
    let mut end = Vec::new();
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = slow.read_to_end(&mut end);
    assert!(began.elapsed() < Duration::from_secs(20), "a slow head was kept");
    drop(idle);
    assert_eq!(status(&page.get("/healthz")), 200);
}

#[test]
fn a_body_that_drips_is_not_waited_for() {
    let page = Page::open("request_timeout = '500ms'");
    let mut slow = page.connect();
    write!(
        slow,
        "PUT /v1/hosts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 100000\r\n{}\r\n[",
        bearer()
    )
    .unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (began, mut answer) = (Instant::now(), [0; 512]);
    let count = loop {
        assert!(began.elapsed() < Duration::from_secs(20), "it was waited for");
        match slow.read(&mut answer) {
            Ok(count) => break count,
            Err(_) => slow.write_all(b" ").unwrap(),
        }
    };
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert_eq!(status(&answer), 503, "{answer}");
    assert_eq!(status(&page.get("/healthz")), 200);
}

#[test]
fn others_come_in_through_tls_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority("us");
    let files = files(dir.path(), &ours, &authority("nobody"));
    let page = Page::open(&format!(
        "listen = ['tls:127.0.0.1:0']\ntls.cert_file = {:?}\ntls.key_file = {:?}",
        files.cert_file, files.key_file
    ));
    let mut stream = over(page.connect(), &ours, None);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    let mut plain = page.connect();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    // TLS says why, or nothing.
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1"), "it answered without TLS");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = toml::from_str("listen = ['0.0.0.0:0']").unwrap();
    let refused = runtime.block_on(weather_balloon::http::Door::bind(&open)).err();
    let told = weather_balloon::telemetry::sentence(&refused.expect("it opened to all"));
    assert!(told.contains("[http.tls]"), "{told}");
}
