//! The OpenStack provider against a real Keystone: who is let in, and what those
//! are told who are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what these tests share stops them where something is missing"
)]

mod common;

use common::cloud_user::{fault_of, provider_of, secret, told};
use common::keystone::{ADMIN_PASSWORD, Keystone};
use common::openstack::OpenStack as Fake;
use weather_balloon::model::OwnerRank;
use weather_balloon::providers::{Blame, Provider, Question};

/// Its Nova is the fake, which asks it whether a token is good.
#[tokio::test]
async fn a_real_keystone_lets_in_whom_it_knows() {
    let fake = Fake::start();
    let keystone = Keystone::start(&fake);
    let dir = tempfile::tempdir().unwrap();
    let nameless = fake.state().boot(None, 0);
    let dave = keystone.user("dave");
    fake.state().server(&nameless).user = dave;
    let auth_url = keystone.auth_url();
    let by_password = |password: &str, project: &str| {
        let file = secret(&dir, password, password);
        format!(
            "auth_url = '{auth_url}'\nusername = 'admin'\npassword_file = '{}'\n\
             project = '{project}'\n",
            file.display()
        )
    };
    let (credential, its_secret) = keystone.application_credential();
    let by_credential = |text: &str| {
        let file = secret(&dir, text, text);
        format!(
            "auth_url = '{auth_url}'\napplication_credential_id = '{credential}'\n\
             application_credential_secret_file = '{}'",
            file.display()
        )
    };
    for keys in [by_password(ADMIN_PASSWORD, "admin"), by_credential(&its_secret)] {
        let listing = provider_of(&keys).list(&Question::default()).await.unwrap();
        let [server] = listing.sighting.instances() else { panic!("{listing:?}") };
        let owner = &server.owner;
        assert_eq!((owner.rank(), owner.name()), (OwnerRank::UserName, "dave"), "{keys}");
    }
    let revoked = provider_of(&by_credential(&its_secret));
    keystone.revoke(&credential);
    let misplaced = by_password(ADMIN_PASSWORD, "admin").replace("/v3", "/v3/nowhere");
    let fault = fault_of(&provider_of(&misplaced)).await;
    assert_eq!(fault.blame, Blame::Configuration, "{fault}");
    for refused in [
        provider_of(&by_password("canary-that-is-wrong", "admin")),
        provider_of(&by_password(ADMIN_PASSWORD, "nosuch")),
        revoked,
    ] {
        let fault = fault_of(&refused).await;
        assert_eq!(fault.blame, Blame::Credentials, "{fault}");
        let told = told(fault);
        for canary in [ADMIN_PASSWORD, "canary-that-is-wrong", &its_secret] {
            assert!(!told.contains(canary), "{told}");
        }
    }
}
