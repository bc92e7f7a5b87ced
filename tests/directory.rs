//! Who is staff, asked of a real slapd, and of servers that lie.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a helper fails the test by panicking"
)]

mod common;

use std::collections::HashMap;
use std::error::Error as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::slapd::{PASSWORD, SUFFIX, Slapd, Tree};
use nix::sys::signal::Signal;
use weather_balloon::directory::{Config, Directory, Error};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn ask(config: &Config, asked: &[&str]) -> Result<HashMap<String, bool>, Error> {
    Directory::new(config)?.unwrap().staff(&names(asked)).await
}

/// Names and answers in order; a name without an answer is absent.
async fn staff(config: &Config, asked: &[&str]) -> Vec<(String, bool)> {
    let mut answers: Vec<_> = ask(config, asked).await.unwrap().into_iter().collect();
    answers.sort();
    answers
}

fn answers(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    let mut expected: Vec<_> =
        expected.iter().map(|(name, staff)| ((*name).to_owned(), *staff)).collect();
    expected.sort();
    expected
}

fn chain(fault: &Error) -> String {
    let mut text = format!("{fault}\n{fault:?}");
    let mut source = fault.source();
    while let Some(next) = source {
        text.push_str(&format!("\n{next}\n{next:?}"));
        source = next.source();
    }
    text
}

fn simple() -> Tree {
    let mut tree = Tree::default();
    tree.person("alice", "People");
    tree.person("bob", "People");
    tree.posix_group("staff", "Groups", &["alice"]);
    tree
}

#[tokio::test]
async fn no_url_is_no_directory() {
    assert!(Directory::new(&Config::default()).unwrap().is_none());
}

#[tokio::test]
async fn a_name_matches_only_itself() {
    let corpus = [
        "*",
        "a*",
        "*lice",
        "alice",
        "Alice",
        "ALICE",
        "alice ",
        " alice",
        "al  ice",
        "al ice",
        "(",
        ")",
        "()",
        "a(b",
        "o(brien)",
        "a)(uid=*",
        "x)(|(uid=*))",
        "*)(uid=*",
        "\\",
        "\\2a",
        "\\2A",
        "a\\2a",
        "a\\",
        "\\\\",
        "star*user",
        "josé",
        "jose",
        "jose\u{301}",
        "JOSÉ",
        "a,b",
        "a=b",
        "a+b",
        "#a",
        "a;b",
        "a\"b",
        "<a>",
        "&(uid=*)",
        "|",
        "!",
        "~=",
        ">=",
        "uid=alice",
        "cn=alice,dc=x",
        "ａｌｉｃｅ",
        "straße",
        "strasse",
        "a\u{200b}b",
        "ab",
        "%00",
        "%2a",
        "a\nb",
        "-",
        "/",
        "日本",
    ];
    // Each second one lives in the directory and is staff, as far as slapd
    // tells it from those that do.
    let mut tree = Tree::default();
    let mut living: Vec<&str> = Vec::new();
    let mut members = Vec::new();
    for name in corpus.iter().step_by(2) {
        members.push(tree.person(name, "People"));
        living.push(name);
    }
    let dns: Vec<&str> = members.iter().map(String::as_str).collect();
    tree.group_of_names("staff", "Groups", &dns);
    let slapd = Slapd::start(&tree);
    let config = slapd.config();
    let expected: Vec<_> = corpus.iter().map(|name| (*name, living.contains(name))).collect();
    let told = staff(&config, &corpus).await;
    assert_eq!(told, answers(&expected), "a name does not match itself alone");
    // These are no user names, so nobody is asked.
    let long = "a".repeat(257);
    assert_eq!(staff(&config, &["", "a\0", "\0", &long]).await, []);
    assert_eq!(staff(&config, &[]).await, []);
}

#[tokio::test]
async fn a_group_of_odd_name_is_found_by_itself_only() {
    let mut tree = simple();
    tree.posix_group("st*ff (all)", "Groups", &["bob"]);
    let slapd = Slapd::start(&tree);
    let of = |group: &str| Config { staff_group: group.to_owned(), ..slapd.config() };
    assert_eq!(
        staff(&of("st*ff (all)"), &["alice", "bob"]).await,
        answers(&[("alice", false), ("bob", true)])
    );
    for none in ["*", "st*", "st\\2aff (all)", "staff)(cn=*"] {
        let fault = ask(&of(none), &["alice"]).await.unwrap_err();
        assert!(matches!(fault, Error::NoGroup { .. }), "{none}: {fault:?}");
    }
}

#[tokio::test]
async fn members_by_name_and_by_dn() {
    let mut tree = simple();
    let carol = tree.person("carol", "People");
    let spelled = carol.replace("cn=", "CN=").replace(",ou=People", ", OU=people");
    tree.group_of_names("dn-staff", "Groups", &[&spelled]);
    let slapd = Slapd::start(&tree);
    let all = ["alice", "bob", "carol", "nobody"];
    let by_name = answers(&[("alice", true), ("bob", false), ("carol", false), ("nobody", false)]);
    assert_eq!(staff(&slapd.config(), &all).await, by_name);
    let by_dn = Config { staff_group: "dn-staff".to_owned(), ..slapd.config() };
    let expected = answers(&[("alice", false), ("bob", false), ("carol", true), ("nobody", false)]);
    assert_eq!(staff(&by_dn, &all).await, expected);
}

#[tokio::test]
async fn by_every_transport() {
    let slapd = Slapd::start(&simple());
    let plain = slapd.config();
    let ldaps = Config { url: format!("ldaps://127.0.0.1:{}", slapd.ldaps), ..slapd.config() };
    let starttls = Config { starttls: true, ..slapd.config() };
    let expected = answers(&[("alice", true), ("bob", false)]);
    for config in [&plain, &ldaps, &starttls] {
        assert_eq!(staff(config, &["alice", "bob"]).await, expected, "{config:?}");
    }
    for config in [ldaps, starttls] {
        let stranger = Config { ca_file: slapd.path("other-ca.pem"), ..config.clone() };
        let fault = ask(&stranger, &["alice"]).await.unwrap_err();
        assert!(matches!(fault, Error::Handshake { .. }), "{fault:?}");
        // The certificate is for 127.0.0.1.
        let renamed = Config { url: config.url.replace("127.0.0.1", "localhost"), ..config };
        let fault = ask(&renamed, &["alice"]).await.unwrap_err();
        assert!(matches!(fault, Error::Handshake { .. }), "{fault:?}");
    }
    let mixed = Config { url: format!("ldaps://127.0.0.1:{}", slapd.ldap), ..plain };
    assert!(ask(&mixed, &["alice"]).await.is_err());
}

#[tokio::test]
async fn binds_with_the_password_of_its_file() {
    let mut tree = simple();
    tree.posix_group("closed", "Closed", &["bob"]);
    let slapd = Slapd::start(&tree);
    let closed = Config {
        groups_base: format!("ou=Closed,{SUFFIX}"),
        staff_group: "closed".to_owned(),
        starttls: true,
        ..slapd.config()
    };
    let expected = answers(&[("alice", false), ("bob", true)]);
    assert_eq!(staff(&slapd.bound(closed.clone()), &["alice", "bob"]).await, expected);
    // What may not be read looks as if it were not there.
    let fault = ask(&closed, &["bob"]).await.unwrap_err();
    assert!(matches!(fault, Error::Refused { .. } | Error::NoGroup { .. }), "{fault:?}");
    let wrong =
        Config { bind_password_file: slapd.path("wrong-password"), ..slapd.bound(slapd.config()) };
    let fault = ask(&wrong, &["bob"]).await.unwrap_err();
    assert!(matches!(fault, Error::Credentials { code: 49, .. }), "{fault:?}");
    let told = chain(&fault);
    assert!(!told.contains("canary") && !told.contains(PASSWORD), "{told}");
    let config = slapd.bound(slapd.config());
    let shown = format!("{:?}", Directory::new(&config).unwrap());
    assert!(!shown.contains("canary"), "{shown}");
    // One that others can read is refused, and an empty one would bind as nobody.
    let exposed = Config { bind_password_file: slapd.path("ca.pem"), ..config.clone() };
    assert!(matches!(ask(&exposed, &["bob"]).await.unwrap_err(), Error::Password(_)));
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = Config { bind_password_file: empty.path().to_owned(), ..config };
    assert!(matches!(ask(&empty, &["bob"]).await.unwrap_err(), Error::NoPassword { .. }));
}

#[tokio::test]
async fn what_is_left_open_stays_as_it_was() {
    let mut tree = simple();
    tree.posix_group("empty", "Groups", &[]);
    tree.unit("Twice");
    tree.posix_group("staff", "Twice", &["alice"]);
    tree.unit("One");
    tree.unit("Other");
    tree.person("twin", "One");
    tree.person("twin", "Other");
    tree.person("single", "Other");
    tree.person("SINGLE", "One");
    tree.unit("Split");
    tree.person("dave", "Split");
    tree.referral("Split", "ldap://127.0.0.1:1/ou=there");
    let slapd = Slapd::start(&tree);
    let plain = slapd.config();
    let with = |change: fn(&mut Config)| {
        let mut config = plain.clone();
        change(&mut config);
        config
    };
    let fault = ask(&with(|c| c.staff_group = "gone".to_owned()), &["alice"]).await.unwrap_err();
    assert!(matches!(fault, Error::NoGroup { .. }), "{fault:?}");
    let fault = ask(&with(|c| c.staff_group = "empty".to_owned()), &["alice"]).await.unwrap_err();
    assert!(matches!(fault, Error::NoMembers { .. }), "{fault:?}");
    let fault = ask(&with(|c| c.groups_base = SUFFIX.to_owned()), &["alice"]).await.unwrap_err();
    assert!(matches!(fault, Error::ManyGroups { .. }), "{fault:?}");
    let fault =
        ask(&with(|c| c.people_base = "ou=x,dc=example,dc=org".to_owned()), &["alice"]).await;
    let fault = fault.unwrap_err();
    assert!(matches!(fault, Error::Refused { code: 32, .. }), "{fault:?}");

    // Two people of one name; one that only resembles another.
    let whole = with(|c| c.people_base = SUFFIX.to_owned());
    let asked = ["twin", "single", "SINGLE", "Single", "alice"];
    let expected =
        answers(&[("single", false), ("SINGLE", false), ("Single", false), ("alice", true)]);
    // A referral below the base leaves open whom the other server has.
    let without_referral: Vec<_> =
        expected.iter().filter(|(name, _)| name != "Single").cloned().collect();
    assert_eq!(staff(&whole, &asked).await, without_referral);
    // slapd lets the reader see one entry of a search and says that there is more.
    let limited = slapd.bound(whole);
    assert_eq!(staff(&limited, &["alice", "single", "twin"]).await, answers(&[("alice", true)]));
    let split = with(|c| c.people_base = format!("ou=Split,{SUFFIX}"));
    assert_eq!(staff(&split, &["dave", "erin"]).await, answers(&[("dave", false)]));
}

#[tokio::test]
async fn a_dead_or_hanging_server_changes_nothing() {
    let mut slapd = Slapd::start(&simple());
    let config = Config { timeout: Duration::from_millis(500), ..slapd.config() };
    let starttls = Config { starttls: true, ..config.clone() };
    let ldaps = Config { url: format!("ldaps://127.0.0.1:{}", slapd.ldaps), ..config.clone() };
    slapd.signal(Signal::SIGSTOP);
    for config in [&config, &starttls, &ldaps] {
        let began = Instant::now();
        let fault = ask(config, &["alice"]).await.unwrap_err();
        assert!(matches!(fault, Error::Late { .. }), "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    slapd.signal(Signal::SIGCONT);
    slapd.stop();
    for config in [&config, &starttls, &ldaps] {
        let fault = ask(config, &["alice"]).await.unwrap_err();
        assert!(matches!(fault, Error::Unreachable { .. }), "{fault:?}");
    }
}

/// Says the same to everybody who says something, as often as told.
fn liar(said: Vec<u8>, times: usize) -> (Config, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config {
        url: format!("ldap://{}", listener.local_addr().unwrap()),
        people_base: SUFFIX.to_owned(),
        groups_base: SUFFIX.to_owned(),
        timeout: Duration::from_secs(20),
        ..Config::default()
    };
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        // The client may leave whenever it likes.
        let _ = (0..times).try_for_each(|_| stream.write_all(&said));
    });
    (config, thread)
}

/// An element with a length of four bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], content].concat()
}

fn message(operation: u8, content: &[u8]) -> Vec<u8> {
    element(0x30, &[&[2, 1, 1], &*element(operation, content)].concat())
}

#[tokio::test]
async fn nothing_that_a_liar_sends_ends_the_process() {
    let mut deep = vec![4, 0];
    for _ in 0..30_000 {
        deep = if deep.len() > 190_000 { deep } else { element(0x30, &deep) };
    }
    let entry = |content: &[u8]| message(0x64, content);
    let corpus: Vec<(Vec<u8>, usize)> = vec![
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), 1),
        (b"-ERR unknown\r\n".to_vec(), 1),
        (Vec::new(), 1),
        (entry(&deep), 1),
        (vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], 1),
        // Entries and results without what must be in them.
        (entry(b""), 1),
        (entry(b"\x02\x01\x01"), 1),
        (entry(b"\x04\x01a\x30\x02\x04\0"), 1),
        (entry(b"\x04\x01\xff\x30\0"), 1),
        (message(0x65, b""), 1),
        (message(0x65, b"\x0a\0"), 1),
        (message(0x65, b"\x0a\x01\0"), 1),
        (message(0x65, b"\x0a\x01\0\x04\x01\xff\x04\x01\xff"), 1),
        // The answer to another question.
        (message(0x61, b"\x0a\x01\0\x04\0\x04\0"), 1),
        (message(0x78, b"\x0a\x01\0\x04\0\x04\0"), 1),
        (element(0x30, &[&[2, 1, 0], &*element(0x78, b"\x0a\x01\x34\x04\0\x04\0")].concat()), 1),
        // Without an end.
        (entry(b"\x04\x01a\x30\0"), usize::MAX),
        (entry(&element(4, &vec![b'a'; 1 << 20])), usize::MAX),
    ];
    for (said, times) in corpus {
        let head: Vec<u8> = said.iter().take(24).copied().collect();
        let (config, thread) = liar(said, times);
        let began = Instant::now();
        let fault = ask(&config, &["alice"]).await.unwrap_err();
        assert!(
            matches!(fault, Error::Malformed { .. } | Error::Ended { .. } | Error::NoGroup { .. }),
            "{head:?}: {fault:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{head:?} took {:?}", began.elapsed());
        thread.join().unwrap();
    }
}

/// What comes before the encryption could be anybody's.
#[tokio::test]
async fn starttls_takes_no_bytes_from_before() {
    let yes = element(0x30, &[&[2, 1, 1], &*element(0x78, b"\x0a\x01\0\x04\0\x04\0")].concat());
    let more = message(0x65, b"\x0a\x01\0\x04\0\x04\0");
    let refused =
        element(0x30, &[&[2, 1, 1], &*element(0x78, b"\x0a\x01\x02\x04\0\x04\0")].concat());
    for (said, is_refusal) in [([yes, more].concat(), false), (refused, true)] {
        let (config, thread) = liar(said, 1);
        let config = Config { starttls: true, ..config };
        match ask(&config, &["alice"]).await.unwrap_err() {
            Error::NoStartTls { code: 2, .. } => assert!(is_refusal),
            Error::Malformed { .. } => assert!(!is_refusal),
            other => panic!("{other:?}"),
        }
        thread.join().unwrap();
    }
}
