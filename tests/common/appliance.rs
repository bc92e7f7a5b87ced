//! The real program, started on a real Nagios's configuration.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails by panicking, and its files need no durability"
)]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};
use weather_balloon::model::GivenHost;
use weather_balloon::rpc::client::{Client, HostsStatus};
use weather_balloon::rpc::wire::cloud::CloudSyncClient;
use weather_balloon::rpc::wire::hosts::{self as wire, HostsSyncClient, THostsSyncClient};

use super::keeper;
use super::nagios::{Account, Nagios, wait_until};
use super::network::Network;

pub const BINARY: &str = env!("CARGO_BIN_EXE_weather-balloon");
const READY_PATIENCE: Duration = Duration::from_secs(60);

pub struct Appliance {
    child: Option<Child>,
    account: Account,
    dir: tempfile::TempDir,
    pub address: String,
    /// Its working directory and its environment when it is started.
    pub workplace: PathBuf,
    pub variables: Vec<(String, String)>,
    /// Where it runs, if not on the machine's own; it is then asked by its
    /// Unix socket.
    pub network: Option<Network>,
}

impl Appliance {
    /// Written for this Nagios, not started. `more` is added to its file and
    /// may hold any section but [rpc], [state] and [log]; without a [perfdata]
    /// in it that part is off. `nagios_keys` are added to [nagios].
    pub fn new(nagios: &Nagios, nagios_keys: &str, more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("wba-").tempdir_in("/tmp").unwrap();
        let account = Account::of_nagios();
        account.give(dir.path());
        let hosts_dir = nagios.hosts_file();
        account.give(hosts_dir.parent().unwrap());
        let address = format!("127.0.0.1:{}", free_port());
        let (workplace, variables) = (PathBuf::from("/"), Vec::new());
        let network = None;
        let appliance = Self { child: None, account, dir, address, workplace, variables, network };
        appliance.configure(nagios, nagios_keys, more);
        appliance
    }

    pub fn configure(&self, nagios: &Nagios, nagios_keys: &str, more: &str) {
        let more = if more.contains("[perfdata]") {
            more.to_owned()
        } else {
            format!("{more}\n[perfdata]\nspool = \"\"")
        };
        let http = match more.contains("[http]") {
            true => String::new(),
            false => format!("[http]\nlisten = [\"unix:{}\"]\n", self.page().display()),
        };
        let text = format!(
            "[rpc]\nlisten = [\"{}\", \"unix:{}\"]\n{http}[state]\ndirectory = \"{}\"\n[log]\nformat = \"text\"\n\
             level = \"info,weather_balloon=debug\"\n\
             [nagios]\nconfig = \"{}\"\nhosts_file = \"{}\"\n{nagios_keys}\n{more}\n",
            self.address,
            self.path("rpc.sock").display(),
            self.path("state").display(),
            nagios.main_config().display(),
            nagios.hosts_file().display(),
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn start_new(nagios: &Nagios, nagios_keys: &str, more: &str) -> Self {
        let mut appliance = Self::new(nagios, nagios_keys, more);
        appliance.start();
        appliance
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the page is, unless the test has said otherwise.
    pub fn page(&self) -> PathBuf {
        self.path("page.sock")
    }

    pub fn config(&self) -> PathBuf {
        self.path("weather-balloon.toml")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts it and waits for its READY; returns how long that took.
    pub fn start(&mut self) -> Duration {
        let supervisor = self.supervisor();
        self.start_told(&supervisor, &[])
    }

    /// As a supervisor would that waits so long for a sign of life; returns
    /// where the signs come in.
    pub fn start_watched(&mut self, limit: Duration) -> UnixDatagram {
        let supervisor = self.supervisor();
        let limit = limit.as_micros().to_string();
        self.start_told(&supervisor, &[("WATCHDOG_USEC", Path::new(&limit))]);
        supervisor
    }

    fn supervisor(&self) -> UnixDatagram {
        let notify = self.path("notify");
        let _ = fs::remove_file(&notify);
        let listener = UnixDatagram::bind(&notify).unwrap();
        self.account.give(&notify);
        listener.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        listener
    }

    fn start_told(&mut self, listener: &UnixDatagram, more: &[(&str, &Path)]) -> Duration {
        assert!(self.child.is_none(), "it runs already");
        let notify = self.path("notify");
        let began = Instant::now();
        self.child = Some(self.spawn(&[&[("NOTIFY_SOCKET", notify.as_path())], more].concat()));
        self.wait_ready(listener, began)
    }

    fn wait_ready(&mut self, listener: &UnixDatagram, began: Instant) -> Duration {
        let mut news = [0; 512];
        while began.elapsed() < READY_PATIENCE {
            if let Ok(length) = listener.recv(&mut news)
                && news[..length].windows(7).any(|word| word == b"READY=1")
            {
                return began.elapsed();
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log());
        }
        panic!("it is not ready:\n{}", self.log());
    }

    /// As systemd starts it for two sockets that it holds: 3 is the first.
    pub fn start_for(&mut self, first: &TcpListener, second: &TcpListener) {
        let supervisor = self.supervisor();
        let mut command = Command::new("sh");
        // The shell's pid becomes the program's.
        let script = "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\" 3<&0 4<&1 0</dev/null 1>&2";
        command.args(["-c", script, "sh", BINARY, "--config"]).arg(self.config()).arg("serve");
        let fd = |socket: &TcpListener| OwnedFd::from(socket.try_clone().unwrap());
        command.stdin(fd(first)).stdout(fd(second)).stderr(self.log_file());
        command.current_dir("/").env_clear().env("LISTEN_FDS", "2");
        command.env("NOTIFY_SOCKET", self.path("notify"));
        self.account.apply(&mut command);
        self.child = Some(keeper::spawn(command).unwrap());
        self.wait_ready(&supervisor, Instant::now());
    }

    /// Starts it and waits for nothing.
    pub fn begin_start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(self.spawn(&[]));
    }

    /// The same with more in its environment.
    pub fn begin_start_with(&mut self, env: &[(&str, &Path)]) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(self.spawn(env));
    }

    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Starts another process on the same configuration, for what it says.
    pub fn start_second(&self) -> Output {
        let mut child = self.spawn(&[]);
        wait_until("the end of a second daemon", || child.try_wait().unwrap());
        child.wait_with_output().unwrap()
    }

    fn log_file(&self) -> fs::File {
        fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap()
    }

    fn spawn(&self, env: &[(&str, &Path)]) -> Child {
        let log = self.log_file();
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.config()).arg("serve");
        command.current_dir(&self.workplace).env_clear().envs(env.iter().copied());
        command.envs(variables_of_the_unit());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.account.apply(&mut command);
        match &self.network {
            Some(network) => network.spawn(command).unwrap(),
            None => keeper::spawn(command).unwrap(),
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        keeper::signal(self.child.as_ref().unwrap(), signal);
    }

    /// Stopped until SIGCONT: a thread that has not seen the signal yet may
    /// still answer, so all of them are waited for.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.pid());
        let stopped = |thread: std::io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        wait_until("a stop", || fs::read_dir(&threads).unwrap().all(stopped).then_some(()));
    }

    /// By SIGTERM; returns how it ended and how long that took.
    pub fn stop(&mut self) -> (std::process::ExitStatus, Duration) {
        self.signal(Signal::SIGTERM);
        let began = Instant::now();
        (self.wait_ended(), began.elapsed())
    }

    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_ended();
    }

    pub fn wait_ended(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        wait_until("the end of the appliance", || child.try_wait().unwrap())
    }

    pub fn client(&self) -> Client {
        self.try_client().unwrap()
    }

    /// None where nobody answers.
    pub fn try_client(&self) -> Option<Client> {
        let socket = format!("unix:{}", self.path("rpc.sock").display());
        let address = if self.network.is_some() { &socket } else { &self.address };
        Client::connect(address, Duration::from_secs(5), Duration::from_secs(120)).ok()
    }

    pub fn cloud_client(&self) -> CloudSyncClient<In, Out> {
        let (read, write) = self.wires();
        CloudSyncClient::new(
            TBinaryInputProtocol::new(read, true),
            TBinaryOutputProtocol::new(write, true),
        )
    }

    fn wires(&self) -> (TBufferedReadTransport<TcpStream>, TBufferedWriteTransport<TcpStream>) {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let read = TBufferedReadTransport::new(stream.try_clone().unwrap());
        (read, TBufferedWriteTransport::new(stream))
    }

    pub fn status(&self) -> HostsStatus {
        self.client().get_status().unwrap()
    }

    /// Waits until Nagios has proved that it read what is on disk.
    pub fn wait_in_step(&self) -> HostsStatus {
        let mut client = self.client();
        wait_until("a proof of Nagios", || {
            let status = client.get_status().unwrap();
            status.in_step.unwrap().then_some(status)
        })
    }

    /// The same for a start that has so many hosts to take up first.
    pub fn wait_in_step_with(&self, watched: i32) -> HostsStatus {
        wait_until("a set to be taken up", || {
            (self.status().watched_count == Some(watched)).then_some(())
        });
        self.wait_in_step()
    }

    /// A client generated from the files of 2014 knows no other methods.
    pub fn client_of_2014(&self) -> ClientOf2014 {
        let (read, write) = self.wires();
        ClientOf2014(HostsSyncClient::new(
            TBinaryInputProtocol::new(read, true),
            TBinaryOutputProtocol::new(write, true),
        ))
    }

    /// Waits until the status tells of a trouble with these words in it.
    pub fn wait_trouble(&self, words: &str) -> HostsStatus {
        let mut client = self.client();
        wait_until(&format!("a trouble with {words:?}"), || {
            let status = client.get_status().unwrap();
            status.trouble.as_ref().is_some_and(|told| told.contains(words)).then_some(status)
        })
    }

    /// Waits until the log holds these words so many times.
    pub fn wait_logged(&self, words: &str, times: usize) {
        wait_until(&format!("{words:?} in the log"), || {
            (self.log().matches(words).count() >= times).then_some(())
        });
    }

    /// The command line on this appliance's configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.config()).args(words).stdin(Stdio::null());
        command
    }

    pub fn cli(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub fn cli_reading(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = keeper::spawn(command).unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

type In = TBinaryInputProtocol<TBufferedReadTransport<TcpStream>>;
type Out = TBinaryOutputProtocol<TBufferedWriteTransport<TcpStream>>;

pub struct ClientOf2014(HostsSyncClient<In, Out>);

impl ClientOf2014 {
    /// The sentence of the TApplicationException where it fails.
    pub fn set_hosts(&mut self, hosts: &[GivenHost]) -> Result<(), String> {
        let hosts = hosts.iter().cloned().map(|host| {
            let GivenHost { id, display_name, address } = host;
            wire::Host::new(id, display_name, address)
        });
        match self.0.set_hosts(hosts.collect()) {
            Ok(()) => Ok(()),
            Err(thrift::Error::Application(fault)) => Err(fault.message),
            Err(other) => panic!("no answer to set_hosts: {other:?}"),
        }
    }
}

impl ClientOf2014 {
    /// As the generated code reads them: an absent value as 0.
    pub fn get_metrics(&mut self, host: &str, key: &str) -> Result<wire::Metrics, String> {
        self.0.get_metrics(host.to_owned(), key.to_owned()).map_err(|fault| match fault {
            thrift::Error::Application(fault) => fault.message,
            other => panic!("no answer to get_metrics: {other:?}"),
        })
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            keeper::stop(&mut child);
        }
        if std::thread::panicking() {
            eprintln!("the appliance said:\n{}", self.log());
        }
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn given(id: &str, address: &str) -> GivenHost {
    GivenHost { id: id.into(), display_name: format!("vm {id}"), address: address.into() }
}

/// `count` hosts on loopback addresses, the first `h00000`.
pub fn fleet(count: usize) -> Vec<GivenHost> {
    (0..count)
        .map(|n| given(&format!("h{n:05}"), &format!("127.0.{}.{}", n / 250, 1 + n % 250)))
        .collect()
}

/// What systemd puts into its environment.
pub fn variables_of_the_unit() -> impl Iterator<Item = (&'static str, &'static str)> {
    const UNIT: &str = include_str!("../../systemd/weather-balloon.service");
    let settings = UNIT.lines().filter_map(|line| line.strip_prefix("Environment="));
    settings.flat_map(str::split_ascii_whitespace).filter_map(|one| one.split_once('='))
}
