use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ldap3::{
    DerefAliases, Ldap, LdapConnAsync, LdapConnSettings, LdapResult, Scope, SearchEntry,
    SearchOptions, SearchResult, StdStream,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::config::Config;
use super::error::{Error, Malformed};
use super::wire::{self, Allowance};
use crate::model::Label;
use crate::settings::read_secret;
use crate::tls::{self, Trust};

/// Where the directory is, and how it is talked to.
pub(super) struct Server {
    url: String,
    host: String,
    port: u16,
    starttls: bool,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.url).finish()
    }
}

impl Server {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let fault = |reason| Error::Config { key: "url", reason };
        let place = config.place().map_err(fault)?;
        let mut tls = None;
        if place.ldaps || config.starttls {
            let client = tls::client(Trust::Authorities(&config.ca_file)).map_err(Error::Tls)?;
            let name = ServerName::try_from(place.host.clone())
                .map_err(|_| fault("names a host that no certificate can be for".to_owned()))?;
            tls = Some((TlsConnector::from(Arc::new(client)), name));
        }
        Ok(Self {
            url: config.url.clone(),
            host: place.host,
            port: place.port,
            starttls: config.starttls,
            tls,
        })
    }

    fn malformed(&self, source: Malformed) -> Error {
        Error::Malformed { url: self.url.clone(), source }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let wrap = |source| Error::Unreachable { url: self.url.clone(), source };
        let mut stream = TcpStream::connect((&*self.host, self.port)).await.map_err(wrap)?;
        stream.set_nodelay(true).map_err(wrap)?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        if self.starttls {
            let answer =
                wire::start_tls(&mut stream).await.map_err(|fault| self.malformed(fault))?;
            answer.map_err(|code| Error::NoStartTls { url: self.url.clone(), code })?;
        }
        let wrap = |source| Error::Handshake { url: self.url.clone(), source };
        Ok(Box::new(connector.connect(name.clone(), stream).await.map_err(wrap)?))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection, for one look-up.
pub(super) struct Session<'a> {
    server: &'a Server,
    timeout: Duration,
    ldap: Ldap,
    /// Guards why the connection was ended, if that was us.
    fault: Arc<Mutex<Option<Malformed>>>,
    allowance: Arc<Allowance>,
    /// The relay and the library's end; they go with the session.
    _tasks: JoinSet<()>,
}

/// A search that ended well.
pub(super) struct Found {
    pub entries: Vec<SearchEntry>,
    /// A part of the answer is on servers that are not asked.
    pub elsewhere: bool,
}

/// A search that was answered, but not with entries alone.
pub(super) enum Ending {
    Whole(Found),
    /// There is more than was asked for.
    TooMany,
}

impl<'a> Session<'a> {
    pub(super) async fn open(server: &'a Server, config: &Config) -> Result<Self, Error> {
        let timeout = config.timeout;
        let late = |_| Error::Late { url: server.url.clone(), timeout };
        let stream = tokio::time::timeout(timeout, server.connect()).await.map_err(late)??;
        let wrap = |source| Error::Unreachable { url: server.url.clone(), source };
        let (near, far) = UnixStream::pair().map_err(wrap)?;
        let near = near.into_std().map_err(wrap)?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(near));
        let (connection, ldap) = LdapConnAsync::with_settings(settings, "ldapi:///")
            .await
            .map_err(|fault| wrap(io::Error::other(fault)))?;
        let fault = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        let told = fault.clone();
        let allowance = Arc::new(Allowance::default());
        let allowed = allowance.clone();
        tasks.spawn(async move {
            let mut far = far;
            let ended = wire::relay(stream, &mut far, &allowed).await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = ended.err();
            // The library sees the end only now, when the reason can be seen.
            drop(far);
        });
        tasks.spawn(async move {
            // Whoever waits for an answer learns that there will be none.
            let _ = connection.drive().await;
        });
        let mut session = Self { server, timeout, ldap, fault, allowance, _tasks: tasks };
        if !config.bind_dn.is_empty() {
            session.bind(config).await?;
        }
        Ok(session)
    }

    async fn bind(&mut self, config: &Config) -> Result<(), Error> {
        let path = config.bind_password_file.clone();
        let read = tokio::task::spawn_blocking(move || read_secret(&path)).await;
        let secret = read.unwrap_or_else(|_| Ok(Vec::new())).map_err(Error::Password)?;
        let secret = String::from_utf8(secret).unwrap_or_default();
        let password = secret.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(Error::NoPassword { path: config.bind_password_file.clone() });
        }
        self.allowance.renew();
        let asked =
            tokio::time::timeout(self.timeout, self.ldap.simple_bind(&config.bind_dn, password))
                .await;
        let LdapResult { rc, text, .. } = self.answered(asked)?;
        match rc {
            0 => Ok(()),
            code => Err(Error::Credentials {
                url: self.server.url.clone(),
                code,
                text: Label::tame(&text),
            }),
        }
    }

    /// Entries below `base`, up to `limit`; aliases and referrals are not
    /// followed.
    pub(super) async fn search(
        &mut self,
        base: &str,
        filter: &str,
        attributes: &[&str],
        limit: i32,
    ) -> Result<Ending, Error> {
        self.allowance.renew();
        let options = SearchOptions::new().deref(DerefAliases::Never).sizelimit(limit);
        let asked = tokio::time::timeout(
            self.timeout,
            self.ldap.with_search_options(options).search(
                base,
                Scope::Subtree,
                filter,
                attributes.to_vec(),
            ),
        )
        .await;
        let SearchResult(records, LdapResult { rc, text, refs, .. }) = self.answered(asked)?;
        let refused = |code, advice| Error::Refused {
            url: self.server.url.clone(),
            base: base.to_owned(),
            code,
            text: Label::tame(&text),
            advice,
        };
        // RFC 4511, section 4.1.9.
        match rc {
            0 => (),
            4 => return Ok(Ending::TooMany),
            10 => {
                return Err(refused(10, "referrals are not followed: name the server that has it"));
            }
            32 => return Err(refused(32, "there is no such base: check [directory]")),
            49 | 50 => return Err(refused(rc, "let [directory] bind_dn read it")),
            3 | 11 | 51 | 52 => return Err(refused(rc, "it is busy or limited: look after it")),
            code => return Err(refused(code, "look into its log")),
        }
        let entries: Vec<_> = records.into_iter().map(SearchEntry::construct).collect();
        // A server may know no limits.
        if entries.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(Ending::TooMany);
        }
        Ok(Ending::Whole(Found { entries, elsewhere: !refs.is_empty() }))
    }

    fn answered<T>(
        &self,
        asked: Result<ldap3::result::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, Error> {
        let url = || self.server.url.clone();
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Err(_) => Err(Error::Late { url: url(), timeout: self.timeout }),
            Ok(Err(source)) => {
                match self.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    Some(fault) => Err(self.server.malformed(fault)),
                    None => Err(Error::Ended { url: url(), source: Box::new(source) }),
                }
            }
        }
    }
}
