//! Where a door can be reached: loopback, TLS on any address, a unix socket.

mod endpoint;
mod passed;
mod socket;
mod tls;

pub use endpoint::Endpoint;
pub use passed::Passed;
pub use socket::{Accepted, Error, ListenError, Listeners};
pub use tls::{TlsConfig, TlsError};
