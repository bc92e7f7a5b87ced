//! Where the keys come from, in the order of Amazon's own tools: the
//! configuration's files, the environment, a profile, a web identity, the
//! instance metadata service. The first that is there is the one: keys that
//! do not work are not replaced by others.

mod metadata;
mod profile;
mod web_identity;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use super::config::Config;
use super::environment::Environment;
use crate::providers::http::Client;
use crate::providers::{Blame, Error};
use crate::settings::read_secret;
use metadata::Metadata;
use web_identity::WebIdentity;

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub id: String,
    secret: String,
    token: Option<String>,
    expires: Option<SystemTime>,
}

impl Keys {
    pub(super) fn new(id: &str, secret: &str, token: Option<String>) -> Self {
        let secret = secret.to_owned();
        Self { id: id.to_owned(), secret, token, expires: None }
    }

    fn until(self, expires: SystemTime) -> Self {
        Self { expires: Some(expires), ..self }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Before others are asked for.
    fn fresh_until(&self, taken: SystemTime) -> SystemTime {
        /// Amazon has new ones at least this long before the old ones end.
        const EARLY: Duration = Duration::from_secs(300);
        /// A file may be replaced at any time.
        const REREAD: Duration = Duration::from_secs(60);
        match self.expires {
            Some(expires) => expires.checked_sub(EARLY).unwrap_or(taken),
            None => taken + REREAD,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

enum Source {
    Files {
        id: String,
        secret: PathBuf,
        token: PathBuf,
    },
    Environment(Keys),
    Profile {
        file: PathBuf,
        name: String,
    },
    /// The next one, where the file or the profile is not there.
    ProfileOr {
        file: PathBuf,
        name: String,
        next: Box<Source>,
    },
    WebIdentity(WebIdentity),
    Metadata(Metadata),
    Nothing,
}

/// Finds the keys and keeps them while they are fresh.
pub(super) struct Chain {
    source: Source,
    /// Guards the keys in use and when they were taken; held while others are
    /// asked for, so that one question is asked for all.
    kept: Mutex<Option<(Arc<Keys>, SystemTime)>>,
}

impl Chain {
    pub(super) fn new(
        config: &Config,
        environment: &Environment,
        region: &str,
        http: &Client,
    ) -> Result<Self, Error> {
        let source = Source::of(config, environment, region, http)?;
        Ok(Self { source, kept: Mutex::new(None) })
    }

    pub(super) async fn keys(&self) -> Result<Arc<Keys>, Error> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some((keys, taken)) = &*kept
            && *taken <= now
            && now < keys.fresh_until(*taken)
        {
            return Ok(keys.clone());
        }
        match (self.source.read().await, &*kept) {
            (Ok(keys), _) => {
                let keys = Arc::new(keys);
                *kept = Some((keys.clone(), now));
                Ok(keys)
            }
            (Err(fault), Some((old, _))) if old.expires.is_some_and(|expires| now < expires) => {
                tracing::warn!(
                    fault = &fault as &dyn std::error::Error,
                    "the credentials of a cloud could not be renewed; the old ones still hold"
                );
                Ok(old.clone())
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// Others than those that the cloud refused, if there are any.
    pub(super) async fn others(&self, refused: &Keys) -> Option<Arc<Keys>> {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|(keys, _)| **keys == *refused) {
            *kept = None;
        }
        drop(kept);
        self.keys().await.ok().filter(|keys| **keys != *refused)
    }
}

impl Source {
    fn of(
        config: &Config,
        environment: &Environment,
        region: &str,
        http: &Client,
    ) -> Result<Self, Error> {
        if !config.access_key_id.is_empty() {
            return Ok(Self::Files {
                id: config.access_key_id.clone(),
                secret: config.secret_access_key_file.clone(),
                token: config.session_token_file.clone(),
            });
        }
        let named = if config.profile.is_empty() {
            environment.profile.clone()
        } else {
            Some(config.profile.clone())
        };
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        if !config.credentials_file.as_os_str().is_empty() {
            return Ok(Self::Profile { file: config.credentials_file.clone(), name });
        }
        // A web identity that the configuration names is meant.
        if !config.role_arn.is_empty() {
            return WebIdentity::new(config, environment, region, http).map(Self::WebIdentity);
        }
        if let (Some(id), Some(secret), true) =
            (&environment.access_key_id, &environment.secret_access_key, config.profile.is_empty())
        {
            let keys = Keys::new(id, secret, environment.session_token.clone());
            return Ok(Self::Environment(keys));
        }
        let home = environment.home.as_ref().map(|home| home.join(".aws/credentials"));
        let Some(file) = environment.credentials_file.clone().or(home) else {
            return Self::without_files(config, environment, region, http);
        };
        if named.is_some() {
            return Ok(Self::Profile { file, name });
        }
        let next = Box::new(Self::without_files(config, environment, region, http)?);
        Ok(Self::ProfileOr { file, name, next })
    }

    fn without_files(
        config: &Config,
        environment: &Environment,
        region: &str,
        http: &Client,
    ) -> Result<Self, Error> {
        if environment.web_identity_token_file.is_some() && environment.role_arn.is_some() {
            return WebIdentity::new(config, environment, region, http).map(Self::WebIdentity);
        }
        if environment.metadata_disabled && config.metadata_endpoint.is_empty() {
            return Ok(Self::Nothing);
        }
        Metadata::new(config, environment).map(Self::Metadata)
    }

    async fn read(&self) -> Result<Keys, Error> {
        match self {
            Self::Files { id, secret, token } => {
                let secret = secret_text(secret).await?;
                let token = match token.as_os_str().is_empty() {
                    true => None,
                    false => Some(secret_text(token).await?),
                };
                Ok(Keys::new(id, &secret, token))
            }
            Self::Environment(keys) => Ok(keys.clone()),
            Self::Profile { file, name } => profile::keys(&secret_text(file).await?, name)?
                .ok_or_else(|| {
                    fault(format!(
                        "{} has no profile {name:?} with keys; set profile, or add it there",
                        file.display()
                    ))
                }),
            Self::ProfileOr { file, name, next } => {
                let there = tokio::fs::try_exists(file).await.unwrap_or(false);
                let text = if there { secret_text(file).await? } else { String::new() };
                match profile::keys(&text, name)? {
                    Some(keys) => Ok(keys),
                    None => next.read_last().await,
                }
            }
            _ => self.read_last().await,
        }
    }

    async fn read_last(&self) -> Result<Keys, Error> {
        match self {
            Self::WebIdentity(identity) => identity.keys().await,
            Self::Metadata(metadata) => metadata.keys().await,
            _ => Err(fault(
                "there are no credentials for EC2; set access_key_id and secret_access_key_file, or another source of the manual"
                    .to_owned(),
            )),
        }
    }
}

fn fault(what: String) -> Error {
    Error::new(Blame::Credentials, what)
}

/// A secret file's text without the line's end.
async fn secret_text(path: &Path) -> Result<String, Error> {
    let path = path.to_owned();
    let shown = path.clone();
    let wrong = |reason| fault(format!("the secret file {} {reason}", shown.display()));
    let bytes = tokio::task::spawn_blocking(move || read_secret(&path))
        .await
        .map_err(|_| wrong("could not be read"))?
        .map_err(|source| fault("credentials for EC2 cannot be read".to_owned()).because(source))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(text.to_owned())
}

/// A time of the form 2026-11-22T14:15:20Z.
fn time(text: &str) -> Result<SystemTime, Error> {
    humantime::parse_rfc3339_weak(text).map_err(|source| {
        fault("credentials came with an end that is no time".to_owned()).because(source)
    })
}
