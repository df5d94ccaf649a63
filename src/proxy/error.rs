use crate::engine::Phase;
use crate::model::{Beyond, KeyName, ProviderId};
use http::{HeaderName, StatusCode};

/// Why rota answers a request itself, without asking rotation. Its `Display` is for the person at the client: what is
/// wrong, and what to do. It never holds a header's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// `Content-Length` and `Transfer-Encoding` in one message (RFC 9112 §6.1).
    #[error("the request has both Content-Length and Transfer-Encoding; send one of them")]
    AmbiguousLength,
    /// The body is not framed as its head says.
    #[error("the request's body is malformed or was cut short; send it again")]
    BodyMalformed,
    /// The body stalled for longer than `timeouts.body_idle`.
    #[error("the request's body did not arrive in time; send it again")]
    BodyTooSlow,
    /// A client key is asked for, and none or a wrong one came.
    #[error("this rota asks for a client key; send it as x-rota-key, or where your client puts its API key")]
    ClientKey,
    /// The client's key is not for this.
    #[error("the key of client \"{client}\" is not for this {beyond}; `rota keys` shows what it is for")]
    ClientKeyScope {
        /// What people call the client.
        client: KeyName,
        /// What it is not for.
        beyond: Beyond,
    },
    /// `CONNECT`.
    #[error(
        "rota is no tunnel: set your client's base URL to this address instead of using it as an HTTPS proxy"
    )]
    Connect,
    /// `Content-Length` is no number, or there are several (RFC 9110 §8.6).
    #[error("the value of the header content-length must be one number of bytes")]
    ContentLength,
    /// A web page of another site.
    #[error("requests from web pages of other sites are refused")]
    CrossSite,
    /// An expectation other than `100-continue`.
    #[error("only Expect: 100-continue is supported")]
    Expectation,
    /// An absolute-form target that is no provider's.
    #[error("rota forwards to its providers only; this host belongs to none of them")]
    ForeignTarget,
    /// A WebSocket handshake that is not one (RFC 6455 §4.2.1).
    #[error("this is no WebSocket handshake: {0}")]
    Handshake(&'static str),
    /// A WebSocket version other than the one there is (RFC 6455 §4.4).
    #[error("the only WebSocket version understood is 13; send Sec-WebSocket-Version: 13")]
    HandshakeVersion,
    /// What came is no request (RFC 9112 §2).
    #[error("what came is no request of HTTP/1.1; check that the client's base URL begins with http://")]
    Head,
    /// A head beyond `limits.head_bytes`, or of too many lines.
    #[error(
        "the request's head is longer than {bytes} bytes or has more than {lines} lines; send less, or raise limits.head_bytes"
    )]
    HeadTooLarge {
        /// Bytes it may have.
        bytes: usize,
        /// Lines it may have.
        lines: usize,
    },
    /// A header value with bytes outside of visible ASCII.
    #[error("the value of the header {0} has bytes outside of printable ASCII")]
    HeaderValue(HeaderName),
    /// `Host` is missing or there are several.
    #[error("a request needs exactly one Host header")]
    HostCount,
    /// `Host` is not one of ours.
    #[error(
        "this Host is not one rota answers to; use 127.0.0.1 or localhost with its port, or add the name to allowed_hosts"
    )]
    HostForeign,
    /// A method outside of the list.
    #[error("the method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]
    Method,
    /// No route fits the path.
    #[error("no provider answers to this path; begin it with one of: {}", list(.prefixes))]
    NoRoute {
        /// The prefixes there are.
        prefixes: Vec<ProviderId>,
    },
    /// `Origin` is not our own.
    #[error("requests from web pages are refused; add the page's origin to allowed_origins")]
    OriginForeign,
    /// A path with `..`, `//`, `\` or the like (ROU-4).
    #[error("the path has a part that could be read in two ways: .. // \\ %2e %2f or the like")]
    Path,
    /// A cross-origin preflight.
    #[error("cross-origin requests are refused")]
    Preflight,
    /// The path says a command of `rota run` that does not run.
    #[error("this command's session has ended; start it again with `rota run`")]
    RunEnded,
    /// A request target that is neither a path nor a URL.
    #[error("the request target must be a path that begins with /")]
    Target,
    /// A request target beyond 8 KiB.
    #[error("the request target is longer than {} bytes", super::gate::LONGEST_TARGET)]
    TargetTooLong,
    /// A transfer coding other than `chunked`.
    #[error("the only transfer coding understood is a single chunked")]
    TransferCoding,
    /// `Upgrade: websocket` on a path that does not speak it.
    #[error("WebSocket is not offered here; use HTTP")]
    Upgrade,
    /// A version of HTTP that is not spoken here.
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken here")]
    Version,
    /// The upstream's answer was lost after the request had been written.
    #[error(
        "the upstream's answer was lost while {} ({detail}); the request may have been processed, so rota did not send it again",
        phase_name(*.phase)
    )]
    UpstreamLost {
        /// How far it got.
        phase: Phase,
        /// What happened, bounded, no secret.
        detail: String,
    },
    /// The upstream sent us elsewhere; credentials do not follow.
    #[error("the upstream answered with a redirect, which rota does not follow")]
    UpstreamRedirect,
    /// The upstream could not be reached.
    #[error("the upstream could not be reached: {} failed ({detail}); nothing was processed", phase_name(*.phase))]
    UpstreamUnreachable {
        /// How far it got.
        phase: Phase,
        /// What happened, bounded, no secret.
        detail: String,
    },
}

impl Turned {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::AmbiguousLength
            | Self::BodyMalformed
            | Self::ContentLength
            | Self::Head
            | Self::Handshake(_)
            | Self::HeaderValue(_)
            | Self::HostCount
            | Self::Path
            | Self::Target
            | Self::TransferCoding => StatusCode::BAD_REQUEST,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ClientKey => StatusCode::UNAUTHORIZED,
            Self::Connect | Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ClientKeyScope { .. }
            | Self::CrossSite
            | Self::ForeignTarget
            | Self::OriginForeign
            | Self::Preflight => StatusCode::FORBIDDEN,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HostForeign => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute { .. } | Self::RunEnded => StatusCode::NOT_FOUND,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::HandshakeVersion | Self::Upgrade => StatusCode::UPGRADE_REQUIRED,
            Self::UpstreamLost { .. } | Self::UpstreamRedirect | Self::UpstreamUnreachable { .. } => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    /// The stable code in the body and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AmbiguousLength => "AMBIGUOUS_LENGTH",
            Self::BodyMalformed => "BODY_MALFORMED",
            Self::BodyTooSlow => "BODY_TOO_SLOW",
            Self::ClientKey => "UNAUTHORIZED",
            Self::ClientKeyScope { .. } => "NOT_PERMITTED",
            Self::Connect => "CONNECT_REFUSED",
            Self::ContentLength => "BAD_CONTENT_LENGTH",
            Self::CrossSite => "CROSS_SITE",
            Self::Expectation => "EXPECTATION_FAILED",
            Self::ForeignTarget => "FOREIGN_TARGET",
            Self::Handshake(_) => "BAD_HANDSHAKE",
            Self::HandshakeVersion => "BAD_HANDSHAKE_VERSION",
            Self::Head => "BAD_HEAD",
            Self::HeadTooLarge { .. } => "HEAD_TOO_LARGE",
            Self::HeaderValue(_) => "BAD_HEADER_VALUE",
            Self::HostCount => "BAD_HOST",
            Self::HostForeign => "HOST_NOT_ALLOWED",
            Self::Method => "METHOD_NOT_ALLOWED",
            Self::NoRoute { .. } => "NO_ROUTE",
            Self::OriginForeign => "ORIGIN_NOT_ALLOWED",
            Self::Path => "BAD_PATH",
            Self::Preflight => "PREFLIGHT_REFUSED",
            Self::RunEnded => "RUN_ENDED",
            Self::Target => "BAD_TARGET",
            Self::TargetTooLong => "TARGET_TOO_LONG",
            Self::TransferCoding => "TRANSFER_CODING",
            Self::Upgrade => "UPGRADE_NOT_OFFERED",
            Self::Version => "HTTP_VERSION",
            Self::UpstreamLost { .. } => "UPSTREAM_LOST",
            Self::UpstreamRedirect => "UPSTREAM_REDIRECT",
            Self::UpstreamUnreachable { .. } => "UPSTREAM_UNREACHABLE",
        }
    }
}

fn list(prefixes: &[ProviderId]) -> String {
    let shown: Vec<String> = prefixes.iter().map(|id| format!("/{id}/")).collect();
    shown.join(" ")
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Connect => "connecting",
        Phase::Tls => "the TLS handshake",
        Phase::Request => "sending the request",
        Phase::Head => "waiting for the reply",
    }
}
