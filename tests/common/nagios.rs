//! A real Nagios with directories of its own, in the foreground, as a child,
//! with our templates in its conf.d. Nothing of /etc/nagios4 is used.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use weather_balloon::model::{GivenHost, HostSet};
use weather_balloon::nagios::{Config, Nagios as Part};

use super::keeper;

pub const BINARY: &str = "/usr/sbin/nagios4";
const PATIENCE: Duration = Duration::from_secs(240);

/// How long a sign is waited for. TEST_PATIENCE, in seconds, is for those who
/// expect none: prove/mutations.sh.
fn patience() -> Duration {
    let given = std::env::var("TEST_PATIENCE").ok();
    given.map_or(PATIENCE, |seconds| Duration::from_secs(seconds.parse().unwrap()))
}

/// Polls until `look` finds something.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whom Nagios and NRPE run as: root's tests give up root for them.
pub struct Account {
    pub user: String,
    pub group: String,
    pub uid: Uid,
    pub gid: Gid,
}

impl Account {
    pub fn of_nagios() -> Self {
        let user = if geteuid().is_root() {
            User::from_name("nagios").unwrap().expect("there is no user nagios: run make test")
        } else {
            User::from_uid(geteuid()).unwrap().unwrap()
        };
        let gid = if geteuid().is_root() { user.gid } else { getegid() };
        let group = Group::from_gid(gid).unwrap().unwrap().name;
        Self { user: user.name, group, uid: user.uid, gid }
    }

    pub fn give(&self, path: &Path) {
        chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw())).unwrap();
    }

    /// Started as this user it changes nothing about itself, so that the
    /// kernel still ends it when the test dies.
    pub fn apply(&self, command: &mut Command) {
        if geteuid().is_root() {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
    }
}

pub struct Settings {
    /// Seconds in one unit of the templates' intervals; 60 in real use.
    pub interval_length: u32,
    /// Whether Nagios runs checks.
    pub checks: bool,
    /// Where check_nrpe asks, on 127.0.0.1; None: at each host's address.
    pub nrpe_port: Option<u16>,
    /// Seconds between two moves of the perfdata files; None: no perfdata.
    pub perfdata_interval: Option<u32>,
    /// What the sentinel's check runs in place of /usr/bin/weather-balloon.
    pub check_self: PathBuf,
    pub status_update_interval: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_length: 1,
            checks: false,
            nrpe_port: None,
            perfdata_interval: None,
            check_self: "/bin/true".into(),
            status_update_interval: 10,
        }
    }
}

pub struct Nagios {
    settings: Settings,
    account: Account,
    child: Option<Child>,
    dir: tempfile::TempDir,
}

impl Nagios {
    /// Written, not started.
    pub fn new(settings: Settings) -> Self {
        assert!(
            fs::exists(BINARY).unwrap(),
            "{BINARY} is missing: apt-get install nagios4-core nagios-nrpe-plugin monitoring-plugins-basic, or run make test"
        );
        let dir = tempfile::Builder::new().prefix("wbn-").tempdir_in("/tmp").unwrap();
        let nagios = Self { settings, account: Account::of_nagios(), child: None, dir };
        nagios.furnish();
        nagios
    }

    /// Running, and ready for commands.
    pub fn start_new(settings: Settings) -> Self {
        let mut nagios = Self::new(settings);
        nagios.start();
        nagios
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn main_config(&self) -> PathBuf {
        self.path("etc/nagios.cfg")
    }

    pub fn conf_d(&self) -> PathBuf {
        self.path("etc/conf.d/weather-balloon")
    }

    pub fn hosts_file(&self) -> PathBuf {
        self.conf_d().join("hosts.cfg")
    }

    pub fn fifo(&self) -> PathBuf {
        self.path("var/rw/nagios.cmd")
    }

    pub fn status_file(&self) -> PathBuf {
        self.path("var/status.dat")
    }

    pub fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    /// For the appliance's own candidate configurations.
    pub fn scratch(&self) -> PathBuf {
        self.path("scratch")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("var/nagios.log")).unwrap_or_default()
    }

    /// The appliance's [nagios] section for this Nagios.
    pub fn config(&self) -> Config {
        Config {
            config: self.main_config(),
            binary: BINARY.into(),
            hosts_file: self.hosts_file(),
            ..Config::default()
        }
    }

    /// The appliance's part, for this Nagios.
    pub fn part(&self) -> Part {
        self.part_with(self.config())
    }

    pub fn part_with(&self, config: Config) -> Part {
        assert_eq!(config.check(), []);
        Part::new(config, &self.scratch())
    }

    /// Changes a file below this directory, in place.
    pub fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.path(name);
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, change(text)).unwrap();
    }

    /// A left-over FIFO would be reused, a left-over status file be mistaken
    /// for this run's.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        for name in ["var/rw/nagios.cmd", "var/status.dat"] {
            let _ = fs::remove_file(self.path(name));
        }
        let out = fs::File::create(self.path("nagios.out")).unwrap();
        let mut command = Command::new(BINARY);
        command.arg(self.main_config()).current_dir("/").env_clear();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        self.account.apply(&mut command);
        self.child = Some(keeper::spawn(command).unwrap());
        self.wait_running();
    }

    pub fn wait_running(&mut self) {
        let deadline = Instant::now() + patience();
        while self.program_start().is_none() || !self.fifo().exists() {
            let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            if ended || Instant::now() > deadline {
                let said = fs::read_to_string(self.path("nagios.out")).unwrap_or_default();
                panic!("Nagios did not start: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    /// By SIGTERM.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            keeper::signal(&child, Signal::SIGCONT);
            keeper::stop(&mut child);
        }
    }

    pub fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until it ended by itself.
    pub fn wait_ended(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        wait_until("the end of Nagios", || child.try_wait().unwrap())
    }

    pub fn sigstop(&self) {
        keeper::signal(self.child.as_ref().unwrap(), Signal::SIGSTOP);
    }

    pub fn sigcont(&self) {
        keeper::signal(self.child.as_ref().unwrap(), Signal::SIGCONT);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub fn program_start(&self) -> Option<i64> {
        let status = fs::read(self.status_file()).ok()?;
        let head = String::from_utf8_lossy(&status[..status.len().min(4096)]).into_owned();
        let value = head.lines().find_map(|line| line.trim().strip_prefix("program_start="))?;
        value.parse().ok().filter(|start| *start > 0)
    }

    /// Waits for another `program_start` than `before`.
    pub fn wait_restarted(&self, before: i64) -> i64 {
        wait_until("a new program_start", || self.program_start().filter(|now| *now != before))
    }

    /// The hosts that the running Nagios read, each with its directives.
    pub fn hosts(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        hosts_in(&fs::read(self.path("var/objects.cache")).unwrap())
    }

    fn furnish(&self) {
        fs::set_permissions(self.dir(), Permissions::from_mode(0o755)).unwrap();
        for name in ["etc/objects", "etc/conf.d/weather-balloon"] {
            fs::create_dir_all(self.path(name)).unwrap();
        }
        for name in ["var", "var/rw", "var/archives", "var/checkresults", "spool"] {
            fs::create_dir(self.path(name)).unwrap();
            self.account.give(&self.path(name));
        }
        fs::set_permissions(self.path("var/rw"), Permissions::from_mode(0o2710)).unwrap();
        fs::write(self.path("etc/resource.cfg"), "$USER1$=/usr/lib/nagios/plugins\n").unwrap();
        fs::write(self.path("etc/objects/base.cfg"), BASE_OBJECTS).unwrap();
        fs::write(self.main_config(), self.main_text()).unwrap();
        for (name, text) in templates() {
            fs::write(self.conf_d().join(name), self.adapt(text)).unwrap();
        }
    }

    fn adapt(&self, template: String) -> String {
        let mut text = template
            .replace("/var/spool/weather-balloon/perfdata", &self.spool().display().to_string())
            .replace("/usr/bin/weather-balloon", &self.settings.check_self.display().to_string());
        if let Some(port) = self.settings.nrpe_port {
            text = text.replace(
                "check_nrpe -H '$HOSTADDRESS$'",
                &format!("check_nrpe -H 127.0.0.1 -p {port}"),
            );
        }
        text
    }

    fn main_text(&self) -> String {
        let checks = u8::from(self.settings.checks);
        let mut text = format!(
            "log_file={at}/var/nagios.log
cfg_dir={at}/etc/objects
cfg_dir={at}/etc/conf.d
resource_file={at}/etc/resource.cfg
object_cache_file={at}/var/objects.cache
precached_object_file={at}/var/objects.precache
status_file={at}/var/status.dat
status_update_interval={update}
nagios_user={user}
nagios_group={group}
check_external_commands=1
command_file={at}/var/rw/nagios.cmd
query_socket={at}/var/rw/nagios.qh
lock_file={at}/var/nagios.lock
temp_file={at}/var/nagios.tmp
temp_path={at}/var
check_result_path={at}/var/checkresults
log_archive_path={at}/var/archives
event_broker_options=-1
log_rotation_method=n
use_syslog=0
log_external_commands=1
retain_state_information=1
state_retention_file={at}/var/retention.dat
retention_update_interval=60
use_retained_program_state=1
use_retained_scheduling_info=1
interval_length={interval}
max_service_check_spread=1
max_host_check_spread=1
check_for_updates=0
execute_service_checks={checks}
execute_host_checks={checks}
enable_notifications=0
date_format=iso8601
illegal_object_name_chars=`~!$%^&*|'\"<>?,()=
illegal_macro_output_chars=`~$&|'\"<>
",
            at = self.dir().display(),
            update = self.settings.status_update_interval,
            user = self.account.user,
            group = self.account.group,
            interval = self.settings.interval_length,
        );
        if let Some(interval) = self.settings.perfdata_interval {
            let snippet = self
                .adapt(template("nagios.cfg.snippet"))
                .replace("_processing_interval=15", &format!("_processing_interval={interval}"));
            text.push_str(&snippet);
        }
        text
    }
}

impl Drop for Nagios {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("Nagios's log:\n{}", self.log());
        }
    }
}

/// i-00000 and so on, on loopback addresses.
pub fn hosts(count: usize) -> HostSet {
    let given: Vec<_> = (0..count)
        .map(|n| GivenHost {
            id: format!("i-{n:05}"),
            display_name: format!("vm {n}"),
            address: format!("127.0.{}.{}", n / 250, 1 + n % 250),
        })
        .collect();
    HostSet::parse(&given).unwrap()
}

/// Verified and swapped in; the running Nagios is not told.
pub async fn put(part: &Part, generation: i64, hosts: &HostSet) -> SystemTime {
    let verified = part.verify(part.render(generation, hosts)).await.unwrap();
    part.swap(verified).await.unwrap()
}

/// Sorted.
pub fn names_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The host blocks of an object cache.
pub fn hosts_in(cache: &[u8]) -> BTreeMap<String, BTreeMap<String, String>> {
    let cache = std::str::from_utf8(cache).unwrap();
    let mut hosts = BTreeMap::new();
    for block in cache.split("\ndefine host {\n").skip(1) {
        let block = block.split("\n\t}").next().unwrap();
        let directives: BTreeMap<_, _> = block
            .lines()
            .filter_map(|line| line.strip_prefix('\t')?.split_once('\t'))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let name = directives["host_name"].clone();
        assert!(hosts.insert(name, directives).is_none(), "a host is there twice");
    }
    hosts
}

fn template_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nagios-templates")
}

pub fn template(name: &str) -> String {
    fs::read_to_string(template_dir().join(name)).unwrap()
}

/// The object files that we ship, by name.
pub fn templates() -> Vec<(String, String)> {
    let mut names = names_in(&template_dir());
    names.retain(|name| name.ends_with(".cfg"));
    names.into_iter().map(|name| (name.clone(), template(&name))).collect()
}

/// What our templates need of a Nagios, as Debian's own objects have it.
const BASE_OBJECTS: &str = "
define timeperiod {
    timeperiod_name 24x7
    alias 24x7
    sunday 00:00-24:00
    monday 00:00-24:00
    tuesday 00:00-24:00
    wednesday 00:00-24:00
    thursday 00:00-24:00
    friday 00:00-24:00
    saturday 00:00-24:00
}
define timeperiod {
    timeperiod_name none
    alias none
}
define command {
    command_name notify-nobody
    command_line /bin/true
}
define contact {
    contact_name nagiosadmin
    alias Nagios Admin
    service_notification_period none
    host_notification_period none
    service_notification_options n
    host_notification_options n
    service_notification_commands notify-nobody
    host_notification_commands notify-nobody
}
define contactgroup {
    contactgroup_name admins
    alias admins
    members nagiosadmin
}
";
