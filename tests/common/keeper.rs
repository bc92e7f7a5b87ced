//! Child processes that cannot outlive the test process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    unsafe_code,
    reason = "a rig fails the test by panicking, and prctl between fork and exec needs unsafe"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts the command such that the kernel sends it SIGTERM when the test
/// process dies, however that happens.
///
/// The kernel does so when the starting *thread* ends, and test threads and
/// those of tokio come and go: so one thread, which stays, starts them all.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    bind(&mut command);
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, outcome) = mpsc::channel();
    keeper.send((command, reply)).unwrap();
    outcome.recv().unwrap()
}

/// To the thread that will start it: the one must not outlive the other.
pub fn bind(command: &mut Command) {
    // SAFETY: prctl is a plain system call, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from));
    }
}

/// Asks the child to end and waits for it; one that does not is killed.
pub fn stop(child: &mut Child) {
    if child.try_wait().unwrap().is_some() {
        return;
    }
    signal(child, Signal::SIGTERM);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Only for a child that has not been waited for: its pid is still its own.
pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}
