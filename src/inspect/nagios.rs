//! Is Nagios there, does it listen to us, and can we hear it?

use std::sync::Arc;
use std::time::SystemTime;

use crate::nagios::CommandError;
use crate::telemetry::sentence;

use super::{Finding, Number, Part, Range, Subjects, age};

const PART: Part = Part::Nagios;

pub(super) async fn look(subjects: Arc<Subjects>) -> Vec<Finding> {
    let nagios = &subjects.nagios;
    let config = nagios.config().config.display().to_string();
    let mut found = vec![match nagios.reads_hosts_file().await {
        Ok(()) => Finding::ok(
            PART,
            "configuration",
            format!("{config} leads to {}", nagios.config().hosts_file.display()),
        ),
        Err(fault) => Finding::fail(PART, "configuration", sentence(&fault))
            .fix("`weather-balloon setup` makes Nagios read our files; [nagios] config must name Nagios's main configuration"),
    }];
    found.push(match nagios.takes_commands().await {
        Ok(()) => Finding::ok(PART, "command FIFO", "Nagios reads its command FIFO"),
        Err(fault) => {
            let fix = match fault {
                CommandError::Denied(_) => "put the user weather-balloon into the group of the FIFO (www-data on Debian, nagios elsewhere) and restart weather-balloon",
                CommandError::Unknown(_) => "see the line above",
                _ => "start Nagios (systemctl start nagios4) and keep check_external_commands=1",
            };
            Finding::fail(PART, "command FIFO", sentence(&fault)).fix(fix)
        }
    });
    found.push(status_file(&subjects).await);
    found.push(match nagios.log_is_readable().await {
        Ok(()) => Finding::ok(PART, "log", "Nagios's log can be read"),
        Err(fault) => Finding::warn(PART, "log", sentence(&fault)).fix(
            "let this user read log_file of nagios.cfg: it tells why Nagios ended when it did",
        ),
    });
    found
}

async fn status_file(subjects: &Subjects) -> Finding {
    const HOP: &str = "status file";
    match subjects.nagios.status_file().await {
        Ok(Some(file)) => {
            let old = age(SystemTime::now(), file.written);
            let interval = file.interval.as_secs_f64();
            let (warn, fail) = ((interval * 3.0).max(60.0), (interval * 10.0).max(300.0));
            let what = format!("Nagios wrote its status {} ago", seconds(old));
            let number = Number::new("status_age", old.max(0.0), "s")
                .limits(Range::above(warn), Range::above(fail));
            let found = Finding::ok(PART, HOP, what).number(number);
            if old > warn {
                found.fix("look whether Nagios runs (systemctl status nagios4) or hangs")
            } else {
                found
            }
        }
        Ok(None) => Finding::fail(PART, HOP, "there is no status file: Nagios does not run, or bailed out")
            .fix("start it (systemctl start nagios4); `nagios4 -v` on its configuration says what it refuses"),
        Err(fault) => Finding::fail(PART, HOP, sentence(&fault))
            .fix("let this user read status_file of nagios.cfg (its group on Debian is www-data)"),
    }
}

pub(super) fn seconds(age: f64) -> String {
    let whole = std::time::Duration::from_secs(age.max(0.0) as u64);
    humantime::format_duration(whole).to_string()
}
