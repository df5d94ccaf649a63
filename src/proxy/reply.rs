//! What the client reads: an upstream's reply with the headers that may pass and every byte of its body, or an answer of
//! ours. A reply that the upstream cuts is cut here too, never ended as if it were whole.
use super::error::Turned;
use super::flight::Flight;
use super::intake::{nominated, remove_where};
use super::passed::{Passed, Sight};
use super::refusal;
use crate::model::Scope;
use crate::upstream::{Reply, ReplyError};
use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::json;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Tells the SDKs of several vendors not to try again, whatever the status says.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// The SDKs that bound the wait they are told bound it to this.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A reply's body.
#[derive(Debug)]
pub struct ReplyStream(Kind);

#[derive(Debug)]
enum Kind {
    Ours(Option<Bytes>),
    Passed(Box<Passed>),
}

/// The upstream's reply as the client may see it.
pub(super) fn pass(reply: Reply, mut flight: Flight) -> Response<ReplyStream> {
    let sight = flight
        .watched(reply.head.status)
        .and_then(|(provider, keep_alive)| Sight::of(&reply, &provider, keep_alive));
    if sight.as_ref().is_some_and(|sight| sight.is_of_stream()) {
        flight.settle();
    }
    let Reply { mut head, body } = reply;
    strip(&mut head.headers);
    if let Some(fault) = flight.last_fault() {
        shorten(&mut head.headers, fault.scope);
    }
    flight.sign(&mut head.headers);
    flight.head_sent(head.status);
    head.version = http::Version::HTTP_11;
    head.extensions = http::Extensions::default();
    let body = ReplyStream(Kind::Passed(Box::new(Passed::new(body, flight, sight))));
    Response::from_parts(head, body)
}

/// A short JSON answer of ours.
pub(super) fn turned(why: &Turned, mut flight: Flight) -> Response<ReplyStream> {
    let keyed = matches!(why, Turned::ClientKey | Turned::ClientKeyScope { .. });
    let body = match keyed {
        true => refusal::keyed(why, &flight),
        false => json!({"error": {"code": why.code(), "message": why.to_string()}}),
    };
    let mut response = ours(why.status(), &body);
    let headers = response.headers_mut();
    if keyed {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if *why == Turned::Upgrade {
        headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
    } else if *why == Turned::HandshakeVersion {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    } else if why.status() == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    } else if matches!(why, Turned::UpstreamLost { .. } | Turned::UpstreamUnreachable { .. }) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
    }
    flight.sign(headers);
    flight.head_sent(why.status());
    flight.turned(why.code());
    response
}

/// An answer of ours with a JSON body.
pub(super) fn ours(status: StatusCode, body: &serde_json::Value) -> Response<ReplyStream> {
    let bytes = Bytes::from(body.to_string());
    let mut response = Response::new(ReplyStream(Kind::Ours(Some(bytes))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A head of ours without a body.
pub(super) fn bare(status: StatusCode) -> Response<ReplyStream> {
    let mut response = Response::new(ReplyStream(Kind::Ours(None)));
    *response.status_mut() = status;
    response
}

/// Removes what is for the upstream's hop only, and what would bind the client to an account or to this origin.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    remove_where(headers, |name| stays_there(name.as_str()));
}

/// Takes back a wait that was meant for rota. Several clients sleep for whatever `Retry-After` says, for days if need
/// be: the wait of one account is none for a client whose next request another account serves, and beyond
/// [`LONGEST_WAIT`] it is better left to the client itself (FLO-8).
fn shorten(headers: &mut HeaderMap, scope: Scope) {
    let one_accounts = matches!(scope, Scope::Account | Scope::AccountModel | Scope::QuotaGroup);
    let short = |name: &HeaderName, unit: u64| {
        let seconds = headers.get(name).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        seconds.is_some_and(|waits| waits / unit <= LONGEST_WAIT.as_secs())
    };
    let long: Vec<HeaderName> = [(RETRY_AFTER, 1), (RETRY_AFTER_MS, 1000)]
        .into_iter()
        .filter(|(name, unit)| one_accounts || !short(name, *unit))
        .map(|(name, _)| name)
        .collect();
    for name in long {
        headers.remove(name);
    }
}

/// True for reply headers that never reach a client. Names are in lower case.
fn stays_there(name: &str) -> bool {
    match name {
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" => true,
        "alt-svc"
        | "clear-site-data"
        | "nel"
        | "report-to"
        | "reporting-endpoints"
        | "set-cookie"
        | "set-cookie2"
        | "strict-transport-security"
        | "www-authenticate" => true,
        other => match other.as_bytes() {
            [b'a', ..] => other.starts_with("access-control-"),
            [b'p', ..] => other.starts_with("proxy-"),
            [b'x', ..] => other.starts_with("x-rota-"),
            _ => false,
        },
    }
}

impl ReplyStream {
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        match &self.0 {
            Kind::Ours(Some(bytes)) => std::str::from_utf8(bytes).expect("our answers are text"),
            Kind::Ours(None) | Kind::Passed(_) => "",
        }
    }
}

impl Body for ReplyStream {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match &mut self.get_mut().0 {
            Kind::Ours(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Passed(passed) => passed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Ours(bytes) => bytes.is_none(),
            Kind::Passed(passed) => passed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Ours(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Passed(passed) => passed.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;
