use super::BuildError;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Whom to believe when an upstream shows its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Where the roots come from.
    pub roots: Roots,
    /// A file of roots that stands for the system's own (`SSL_CERT_FILE`).
    pub cert_file: Option<PathBuf>,
    /// A directory of roots that stands for the system's own (`SSL_CERT_DIR`).
    pub cert_dir: Option<PathBuf>,
}

/// Where the root certificates come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// The system's; where it has none, the bundled ones.
    #[default]
    Auto,
    /// Those of Mozilla's programme, as of the build.
    Bundled,
    /// One PEM file.
    File(PathBuf),
    /// The system's.
    System,
}

/// A TLS client that offers HTTP/2 and HTTP/1.1, and how many roots it believes. Session keys are never logged, whatever the
/// environment says.
pub(super) fn connector(trust: &Trust) -> Result<(TlsConnector, usize), BuildError> {
    let roots = load(trust)?;
    let count = roots.len();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::TlsVersions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsConnector::from(Arc::new(config)), count))
}

/// The same client, offering HTTP/1.1 alone.
pub(super) fn http1(both: &TlsConnector) -> TlsConnector {
    let mut config = ClientConfig::clone(both.config());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn load(trust: &Trust) -> Result<RootCertStore, BuildError> {
    match &trust.roots {
        Roots::Auto => Ok(system(trust).unwrap_or_else(|_| bundled())),
        Roots::Bundled => Ok(bundled()),
        Roots::File(path) => store(load_certs_from_paths(Some(path), None), Some(path)),
        Roots::System => system(trust),
    }
}

fn bundled() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

fn system(trust: &Trust) -> Result<RootCertStore, BuildError> {
    let (file, dir) = (trust.cert_file.as_deref(), trust.cert_dir.as_deref());
    if file.is_none() && dir.is_none() {
        return store(load_native_certs(), None);
    }
    store(load_certs_from_paths(file, dir), file.or(dir))
}

/// Roots that cannot be read one by one are left out; a source without a single good one is an error.
fn store(found: CertificateResult, from: Option<&Path>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(BuildError::NoRoots { from: from.map(Path::to_owned) });
    }
    Ok(roots)
}
