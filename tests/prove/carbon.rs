//! Something on Carbon's port that keeps every line of a connection that it
//! has read to its end, and then ends its own half: the receipt.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub struct Lines {
    pub port: u16,
    kept: Arc<Mutex<BTreeSet<String>>>,
    refusing: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (kept, stopping) = (Arc::<Mutex<_>>::default(), Arc::<AtomicBool>::default());
        let refusing = Arc::<AtomicBool>::default();
        let (inside, refuse, stop) =
            (Arc::clone(&kept), Arc::clone(&refusing), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                if !refuse.load(Ordering::SeqCst) {
                    keep(&mut stream, &inside);
                }
            }
        });
        Self { port, kept, refusing, stopping, thread: Some(thread) }
    }

    /// Whether it closes what it accepts and reads nothing.
    pub fn refuse(&self, is: bool) {
        self.refusing.store(is, Ordering::SeqCst);
    }

    /// "path value time" of each point that it has.
    pub fn kept(&self) -> BTreeSet<String> {
        self.kept.lock().unwrap().clone()
    }
}

/// Whole lines count, also of a connection that was cut off.
fn keep(stream: &mut TcpStream, kept: &Mutex<BTreeSet<String>>) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    kept.lock().unwrap().extend(whole.lines().map(str::to_owned));
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
