//! What a listing is when the cloud, its network or its tenants misbehave:
//! whole, or an error that says whose it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what these tests share stops them where something is missing"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::cloud_user::{
    body_of, cloud, fault_of, fleet, is_page, listed, password_keys, provider_of, secret, told,
    with_body,
};
use common::http::{Step, Upstream};
use common::openstack::{Answer, later};
use serde_json::{Value, json};
use weather_balloon::providers::{Blame, Provider, Question};

#[tokio::test]
async fn a_fault_on_any_page_fails_the_whole_listing() {
    let (fake, provider, _dir) = cloud("");
    let booted = fleet(&fake, 9, 3);
    assert_eq!(listed(&provider).await, booted);
    // Three full pages and an empty one, and one of what changed.
    let pages = fake.state().pages;
    assert_eq!(pages, 5);
    for bad in 0..pages {
        let mut seen = 0;
        fake.meddle(move |_, request, _, answer| {
            seen += usize::from(is_page(request));
            if !is_page(request) || seen != bad + 1 {
                return answer.steps();
            }
            Answer { status: "500 Internal Server Error", headers: vec![], body: b"oh".to_vec() }
                .steps()
        });
        let fault = fault_of(&provider).await;
        assert_eq!(fault.blame, Blame::Trouble, "{fault:?}");
    }
    fake.behave();
    assert_eq!(listed(&provider).await, booted);
}

#[tokio::test]
async fn a_page_cut_at_any_byte_is_no_listing() {
    let (fake, provider, _dir) = cloud("");
    fleet(&fake, 1, 10);
    let length = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&length);
    fake.meddle(move |_, request, _, answer| {
        if is_page(request) && !request.line.contains("changes-since") {
            *seen.lock().unwrap() = answer.body.len();
        }
        answer.steps()
    });
    listed(&provider).await;
    let whole = *length.lock().unwrap();
    assert!(whole > 1000, "{whole}");
    for cut in 0..whole {
        // Whole as HTTP, cut as JSON.
        fake.meddle(move |_, request, _, mut answer| {
            if is_page(request) && !request.line.contains("changes-since") {
                answer.body.truncate(cut);
            }
            answer.steps()
        });
        let fault = fault_of(&provider).await;
        assert_eq!(fault.blame, Blame::Trouble, "cut at {cut}");
    }
    for cut in (0..whole).step_by(97) {
        // Cut as HTTP.
        fake.meddle(move |_, request, _, answer| {
            let mut bytes = answer.bytes();
            if is_page(request) {
                bytes.truncate(bytes.len() - whole + cut);
                return vec![Step::Send(bytes), Step::Close];
            }
            vec![Step::Send(bytes)]
        });
        assert_eq!(fault_of(&provider).await.blame, Blame::Trouble, "broken off at {cut}");
    }
}

#[tokio::test]
async fn a_busy_cloud_is_waited_for_or_left_in_peace() {
    let (fake, provider, _dir) = cloud("max_wait = '2s'\n");
    let booted = fleet(&fake, 4, 2);
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        for (after, expected) in
            [("3600", Some(3600)), ("Sun, 22 Nov 2026 15:46:45 GMT", Some(5)), ("soon", None)]
        {
            fake.state().clock = Some(1_795_362_400);
            fake.meddle(move |_, request, _, answer| {
                let date =
                    answer.headers.iter().find(|(name, _)| name == "Date").unwrap().1.clone();
                if is_page(request) {
                    later(status, after).with("Date", date).steps()
                } else {
                    answer.steps()
                }
            });
            let fault = fault_of(&provider).await;
            assert_eq!(fault.blame, Blame::Throttling);
            assert_eq!(fault.retry_after, expected.map(Duration::from_secs), "{after}");
        }
        let mut seen = 0;
        fake.meddle(move |_, request, _, answer| {
            seen += usize::from(is_page(request));
            let busy = is_page(request) && seen % 2 == 1;
            if busy { later(status, "0").steps() } else { answer.steps() }
        });
        assert_eq!(listed(&provider).await, booted);
        // It is not waited for without end.
        fake.meddle(
            move |_, request, _, answer| {
                if is_page(request) { later(status, "0").steps() } else { answer.steps() }
            },
        );
        assert_eq!(fault_of(&provider).await.blame, Blame::Throttling);
    }
    fake.behave();
    assert_eq!(listed(&provider).await, booted);
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed_at_the_same_page() {
    let (fake, provider, _dir) = cloud("");
    let booted = fleet(&fake, 9, 3);
    fake.meddle(|state, request, page, answer| {
        if is_page(request) && page == 0 {
            state.pass(4000);
        }
        answer.steps()
    });
    assert_eq!(listed(&provider).await, booted);
    assert_eq!(fake.state().logins, 2);
    let pages: Vec<_> = fake.requests().into_iter().filter(is_page).collect();
    assert_eq!(pages[1].line, pages[2].line, "the same page again");
    assert_ne!(pages[1].header("x-auth-token"), pages[2].header("x-auth-token"));

    // Between two listings, too; and a token that no one takes is the end.
    fake.behave();
    fake.state().pass(4000);
    assert_eq!(listed(&provider).await, booted);
    assert_eq!(fake.state().logins, 3);
    fake.meddle(|_, request, _, answer| match is_page(request) {
        true => Answer::json("401 Unauthorized", &json!({"error": {"code": 401, "message": "no"}}))
            .steps(),
        false => answer.steps(),
    });
    let fault = fault_of(&provider).await;
    assert_eq!(fault.blame, Blame::Credentials);
    assert!(told(fault).starts_with("the cloud does not take a token that Keystone just gave"));
    assert_eq!(fake.state().logins, 4);
}

#[tokio::test]
async fn a_marker_that_is_deleted_or_lost_between_pages() {
    let (fake, provider, _dir) = cloud("");
    let booted = fleet(&fake, 9, 3);
    // Deleted: its row still is a place in the list.
    fake.meddle(|state, request, page, answer| {
        if is_page(request) && page == 0 {
            let marker = last_of(&answer);
            state.delete(&marker);
        }
        answer.steps()
    });
    let listing = provider.list(&Question::default()).await.unwrap();
    assert_eq!(listing.sighting.instances().len(), 8);
    let [gone] = listing.sighting.departed() else { panic!("{:?}", listing.sighting.departed()) };
    // It was seen alive first, so that its metadata is still known.
    assert_eq!(gone.record.as_ref().unwrap().owner.name(), "carol");
    assert!(booted.contains(gone.id.as_str()));

    // Purged: the cloud does not know the place, and the walk begins anew.
    let (fake, provider, _dir) = cloud("");
    let booted = fleet(&fake, 9, 3);
    let purged = Arc::new(Mutex::new(String::new()));
    let there = Arc::clone(&purged);
    fake.meddle(move |state, request, page, answer| {
        if is_page(request) && page == 1 {
            let marker = last_of(&answer);
            state.forget(&marker);
            *there.lock().unwrap() = marker;
        }
        answer.steps()
    });
    let found = listed(&provider).await;
    let stays: BTreeSet<_> =
        booted.iter().filter(|id| **id != *purged.lock().unwrap()).cloned().collect();
    assert!(found.is_superset(&stays), "{found:?}");

    // For ever: an error.
    fake.meddle(|_, request, _, answer| {
        if is_page(request) && request.line.contains("marker=") {
            let body = json!({"badRequest": {"code": 400, "message": "marker [x] not found"}});
            return Answer::json("400 Bad Request", &body).steps();
        }
        answer.steps()
    });
    assert!(told(fault_of(&provider).await).contains("lost its place in the list of servers"));
}

fn last_of(answer: &Answer) -> String {
    body_of(answer)["servers"].as_array().unwrap().last().unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_server_on_two_pages_is_one() {
    let (fake, provider, _dir) = cloud("");
    let booted = fleet(&fake, 9, 3);
    let mut last = Value::Null;
    fake.meddle(move |_, request, _, answer| {
        if !is_page(request) {
            return answer.steps();
        }
        let mut body = body_of(&answer);
        let servers = body["servers"].as_array_mut().unwrap();
        if !last.is_null() {
            servers.insert(0, last.take());
        }
        last = servers.last().cloned().unwrap_or_default();
        with_body(answer, &body)
    });
    assert_eq!(listed(&provider).await, booted);
}

#[tokio::test]
async fn links() {
    let (fake, provider, _dir) = cloud("max_pages = 20\n");
    let booted = fleet(&fake, 9, 3);
    // Behind a proxy: another scheme and port of the same host is our own.
    for base in ["https://127.0.0.1:1/x", "http://127.0.0.1"] {
        fake.state().link_base = Some(base.to_owned());
        assert_eq!(listed(&provider).await, booted, "{base}");
    }
    let elsewhere = Upstream::saying(vec![Step::Close]);
    let port = elsewhere.address().port();
    for base in [format!("http://localhost:{port}"), "http://198.51.100.1".to_owned()] {
        fake.state().link_base = Some(base.clone());
        let fault = told(fault_of(&provider).await);
        assert_eq!(fault, "the next link in the list of servers leads to another host");
    }
    assert_eq!(elsewhere.accepted(), 0);
    fake.state().link_base = None;

    let mut count = 0;
    fake.meddle(move |_, request, _, answer| {
        if !is_page(request) {
            return answer.steps();
        }
        count += 1;
        let mut body = body_of(&answer);
        body["servers_links"] =
            json!([{"rel": "next", "href": format!("?marker={count}&all_tenants=1")}]);
        body["servers"] = json!([]);
        // The fake knows no such marker; whoever cheats does.
        let mut answer = answer;
        answer.status = "200 OK";
        with_body(answer, &body)
    });
    assert!(told(fault_of(&provider).await).contains("more than max_pages (20)"));
    fake.meddle(|_, request, _, answer| {
        if !is_page(request) {
            return answer.steps();
        }
        let body = json!({"servers": [], "servers_links": [{"rel": "next", "href": "?marker=a"}]});
        Answer::json("200 OK", &body).steps()
    });
    assert!(told(fault_of(&provider).await).contains("leads in a circle"));
}

#[tokio::test]
async fn giant_bodies_endless_ones_and_silence() {
    let keys = "max_body = '64KiB'\nrequest_timeout = '300ms'\n";
    let (fake, provider, _dir) = cloud(keys);
    fleet(&fake, 1, 10);
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"servers\": [".to_vec();
    for (steps, said) in [
        (vec![Step::Send(head.clone()), Step::Forever(vec![b' '; 4096])], "larger than max_body"),
        (vec![Step::Send(head), Step::Silence], "did not answer in time"),
        (vec![Step::Silence], "did not answer in time"),
        (vec![Step::Close], "no whole HTTP answer"),
        (vec![Step::Send(b"SSH-2.0-x\r\n".to_vec()), Step::Close], "no whole HTTP answer"),
        (
            vec![Step::Send(b"HTTP/1.1 302 Found\r\nLocation: http://198.51.100.1/\r\nContent-Length: 0\r\n\r\n".to_vec())],
            "sends us elsewhere (http://198.51.100.1/)",
        ),
    ] {
        fake.meddle(move |_, request, _, answer| if is_page(request) { steps.clone() } else { answer.steps() });
        let fault = told(fault_of(&provider).await);
        assert!(fault.contains(said), "{fault}");
    }
    let too_many = provider_of(&format!(
        "{}max_instances = 5\n",
        password_keys(&fake, &_dir.path().join("password"))
    ));
    fake.behave();
    fleet(&fake, 9, 3);
    assert!(told(fault_of(&too_many).await).contains("more than max_instances (5)"));
}

#[tokio::test]
async fn one_region_down_is_no_listing() {
    let (fake, provider, _dir) = cloud("regions = ['RegionOne', 'West']\n");
    let booted = {
        let mut state = fake.state();
        state.regions = vec!["RegionOne".to_owned(), "West".to_owned()];
        BTreeSet::from([state.boot(Some("a"), 0), state.boot_in("West", Some("b"), 0)])
    };
    assert_eq!(listed(&provider).await, booted);
    for down in ["RegionOne", "West"] {
        fake.meddle(move |_, request, _, answer| match request.line.contains(down) {
            true => vec![Step::Close],
            false => answer.steps(),
        });
        assert_eq!(fault_of(&provider).await.blame, Blame::Trouble, "{down}");
    }
}

#[tokio::test]
async fn whose_fault_it_is() {
    let (fake, provider, dir) = cloud("");
    fleet(&fake, 1, 10);
    fake.state().member = true;
    let fault = fault_of(&provider).await;
    assert_eq!(fault.blame, Blame::Configuration);
    let text = told(fault);
    assert!(
        text.starts_with("the user may not list the servers of all projects (all_tenants=1)"),
        "{text}"
    );
    assert!(text.contains("Policy doesn't allow"), "{text}");

    let wrong = secret(&dir, "wrong", "canary-wrong");
    let fault = fault_of(&provider_of(&password_keys(&fake, &wrong))).await;
    assert_eq!(fault.blame, Blame::Credentials);
    assert!(told(fault).starts_with("Keystone does not take the credentials"));

    let keys = password_keys(&fake, &wrong).replace("/identity", "/nowhere");
    assert_eq!(fault_of(&provider_of(&keys)).await.blame, Blame::Configuration);
    let keys = password_keys(&fake, &wrong).replace(&fake.url(), "http://127.0.0.1:1");
    let fault = fault_of(&provider_of(&keys)).await;
    assert_eq!(fault.blame, Blame::Trouble);
    assert!(told(fault).contains("cannot connect to http://127.0.0.1:1"));
}
