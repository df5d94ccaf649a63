//! The wire to providers: connections, TLS, the credential put into a request, the reply as it comes back. It sends
//! what it is told where the preset says and reports how far that got; whom to send to, and whether to send again,
//! is decided elsewhere.
mod connect;
mod decode;
mod fault;
mod http1;
mod inject;
mod outbound;
mod pool;
mod proxies;
mod reply;
mod resolve;
mod source;
mod stall;
#[cfg(test)]
mod tests;
mod tls;
mod unpack;
mod upgrade;

pub use inject::{InjectError, inject};
pub use outbound::{OutboundBody, OutboundRequest};
pub use proxies::ProxyValues;
pub use reply::{Reply, ReplyBody, ReplyError};
pub use tls::{Roots, Trust};
pub use unpack::Unpack;
pub use upgrade::Upgrade;

pub(crate) use connect::Connector;
pub(crate) use fault::{Failure, failure};
pub(crate) use proxies::Proxies;
use stall::Patience;
pub(crate) use stall::Stall;

use crate::engine::Phase;
use crate::model::{Credential, Origin, Provider};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, Request, Response, header, response};
use http_body_util::Empty;
use http1::{Line, Received};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use outbound::{Progress, Stage, Upload};
use pool::{Pool, Way};
use source::Source;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// A reply's head at most, over HTTP/1.1 and HTTP/2.
const HEAD_BYTES: u32 = 64 * 1024;
/// A busy HTTP/2 connection is asked this often whether it is alive.
const PING: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PONG: Duration = Duration::from_secs(10);

/// What the wire to providers needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// For each of: looking up the name, connecting, the TLS handshake.
    pub connect: Duration,
    /// From the last byte of the request that moved to the reply's head.
    pub first_byte: Duration,
    /// Between two pieces of a reply's body.
    pub stream_idle: Duration,
    /// Whom to believe.
    pub trust: Trust,
    /// The user's own proxies.
    pub proxies: ProxyValues,
}

/// Why the wire cannot be set up. Its `Display` is a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The value is not shown: it may hold a password.
    #[error("{name} is not a proxy rota can use; it takes http://host:port, socks5:// or socks5h://")]
    BadProxy {
        /// The variable or setting.
        name: &'static str,
    },
    /// Nobody could ever be believed.
    #[error(
        "no root certificate could be read from {}; give a PEM file, or use the bundled ones",
        from.as_deref().map_or("the system's store".into(), |path| path.to_string_lossy())
    )]
    NoRoots {
        /// The file or directory; none for the system's own store.
        from: Option<PathBuf>,
    },
    /// The crypto library was built without TLS 1.2 and 1.3.
    #[error("the crypto library offers no TLS version that rota accepts")]
    TlsVersions,
}

/// What came of sending. Texts are short and hold no secret.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are replies; a box would be an allocation each")]
#[expect(clippy::enum_variant_names, reason = "the engine's own word for it")]
pub enum Sent {
    /// The request's own body ended in an error: the client's doing, nobody else's.
    BodyBroke,
    /// Something was written and no complete head came: it may have been processed.
    Lost(Phase, String),
    /// Nothing of the request was written.
    NotSent(Phase, String),
    /// A complete head, and the body to come.
    Replied(Reply),
    /// HTTP/2 proved that the request was not processed (RFC 9113 §6.8, §8.7).
    Unprocessed(String),
}

/// For an upstream to say what time it is.
const DATE_PATIENCE: Duration = Duration::from_secs(5);

/// The way to all providers, with the connections kept open to them. Clones share the connections.
#[derive(Clone)]
pub struct Upstream {
    connector: Connector,
    /// Speaks HTTP/1.1 only: HTTP/2 has no `Upgrade`.
    upgrading: Connector,
    pool: Pool,
    first_byte: Duration,
    stream_idle: Duration,
}

impl Upstream {
    /// Connects to nobody yet. Root certificates that somebody chose are read; those of the system when they are needed.
    pub fn new(config: &UpstreamConfig) -> Result<Self, BuildError> {
        let proxies = Proxies::new(&config.proxies)?;
        let connector = Connector::new(&config.trust, proxies, config.connect)?;
        let upgrading = connector.clone().http1();
        let (first_byte, stream_idle) = (config.first_byte, config.stream_idle);
        Ok(Self { connector, upgrading, pool: Pool::default(), first_byte, stream_idle })
    }

    /// The same way with connections of its own: for a runtime of its own, which drives them.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { pool: Pool::default(), ..self.clone() }
    }

    /// How many root certificates it believes.
    pub async fn roots(&self) -> usize {
        self.connector.roots().await
    }

    /// Makes what connections over TLS need, so that the first request over it does not wait for that. It blocks for tens
    /// of milliseconds.
    pub fn prepare_tls(&self) {
        self.connector.prepare_tls();
    }

    /// What opens its connections, for others that connect the same way.
    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Puts the credential in, sends the request to the provider's origin, and waits for the reply's head. Never sends
    /// twice, never follows a redirect. Dropping the future cancels the request at once.
    pub async fn send(&self, provider: &Provider, credential: &Credential, request: OutboundRequest) -> Sent {
        let upload = request.body.progress();
        let request = match dress(provider, credential, request) {
            Ok(request) => request,
            Err(why) => return Sent::NotSent(Phase::Connect, why),
        };
        let exchange = pin!(self.exchange(&provider.origin, request));
        self.answered(exchange, self.first_byte, upload).await
    }

    /// What the upstream's clock says, by the `Date` of its answer to a request without a credential; none if it does not
    /// say.
    ///
    /// # Errors
    /// It cannot be reached; why, for a person.
    pub async fn date(&self, origin: &Origin) -> Result<Option<String>, String> {
        let mut request = Request::new(OutboundBody::new(Empty::<Bytes>::new()));
        *request.method_mut() = Method::HEAD;
        let answered = tokio::time::timeout(DATE_PATIENCE, self.exchange(origin, request)).await;
        let reply = answered.map_err(|_| format!("no answer within {} s", DATE_PATIENCE.as_secs()))?;
        let (head, _) = reply.map_err(|failure| match failure {
            Failure::Lost(why) | Failure::NotSent(_, why) | Failure::Unprocessed(why) => why,
        })?;
        Ok(head.headers.get(header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned))
    }

    /// One request over a connection that is open, or a new one.
    async fn exchange(
        &self,
        origin: &Origin,
        request: Request<OutboundBody>,
    ) -> Result<(response::Parts, Source), Failure> {
        let way = match self.pool.take(origin) {
            Some(way) => way,
            // Rare, and several times as large as all the rest of a request.
            None => Box::pin(self.connect(origin)).await?,
        };
        match way {
            Way::Line(mut line) => {
                let begun = line.exchange(request, origin.host_header()).await?;
                let (head, received) = Received::new(begun, line, self.pool.clone(), origin.clone());
                Ok((head, Source::Line(received)))
            }
            Way::Shared(mut sender) => {
                let request =
                    absolute_form(request, origin).map_err(|why| Failure::NotSent(Phase::Connect, why))?;
                let response = sender.send_request(request).await;
                streamed(response.map_err(|error| fault::of_exchange(&error))?)
            }
        }
    }

    async fn connect(&self, origin: &Origin) -> Result<Way, Failure> {
        let stream = self.connector.clone().open(origin).await?;
        if !stream.speaks_http2() {
            return Ok(Way::Line(Line::new(stream)));
        }
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        let (sender, connection) = builder.handshake(stream).await.map_err(|_| no_connection())?;
        // What goes wrong on it shows in the requests it carries.
        tokio::spawn(connection);
        self.pool.share(origin.clone(), sender.clone());
        Ok(Way::Shared(sender))
    }

    /// Waits for what comes of `exchange`: at most `patience` without a byte of the request moving.
    async fn answered(
        &self,
        mut exchange: Pin<&mut impl Future<Output = Result<(response::Parts, Source), Failure>>>,
        patience: Duration,
        upload: Progress,
    ) -> Sent {
        let mut patience = Patience::new(patience);
        let mut tick = pin!(patience.tick());
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = exchange.as_mut().poll(cx) {
                return Poll::Ready(Some(answered));
            }
            patience.poll(tick.as_mut(), cx, || upload.take_moved()).map(|()| None)
        });
        let (head, mut source) = match answered.await {
            None => {
                return Sent::Lost(phase(&upload), "no reply within the first-byte time-out".into());
            }
            Some(Err(failure)) => return explain(failure, &upload),
            Some(Ok(answered)) => answered,
        };
        if head.status.is_client_error() || head.status.is_server_error() {
            upload.pause();
        } else {
            source.go_on();
        }
        let stall = Stall::new(self.stream_idle);
        Sent::Replied(Reply::new(head, ReplyBody::new(source, stall, upload)))
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}

fn no_connection() -> Failure {
    Failure::NotSent(Phase::Connect, "no connection".to_owned())
}

/// As a request is written to the server itself over HTTP/1.1 (RFC 9112 §3.2.1).
fn origin_form(mut request: Request<OutboundBody>, origin: &Origin) -> Request<OutboundBody> {
    request.headers_mut().insert(header::HOST, origin.host_header().clone());
    request
}

/// As HTTP/2 makes its pseudo-headers of it (RFC 9113 §8.3.1).
fn absolute_form(
    mut request: Request<OutboundBody>,
    origin: &Origin,
) -> Result<Request<OutboundBody>, String> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = target(origin, path.unwrap_or_else(|| PathAndQuery::from_static("/")))?;
    Ok(request)
}

/// The request as it goes out, but for what depends on the connection it goes over.
fn dress(
    provider: &Provider,
    credential: &Credential,
    request: OutboundRequest,
) -> Result<Request<OutboundBody>, String> {
    let mut dressed = Request::new(request.body);
    *dressed.method_mut() = request.method;
    *dressed.uri_mut() = Uri::from(request.path_and_query);
    *dressed.headers_mut() = request.headers;
    let headers = dressed.headers_mut();
    // Written anew, from the origin and from the body's size.
    for name in [header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    inject(provider, credential, headers).map_err(|error| error.to_string())?;
    Ok(dressed)
}

/// The origin is the provider's, whatever the client named.
pub(crate) fn target(origin: &Origin, path_and_query: PathAndQuery) -> Result<Uri, String> {
    let authority =
        Authority::from_maybe_shared(origin.authority()).map_err(|_| format!("{origin} is not an origin"))?;
    let scheme = if origin.tls() { Scheme::HTTPS } else { Scheme::HTTP };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).map_err(|_| "the path is not one that can be requested".to_owned())
}

/// A reply that hyper has read.
fn streamed(response: Response<Incoming>) -> Result<(response::Parts, Source), Failure> {
    let (head, body) = response.into_parts();
    match unclean(&head.headers) {
        Some(why) => Err(Failure::Lost(why.to_owned())),
        None => Ok((head, body.into())),
    }
}

/// What hyper lets pass and we do not: a head above the bound, of which it holds one read more, and a reply of
/// which two parties read two lengths, where smuggling begins (RFC 9112 §6.3).
fn unclean(headers: &HeaderMap) -> Option<&'static str> {
    let lines = headers.iter();
    let bytes: usize = lines.map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEAD_BYTES as usize {
        return Some("the reply's head is too large");
    }
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    (lengths + usize::from(chunked) > 1).then_some("the reply names two lengths of its body")
}

fn phase(upload: &Upload) -> Phase {
    match upload.stage() {
        Stage::Sending | Stage::Broken => Phase::Request,
        Stage::Sent => Phase::Head,
    }
}

fn explain(failure: Failure, upload: &Upload) -> Sent {
    if upload.stage() == Stage::Broken {
        return Sent::BodyBroke;
    }
    match failure {
        Failure::Lost(why) => Sent::Lost(phase(upload), why),
        Failure::NotSent(phase, why) => Sent::NotSent(phase, why),
        Failure::Unprocessed(why) => Sent::Unprocessed(why),
    }
}
