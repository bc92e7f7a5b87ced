use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use super::SetupError;

/// reqwest without a TLS provider of its own wants a process-wide one or a
/// ready-made configuration, for plain HTTP too; this is the latter.
pub(super) fn config(https: bool, ca_file: &Path) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| SetupError::Tls { source })?;
    if https && ca_file.as_os_str().is_empty() {
        let builder = builder
            .with_platform_verifier()
            .map_err(|source| SetupError::Authorities { source })?;
        return Ok(builder.with_no_client_auth());
    }
    // No redirect is followed, so a plain URL never leads to a TLS connection
    // and needs no authorities: the system's take a megabyte.
    let roots = if https { read_authorities(ca_file)? } else { RootCertStore::empty() };
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn read_authorities(path: &Path) -> Result<RootCertStore, SetupError> {
    let wrap = |source| SetupError::CaFile { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(wrap)? {
        roots
            .add(certificate.map_err(wrap)?)
            .map_err(|source| SetupError::BadCertificate { path: path.to_owned(), source })?;
    }
    if roots.is_empty() {
        return Err(SetupError::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}
