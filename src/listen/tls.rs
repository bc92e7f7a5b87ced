//! A door's TLS: our certificate, and whether clients must show one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use crate::settings::{SecretError, read_secret};

/// The files of a door's TLS, in PEM.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Our certificate and its chain.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Who signs the certificates that clients must show.
    pub client_ca_file: PathBuf,
}

impl TlsConfig {
    /// Each with its key in the section of the door.
    pub fn files(&self) -> [(&'static str, &PathBuf); 3] {
        [
            ("tls.cert_file", &self.cert_file),
            ("tls.key_file", &self.key_file),
            ("tls.client_ca_file", &self.client_ca_file),
        ]
    }

    pub fn is_set(&self) -> bool {
        self.files().iter().any(|(_, path)| !path.as_os_str().is_empty())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the certificates in {path}")]
    Certificates { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("there is no certificate in {0}")]
    NoCertificate(PathBuf),
    #[error("key_file")]
    Secret(#[from] SecretError),
    #[error("cannot read a private key in {path}")]
    Key { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} signs no client certificates")]
    ClientCa { path: PathBuf, source: rustls::server::VerifierBuilderError },
    #[error("{path} holds a certificate that cannot be trusted")]
    Root { path: PathBuf, source: rustls::Error },
    #[error("the certificate and the key do not go together")]
    Pair(#[source] rustls::Error),
}

/// Clients must show a certificate where `client_ca_file` is set.
pub fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&config.cert_file)?;
    let key_path = &config.key_file;
    let key = PrivateKeyDer::from_pem_slice(&read_secret(key_path)?)
        .map_err(|source| TlsError::Key { path: key_path.clone(), source })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let ca_path = &config.client_ca_file;
    let builder = if ca_path.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for root in certificates(ca_path)? {
            roots.add(root).map_err(|source| TlsError::Root { path: ca_path.clone(), source })?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|source| TlsError::ClientCa { path: ca_path.clone(), source })?;
        builder.with_client_cert_verifier(clients)
    };
    let config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrap = |source| TlsError::Certificates { path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(wrap)?
        .collect::<Result<_, _>>()
        .map_err(wrap)?;
    if found.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(found) }
}
