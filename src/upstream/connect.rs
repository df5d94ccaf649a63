use super::proxies::{Proxies, Via};
use super::resolve::{Believe, ResolveError, Resolver};
use super::tls::Tls;
use super::{BuildError, Trust, target};
use crate::engine::Phase;
use crate::model::Origin;
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};
use std::error::Error;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// TCP keep-alive towards upstreams, so that a stream that thinks for minutes is not forgotten by a NAT on the way.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Opens connections: name, TCP, TLS, each within the time for connecting, directly or through the user's proxy.
#[derive(Clone)]
pub(crate) struct Connector {
    direct: HttpConnector<Resolver>,
    to_proxy: HttpConnector<Resolver>,
    proxies: Arc<Proxies>,
    tls: Arc<Tls>,
    versions: Versions,
    patience: Duration,
}

/// What is offered in a TLS handshake (RFC 7301).
#[derive(Clone, Copy)]
enum Versions {
    Http1,
    Http2OrHttp1,
}

/// Why there is no connection. Nothing of a request was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct ConnectError {
    pub(crate) phase: Phase,
    pub(crate) detail: String,
}

impl Connector {
    pub(crate) fn new(trust: &Trust, proxies: Proxies, patience: Duration) -> Result<Self, BuildError> {
        Ok(Self {
            direct: tcp(Believe::Public, patience),
            to_proxy: tcp(Believe::All, patience),
            proxies: Arc::new(proxies),
            tls: Tls::new(trust)?,
            versions: Versions::Http2OrHttp1,
            patience,
        })
    }

    /// The same for connections that speak HTTP/1.1 only.
    pub(crate) fn http1(self) -> Self {
        Self { versions: Versions::Http1, ..self }
    }

    /// How many roots are believed.
    pub(super) async fn roots(&self) -> usize {
        self.tls.ready().await.roots
    }

    /// Makes what connections over TLS need, which takes tens of milliseconds: roots, and the seed of random numbers.
    pub(super) fn prepare_tls(&self) {
        self.tls.made();
        // Without a seed the handshake fails later on, and says so.
        let _ = aws_lc_rs::rand::fill(&mut [0]);
    }

    /// Opens a connection to `origin`.
    pub(super) async fn open(self, origin: &Origin) -> Result<Stream, ConnectError> {
        let to = target(origin, PathAndQuery::from_static("/"));
        self.open_to(to.map_err(|detail| ConnectError { phase: Phase::Connect, detail })?).await
    }

    async fn open_to(mut self, to: Uri) -> Result<Stream, ConnectError> {
        if to.scheme() != Some(&Scheme::HTTPS) {
            let tcp = self.direct.call(to).await;
            return Ok(Stream::Plain(tcp.map_err(|e| not_connected(&e))?));
        }
        let host = to.host().unwrap_or_default().to_owned();
        let tcp = match self.proxies.towards(&to) {
            None => self.direct.call(to).await.map_err(|e| not_connected(&e))?,
            Some(via) => {
                let opening = tunnel(self.to_proxy, via, to);
                let opened = tokio::time::timeout(self.patience, opening).await;
                opened.unwrap_or_else(|_| Err(late(Phase::Connect, "the proxy")))?
            }
        };
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|_| ConnectError {
            phase: Phase::Tls,
            detail: "the host is no name a certificate can have".to_owned(),
        })?;
        let made = self.tls.ready().await;
        let tls = match self.versions {
            Versions::Http1 => &made.http1,
            Versions::Http2OrHttp1 => &made.both,
        };
        let shaking = tls.connect(name, tcp.into_inner());
        match tokio::time::timeout(self.patience, shaking).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(TokioIo::new(stream)))),
            Ok(Err(error)) => {
                Err(ConnectError { phase: Phase::Tls, detail: no_handshake(&error).to_owned() })
            }
            Err(_) => Err(late(Phase::Tls, "the TLS handshake")),
        }
    }
}

fn tcp(believe: Believe, patience: Duration) -> HttpConnector<Resolver> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new(believe, patience));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_connect_timeout(Some(patience));
    tcp
}

async fn tunnel(
    to_proxy: HttpConnector<Resolver>,
    via: Via,
    to: Uri,
) -> Result<TokioIo<TcpStream>, ConnectError> {
    match via {
        Via::Http { proxy, auth } => {
            let tunnel = Tunnel::new(proxy, to_proxy);
            let mut tunnel = match auth {
                Some(auth) => tunnel.with_auth(auth),
                None => tunnel,
            };
            tunnel.call(to).await.map_err(|e| not_through_proxy(&e))
        }
        Via::Socks { proxy, auth } => {
            let socks = SocksV5::new(proxy, to_proxy);
            let mut socks = match auth {
                Some((user, password)) => socks.with_auth(user, password),
                None => socks,
            };
            socks.call(to).await.map_err(|e| not_through_proxy(&e))
        }
    }
}

fn late(phase: Phase, what: &str) -> ConnectError {
    ConnectError { phase, detail: format!("{what} took too long") }
}

fn not_connected(error: &(dyn Error + 'static)) -> ConnectError {
    let detail = if let Some(unresolved) = find::<ResolveError>(error) {
        unresolved.to_string()
    } else if let Some(io) = find::<io::Error>(error) {
        io.kind().to_string()
    } else {
        "no connection".to_owned()
    };
    ConnectError { phase: Phase::Connect, detail }
}

fn not_through_proxy(error: &(dyn Error + 'static)) -> ConnectError {
    let ConnectError { phase, detail } = not_connected(error);
    ConnectError { phase, detail: format!("the proxy did not connect us: {detail}") }
}

fn no_handshake(error: &io::Error) -> &'static str {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return "the connection closed during the TLS handshake";
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls may add kinds")]
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the upstream's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the upstream's certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the upstream's certificate is for another name"
            }
            CertificateError::UnknownIssuer => "the upstream's certificate is signed by nobody we trust",
            _ => "the upstream's certificate is not valid",
        },
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => "the upstream speaks no TLS version and cipher we accept",
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | rustls::Error::NoApplicationProtocol => "the upstream speaks neither HTTP/2 nor HTTP/1.1",
        _ => "the TLS handshake failed",
    }
}

/// The first error of type `T` in the chain of causes.
pub(crate) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| (**error).source()).find_map(|error| error.downcast_ref::<T>())
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open_to(to))
    }
}

/// A connection to an upstream.
pub(crate) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Stream {
    /// True where both sides agreed on HTTP/2 (RFC 7301).
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        if self.speaks_http2() { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream.inner_mut()).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.inner_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Write::poll_write(self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_shutdown(self, cx)
    }

    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(self)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write_vectored(self, cx, bufs)
    }
}
