use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the door listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Loopback only.
    Tcp(SocketAddr),
    /// With client certificates.
    Tls(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("{text:?} needs an absolute path after \"unix:\""));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (tls, address) =
            text.strip_prefix("tls:").map_or((false, text), |address| (true, address));
        let address: SocketAddr = address.parse().map_err(|_| {
            format!(
                "{text:?} is no address; write \"127.0.0.1:8000\", \"[::1]:8000\", \"tls:IP:PORT\" or \"unix:/path\""
            )
        })?;
        Ok(if tls || !address.ip().is_loopback() { Self::Tls(address) } else { Self::Tcp(address) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Tls(address) => write!(f, "tls:{address}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
