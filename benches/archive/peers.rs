//! The same work by what Debian has for it: whisper's files, carbon-cache and
//! graphite-web, each a real one on loopback. CPU is that of the server.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use weather_balloon::carbon::{Config, Destination, Framer, Protocol, Sender};
use weather_balloon::model::{PathBuffer, Sample};

use super::common::graphite::{Graphite, STEP, last_step};
use super::common::process::cpu_seconds;
use super::{NAMES, Series, host_name};

const PATIENCE: Duration = Duration::from_secs(120);

/// Of one series of 90 days, as whisper itself makes it.
pub fn whisper_bytes() -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.wsp");
    python("import whisper, sys; whisper.create(sys.argv[1], [(600, 12960)])", &[&path]);
    path.metadata().unwrap().len()
}

/// Thousands of points that carbon-cache takes and writes in a second of CPU:
/// an hour of 1,900 series that are there already, by its pickle protocol.
pub fn carbon_points() -> f64 {
    const SERIES: usize = 1_900;
    const SLOTS: i64 = 6;
    let graphite = Graphite::start();
    let pid = graphite.carbon().id();
    let first = last_step() - (SLOTS + 1) * STEP;
    send(&graphite, SERIES, first..first + 1);
    settle(pid);
    let before = cpu_seconds(pid);
    send(&graphite, SERIES, first + STEP..first + (SLOTS + 1) * STEP);
    settle(pid);
    SERIES as f64 * SLOTS as f64 / (cpu_seconds(pid) - before) / 1e3
}

/// Frames of 1,000 points, one time after the other.
fn send(graphite: &Graphite, series: usize, times: std::ops::Range<i64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let to = Destination::parse(&format!("127.0.0.1:{}", graphite.pickle_port)).unwrap();
    let sender = Sender::new(to, &Config::default());
    let mut framer = Framer::new(Protocol::Pickle);
    let mut paths = PathBuffer::default();
    for time in times.step_by(STEP as usize) {
        for first in (0..series).step_by(1_000) {
            framer.clear();
            for at in first..(first + 1_000).min(series) {
                let (group, label) = NAMES[at % NAMES.len()].rsplit_once('.').unwrap();
                let host = host_name(at / NAMES.len());
                paths.set_head(b"nagios", host.as_bytes(), group.as_bytes()).unwrap();
                let path = paths.label(label.as_bytes(), false).unwrap();
                framer.push(&Sample::new(path, time, at as f64 / 8.0).unwrap());
            }
            runtime.block_on(sender.send_batch(framer.batch())).unwrap();
        }
    }
}

/// Milliseconds of CPU that graphite-web takes for the 24 hours of so many
/// series as JSON; the median of some.
pub fn render_ms(series: usize) -> f64 {
    let graphite = Graphite::start();
    let last = last_step();
    let script = "import json, os, sys, whisper
root, now = sys.argv[1], int(sys.argv[2])
for line in sys.stdin:
    name, values = line.split(' ', 1)
    path = os.path.join(root, *name.split('.')) + '.wsp'
    os.makedirs(os.path.dirname(path), exist_ok=True)
    whisper.create(path, [(600, 12960)])
    points = [(now - 600 * (143 - at), v) for at, v in enumerate(json.loads(values)) if v is not None]
    whisper.update_many(path, points, now=now)
";
    let mut lines = String::new();
    for at in 0..series {
        let mut one = Series::new(at);
        let values: Vec<_> = (0..144).map(|slot| one.next(slot)).collect();
        let name = format!("nagios.{}.{}", host_name(at / NAMES.len()), NAMES[at % NAMES.len()]);
        lines.push_str(&format!("{name} {}\n", serde_json::to_string(&values).unwrap()));
    }
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script]).arg(graphite.dir().join("whisper")).arg(last.to_string());
    python.stdin(std::process::Stdio::piped());
    let mut python = super::common::keeper::spawn(python).unwrap();
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(python.wait().unwrap().success());

    let web = graphite.web().id();
    let workers = || children_of(web).into_iter().map(cpu_seconds).sum::<f64>();
    let ask = || {
        let before = workers();
        let (status, body) = graphite
            .get(
                "/render?format=json&from=-24h&noCache=1&target=nagios.*.*.*&target=nagios.*.*.*.*",
            )
            .unwrap();
        let found = body.matches("\"target\"").count();
        assert_eq!((status, found), (200, series), "{}", &body[..body.len().min(300)]);
        (workers() - before) * 1e3
    };
    // The first ones find the files.
    (0..3).for_each(|_| {
        ask();
    });
    let mut costs: Vec<f64> = (0..9).map(|_| ask()).collect();
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

fn python(script: &str, args: &[&Path]) {
    let status = Command::new("/usr/bin/python3").args(["-c", script]).args(args).status();
    assert!(status.unwrap().success(), "graphite-carbon brings the whisper of python3");
}

/// Until the process has been idle for two seconds.
fn settle(pid: u32) {
    let began = Instant::now();
    let (mut last, mut since) = (cpu_seconds(pid), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        assert!(began.elapsed() < PATIENCE, "carbon-cache does not come to rest");
        std::thread::sleep(Duration::from_millis(100));
        let now = cpu_seconds(pid);
        // Its reactor wakes for nothing, too.
        if now - last > 0.02 {
            (last, since) = (now, Instant::now());
        }
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
