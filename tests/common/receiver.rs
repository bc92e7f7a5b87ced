//! Something on Carbon's port with faults that a real Carbon does not show on
//! demand.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a rig fails the test by panicking, and serves from plain threads"
)]

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Takes the connection and ends it.
    CloseAtOnce,
    /// Reads so many bytes a second.
    Slow(usize),
    /// Takes connections and reads nothing.
    Deaf,
    /// Reads as fast as it can and keeps nothing.
    Null,
}

/// One connection at a time. Stops when dropped.
pub struct Receiver {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    accepted: AtomicUsize,
    /// Connections that were read to their end.
    finished: AtomicUsize,
    bytes: AtomicUsize,
}

impl Receiver {
    pub fn start(manner: Manner) -> Self {
        Self::on(0, manner)
    }

    /// On this port; whoever had it must be gone.
    pub fn on(port: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.stopping.load(Ordering::SeqCst) {
                    return;
                }
                inside.accepted.fetch_add(1, Ordering::SeqCst);
                serve(stream.unwrap(), manner, &inside);
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    pub fn finished(&self) -> usize {
        self.shared.finished.load(Ordering::SeqCst)
    }

    pub fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, manner: Manner, shared: &Shared) {
    let (piece, pause) = match manner {
        Manner::CloseAtOnce => return,
        Manner::Deaf => (0, Duration::from_millis(100)),
        Manner::Slow(rate) => (rate / 10, Duration::from_millis(100)),
        Manner::Null => (256 * 1024, Duration::ZERO),
    };
    if let Manner::Slow(_) = manner {
        // So that the kernel does not do the reading.
        setsockopt(&stream.as_fd(), sockopt::RcvBuf, &4096).unwrap();
    }
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut bytes = vec![0; piece];
    while !shared.stopping.load(Ordering::SeqCst) {
        std::thread::sleep(pause);
        if piece == 0 {
            continue;
        }
        match stream.read(&mut bytes) {
            Ok(0) => {
                shared.finished.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Ok(count) => {
                shared.bytes.fetch_add(count, Ordering::SeqCst);
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
