//! Whom we believe at the other end of a TLS connection that we open. One
//! provider, ring; no certificate of our own is shown.

mod whoever;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client};
use rustls_platform_verifier::BuilderVerifierExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Whom the authorities of this PEM file have signed; an empty path: those
    /// of the system.
    Authorities(&'a Path),
    /// As libpq's sslmode "require": encrypted to whoever has the other end.
    /// The handshake itself is still proved.
    Whoever,
    /// Nobody: for a client that wants a configuration and opens plain
    /// connections only. The system's authorities take a megabyte.
    Nobody,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("TLS cannot be used")]
    Setup(#[source] rustls::Error),
    #[error(
        "the system's certificate authorities cannot be loaded; install ca-certificates or set ca_file"
    )]
    System(#[source] rustls::Error),
    #[error("the certificates of {path} cannot be read")]
    CaFile { path: PathBuf, source: pem::Error },
    #[error("{path} holds a certificate that is no authority's")]
    BadCertificate { path: PathBuf, source: rustls::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
}

pub fn client(trust: Trust<'_>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?;
    Ok(verified(builder, trust, provider)?.with_no_client_auth())
}

type Builder<State> = ConfigBuilder<ClientConfig, State>;

fn verified(
    builder: Builder<WantsVerifier>,
    trust: Trust<'_>,
    provider: Arc<CryptoProvider>,
) -> Result<Builder<client::WantsClientCert>, Error> {
    Ok(match trust {
        Trust::Authorities(file) if file.as_os_str().is_empty() => {
            builder.with_platform_verifier().map_err(Error::System)?
        }
        Trust::Authorities(file) => builder.with_root_certificates(authorities(file)?),
        Trust::Whoever => {
            let verifier = Arc::new(whoever::Whoever(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
        Trust::Nobody => builder.with_root_certificates(RootCertStore::empty()),
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let wrap = |source| Error::CaFile { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(wrap)? {
        roots
            .add(certificate.map_err(wrap)?)
            .map_err(|source| Error::BadCertificate { path: path.to_owned(), source })?;
    }
    if roots.is_empty() {
        return Err(Error::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_authorities_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let fault = || client(Trust::Authorities(&file)).unwrap_err();
        assert!(matches!(fault(), Error::CaFile { .. }));
        std::fs::File::create(&file).unwrap();
        assert_eq!(fault().to_string(), format!("{} holds no certificate", file.display()));
    }
}
