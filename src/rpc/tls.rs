//! The door's TLS: our certificate, and clients that must show one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::settings::{SecretError, read_secret};

use super::config::TlsConfig;

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

pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&config.cert_file)?;
    let key_path = &config.key_file;
    let key = PrivateKeyDer::from_pem_slice(&read_secret(key_path)?)
        .map_err(|source| TlsError::Key { path: key_path.clone(), source })?;
    let ca_path = &config.client_ca_file;
    let mut roots = RootCertStore::empty();
    for root in certificates(ca_path)? {
        roots.add(root).map_err(|source| TlsError::Root { path: ca_path.clone(), source })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|source| TlsError::ClientCa { path: ca_path.clone(), source })?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(TlsError::Pair)?;
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
