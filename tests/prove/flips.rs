//! I23: a bit of state.db flips on the disk. Whatever comes of it, the hosts
//! file stays as it is, or the program says what is wrong.

use std::fs;
use std::time::{Duration, Instant};

use super::common::faults::Plan;
use super::common::hosts_file::Whole;
use super::common::rounds::Dice;
use super::common::row::Row;
use super::set_hosts::{PATIENCE, SetHosts, assert_composed};

fn flip(what: &str, flips: u64) {
    let mut work = SetHosts::new(false);
    for _ in 0..4 {
        work.begin(Plan::NONE, false);
        assert!(work.call(Plan::NONE));
        work.appliance.stop();
    }
    let (database, live) = (work.appliance.path("state/state.db"), work.nagios.hosts_file());
    // All is in the database itself once the last connection has closed it.
    let wal = work.appliance.path("state/state.db-wal");
    assert!(fs::metadata(&wal).is_ok_and(|meta| meta.len() == 0) || !wal.exists());
    let (whole, hosts) = (fs::read(&database).unwrap(), fs::read(&live).unwrap());
    let mut dice = Dice::new(0x5EED);
    let mut row = Row::new("T-D", what);
    let mut refused = 0;
    for _ in 0..flips {
        let (at, bit) = (dice.roll(whole.len() as u64) as usize, dice.roll(8));
        row.trial(&format!("bit {bit} of byte {at}"), || {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            for side in ["-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{side}", database.display()));
            }
            fs::write(&database, bytes).unwrap();
            fs::write(&live, &hosts).unwrap();
            let logged = work.appliance.log().len();
            work.appliance.begin_start();
            let deadline = Instant::now() + PATIENCE;
            // Settled: it is gone, or it has answered that nothing is pending.
            while !work.appliance.has_ended() {
                assert!(Instant::now() < deadline, "neither up nor gone");
                if let Some(mut client) = work.appliance.try_client()
                    && let Ok(status) = client.get_status()
                    && status.live_generation.is_some()
                {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let ended = work.appliance.has_ended();
            work.end();
            assert_composed(&work.appliance, logged);
            let said = work.appliance.log()[logged..].contains("state.db");
            assert!(!ended || said, "it ended and does not say why");
            refused += u64::from(ended);
            let now = Whole::at(&live).unwrap();
            assert_eq!(now.ids, Whole::read(&hosts).ids, "other hosts than before");
        });
        work.end();
    }
    row.points = refused;
    row.end();
}

#[test]
#[ignore = "make prove-d"]
fn a_thousand_flipped_bits_change_no_host() {
    flip("state.db with a flipped bit; points: starts that were refused", 1_000);
}

#[test]
fn flipped_bits_change_no_host() {
    flip("short form", 20);
}
