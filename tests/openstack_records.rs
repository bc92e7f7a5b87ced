//! What a listing says of records that are hostile, absent or silent, and what
//! nothing says: secrets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what these tests share stops them where something is missing"
)]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use common::cloud_user::{
    NOON, body_of, cloud, fault_of, fleet, is_page, listed, password_keys, provider_of, secret,
    told, with_body,
};
use common::openstack::{Answer, PASSWORD, State};
use serde_json::json;
use weather_balloon::model::InstanceId;
use weather_balloon::providers::openstack::OpenStack;
use weather_balloon::providers::{Blame, Provider, Question};

#[tokio::test]
async fn a_hostile_record_is_left_out_alone() {
    let (fake, provider, _dir) = cloud("");
    let booted = fleet(&fake, 3, 10);
    let victim = booted.first().unwrap().clone();
    for (key, value) in [
        ("flavor", json!({"original_name": "x", "vcpus": "many"})),
        ("metadata", json!({"creator": [[[]]]})),
        ("status", json!("UNKNOWN")),
        ("created", json!(12)),
        ("addresses", json!({"net": 7})),
    ] {
        let of = victim.clone();
        fake.meddle(move |_, request, _, answer| {
            if !is_page(request) {
                return answer.steps();
            }
            let mut body = body_of(&answer);
            for server in body["servers"].as_array_mut().unwrap() {
                if server["id"] == of.as_str() {
                    server[key] = value.clone();
                }
            }
            with_body(answer, &body)
        });
        let question = Question {
            since: Some(NOON),
            living: HashSet::from([InstanceId::parse(&victim).unwrap()]),
            ..Question::default()
        };
        let listing = provider.list(&question).await.unwrap();
        assert_eq!(listing.sighting.instances().len(), 2, "{key}");
        assert_eq!(listing.sighting.departed(), [], "it is neither shown nor absent");
        let [skipped] = listing.skipped.as_slice() else { panic!("{:?}", listing.skipped) };
        assert_eq!(skipped.id.as_str(), victim);
    }
    // Sizes that no machine has, and text that no terminal should see.
    let of = victim.clone();
    fake.meddle(move |_, request, _, answer| {
        if !is_page(request) {
            return answer.steps();
        }
        let mut body = body_of(&answer);
        for server in body["servers"].as_array_mut().unwrap() {
            if server["id"] == of.as_str() {
                server["flavor"]["vcpus"] = json!(u64::MAX);
                server["name"] = json!("\u{1b}[31m\0".repeat(10_000));
                server["metadata"]["creator"] = json!("e\nvil");
            }
        }
        with_body(answer, &body)
    });
    let listing = provider.list(&Question::default()).await.unwrap();
    let shown = listing.sighting.instances().iter().find(|one| one.id.as_str() == victim).unwrap();
    assert_eq!(shown.shape.size.vcpus(), None);
    assert_eq!(shown.owner.name(), "e vil");
    assert!(shown.details.name.as_str().len() <= 255);
    // Without an id nobody knows whose record it is.
    for id in [json!(null), json!(5), json!("a\u{7}b"), json!("x".repeat(300))] {
        fake.meddle(move |_, request, _, answer| {
            if !is_page(request) {
                return answer.steps();
            }
            let mut body = body_of(&answer);
            if let Some(server) = body["servers"].get_mut(1) {
                server["id"] = id.clone();
            }
            with_body(answer, &body)
        });
        assert_eq!(fault_of(&provider).await.blame, Blame::Trouble);
    }
}

#[tokio::test]
async fn an_absence_is_explained_by_nova_alone() {
    let (fake, provider, _dir) = cloud("");
    fleet(&fake, 1, 10);
    let question = Question {
        since: Some(NOON),
        living: HashSet::from([InstanceId::parse("gone").unwrap()]),
        ..Question::default()
    };
    let answers: [(&'static str, &str); 4] = [
        ("404 Not Found", "<html>404 Not Found</html>"),
        ("403 Forbidden", "{}"),
        ("500 Internal Server Error", "{}"),
        ("200 OK", "{}"),
    ];
    for (status, body) in answers {
        fake.meddle(move |_, request, _, answer| match request.line.contains("/servers/gone") {
            true => Answer { status, headers: vec![], body: body.as_bytes().to_vec() }.steps(),
            false => answer.steps(),
        });
        let listing = provider.list(&question).await.unwrap();
        assert_eq!(listing.sighting.departed(), [], "{status}");
        assert_eq!(listing.sighting.instances().len(), 1);
    }
    fake.behave();
    assert_eq!(provider.list(&question).await.unwrap().sighting.departed().len(), 1);
}

#[tokio::test]
async fn actions_that_cannot_be_told_stop_no_listing_until_they_are_many() {
    let (fake, provider, _dir) = cloud("");
    fake.state().boot(Some("carol"), 0);
    fake.meddle(|_, request, _, answer| match request.line.contains("os-instance-actions") {
        true => {
            Answer { status: "500 Internal Server Error", headers: vec![], body: vec![] }.steps()
        }
        false => answer.steps(),
    });
    assert_eq!(listed(&provider).await.len(), 1);
    for _ in 0..5 {
        fake.state().boot(Some("carol"), 0);
    }
    assert_eq!(fault_of(&provider).await.blame, Blame::Trouble);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The canaries are the fake's secrets, and the tokens that it gives.
#[tokio::test]
async fn secrets_are_in_no_error_and_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("this is the log");
    let (fake, provider, dir) = cloud("");
    fleet(&fake, 3, 2);
    let mut texts = vec![format!("{provider:?}")];
    listed(&provider).await;
    // A cloud that tells back what it was told, in every status.
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "201 Created",
    ] {
        fake.meddle(move |_: &mut State, request, _, _| {
            let token = request.header("x-auth-token").unwrap_or_default();
            let message = format!("you said {} and {token}", request.body);
            Answer::json(status, &json!({"error": {"message": message}})).steps()
        });
        for asker in [&provider, &provider_of(&password_keys(&fake, &dir.path().join("password")))]
        {
            texts.push(told(fault_of(asker).await));
        }
    }
    let yaml =
        secret(&dir, "clouds.yaml", &format!("clouds:\n  a:\n    auth: {PASSWORD}\n  b: [\n"));
    let config =
        toml::from_str(&format!("clouds_yaml = '{}'\ncloud = 'a'", yaml.display())).unwrap();
    texts.push(told(OpenStack::new("x", &config).unwrap_err()));
    texts.push(String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned());
    assert!(texts.last().unwrap().contains("this is the log"));
    let mut shown = BTreeMap::new();
    for text in &texts {
        for (at, _) in text.match_indices("canary") {
            shown.insert(at, text[at.saturating_sub(60)..(at + 30).min(text.len())].to_owned());
        }
    }
    assert!(shown.is_empty(), "{shown:#?}");
}
