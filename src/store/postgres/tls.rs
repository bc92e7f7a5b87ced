use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::store::Tls;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("TLS cannot be used")]
    Setup(#[source] rustls::Error),
    #[error("the certificates of {path} cannot be read")]
    CaFile { path: PathBuf, source: pem::Error },
    #[error("{path} holds a certificate that is none")]
    BadCertificate { path: PathBuf, source: rustls::Error },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
}

pub(super) fn config(tls: Tls, ca_file: &Path) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let builder = match tls {
        Tls::Off => builder.with_root_certificates(RootCertStore::empty()),
        Tls::Require => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Whoever(provider)))
        }
        Tls::Verify if ca_file.as_os_str().is_empty() => {
            builder.with_platform_verifier().map_err(TlsError::Setup)?
        }
        Tls::Verify => builder.with_root_certificates(authorities(ca_file)?),
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let wrap = |source| TlsError::CaFile { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(wrap)? {
        roots
            .add(certificate.map_err(wrap)?)
            .map_err(|source| TlsError::BadCertificate { path: path.to_owned(), source })?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}

/// `tls = "require"`: as libpq's sslmode of that name, encrypted to whoever
/// has the other end. The handshake itself is still proved.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
