//! Who comes in, and how long a slow one may take.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_service::Service;

use crate::listen::{self, Accepted, Endpoint, Listeners, Passed};
use crate::settings::{SecretError, read_secret};

use super::guard::{Guard, Visitor, watch};
use super::problem::Problem;
use super::{App, Config, Services, api, exposition, page};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("[http] {key}: {reason}")]
    Config { key: &'static str, reason: String },
    #[error("the page's door, [http], cannot open")]
    Listen(#[from] listen::Error),
    #[error("[http] token_file")]
    Token(#[from] SecretError),
}

/// The bound sockets. Nobody is answered before [`Door::serve`].
pub struct Door {
    config: Config,
    listeners: Listeners,
    addresses: Vec<Endpoint>,
    guard: Guard,
}

/// For a request's head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Of a request's head; what a browser sends has one or two KiB.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;
/// After this, answers that are still on their way are cut off.
const STOP_GRACE: Duration = Duration::from_secs(2);

impl Door {
    /// Binds every address, or none.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        Self::open(config, &mut Passed::default()).await
    }

    /// The same; an address that is passed to us is not bound again.
    pub async fn open(config: &Config, passed: &mut Passed) -> Result<Self, Error> {
        if let Some((key, reason)) = config.check().into_iter().next() {
            return Err(Error::Config { key, reason });
        }
        let token = match config.token_file.as_os_str().is_empty() {
            true => None,
            false => Some(read_secret(&config.token_file)?),
        };
        let guard = Guard::new(&config.names, token.as_deref());
        let (listeners, addresses) = Listeners::bind(&config.listen, &config.tls, passed).await?;
        Ok(Self { config: config.clone(), listeners, addresses, guard })
    }

    /// In the order of `listen`, with the ports that port 0 became.
    pub fn addresses(&self) -> &[Endpoint] {
        &self.addresses
    }

    /// Answers until `stop`; then lets running answers end, for a short while.
    pub async fn serve(self, services: Services, stop: CancellationToken) -> Result<(), Error> {
        let Self { config, mut listeners, guard, addresses } = self;
        if addresses.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        let app = App { services, guard: Arc::new(guard) };
        let router = router(app, &config);
        let room = Arc::new(Semaphore::new(config.max_connections));
        let mut guests = JoinSet::new();
        loop {
            let entered = async {
                // Not accepting leaves the others waiting in the socket's own
                // bounded queue until one of these is done or timed out.
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, listeners.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = guests.join_next() => continue,
                entered = entered => entered,
            };
            match (permit, accepted) {
                (Ok(permit), Ok(accepted)) => {
                    let guest = Guest {
                        router: router.clone(),
                        idle: config.idle_timeout,
                        stop: stop.clone(),
                        permit,
                    };
                    guests.spawn(guest.welcome(accepted));
                }
                (_, Err(fault)) => pause(&fault).await,
                (Err(_), _) => break,
            }
        }
        listeners.close();
        let ended = async { while guests.join_next().await.is_some() {} };
        if timeout(STOP_GRACE, ended).await.is_err() {
            guests.shutdown().await;
        }
        Ok(())
    }
}

/// When the process has run out of something the connection stays in the
/// queue, and asking at once again would only spin.
async fn pause(fault: &io::Error) {
    tracing::warn!("the page's door cannot accept a connection: {fault}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn router(app: App, config: &Config) -> Router {
    // Config::check keeps it below a GiB.
    let max_body = config.max_body.as_u64() as usize;
    Router::new()
        .merge(api::routes())
        .merge(exposition::routes())
        .merge(page::routes())
        .fallback(page::nothing_here)
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this is not what can be done here")
        })
        .layer(RequestBodyLimitLayer::new(max_body))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            config.request_timeout,
        ))
        .layer(from_fn_with_state(app.clone(), watch))
        .with_state(app)
}

/// One connection.
struct Guest {
    router: Router,
    idle: Duration,
    stop: CancellationToken,
    /// Held while it lasts.
    permit: OwnedSemaphorePermit,
}

impl Guest {
    async fn welcome(self, accepted: Accepted) {
        match accepted {
            Accepted::Tcp(stream, peer) => self.serve(stream, Visitor::Tcp(peer)).await,
            Accepted::Unix(stream) => {
                let user = stream.peer_cred().ok().map(|of| of.uid());
                self.serve(stream, Visitor::Unix(user)).await;
            }
            Accepted::Tls(stream, peer, acceptor) => {
                if let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                    self.serve(stream, Visitor::Tcp(peer)).await;
                }
            }
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static, visitor: Visitor) {
        let Self { router, idle, stop, permit } = self;
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(idle));
        stream.set_write_timeout(Some(idle));
        let service = service_fn(move |request: Request<Incoming>| {
            let mut router = router.clone();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(visitor);
            async move { router.call(request).await }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut serving = std::pin::pin!(serving);
        // How a connection ends is its peer's business: browsers cut them.
        tokio::select! {
            _ = serving.as_mut() => {}
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                let _ = serving.await;
            }
        }
        drop(permit);
    }
}
