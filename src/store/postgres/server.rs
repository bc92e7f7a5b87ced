//! Connections to one PostgreSQL: bounded in number and time, and not asked
//! for more often than a server that is down can bear.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::migrations;
use crate::settings;
use crate::store::{Config, Error, MIGRATION_TIMEOUT, PostgresFault, Tls};
use crate::telemetry::sentence;
use crate::tls::{self, Trust};

pub(super) struct Server {
    /// As an error names it.
    pub name: String,
    config: tokio_postgres::Config,
    connector: MakeRustlsConnect,
    pool: Pool,
    migrated: OnceCell<()>,
    /// Guards when the next try may be; held for no await.
    rest: Mutex<Rest>,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    length: Duration,
    fault: String,
}

impl Rest {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(60);
}

impl Server {
    pub(super) fn new(given: &Config, mut config: tokio_postgres::Config) -> Result<Self, Error> {
        let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
            && !config.get_hosts().is_empty();
        let mode = if local || given.tls == Tls::Off { SslMode::Disable } else { SslMode::Require };
        let millis = given.statement_timeout.as_millis();
        config
            .application_name("weather-balloon")
            .ssl_mode(mode)
            .connect_timeout(given.connect_timeout)
            .tcp_user_timeout(given.statement_timeout)
            .keepalives_idle(Duration::from_secs(60))
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .options(format!(
                "-c statement_timeout={millis} -c lock_timeout={millis} \
                 -c idle_in_transaction_session_timeout={millis} -c timezone=UTC"
            ));
        if !given.password_file.as_os_str().is_empty() {
            let bytes = settings::read_secret(&given.password_file)?;
            config.password(bytes.trim_ascii_end());
        }
        let trust = match given.tls {
            Tls::Off => Trust::Nobody,
            Tls::Require => Trust::Whoever,
            Tls::Verify => Trust::Authorities(&given.ca_file),
        };
        let connector = MakeRustlsConnect::new(tls::client(trust)?);
        let manager = Manager::from_config(
            config.clone(),
            connector.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Verified },
        );
        let pool = Pool::builder(manager)
            .max_size(given.pool_size)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .wait_timeout(Some(given.statement_timeout))
            .create_timeout(Some(given.connect_timeout))
            .recycle_timeout(Some(given.connect_timeout))
            .build()
            .map_err(|fault| Error::Config { key: "pool_size", reason: fault.to_string() })?;
        Ok(Self {
            name: name_of(&config),
            config,
            connector,
            pool,
            migrated: OnceCell::new(),
            rest: Mutex::default(),
            connect_timeout: given.connect_timeout,
            statement_timeout: given.statement_timeout,
        })
    }

    /// A connection to a database of this program's schema.
    pub(super) async fn lend(&self) -> Result<Lent, Error> {
        self.rested()?;
        self.migrated.get_or_try_init(|| self.migrate()).await?;
        match self.pool.get().await {
            Ok(client) => {
                self.woke();
                Ok(Lent { client: Some(client) })
            }
            Err(PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => {
                Err(Error::Busy { server: self.name.clone() })
            }
            Err(PoolError::Backend(fault)) => Err(self.unreachable(fault.into())),
            Err(_) => Err(self.unreachable(PostgresFault::NoAnswer)),
        }
    }

    /// Bounds work of one statement.
    pub(super) async fn one<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        self.within(self.statement_timeout, work).await
    }

    /// Bounds work of several statements.
    pub(super) async fn several<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        self.within(self.several_limit(), work).await
    }

    pub(super) fn several_limit(&self) -> Duration {
        self.statement_timeout * 10
    }

    /// Before the first [`Self::lend`]: the database is not ours to migrate.
    pub(super) fn leave_schema(&self) {
        // It fails only where it was migrated already.
        drop(self.migrated.set(()));
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        // The server gives up first; this is for one that says nothing more.
        let limit = limit + Duration::from_secs(1);
        match timeout(limit, work).await {
            Ok(done) => done.map_err(|source| self.fault(source)),
            Err(_) => Err(Error::Late { server: self.name.clone(), limit }),
        }
    }

    fn fault(&self, source: tokio_postgres::Error) -> Error {
        if is_lost(&source) {
            return self.unreachable(source.into());
        }
        Error::Postgres { server: self.name.clone(), source }
    }

    fn rested(&self) -> Result<(), Error> {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let left = rest.until.and_then(|until| until.checked_duration_since(Instant::now()));
        match left {
            Some(retry) if !retry.is_zero() => {
                Err(Error::Waiting { server: self.name.clone(), retry, fault: rest.fault.clone() })
            }
            _ => Ok(()),
        }
    }

    fn woke(&self) {
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Rest::default();
    }

    fn unreachable(&self, source: PostgresFault) -> Error {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(retry) = rest.until.and_then(|until| until.checked_duration_since(now)) {
            // Several callers were under way when it went.
            return Error::Unreachable { server: self.name.clone(), retry, source };
        }
        let retry = (rest.length * 2).clamp(Rest::FIRST, Rest::LONGEST);
        *rest = Rest { until: now.checked_add(retry), length: retry, fault: sentence(&source) };
        Error::Unreachable { server: self.name.clone(), retry, source }
    }

    /// On a connection of its own: the lock is the session's, and goes with it.
    async fn migrate(&self) -> Result<(), Error> {
        let connect = self.config.connect(self.connector.clone());
        let (client, connection) = match timeout(self.connect_timeout, connect).await {
            Ok(made) => made.map_err(|fault| self.unreachable(fault.into()))?,
            Err(_) => return Err(self.unreachable(PostgresFault::NoAnswer)),
        };
        tokio::select! {
            done = timeout(MIGRATION_TIMEOUT, self.migrate_on(client)) => {
                done.unwrap_or_else(|_| {
                    Err(Error::Late { server: self.name.clone(), limit: MIGRATION_TIMEOUT })
                })
            }
            lost = connection => {
                let fault = lost.err().map_or(PostgresFault::NoAnswer, PostgresFault::from);
                Err(self.unreachable(fault))
            }
        }
    }

    async fn migrate_on(&self, mut client: tokio_postgres::Client) -> Result<(), Error> {
        // One number for all ledgers of all databases: "weather" in ASCII.
        const LOCK: i64 = 0x77_6561_7468_6572;
        let limit = MIGRATION_TIMEOUT.as_millis();
        client
            .batch_execute(&format!(
                "SET statement_timeout = {limit}; SET lock_timeout = {limit};
                 SET idle_in_transaction_session_timeout = {limit};
                 SELECT pg_advisory_lock({LOCK})"
            ))
            .await
            .map_err(|fault| self.fault(fault))?;
        let server = self.name.clone();
        migrations::runner().set_grouped(true).run_async(&mut client).await.map_err(|source| {
            match source.kind() {
                refinery::error::Kind::MissingVersion(_) => Error::Newer { server },
                _ => Error::Migrate { server, source: Box::new(source) },
            }
        })?;
        Ok(())
    }
}

/// The connection is gone, or will be: the server stops or has crashed.
fn is_lost(fault: &tokio_postgres::Error) -> bool {
    // Classes 08 (connection) and 57P (operator intervention) of PostgreSQL's
    // manual, appendix A. 57014, a cancelled statement, is not among them.
    let told = fault
        .code()
        .is_some_and(|state| state.code().starts_with("08") || state.code().starts_with("57P"));
    let broken = std::error::Error::source(fault).is_some_and(|cause| cause.is::<std::io::Error>());
    told || broken || fault.is_closed()
}

/// Host, port and database, without the user.
pub(in crate::store) fn name_of(config: &tokio_postgres::Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let mut name = hosts.collect::<Vec<_>>().join(",");
    for port in config.get_ports() {
        name.push_str(&format!(":{port}"));
    }
    format!("{name}/{}", config.get_dbname().unwrap_or_default())
}

/// A connection that goes back to the pool only after work that went well:
/// one that was left in the middle of something is closed.
pub(super) struct Lent {
    client: Option<Object>,
}

impl Lent {
    #[expect(clippy::expect_used, reason = "only done() and drop() empty it, and both end it")]
    pub(super) fn client(&mut self) -> &mut Object {
        self.client.as_mut().expect("a lent connection is there until it is given back")
    }

    pub(super) fn done(mut self) {
        drop(self.client.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
