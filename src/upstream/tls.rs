use super::BuildError;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
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

/// TLS towards upstreams, made once. Session keys are never logged, whatever the environment says.
pub(super) struct Tls {
    trust: Trust,
    versions: ConfigBuilder<ClientConfig, WantsVerifier>,
    made: OnceLock<Made>,
}

/// The clients of one set of roots.
pub(super) struct Made {
    /// Offers HTTP/2 and HTTP/1.1.
    pub(super) both: TlsConnector,
    /// Offers HTTP/1.1 alone.
    pub(super) http1: TlsConnector,
    /// How many roots are believed.
    pub(super) roots: usize,
}

impl Tls {
    /// Roots that somebody chose are read here, so that a mistake is told at the start. The automatic ones, which cannot be
    /// missing, are read when they are first needed: that takes longer than all the rest of a start.
    pub(super) fn new(trust: &Trust) -> Result<Arc<Self>, BuildError> {
        let versions = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| BuildError::TlsVersions)?;
        let tls = Self { trust: trust.clone(), versions, made: OnceLock::new() };
        let chosen = match &trust.roots {
            Roots::Auto => None,
            Roots::Bundled => Some(bundled()),
            Roots::File(path) => Some(store(load_certs_from_paths(Some(path), None), Some(path))?),
            Roots::System => Some(system(trust)?),
        };
        if let Some(roots) = chosen {
            tls.made.get_or_init(|| tls.make(roots));
        }
        Ok(Arc::new(tls))
    }

    /// The clients. The first call may read hundreds of files: see [`Tls::ready`].
    pub(super) fn made(&self) -> &Made {
        self.made.get_or_init(|| self.make(system(&self.trust).unwrap_or_else(|_| bundled())))
    }

    /// The clients, without holding up the runtime this is called on.
    pub(super) async fn ready(self: &Arc<Self>) -> &Made {
        if self.made.get().is_none() {
            let this = Arc::clone(self);
            let making = tokio::task::spawn_blocking(move || {
                this.made();
            });
            // A runtime that ends makes none; then this call does.
            let _ = making.await;
        }
        self.made()
    }

    fn make(&self, roots: RootCertStore) -> Made {
        let count = roots.len();
        let mut config = self.versions.clone().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Made { both: TlsConnector::from(Arc::new(config)), http1, roots: count }
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
