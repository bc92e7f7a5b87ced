use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{self, Config, Interface};
use crate::providers::{Blame, Error};
use crate::settings;

/// It is shown to nobody, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Box<str>);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where the cloud is and as whom it is asked, from our own keys or from a
/// clouds.yaml.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// Of Keystone, with `/v3`.
    pub auth_url: Url,
    pub regions: Vec<String>,
    pub interface: Interface,
    pub ca_file: PathBuf,
    identity: Identity,
}

#[derive(Clone, Debug)]
enum Identity {
    ApplicationCredential { id: String, secret: Secret },
    Password { user: Value, password: Secret, project: Value },
}

impl Access {
    /// Reads the files that hold secrets, so that a new one is taken over at
    /// the next log-in. It blocks.
    pub(super) fn load(config: &Config) -> Result<Self, Error> {
        if config.clouds_yaml.as_os_str().is_empty() {
            Self::own(config)
        } else {
            Self::from_clouds_yaml(config)
        }
    }

    fn own(config: &Config) -> Result<Self, Error> {
        let auth_url =
            config::base(&config.auth_url).map_err(|reason| fault(format!("auth_url {reason}")))?;
        let identity = if config.application_credential_id.is_empty() {
            Identity::Password {
                user: json!({"name": config.username, "domain": {"name": config.user_domain}}),
                password: secret(&config.password_file)?,
                project: if config.project_id.is_empty() {
                    json!({"name": config.project, "domain": {"name": config.project_domain}})
                } else {
                    json!({"id": config.project_id})
                },
            }
        } else {
            Identity::ApplicationCredential {
                id: config.application_credential_id.clone(),
                secret: secret(&config.application_credential_secret_file)?,
            }
        };
        Ok(Self {
            auth_url,
            regions: regions(config).unwrap_or_default(),
            interface: config.interface,
            ca_file: config.ca_file.clone(),
            identity,
        })
    }

    fn from_clouds_yaml(config: &Config) -> Result<Self, Error> {
        let path = &config.clouds_yaml;
        let bytes = settings::read_secret(path)
            .map_err(|source| fault("clouds_yaml cannot be used").because(source))?;
        // A parser's own sentence quotes the file, and the file holds secrets.
        let mut file: File = serde_saphyr::from_slice(&bytes).map_err(|told| {
            let place = told.location().map(|at| format!(" near line {}", at.line()));
            let place = place.unwrap_or_default();
            fault(format!("{} is not a clouds.yaml that can be read{place}", path.display()))
        })?;
        let Some(entry) = file.clouds.remove(&config.cloud) else {
            let found: Vec<_> = file.clouds.into_keys().collect();
            return Err(fault(format!(
                "{} has no cloud {:?}; it has {found:?}",
                path.display(),
                config.cloud
            )));
        };
        entry.access(config).map_err(|reason| {
            fault(format!("cloud {:?} of {}: {reason}", config.cloud, path.display()))
        })
    }

    /// What Keystone's `POST /v3/auth/tokens` takes.
    pub(super) fn request(&self) -> Value {
        match &self.identity {
            // It has its project, and a scope beside it is refused.
            Identity::ApplicationCredential { id, secret } => json!({"auth": {"identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": id, "secret": secret.reveal()},
            }}}),
            Identity::Password { user, password, project } => {
                let mut user = user.clone();
                user["password"] = password.reveal().into();
                json!({"auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": {"project": project},
                }})
            }
        }
    }

    pub(super) fn secret(&self) -> &Secret {
        match &self.identity {
            Identity::ApplicationCredential { secret, .. } => secret,
            Identity::Password { password, .. } => password,
        }
    }
}

fn fault(what: impl Into<String>) -> Error {
    Error::new(Blame::Configuration, what)
}

fn secret(path: &Path) -> Result<Secret, Error> {
    let bytes = settings::read_secret(path)
        .map_err(|source| fault("the cloud's secret is not to be had").because(source))?;
    let text = std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\r', '\n']));
    match text {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
        _ => Err(fault(format!("the secret file {} is empty or no text", path.display()))),
    }
}

fn regions(config: &Config) -> Option<Vec<String>> {
    match config.region.as_str() {
        "" if config.regions.is_empty() => None,
        "" => Some(config.regions.clone()),
        region => Some(vec![region.to_owned()]),
    }
}

/// As openstacksdk reads it; what is not asked for here is passed over.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    clouds: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Auth,
    region_name: Option<String>,
    #[serde(default)]
    regions: Vec<Region>,
    interface: Option<Interface>,
    cacert: Option<PathBuf>,
    verify: Option<bool>,
    profile: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Region {
    Name(String),
    Entry { name: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth_url: String,
    username: Option<String>,
    user_id: Option<String>,
    password: Option<String>,
    user_domain_name: Option<String>,
    user_domain_id: Option<String>,
    project_name: Option<String>,
    project_id: Option<String>,
    project_domain_name: Option<String>,
    project_domain_id: Option<String>,
    application_credential_id: Option<String>,
    application_credential_secret: Option<String>,
}

impl Entry {
    fn access(self, config: &Config) -> Result<Access, String> {
        if self.profile.is_some() {
            return Err("profiles are not known here; write its values out".to_owned());
        }
        if self.verify == Some(false) {
            return Err("verify: false is not obeyed; name the authority with cacert".to_owned());
        }
        let auth_url =
            config::base(&self.auth.auth_url).map_err(|reason| format!("auth_url {reason}"))?;
        let ca_file = if config.ca_file.as_os_str().is_empty() {
            self.cacert.unwrap_or_default()
        } else {
            config.ca_file.clone()
        };
        let listed = self.regions.into_iter().map(|region| match region {
            Region::Name(name) | Region::Entry { name } => name,
        });
        let regions = regions(config)
            .or_else(|| self.region_name.map(|name| vec![name]))
            .unwrap_or_else(|| listed.collect());
        let interface = self.interface.unwrap_or(config.interface);
        Ok(Access { auth_url, regions, interface, ca_file, identity: self.auth.identity()? })
    }
}

impl Auth {
    fn identity(self) -> Result<Identity, String> {
        if let (Some(id), Some(secret)) =
            (&self.application_credential_id, &self.application_credential_secret)
        {
            let secret = Secret::new(secret);
            return Ok(Identity::ApplicationCredential { id: id.clone(), secret });
        }
        let password = self.password.as_deref().ok_or(
            "it has neither application_credential_id and application_credential_secret nor password",
        )?;
        let domain = |id: Option<String>, name: Option<String>| match (id, name) {
            (Some(id), _) => json!({"id": id}),
            (None, name) => json!({"name": name.as_deref().unwrap_or("Default")}),
        };
        let user = match (self.user_id, self.username) {
            (Some(id), _) => json!({"id": id}),
            (None, Some(name)) => {
                json!({"name": name, "domain": domain(self.user_domain_id, self.user_domain_name)})
            }
            (None, None) => return Err("it has no username".to_owned()),
        };
        let project = match (self.project_id, self.project_name) {
            (Some(id), _) => json!({"id": id}),
            (None, Some(name)) => {
                let domain = domain(self.project_domain_id, self.project_domain_name);
                json!({"name": name, "domain": domain})
            }
            (None, None) => return Err("it has no project_name or project_id".to_owned()),
        };
        Ok(Identity::Password { user, password: Secret::new(password), project })
    }
}
