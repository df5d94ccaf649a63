use super::*;
use crate::upstream::Roots;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::PathBuf;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio_rustls::TlsAcceptor;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A certificate authority of the test's own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    dir: tempfile::TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("rota test")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("root.pem"), certificate.pem()).unwrap();
        Self { root: certificate.der().clone(), issuer: Issuer::new(params, key), dir }
    }

    fn pem(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Trusts this authority only.
    pub(super) fn upstream(&self) -> Upstream {
        Upstream::new(&self.config()).unwrap()
    }

    fn config(&self) -> UpstreamConfig {
        let trust = Trust { roots: Roots::File(self.pem()), ..Trust::default() };
        UpstreamConfig { trust, ..config() }
    }

    /// A server's side, with a certificate for `names` that ends in `year`.
    pub(super) fn acceptor(&self, names: &[&str], year: i32, alpn: &[&[u8]]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![leaf.der().clone(), self.root.clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// PRX-1 PRX-8: a certificate of a trusted authority, for the right name, lets the request pass.
#[tokio::test]
async fn a_trusted_upstream_is_served_over_tls() {
    let authority = Authority::new();
    let peer = over_tls(authority.acceptor(&["localhost"], 2099, &[b"http/1.1"])).await;
    let by_file = authority.upstream();
    let by_environment = Upstream::new(&UpstreamConfig {
        trust: Trust { roots: Roots::System, cert_file: Some(authority.pem()), cert_dir: None },
        ..config()
    });
    for upstream in [by_file, by_environment.unwrap()] {
        let reply = replied(&upstream, &peer.https(), post("x")).await;
        assert_eq!(whole(reply).await.unwrap(), "ok");
    }
    assert!(peer.seen.requests()[0].contains(TOKEN));
}

/// PRX-2, U8 C5: no byte of a credential goes to whom we cannot believe.
#[tokio::test]
async fn an_upstream_that_proves_nothing_gets_nothing() {
    let (ours, theirs) = (Authority::new(), Authority::named("another"));
    let table = [
        ("expired", ours.acceptor(&["localhost"], 2021, &[]), "expired"),
        ("wrong name", ours.acceptor(&["other.example"], 2099, &[]), "another name"),
        ("unknown authority", theirs.acceptor(&["localhost"], 2099, &[]), "nobody we trust"),
        ("speaks something else", ours.acceptor(&["localhost"], 2099, &[b"smtp"]), "neither"),
    ];
    for (what, acceptor, says) in table {
        let peer = over_tls(acceptor).await;
        let sent = ours.upstream().send(&peer.https(), &credential(), post("x")).await;
        assert_eq!(kind(&sent), "NotSent Tls", "{what}: {sent:?}");
        let Sent::NotSent(_, text) = sent else { unreachable!() };
        assert!(text.contains(says), "{what}: {text}");
        assert_eq!((peer.seen.connections(), peer.seen.requests()), (1, Vec::new()), "{what}");
    }
}

/// U5 U8
#[tokio::test]
async fn an_upstream_that_breaks_off_its_handshake_gets_nothing() {
    let authority = Authority::new();
    let closes = Peer::start(|socket, _| async move { drop(socket) }).await;
    let plain = Peer::start(|mut socket, _| async move {
        socket.write_all(OK).await.unwrap();
        closed(&mut socket).await;
    })
    .await;
    let silent = Peer::start(|mut socket, _| async move { closed(&mut socket).await }).await;
    let config = UpstreamConfig { connect: Duration::from_millis(200), ..authority.config() };
    let upstream = Upstream::new(&config).unwrap();
    for peer in [closes, plain, silent] {
        let sent = upstream.send(&peer.https(), &credential(), post("x")).await;
        assert_eq!(kind(&sent), "NotSent Tls", "{sent:?}");
    }
}

/// U8: an end of the connection that TLS did not announce may be an attacker's.
#[tokio::test]
async fn a_body_that_ends_with_the_connection_needs_tls_to_say_so() {
    let authority = Authority::new();
    for announced in [true, false] {
        let acceptor = authority.acceptor(&["localhost"], 2099, &[b"http/1.1"]);
        let peer = Peer::start(move |socket, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut tls = acceptor.accept(socket).await.unwrap();
                request(&mut tls).await.unwrap();
                tls.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf").await.unwrap();
                tls.flush().await.unwrap();
                if announced {
                    tls.shutdown().await.unwrap();
                }
            }
        })
        .await;
        let reply = replied(&authority.upstream(), &peer.https(), get()).await;
        assert_eq!(whole(reply).await.is_ok(), announced);
    }
}

/// PRX-8: through the user's proxy the upstream still proves itself, and the proxy sees no credential.
#[tokio::test]
async fn a_tunnel_through_the_users_proxy_carries_tls() {
    let authority = Authority::new();
    let peer = over_tls(authority.acceptor(&["api.example"], 2099, &[b"http/1.1"])).await;
    let (there, port) = (peer.port, peer.port);
    let proxy = Peer::start(move |mut socket, seen| async move {
        let asked = read_head(&mut socket).await.unwrap();
        seen.note(asked);
        let mut out = TcpStream::connect(("127.0.0.1", there)).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let _ = copy_bidirectional(&mut socket, &mut out).await;
    })
    .await;
    let proxies = ProxyValues {
        https: Some(format!("http://me:word@127.0.0.1:{}", proxy.port)),
        ..ProxyValues::default()
    };
    let upstream = Upstream::new(&UpstreamConfig { proxies, ..authority.config() }).unwrap();
    let provider = provider(&format!("https://api.example:{port}"));
    let reply = replied(&upstream, &provider, post("x")).await;
    assert_eq!(whole(reply).await.unwrap(), "ok");
    let asked = &proxy.seen.requests()[0];
    assert!(asked.starts_with(&format!("CONNECT api.example:{port} HTTP/1.1\r\n")), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic bWU6d29yZA=="), "{asked}");
    assert!(!asked.contains(TOKEN));
    let refusing = Peer::start(|mut socket, _| async move {
        read_head(&mut socket).await.unwrap();
        socket.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
    })
    .await;
    let proxies = ProxyValues { all: Some(format!("127.0.0.1:{}", refusing.port)), ..ProxyValues::default() };
    let upstream = Upstream::new(&UpstreamConfig { proxies, ..authority.config() }).unwrap();
    let sent = upstream.send(&provider, &credential(), post("x")).await;
    assert_eq!(kind(&sent), "NotSent Connect", "{sent:?}");
}

/// PRX-8
#[test]
fn a_file_without_a_root_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.pem");
    std::fs::write(&path, "nothing here").unwrap();
    for roots in [path.clone(), dir.path().join("missing.pem")] {
        let trust = Trust { roots: Roots::File(roots.clone()), ..Trust::default() };
        let error = Upstream::new(&UpstreamConfig { trust, ..config() }).unwrap_err();
        assert!(error.to_string().contains(&*roots.to_string_lossy()), "{error}");
    }
}

/// PRX-8
#[tokio::test]
async fn the_systems_roots_are_read_when_they_are_needed() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("later.pem");
    let trust = Trust { roots: Roots::Auto, cert_file: Some(file.clone()), cert_dir: None };
    let upstream = Upstream::new(&UpstreamConfig { trust, ..config() }).unwrap();
    std::fs::copy(authority.pem(), &file).unwrap();
    assert_eq!(upstream.roots().await, 1);
    std::fs::remove_file(&file).unwrap();
    upstream.prepare_tls();
    assert_eq!(upstream.apart().roots().await, 1, "they are read once");
}

/// Answers every request over TLS.
async fn over_tls(acceptor: TlsAcceptor) -> Peer {
    Peer::start(move |socket, seen| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut tls) = acceptor.accept(socket).await else {
                return;
            };
            while let Some(asked) = request(&mut tls).await {
                seen.note(asked);
                tls.write_all(OK).await.unwrap();
                tls.flush().await.unwrap();
            }
        }
    })
    .await
}
