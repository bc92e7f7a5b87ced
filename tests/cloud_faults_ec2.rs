//! Each fault of EC2's answers through the whole process: what is not a whole
//! listing changes neither the ledger nor Nagios.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use common::appliance::Appliance;
use common::cloud::{
    QUICK, everything, gone, segments, sync, unix_now, wait_clock, wait_polled, watched,
    write_secret,
};
use common::ec2::{CANARY, ec2, instances, parameter, refuse, xml};
use common::http::{Request, Step};
use common::nagios::{Nagios, Settings};

/// What EC2 answers instead, on one page.
#[derive(Clone, Debug)]
enum Wrong {
    Refusal(&'static str, &'static str),
    Cut(usize),
    /// The page before it once more, for ever.
    Circle,
    /// Another service at the same address.
    Stranger,
}

/// Instances two a page, and what is wrong with a page.
#[derive(Default)]
struct Fleet {
    /// Whether it runs, and since when.
    instances: Vec<(String, bool, i64)>,
    wrong: Option<(usize, Wrong)>,
}

impl Fleet {
    const PAGE: usize = 2;

    fn answer(&self, request: &Request) -> Vec<Step> {
        if parameter(request, "InstanceId.1").is_some() {
            return refuse("400 Bad Request", "InvalidInstanceID.Malformed");
        }
        let page: usize = parameter(request, "NextToken").map_or(0, |token| token.parse().unwrap());
        let shown = self.instances.chunks(Self::PAGE).nth(page).unwrap_or_default();
        let records: String = shown.iter().map(Self::record).collect();
        let more = self.instances.len() > (page + 1) * Self::PAGE;
        let next = more.then(|| (page + 1).to_string());
        let whole = instances(&records, next.as_deref());
        match self.wrong.as_ref().filter(|(at, _)| *at == page).map(|(_, wrong)| wrong) {
            None => xml("200 OK", &whole),
            Some(Wrong::Refusal(status, code)) => refuse(status, code),
            Some(Wrong::Cut(at)) => xml("200 OK", &whole[..(*at).min(whole.len() - 1)]),
            Some(Wrong::Circle) => xml("200 OK", &instances(&records, Some(&page.to_string()))),
            Some(Wrong::Stranger) => xml("200 OK", "<ListAllMyBucketsResult/>"),
        }
    }

    fn record((id, runs, at): &(String, bool, i64)) -> String {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at.unsigned_abs());
        let at = humantime::format_rfc3339_seconds(at).to_string();
        let state = match runs {
            true => format!(
                "<instanceState><name>running</name></instanceState><launchTime>{at}</launchTime>"
            ),
            false => format!(
                "<instanceState><name>stopped</name></instanceState><reason>User initiated ({} GMT)</reason>",
                at.replace('T', " ").trim_end_matches('Z')
            ),
        };
        let number = &id[2..];
        format!(
            "<item><instanceId>{id}</instanceId>{state}<instanceType>m1</instanceType><ipAddress>203.0.113.{number}</ipAddress></item>"
        )
    }
}

#[test]
fn what_is_no_whole_listing_of_ec2_changes_nothing() {
    let nagios = Nagios::start_new(Settings::default());
    let fleet = Arc::new(Mutex::new(Fleet::default()));
    let began = unix_now() - 1_000;
    fleet.lock().unwrap().instances =
        (1..=6).map(|number| (format!("i-{number}"), true, began)).collect();
    let there = Arc::clone(&fleet);
    let upstream = ec2(move |request| there.lock().unwrap().answer(request));
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let secret = write_secret(&appliance, "secret", CANARY);
    let section = format!(
        "[[cloud]]\nname = \"aws\"\nkind = \"ec2\"\ninterval = \"1h\"\nregion = \"us-east-1\"\n\
         endpoint = \"{}\"\naccess_key_id = \"AKIDEXAMPLE\"\nsecret_access_key_file = \"{}\"\n\
         backoff = \"1ms\"\n",
        upstream.url(),
        secret.display()
    );
    appliance.configure(&nagios, QUICK, &section);
    appliance.start();
    wait_polled(&appliance, "aws");
    let all: BTreeSet<String> = (1..=6).map(|number| format!("i-{number}")).collect();
    assert_eq!(watched(&appliance, &nagios, "aws"), all);
    let before = everything(&appliance);
    let mut wrongs = vec![Wrong::Circle, Wrong::Stranger];
    wrongs.extend((0..900).step_by(90).map(Wrong::Cut));
    for (status, code) in [
        ("500 Internal Server Error", "InternalError"),
        ("503 Service Unavailable", "RequestLimitExceeded"),
        ("401 Unauthorized", "AuthFailure"),
    ] {
        wrongs.push(Wrong::Refusal(status, code));
    }
    for page in 0..3 {
        for wrong in &wrongs {
            fleet.lock().unwrap().wrong = Some((page, wrong.clone()));
            sync(&appliance, "aws").expect_err("no whole listing");
            assert_eq!(everything(&appliance), before, "{wrong:?} on page {page}");
        }
    }
    assert_eq!(watched(&appliance, &nagios, "aws"), all);

    // An instance that moved from one page to the next is one, and a stop is
    // known to the second.
    wait_clock();
    let stop = unix_now();
    {
        let mut fleet = fleet.lock().unwrap();
        fleet.wrong = None;
        fleet.instances[0] = ("i-1".to_owned(), false, stop);
        let twice = fleet.instances[1].clone();
        fleet.instances.insert(3, twice);
    }
    wait_clock();
    sync(&appliance, "aws").unwrap();
    let left = all.into_iter().filter(|id| id != "i-1").collect();
    assert_eq!(watched(&appliance, &nagios, "aws"), left);
    assert_eq!(gone(&appliance), []);
    let stopped = segments(&appliance, "aws", "i-1");
    let from = stopped[0].1;
    assert_eq!(stopped, [(true, from, Some(stop)), (false, stop, None)]);
}
