//! A real Nagios whose checks leave a line each, and for how long there was
//! none.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::common::nagios::{Nagios, Settings};

/// Of the administrator, whoever else is watched: each is checked every second.
const STEADY: usize = 5;
/// Between two checks of a host of ours.
pub const OURS: f64 = 20.0;

/// Not started.
pub fn nagios() -> Nagios {
    let nagios = Nagios::new(Settings { checks: true, ..Settings::default() });
    let script = nagios.path("etc/seen");
    let text = format!(
        "#!/bin/sh\nread up idle < /proc/uptime\necho \"$up $1\" >> {}\necho OK\n",
        nagios.path("var/seen").display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // By itself Nagios takes a result of the last 15 s for a new one.
    nagios.edit("etc/nagios.cfg", |text| text + "cached_host_check_horizon=0\n");
    let conf = "etc/conf.d/weather-balloon";
    nagios.edit(&format!("{conf}/commands.cfg"), |text| {
        let own = "$USER1$/check_ping -H '$HOSTADDRESS$' -w 5000,100% -c 5000,100% -p 1";
        assert!(text.contains(own));
        text.replace(own, &format!("{} '$HOSTNAME$'", script.display()))
    });
    nagios.edit(&format!("{conf}/atmo-vms.cfg"), |text| {
        assert!(text.contains("check_interval          60"));
        text.replace("check_interval          60", &format!("check_interval {OURS}"))
    });
    // Of the host checks alone is told.
    fs::remove_file(nagios.conf_d().join("atmo-services.cfg")).unwrap();
    let mut steady = String::new();
    for number in 0..STEADY {
        steady.push_str(&format!(
            "define host {{\nhost_name steady-{number}\nalias steady\naddress 127.0.0.1\n\
             check_command wb_check_host_alive\ncheck_period 24x7\ncheck_interval 1\n\
             max_check_attempts 1\ncontacts nagiosadmin\nnotification_interval 60\n\
             notification_period 24x7\n}}\n"
        ));
    }
    fs::write(nagios.path("etc/objects/steady.cfg"), steady).unwrap();
    nagios
}

/// Seconds since the machine started.
pub fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// When each host was checked, in order.
pub fn checks(nagios: &Nagios) -> BTreeMap<String, Vec<f64>> {
    let text = fs::read_to_string(nagios.path("var/seen")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut checks = BTreeMap::<String, Vec<f64>>::new();
    for line in whole.lines() {
        let (at, host) = line.split_once(' ').unwrap();
        checks.entry(host.to_owned()).or_default().push(at.parse().unwrap());
    }
    for times in checks.values_mut() {
        times.sort_by(f64::total_cmp);
    }
    checks
}

/// Any of those that the administrator has.
pub fn steady(checks: &BTreeMap<String, Vec<f64>>) -> Vec<f64> {
    let mut all: Vec<f64> = checks
        .iter()
        .filter(|(host, _)| host.starts_with("steady-"))
        .flat_map(|(_, t)| t)
        .copied()
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

/// From one time to the next within a span, its ends counting as times: the
/// seconds between, less what of them lies in `excused`.
pub fn gaps(times: &[f64], span: (f64, f64), excused: &[(f64, f64)]) -> Vec<f64> {
    let within = times.iter().copied().filter(|at| *at > span.0 && *at < span.1);
    let stops: Vec<f64> = std::iter::once(span.0).chain(within).chain([span.1]).collect();
    stops
        .windows(2)
        .map(|pair| {
            let overlap = |(from, to): &(f64, f64)| (to.min(pair[1]) - from.max(pair[0])).max(0.0);
            pair[1] - pair[0] - excused.iter().map(overlap).sum::<f64>()
        })
        .collect()
}

#[test]
fn gaps_are_without_what_is_excused() {
    let told = gaps(&[2.0, 3.0, 9.0], (1.0, 10.0), &[(4.0, 7.0), (8.5, 9.5)]);
    assert_eq!(told, [1.0, 1.0, 2.5, 0.5]);
}
