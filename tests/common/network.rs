//! Networks of their own, joined by cables that a test cuts. Each is one of
//! the kernel's network namespaces and has no name: it goes with the last
//! thread, process and socket in it, however the test ends. Only root may make
//! one.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking"
)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Command};
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use super::keeper;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that is on it and stays: what that thread opens and starts is on
/// it, too. Clones are the same one.
#[derive(Clone)]
pub struct Network {
    jobs: mpsc::Sender<Job>,
    thread: i32,
}

impl Network {
    /// With nothing on it but loopback. Fails where this process may not.
    pub fn new() -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (told, outcome) = mpsc::channel();
        std::thread::spawn(move || {
            // It concerns this thread alone.
            let left = unshare(CloneFlags::CLONE_NEWNET);
            told.send(left.map(|()| gettid().as_raw())).unwrap();
            if left.is_ok() {
                inbox.into_iter().for_each(|job| job());
            }
        });
        let network = Self { jobs, thread: outcome.recv().unwrap()? };
        network.ip("link set lo up");
        Ok(network)
    }

    /// Does it on this network.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (reply, outcome) = mpsc::channel();
        let job = move || {
            let _ = reply.send(catch_unwind(AssertUnwindSafe(work)));
        };
        self.jobs.send(Box::new(job)).unwrap();
        outcome.recv().unwrap().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// As keeper::spawn does.
    pub fn spawn(&self, mut command: Command) -> io::Result<Child> {
        keeper::bind(&mut command);
        self.run(move || command.spawn())
    }

    /// iproute2's command.
    pub fn ip(&self, words: &str) {
        let mut command = Command::new("ip");
        command.args(words.split(' '));
        let done = self.run(move || command.output()).unwrap();
        assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// How a cable is cut. No connection is reset by any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// What is sent is lost, in both directions.
    Silent,
    /// The same for what the middle sends: it hears questions and its answers
    /// are lost.
    Answers,
    /// Both ends see that there is no carrier.
    Pulled,
}

/// Between the middle and one end; each has one address on it.
pub struct Cable {
    middle: Network,
    end: Network,
    number: u8,
}

impl Cable {
    /// `number` is from 0 to 63, another one for each cable of a middle.
    pub fn new(middle: &Network, end: &Network, number: u8) -> Self {
        let cable = Self { middle: middle.clone(), end: end.clone(), number };
        let name = cable.name();
        let [ours, theirs] = cable.hardware();
        middle.ip(&format!(
            "link add {name} address {ours} type veth peer name {name} address {theirs} netns {}",
            end.thread
        ));
        middle.ip(&format!("address add {}/30 dev {name}", cable.middle_address()));
        end.ip(&format!("address add {}/30 dev {name}", cable.end_address()));
        end.ip(&format!("link set {name} up"));
        cable.heal();
        cable
    }

    fn name(&self) -> String {
        format!("cable{}", self.number)
    }

    fn hardware(&self) -> [String; 2] {
        [1, 2].map(|end| format!("02:00:00:00:{:02x}:{end:02x}", self.number))
    }

    pub fn middle_address(&self) -> String {
        format!("10.77.0.{}", self.number * 4 + 1)
    }

    pub fn end_address(&self) -> String {
        format!("10.77.0.{}", self.number * 4 + 2)
    }

    pub fn cut(&self, how: Cut) {
        // What goes to a card that is not there is lost and nobody is told.
        const NOBODY: &str = "02:00:00:00:ff:ff";
        match how {
            Cut::Pulled => self.middle.ip(&format!("link set {} down", self.name())),
            Cut::Silent => self.point(NOBODY, NOBODY),
            Cut::Answers => self.point(NOBODY, &self.hardware()[0]),
        }
    }

    pub fn heal(&self) {
        self.middle.ip(&format!("link set {} up", self.name()));
        let [ours, theirs] = self.hardware();
        self.point(&theirs, &ours);
    }

    /// Where the middle and where the end send to.
    fn point(&self, from_middle: &str, from_end: &str) {
        let name = self.name();
        let order = |address: String, card: &str| {
            format!("neighbour replace {address} lladdr {card} dev {name} nud permanent")
        };
        self.middle.ip(&order(self.end_address(), from_middle));
        self.end.ip(&order(self.middle_address(), from_end));
    }
}
