//! Clouds in an appliance's configuration, and what a cloud may do to one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use weather_balloon::model::SENTINEL_HOST;
use weather_balloon::rpc::client::{CloudStatus, Error};

use super::appliance::Appliance;
use super::cloud_user::password_keys;
use super::nagios::{Account, Nagios, wait_until};
use super::openstack::{Answer, OpenStack, PASSWORD};

/// Ids that the cloud shows in no list, and of which it says nothing when it
/// is asked.
pub type Hidden = Arc<Mutex<BTreeSet<String>>>;

/// The section of a fake OpenStack. It is asked on demand, and at the start.
pub fn section(name: &str, fake: &OpenStack, password: &Path) -> String {
    section_every(name, fake, password, "1h")
}

pub fn section_every(name: &str, fake: &OpenStack, password: &Path, interval: &str) -> String {
    let keys = password_keys(fake, password);
    format!(
        "[[cloud]]\nname = \"{name}\"\nkind = \"openstack\"\ninterval = \"{interval}\"\n{keys}\n"
    )
}

pub fn write_password(appliance: &Appliance) -> std::path::PathBuf {
    write_secret(appliance, "password", PASSWORD)
}

/// For the appliance's user alone.
pub fn write_secret(appliance: &Appliance, name: &str, text: &str) -> std::path::PathBuf {
    let path = appliance.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Account::of_nagios().give(&path);
    path
}

/// An appliance with these clouds, started.
pub fn start(nagios: &Nagios, clouds: &[(&str, &OpenStack)], more: &str) -> Appliance {
    let mut appliance = Appliance::new(nagios, QUICK, "");
    let password = write_password(&appliance);
    let sections: String =
        clouds.iter().map(|(name, fake)| section(name, fake, &password)).collect();
    appliance.configure(nagios, QUICK, &format!("{more}\n{sections}"));
    appliance.start();
    appliance
}

pub const QUICK: &str = "min_restart_interval = \"1s\"";

pub fn sync(appliance: &Appliance, name: &str) -> Result<CloudStatus, Error> {
    Ok(appliance.client().sync_cloud(Some(name.to_owned()))?.remove(0))
}

pub fn status(appliance: &Appliance, name: &str) -> CloudStatus {
    let clouds = appliance.client().get_clouds().unwrap();
    clouds.into_iter().find(|cloud| cloud.name.as_deref() == Some(name)).unwrap()
}

/// Waits for the poll at the start.
pub fn wait_polled(appliance: &Appliance, name: &str) -> CloudStatus {
    wait_until("a first poll", || {
        let status = status(appliance, name);
        status.last_success_time.is_some().then_some(status)
    })
}

/// What the running Nagios watches of a cloud, by instance.
pub fn watched(appliance: &Appliance, nagios: &Nagios, name: &str) -> BTreeSet<String> {
    appliance.wait_in_step();
    let mut names: BTreeSet<String> = nagios.hosts().into_keys().collect();
    assert!(names.remove(SENTINEL_HOST), "the sentinel is gone");
    let prefix = format!("{name}_");
    names.iter().filter_map(|id| id.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// From now on what is put in there is hidden.
pub fn hide(fake: &OpenStack) -> Hidden {
    let hidden = Hidden::default();
    let there = Arc::clone(&hidden);
    fake.meddle(move |_, request, _, mut answer| {
        let hidden = there.lock().unwrap();
        let path = request.line.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
        if path.ends_with("/servers/detail") && answer.status.starts_with("200") {
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
            let servers = body["servers"].as_array_mut().unwrap();
            servers.retain(|server| !hidden.contains(server["id"].as_str().unwrap()));
            answer.body = body.to_string().into_bytes();
        } else if path.rsplit('/').next().is_some_and(|last| hidden.contains(last)) {
            let refusal = serde_json::json!({"forbidden": {"code": 403, "message": "no"}});
            answer = Answer::json("403 Forbidden", &refusal);
        }
        answer.steps()
    });
    hidden
}

/// From now on the records of what is put in there cannot be read.
pub fn garble(fake: &OpenStack) -> Hidden {
    let garbled = Hidden::default();
    let there = Arc::clone(&garbled);
    fake.meddle(move |_, request, _, mut answer| {
        let garbled = there.lock().unwrap();
        if request.line.contains("/servers/detail") && answer.status.starts_with("200") {
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
            for server in body["servers"].as_array_mut().unwrap() {
                if garbled.contains(server["id"].as_str().unwrap()) {
                    server["created"] = "yesterday".into();
                }
            }
            answer.body = body.to_string().into_bytes();
        }
        answer.steps()
    });
    garbled
}

/// The fake tells whole seconds, and a listing of the same second is the same
/// listing: waits for the next one.
pub fn wait_clock() {
    let second = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = second();
    while second() == now {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// What was absent since the last listing is so since 400 seconds.
pub fn age_absences(appliance: &Appliance) {
    let ledger = rusqlite::Connection::open(appliance.path("state/ledger.db")).unwrap();
    ledger.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let aged = ledger
        .execute(
            "UPDATE instance SET missing_since = missing_since - 400,
             missing_noticed = missing_noticed - 400 WHERE missing_since IS NOT NULL",
            [],
        )
        .unwrap();
    assert!(aged > 0, "nothing is missing");
}

/// Gone from the ledger's point of view: instance and when.
pub fn gone(appliance: &Appliance) -> Vec<(String, i64)> {
    let ledger = rusqlite::Connection::open(appliance.path("state/ledger.db")).unwrap();
    let mut query = ledger
        .prepare("SELECT key, gone_at FROM instance WHERE gone_at IS NOT NULL ORDER BY key")
        .unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What the ledger has of an instance, in order of time: whether it counts,
/// from and to.
pub fn segments(appliance: &Appliance, cloud: &str, id: &str) -> Vec<(bool, i64, Option<i64>)> {
    let ledger = rusqlite::Connection::open(appliance.path("state/ledger.db")).unwrap();
    let mut query = ledger
        .prepare(
            "SELECT s.counted, s.begins, s.ends FROM segment s JOIN instance i ON i.id = s.instance
             JOIN cloud c ON c.id = i.cloud
             WHERE c.name = ?1 AND i.key = ?2 AND NOT s.deleted ORDER BY s.begins",
        )
        .unwrap();
    let rows =
        query.query_map([cloud, id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Every row of the ledger that a listing may change.
pub fn everything(appliance: &Appliance) -> String {
    let ledger = rusqlite::Connection::open(appliance.path("state/ledger.db")).unwrap();
    let mut all = String::new();
    for table in ["cloud", "instance", "segment", "gap"] {
        let mut query = ledger.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                all += &format!("{:?} ", row.get_ref(column).unwrap());
            }
            all.push('\n');
        }
    }
    all
}

pub fn unix_now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}
