//! The OpenStack provider against a fake that answers as a real one was seen
//! to: ways in, pages, owners, flavors, regions and exact times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what these tests share stops them where something is missing"
)]

mod common;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use common::cloud_user::{NOON, cloud, password_keys, provider_of, secret};
use common::openstack::{Answer, CREDENTIAL_SECRET, OpenStack as Fake, PASSWORD};
use serde_json::{Value, json};
use weather_balloon::model::{EventKind, Instance, InstanceId, OwnerRank, Sighting};
use weather_balloon::providers::openstack::OpenStack;
use weather_balloon::providers::{Listing, Provider, Question};

async fn list(provider: &OpenStack, question: &Question) -> Listing {
    match provider.list(question).await {
        Ok(listing) => listing,
        Err(fault) => panic!("{:#}", anyhow::Error::new(fault)),
    }
}

async fn first(provider: &OpenStack) -> Sighting {
    let listing = list(provider, &Question::default()).await;
    assert_eq!(listing.skipped, []);
    listing.sighting
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn ids<'a>(found: impl IntoIterator<Item = &'a Instance>) -> BTreeSet<String> {
    found.into_iter().map(|one| one.id.to_string()).collect()
}

fn one<'a>(sighting: &'a Sighting, wanted: &str) -> &'a Instance {
    sighting.instances().iter().find(|one| one.id.as_str() == wanted).unwrap()
}

#[tokio::test]
async fn every_way_in() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().unwrap();
    let server = fake.state().boot(Some("carol"), 0);
    let credential = secret(&dir, "credential", CREDENTIAL_SECRET);
    let password = secret(&dir, "password", PASSWORD);
    let auth_url = fake.auth_url();
    let yaml = format!(
        "clouds:\n  byuser:\n    region_name: RegionOne\n    auth:\n      auth_url: {auth_url}/v3\n      \
         username: weatherballoon\n      password: {PASSWORD}\n      project_name: admin\n      \
         user_domain_name: Default\n      project_domain_id: default\n      project_id: p-admin\n    \
         identity_api_version: 3\n    regions: [RegionOne]\n  bycredential:\n    \
         auth_type: v3applicationcredential\n    interface: internal\n    auth:\n      \
         auth_url: {auth_url}\n      application_credential_id: ac-1\n      \
         application_credential_secret: \"{CREDENTIAL_SECRET}\"\n"
    );
    let yaml = secret(&dir, "clouds.yaml", &yaml);
    for keys in [
        password_keys(&fake, &password),
        format!(
            "auth_url = '{auth_url}/v3/'\napplication_credential_id = 'ac-1'\n\
             application_credential_secret_file = '{}'",
            credential.display()
        ),
        format!("clouds_yaml = '{}'\ncloud = 'byuser'", yaml.display()),
        format!("clouds_yaml = '{}'\ncloud = 'bycredential'", yaml.display()),
    ] {
        let sighting = first(&provider_of(&keys)).await;
        assert_eq!(ids(sighting.instances()), BTreeSet::from([server.clone()]), "{keys}");
    }
}

#[tokio::test]
async fn a_changed_secret_is_taken_over() {
    let (fake, provider, dir) = cloud("");
    fake.state().boot(Some("carol"), 0);
    let right = secret(&dir, "password", PASSWORD);
    std::fs::write(&right, "old").unwrap();
    assert!(provider.list(&Question::default()).await.is_err());
    std::fs::write(&right, PASSWORD).unwrap();
    assert_eq!(first(&provider).await.instances().len(), 1);
}

#[tokio::test]
async fn pages_are_as_long_as_the_cloud_likes() {
    let (fake, provider, _dir) = cloud("page_size = 1000\n");
    fake.state().max_limit = 3;
    let mut booted = BTreeSet::new();
    for count in 0..10 {
        let sighting = first(&provider).await;
        assert_eq!(ids(sighting.instances()), booted, "of {count} servers");
        booted.insert(fake.state().boot(Some("carol"), 0));
    }
    // Nine at three a page: the last is full and still leads to a fourth,
    // empty one.
    assert_eq!(fake.state().logins, 1);
}

#[tokio::test]
async fn what_a_server_is() {
    let (fake, provider, _dir) = cloud("addresses = ['floating', 'fixed']\n");
    let (running, stopped) = {
        let mut state = fake.state();
        let running = state.boot(Some("carol"), 2);
        state.server(&running).addresses = json!({"net": [
            {"addr": "10.0.0.4", "version": 4, "OS-EXT-IPS:type": "fixed"},
            {"addr": "203.0.113.9", "version": 4, "OS-EXT-IPS:type": "floating"}]});
        state.pass(60);
        let stopped = state.boot(Some("dave"), 0);
        state.pass(60);
        state.stop(&stopped);
        (running, stopped)
    };
    let sighting = first(&provider).await;
    assert_eq!(
        (sighting.cloud(), sighting.began(), sighting.ended()),
        ("east", NOON + 120, NOON + 120)
    );
    let server = one(&sighting, &running);
    assert_eq!(server.created, Some(NOON));
    assert_eq!((server.owner.name(), server.owner.rank()), ("carol", OwnerRank::Creator));
    let addresses: Vec<_> = server.details.addresses().iter().map(|one| one.as_str()).collect();
    assert_eq!(addresses, ["203.0.113.9", "10.0.0.4"]);
    assert_eq!((server.details.name.as_str(), server.details.status.as_str()), ("vm-1", "ACTIVE"));
    assert_eq!(
        (server.shape.flavor.key.as_str(), server.shape.size.vcpus()),
        ("m1.large", Some(8))
    );
    assert!(server.counted);
    assert!(!one(&sighting, &stopped).counted);
}

#[tokio::test]
async fn owners() {
    for (hidden, name, rank) in
        [(false, "shared", OwnerRank::UserName), (true, "u-shared", OwnerRank::Id)]
    {
        let (fake, provider, _dir) = cloud("owner_keys = ['owner', 'creator']\n");
        let (nameless, other) = {
            let mut state = fake.state();
            state.users_hidden = hidden;
            let other = state.boot(Some("carol"), 0);
            state.server(&other).metadata.insert("owner".to_owned(), "erin".to_owned());
            (state.boot(None, 0), other)
        };
        for _ in 0..3 {
            let sighting = first(&provider).await;
            let owner = &one(&sighting, &nameless).owner;
            assert_eq!((owner.name(), owner.rank()), (name, rank));
            assert_eq!(one(&sighting, &other).owner.name(), "erin");
        }
        let asked = fake.requests().iter().filter(|one| one.line.contains("/users")).count();
        assert_eq!(asked, 1, "names are remembered, and so is that they are not told");
    }
}

#[tokio::test]
async fn many_owners_are_asked_for_at_once() {
    let (fake, provider, _dir) = cloud("");
    let booted: Vec<_> = (0..30)
        .map(|n| {
            let mut state = fake.state();
            let server = state.boot(Some(&format!("user{n}")), 0);
            state.server(&server).metadata.clear();
            server
        })
        .collect();
    let sighting = first(&provider).await;
    assert_eq!(one(&sighting, &booted[29]).owner.name(), "user29");
    let asked = fake.requests().iter().filter(|one| one.line.contains("/users")).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn clouds_of_every_age() {
    for minor in [1, 21, 40, 47, 58, 93, 120] {
        let (fake, provider, _dir) = cloud("");
        let (small, orphan) = {
            let mut state = fake.state();
            (state.minor, state.max_limit) = (minor, 2);
            let small = state.boot(Some("carol"), 1);
            let orphan = state.boot(Some("carol"), 0);
            state.flavors.retain(|flavor| flavor.id != "1");
            (small, orphan)
        };
        let since = Question {
            since: Some(NOON),
            living: HashSet::from([id(&small)]),
            ..Question::default()
        };
        fake.state().pass(600);
        fake.state().stop(&small);
        let listing = list(&provider, &since).await;
        let sighting = &listing.sighting;
        let server = one(sighting, &small);
        assert_eq!(server.shape.flavor.name.as_str(), "m1.small", "2.{minor}");
        assert_eq!(server.shape.size.vcpus(), Some(2));
        let gone = one(sighting, &orphan);
        let expected = if minor >= 47 { ("m1.tiny", Some(1)) } else { ("1", None) };
        assert_eq!((gone.shape.flavor.name.as_str(), gone.shape.size.vcpus()), expected);
        let told: Vec<_> = sighting.events_of(&id(&small)).iter().map(|e| (e.at, e.kind)).collect();
        assert_eq!(told, [(NOON, EventKind::Started), (NOON + 600, EventKind::Stopped)]);
    }
}

#[tokio::test]
async fn what_happened_between_two_listings() {
    let (fake, provider, _dir) = cloud("");
    let kept = fake.state().boot(Some("carol"), 0);
    let doomed = fake.state().boot(Some("dave"), 1);
    let sighting = first(&provider).await;
    let living = ids(sighting.instances()).iter().map(|one| id(one)).collect();
    let question = Question { since: Some(sighting.began()), living, ..Question::default() };
    let brief = {
        let mut state = fake.state();
        state.pass(100);
        state.stop(&kept);
        state.pass(100);
        state.power_on(&kept);
        let brief = state.boot(Some("erin"), 2);
        state.pass(100);
        state.resize(&kept, 2);
        state.delete(&brief);
        state.pass(100);
        state.delete(&doomed);
        state.pass(200);
        brief
    };
    let listing = list(&provider, &question).await;
    let sighting = &listing.sighting;
    assert_eq!(listing.skipped, []);
    assert_eq!(ids(sighting.instances()), BTreeSet::from([kept.clone()]));
    assert_eq!(sighting.began(), NOON + 600);
    let told = |of: &str| {
        let events = sighting.events_of(&id(of)).iter();
        events.map(|event| (event.at - NOON, event.kind)).collect::<Vec<_>>()
    };
    use EventKind::{Deleted, Resized, Started, Stopped};
    assert_eq!(told(&kept), [(0, Started), (100, Stopped), (200, Started), (300, Resized)]);
    assert_eq!(told(&brief), [(200, Started), (300, Deleted)]);
    let gone: Vec<_> = sighting
        .departed()
        .iter()
        .map(|one| (one.id.as_str(), one.at.map(|at| at - NOON)))
        .collect();
    assert_eq!(gone, [(doomed.as_str(), Some(400)), (brief.as_str(), Some(300))]);
    // Its metadata is gone with it.
    let record = sighting.departed()[1].record.as_ref().unwrap();
    assert_eq!((record.owner.name(), record.owner.rank()), ("erin", OwnerRank::UserName));
    assert_eq!(record.shape.size.vcpus(), Some(8));
}

/// A list of changes does not reach back to when a server was last seen; its
/// actions do.
#[tokio::test]
async fn what_happened_unseen_is_told_once_it_is_seen_again() {
    let (fake, provider, _dir) = cloud("");
    let (stopped, doomed) = {
        let mut state = fake.state();
        (state.boot(Some("carol"), 0), state.boot(Some("dave"), 1))
    };
    first(&provider).await;
    let late = {
        let mut state = fake.state();
        state.pass(100);
        state.stop(&stopped);
        state.delete(&doomed);
        state.pass(100);
        // Its first record could not be read either.
        let late = state.boot(Some("erin"), 2);
        state.pass(100);
        state.resize(&late, 1);
        state.pass(3_900);
        late
    };
    let question = Question {
        since: Some(NOON + 3_600),
        living: HashSet::from([id(&stopped), id(&doomed)]),
        ..Question::default()
    };
    let blind = list(&provider, &question).await.sighting;
    assert_eq!(blind.departed()[0].at, None);
    let unseen = [&stopped, &doomed, &late].map(|one| (id(one), NOON)).into();
    let question = Question { unseen, ..question };
    let seen = list(&provider, &question).await.sighting;
    let told = |sighting: &Sighting, of: &str| {
        let events = sighting.events_of(&id(of)).iter();
        events.map(|event| (event.at - NOON, event.kind)).collect::<Vec<_>>()
    };
    use EventKind::{Deleted, Resized, Started, Stopped};
    for (id, events) in [
        (&stopped, vec![(0, Started), (100, Stopped)]),
        (&doomed, vec![(0, Started), (100, Deleted)]),
        (&late, vec![(200, Started), (300, Resized)]),
    ] {
        assert_eq!(told(&blind, id), []);
        assert_eq!(told(&seen, id), events);
    }

    // What was before the first listing is nobody's to bill.
    let before = Question { unseen: [(id(&late), NOON + 600)].into(), ..question };
    let late_told = told(&list(&provider, &before).await.sighting, &late);
    assert_eq!(late_told, [(300, Resized)]);
}

#[tokio::test]
async fn an_action_under_way_or_failed_is_not_told() {
    let (fake, provider, _dir) = cloud("");
    let server = fake.state().boot(Some("carol"), 0);
    {
        let mut state = fake.state();
        state.pass(100);
        state.resize(&server, 1);
        state.server(&server).actions[1].failed = true;
        state.pass(100);
        state.stop(&server);
        let server = state.server(&server);
        (server.status, server.task) = ("ACTIVE".to_owned(), Some("powering-off".to_owned()));
    }
    let question =
        Question { since: Some(NOON), living: HashSet::from([id(&server)]), ..Question::default() };
    let listing = list(&provider, &question).await;
    let told = listing.sighting.events_of(&id(&server));
    assert_eq!(told.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::Started]);
}

#[tokio::test]
async fn a_server_without_a_trace_is_asked_for() {
    let (fake, provider, _dir) = cloud("");
    let stays = fake.state().boot(Some("carol"), 0);
    let purged = fake.state().boot(Some("dave"), 0);
    let living = HashSet::from([id(&stays), id(&purged), id("../../flavors/1?x#y")]);
    let question = Question { since: Some(NOON), living, ..Question::default() };
    fake.state().forget(&purged);
    let listing = list(&provider, &question).await;
    let gone: Vec<_> =
        listing.sighting.departed().iter().map(|one| (one.id.as_str(), one.at)).collect();
    assert_eq!(gone, [("../../flavors/1?x#y", None), (purged.as_str(), None)]);
    assert_eq!(listing.sighting.departed()[0].record, None);
    let escaped = "/servers/..%2F..%2Fflavors%2F1%3Fx%23y ";
    assert!(fake.requests().iter().any(|one| one.line.contains(escaped)), "it is one path part");
}

#[tokio::test]
async fn a_server_that_the_walk_missed_is_found() {
    let (fake, provider, _dir) = cloud("");
    let missed = fake.state().boot(Some("carol"), 0);
    fake.state().pass(10_000);
    fake.meddle(|_, request, _, answer| {
        if !request.line.contains("servers/detail") {
            return answer.steps();
        }
        Answer::json("200 OK", &json!({"servers": []})).steps()
    });
    let question = Question {
        since: Some(NOON + 9_000),
        living: HashSet::from([id(&missed)]),
        ..Question::default()
    };
    let sighting = list(&provider, &question).await.sighting;
    assert_eq!(ids(sighting.instances()), BTreeSet::from([missed]));
}

#[tokio::test]
async fn two_regions_are_one_cloud_or_need_a_choice() {
    let (fake, provider, dir) = cloud("regions = ['RegionOne', 'West']\n");
    let (here, there) = {
        let mut state = fake.state();
        state.regions = vec!["RegionOne".to_owned(), "West".to_owned()];
        (state.boot(Some("carol"), 0), state.boot_in("West", Some("dave"), 1))
    };
    let gone = id("gone");
    let question = Question {
        since: Some(NOON),
        living: HashSet::from([gone.clone()]),
        ..Question::default()
    };
    let sighting = list(&provider, &question).await.sighting;
    assert_eq!(ids(sighting.instances()), BTreeSet::from([here, there]));
    assert_eq!(sighting.departed()[0].id, gone);
    assert_eq!(sighting.events_of(&sighting.instances()[1].id).len(), 1);

    let keys = password_keys(&fake, &dir.path().join("password"));
    for (more, said) in [
        ("", "set region or regions to some of [\"RegionOne\", \"West\"]"),
        ("region = 'East'\n", "in region \"East\"; it has [\"RegionOne\", \"West\"]"),
    ] {
        let fault = provider_of(&format!("{keys}{more}")).list(&question).await.unwrap_err();
        assert!(fault.to_string().ends_with(said), "{fault}");
    }
}

/// The body of an answer that a real cloud gave.
fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openstack").join(name);
    let mut sample: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    sample["body"].take()
}

#[tokio::test]
async fn what_a_real_cloud_answered_is_read() {
    for (minor, sample) in [
        (93, "nova-servers-detail-2.93-page1-200.json"),
        (1, "nova-servers-detail-2.1-old-flavor-form-200.json"),
    ] {
        let (fake, provider, _dir) = cloud("");
        {
            let mut state = fake.state();
            state.minor = minor;
            state.clock = Some(1_795_356_000);
        }
        let mut servers = recorded(sample);
        let expected = servers["servers"].as_array().unwrap().len();
        fake.meddle(move |_, request, _, answer| {
            let body = if request.line.contains("changes-since") {
                recorded("nova-servers-detail-deleted-true-200.json")
            } else if request.line.contains("servers/detail") {
                let body = servers.take();
                if body.is_null() { json!({"servers": []}) } else { body }
            } else if request.line.contains("flavors/detail") && !request.line.contains("marker") {
                recorded("nova-flavors-detail-200.json")
            } else if request.line.contains("os-instance-actions")
                && !request.line.contains("marker")
            {
                recorded("nova-instance-actions-page1-200.json")
            } else if request.line.contains("os-instance-actions") {
                json!({"instanceActions": []})
            } else if request.line.contains("/users ") {
                recorded("keystone-users-200.json")
            } else {
                return answer.steps();
            };
            Answer::json("200 OK", &body).with("Date", "Sun, 22 Nov 2026 14:00:00 GMT").steps()
        });
        let sighting = first(&provider).await;
        assert_eq!(sighting.instances().len(), expected);
        let server = one(&sighting, "cfcb5f04-8eff-43a7-93ca-9fda65896e6d");
        assert_eq!((server.owner.name(), server.details.name.as_str()), ("carol", "c-err"));
        assert_eq!(server.details.status.as_str(), "ERROR");
        assert_eq!(server.shape.flavor.name.as_str(), "m1.tiny");
        assert_eq!(
            (server.shape.size.vcpus(), server.shape.size.memory_mib()),
            (Some(1), Some(512))
        );
        assert_eq!(server.created, Some(1_795_355_881));
        assert!(sighting.instances().iter().all(|one| !one.counted));
        let gone = &sighting.departed()[0];
        assert_eq!(
            (gone.id.as_str(), gone.at),
            ("c04a4ab1-d3f4-4efe-9c04-cb000b340eb9", Some(1_795_356_045))
        );
        let told: Vec<_> = sighting.events_of(&gone.id).iter().map(|event| event.kind).collect();
        assert_eq!(told, [EventKind::Resized], "a failed resize and a confirmed one are none");
    }
}
