//! A real NRPE daemon on loopback that knows the eight commands of our
//! templates. Some run real plugins; some print fixed lines with what is hard
//! to read: quoted labels, units, no units.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and writes plain files"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::keeper;
use super::nagios::Account;

const BINARY: &str = "/usr/sbin/nrpe";

pub struct Nrpe {
    pub port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nrpe {
    pub fn start() -> Self {
        assert!(
            fs::exists(BINARY).unwrap(),
            "{BINARY} is missing: apt-get install nagios-nrpe-server, or run make test"
        );
        // Another process may take the port between our look and NRPE's bind.
        for _ in 0..3 {
            if let Some(nrpe) = Self::try_start() {
                return nrpe;
            }
        }
        panic!("NRPE did not start");
    }

    fn try_start() -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("wbr-").tempdir_in("/tmp").unwrap();
        let account = Account::of_nagios();
        account.give(dir.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = dir.path().join("nrpe.cfg");
        fs::write(&file, configuration(&dir.path().display().to_string(), port, &account)).unwrap();
        let mut command = Command::new(BINARY);
        command.arg("-c").arg(&file).arg("-f").stdin(Stdio::null()).stdout(Stdio::null());
        account.apply(&mut command);
        let mut child = keeper::spawn(command).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { port, child, _dir: dir });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        keeper::stop(&mut child);
        None
    }
}

impl Drop for Nrpe {
    fn drop(&mut self) {
        keeper::stop(&mut self.child);
    }
}

fn configuration(dir: &str, port: u16, account: &Account) -> String {
    let plugins = "/usr/lib/nagios/plugins";
    format!(
        "log_file={dir}/nrpe.log
pid_file={dir}/nrpe.pid
server_port={port}
server_address=127.0.0.1
nrpe_user={user}
nrpe_group={group}
allowed_hosts=127.0.0.0/8
dont_blame_nrpe=0
command_timeout=60
connection_timeout=300
command[check_load]={plugins}/check_load -w 150,100,50 -c 300,250,200
command[check_disk]={plugins}/check_disk -w 2% -c 1% -p /
command[check_users]={plugins}/check_users -w 50 -c 100
command[check_procs]={plugins}/check_procs -w 15000 -c 20000
command[check_procs_zombie]={plugins}/check_procs -w 500 -c 1000 -s Z
command[check_mem]=/bin/echo \"MEM OK | used=12345KB;;;0;24000000 free=23987655KB swap_used=0KB\"
command[check_connections]=/bin/echo \"OK - 3 established | established=3 waiting=1 listeners=5\"
command[check_atmo_idle]=/bin/echo \"OK | idle=12.5;;;0;100 'last login'=3600s\"
",
        user = account.user,
        group = account.group,
    )
}
