//! When a cloud is asked: by the interval, one poll at a time, and once where
//! it is late.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::appliance::Appliance;
use common::cloud::{QUICK, section_every, wait_polled, write_password};
use common::http::Step;
use common::nagios::{Nagios, Settings, wait_until};
use common::openstack::OpenStack;
use nix::sys::signal::Signal;

/// When each walk began.
type Walks = Arc<Mutex<Vec<Instant>>>;

/// Notes the first page of each walk, and answers it after a while.
fn watch(fake: &OpenStack, wait: Duration) -> Walks {
    let walks = Walks::default();
    let there = Arc::clone(&walks);
    fake.meddle(move |_, request, _, answer| {
        let is_first = request.line.contains("/servers/detail")
            && !request.line.contains("marker=")
            && !request.line.contains("changes-since");
        if !is_first {
            return answer.steps();
        }
        there.lock().unwrap().push(Instant::now());
        [vec![Step::Pause(wait)], answer.steps()].concat()
    });
    walks
}

fn pauses(walks: &Walks) -> Vec<Duration> {
    walks.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn wait_for(walks: &Walks, count: usize) {
    wait_until("the next polls", || (walks.lock().unwrap().len() >= count).then_some(()));
}

#[test]
fn a_cloud_is_asked_by_its_interval_and_never_twice_at_once() {
    let nagios = Nagios::start_new(Settings::default());
    let fake = OpenStack::start();
    fake.state().boot(Some("carol"), 0);
    let walks = watch(&fake, Duration::ZERO);
    let mut appliance = Appliance::new(&nagios, QUICK, "");
    let password = write_password(&appliance);
    appliance.configure(&nagios, QUICK, &section_every("east", &fake, &password, "2s"));
    appliance.start();
    wait_polled(&appliance, "east");
    wait_for(&walks, 6);
    // From beginning to beginning, five percent more or less; the first one
    // takes longer than the others.
    let pauses_of = pauses(&walks).split_off(1);
    let mean = pauses_of.iter().sum::<Duration>() / u32::try_from(pauses_of.len()).unwrap();
    assert!(mean >= Duration::from_millis(1_700), "{pauses_of:?}");

    // Answers that take longer than the interval put the next poll off, and a
    // sync that comes meanwhile waits for it.
    const SLOW: Duration = Duration::from_secs(3);
    let walks = watch(&fake, SLOW);
    wait_for(&walks, 1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| appliance.client().sync_cloud(Some("east".to_owned())).unwrap());
        }
    });
    wait_for(&walks, 3);
    for pause in pauses(&walks) {
        assert!(pause >= SLOW, "{pause:?}");
    }

    // As after a sleep of the machine: one poll, not all that were missed.
    let walks = watch(&fake, Duration::ZERO);
    wait_for(&walks, 1);
    appliance.pause();
    std::thread::sleep(Duration::from_secs(7));
    let woken = Instant::now();
    let asleep = walks.lock().unwrap().len();
    appliance.signal(Signal::SIGCONT);
    wait_for(&walks, asleep + 3);
    let after: Vec<_> = walks.lock().unwrap().iter().filter(|at| **at >= woken).copied().collect();
    for pair in after.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{after:?}");
    }
}
