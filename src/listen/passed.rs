//! Sockets that the service supervisor has opened for us: see systemd.socket(5)
//! and sd_listen_fds(3).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;

/// Each is taken by the door that is to listen on its address.
#[derive(Debug, Default)]
pub struct Passed {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<(PathBuf, UnixListener)>,
    /// Neither of TCP nor with a file.
    odd: usize,
}

impl Passed {
    /// What this process was started with. To be asked once, and before there
    /// is another thread: the variables that tell of it go. Programs that we run
    /// do not inherit them: the crate marks each as closed by exec.
    pub fn take() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut passed = Self::default();
        for at in 0..given.len() {
            if let Ok(Some(socket)) = given.take_tcp_listener(at) {
                socket.set_nonblocking(true)?;
                passed.tcp.push((socket.local_addr()?, socket));
            } else if let Ok(Some(socket)) = given.take_unix_listener(at) {
                socket.set_nonblocking(true)?;
                match socket.local_addr()?.as_pathname().map(Path::to_owned) {
                    Some(path) => passed.unix.push((path, socket)),
                    None => passed.odd += 1,
                }
            } else {
                passed.odd += 1;
            }
        }
        Ok(passed)
    }

    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.tcp.iter().position(|(of, _)| *of == address)?;
        Some(self.tcp.swap_remove(at).1)
    }

    pub(super) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let at = self.unix.iter().position(|(of, _)| of == path)?;
        Some(self.unix.swap_remove(at).1)
    }

    /// What nobody has taken. Who connects there waits in vain.
    pub fn left(&self) -> Vec<String> {
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let unix = self.unix.iter().map(|(path, _)| format!("unix:{}", path.display()));
        let odd = (0..self.odd).map(|_| "a socket that is neither of TCP nor a file".to_owned());
        tcp.chain(unix).chain(odd).collect()
    }
}
