//! EC2's part against moto's real server, which checks every signature.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a helper fails the test by panicking"
)]

mod common;

use std::collections::{BTreeSet, HashSet};

use common::ec2::told;
use common::moto::Moto;
use serde_json::json;
use weather_balloon::model::{EventKind, InstanceId, OwnerRank};
use weather_balloon::providers::ec2::{Config, Ec2, Environment};
use weather_balloon::providers::{Blame, Error, Listing, Provider, Question};

fn cloud(config: &Config) -> Ec2 {
    Ec2::new("aws", config, &Environment::default()).unwrap()
}

async fn list(config: &Config, question: &Question) -> Result<Listing, Error> {
    cloud(config).list(question).await
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

#[tokio::test]
async fn instances_over_pages_with_owners_sizes_and_times() {
    const REGION: &str = "us-east-1";
    let mut moto = Moto::shared().await;
    let mut ids = moto.run(REGION, "t3.micro", 9, json!({"creator": "alice", "Name": "web"}));
    ids.extend(moto.run(REGION, "m5.large", 3, json!({})));
    let config = Config { page_size: 5, ..moto.config(REGION) };
    let first = list(&config, &Question::default()).await.unwrap();
    assert_eq!(first.skipped, []);
    let listed: BTreeSet<_> =
        first.sighting.instances().iter().map(|one| one.id.to_string()).collect();
    assert_eq!(listed, ids.iter().cloned().collect());
    let one = first.sighting.instances().iter().find(|one| one.id.as_str() == ids[0]).unwrap();
    assert_eq!((one.owner.rank(), one.owner.name()), (OwnerRank::Creator, "alice"));
    assert_eq!(one.details.name.as_str(), "web");
    assert_eq!(one.shape.size.vcpus(), Some(2));
    assert_eq!(one.shape.size.memory_mib(), Some(1024));
    assert!(one.counted && !one.details.addresses().is_empty());
    let other = first.sighting.instances().iter().find(|one| one.id.as_str() == ids[10]).unwrap();
    assert_eq!((other.owner.rank(), other.owner.name()), (OwnerRank::Id, "123456789012"));
    assert_eq!(other.shape.size.memory_mib(), Some(8192));

    moto.change(REGION, "stop", &[&ids[0], &ids[1]]);
    moto.change(REGION, "start", &[&ids[1]]);
    moto.change(REGION, "terminate", &[&ids[2]]);
    let living = first.sighting.instances().iter().map(|one| one.id.clone()).collect();
    let question = Question { since: Some(first.sighting.began()), living, ..Question::default() };
    let next = list(&config, &question).await.unwrap().sighting;
    let of = |id: &str| next.instances().iter().find(|one| one.id.as_str() == id).unwrap();
    assert!(!of(&ids[0]).counted && of(&ids[1]).counted);
    assert_eq!(of(&ids[0]).created, one.created);
    let before = first.sighting.instances().iter().find(|one| one.id.as_str() == ids[1]).unwrap();
    assert_eq!(of(&ids[1]).created, before.created);
    let [stopped] = next.events_of(&id(&ids[0])) else { panic!("{next:?}") };
    assert_eq!(stopped.kind, EventKind::Stopped);
    assert!(stopped.at >= first.sighting.began() && stopped.at <= next.ended());
    let [gone] = next.departed() else { panic!("{:?}", next.departed()) };
    assert_eq!(gone.id.as_str(), ids[2]);
    assert!(gone.at.is_some_and(|at| at >= first.sighting.began() && at <= next.ended()));
    assert_eq!(gone.record.as_ref().unwrap().owner.name(), "alice");
}

#[tokio::test]
async fn what_is_not_shown_is_asked_for() {
    const REGION: &str = "us-east-2";
    let mut moto = Moto::shared().await;
    let ids = moto.run(REGION, "t3.micro", 2, json!({}));
    let elsewhere = moto.run("eu-west-1", "t3.micro", 1, json!({}));
    let never = "i-00000000000000000";
    let living: HashSet<_> = [id(&ids[0]), id(&ids[1]), id(never), id("nonsense")].into();
    let question = Question { since: None, living, ..Question::default() };
    let listing = list(&moto.config(REGION), &question).await.unwrap().sighting;
    assert_eq!(listing.instances().len(), 2);
    let gone: Vec<_> = listing.departed().iter().map(|one| one.id.as_str()).collect();
    // moto says of a word, too, that there is no such instance.
    assert_eq!(gone, [never, "nonsense"]);

    // Two regions are one cloud.
    let both = Config { regions: vec!["eu-west-1".to_owned()], ..moto.config(REGION) };
    let question = Question {
        living: [id(&elsewhere[0]), id(never)].into(),
        since: None,
        ..Question::default()
    };
    let listing = list(&both, &question).await.unwrap().sighting;
    assert_eq!(listing.instances().len(), 3);
    assert_eq!(listing.departed().len(), 1);

    // A region that knows none of them is the wrong one, rather.
    let wrong = Config { region: "us-west-2".to_owned(), ..moto.config(REGION) };
    let question = Question {
        living: ids.iter().map(|text| id(text)).collect(),
        since: None,
        ..Question::default()
    };
    let listing = list(&wrong, &question).await.unwrap().sighting;
    assert_eq!((listing.instances().len(), listing.departed().len()), (0, 0));
}

#[tokio::test]
async fn what_moto_refuses_is_a_fault_of_credentials() {
    const REGION: &str = "sa-east-1";
    let mut moto = Moto::shared().await;
    moto.run(REGION, "t3.micro", 1, json!({}));
    assert!(list(&moto.config(REGION), &Question::default()).await.is_ok());
    let canary = "canary-secret";
    let (key, _) = moto.user("nobody", &["s3:ListBucket"]);
    let wrong_file = moto.secret_file("wrong", canary);
    let wrong = Config { secret_access_key_file: wrong_file, ..moto.config(REGION) };
    let unknown = Config { access_key_id: "AKIAUNKNOWN".to_owned(), ..moto.config(REGION) };
    for config in [wrong, unknown, Config { access_key_id: key, ..moto.config(REGION) }] {
        let fault = list(&config, &Question::default()).await.unwrap_err();
        assert_eq!(fault.blame, Blame::Credentials, "{fault:?}");
        let told = told(&fault);
        assert!(!told.contains(canary) && !told.contains(&moto.secret), "{told}");
        assert!(told.contains("AuthFailure"), "{told}");
    }
    let (key, secret) = moto.user("lister", &["s3:ListBucket"]);
    let file = moto.secret_file("lister", &secret);
    let denied = Config { access_key_id: key, secret_access_key_file: file, ..moto.config(REGION) };
    let fault = list(&denied, &Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Credentials, "{fault:?}");
    assert!(fault.to_string().contains("ec2:DescribeInstances"), "{fault}");
}

#[tokio::test]
async fn keys_of_the_environment_and_of_a_profile() {
    const REGION: &str = "eu-central-1";
    let mut moto = Moto::shared().await;
    moto.run(REGION, "t3.micro", 1, json!({}));
    let bare = Config {
        access_key_id: String::new(),
        secret_access_key_file: "".into(),
        region: String::new(),
        ..moto.config(REGION)
    };
    let environment = Environment {
        access_key_id: Some(moto.key.clone()),
        secret_access_key: Some(moto.secret.clone()),
        region: Some(REGION.to_owned()),
        ..Environment::default()
    };
    let shown = format!("{environment:?}");
    assert!(!shown.contains(&moto.secret) && !shown.contains(&moto.key), "{shown}");
    let ec2 = Ec2::new("aws", &bare, &environment).unwrap();
    assert_eq!(ec2.list(&Question::default()).await.unwrap().sighting.instances().len(), 1);

    let text = format!(
        "[default]\naws_access_key_id = x\naws_secret_access_key = y\n[balloon]\naws_access_key_id = {}\naws_secret_access_key = {}",
        moto.key, moto.secret
    );
    let profile = Config {
        region: REGION.to_owned(),
        credentials_file: moto.secret_file("credentials", &text),
        profile: "balloon".to_owned(),
        ..bare.clone()
    };
    assert!(list(&profile, &Question::default()).await.is_ok());
    let missing = Config { profile: "gone".to_owned(), ..profile };
    let fault = list(&missing, &Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Credentials);
    assert!(fault.to_string().contains("\"gone\""), "{fault}");

    let nothing = Environment { metadata_disabled: true, ..Environment::default() };
    let none = Ec2::new("aws", &Config { region: REGION.to_owned(), ..bare }, &nothing).unwrap();
    let fault = none.list(&Question::default()).await.unwrap_err();
    assert_eq!(fault.blame, Blame::Credentials);
}

#[tokio::test]
async fn a_type_that_the_endpoint_does_not_know_is_the_tables() {
    const REGION: &str = "ap-south-1";
    let mut moto = Moto::shared().await;
    moto.run(REGION, "t3.micro", 1, json!({}));
    moto.run(REGION, "weather.9xlarge", 1, json!({}));
    let vcpus = [("weather.9xlarge".to_owned(), 36), ("t3.micro".to_owned(), 99)].into();
    let config = Config { vcpus, ..moto.config(REGION) };
    let listing = list(&config, &Question::default()).await.unwrap().sighting;
    let mut sizes: Vec<_> = listing
        .instances()
        .iter()
        .map(|one| (one.shape.flavor.key.as_str().to_owned(), one.shape.size.vcpus()))
        .collect();
    sizes.sort();
    assert_eq!(sizes, [("t3.micro".to_owned(), Some(2)), ("weather.9xlarge".to_owned(), Some(36))]);
}
