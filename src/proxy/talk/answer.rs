use super::super::error::Turned;
use super::super::reply::{self, ReplyStream};
use super::hearing::Asked;
use crate::http1::{Framing, Outgoing, Stuck, number, write_lines};
use crate::model::Time;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::response::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::body::Body;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::json;
use std::cell::RefCell;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

thread_local! {
    /// The last second that was written, and its words.
    static TODAY: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// A reply on its way to the client.
pub(in super::super) struct Answer {
    outgoing: Outgoing<ReplyStream>,
    then: Then,
    is_broken: bool,
}

/// What follows a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Then {
    /// The connection's end.
    Close,
    /// Another request may.
    GoOn,
    /// HTTP ends here, and what was agreed upon begins (RFC 9110 §7.8).
    Switch,
}

/// To whom, and what is to be written before.
pub(in super::super) struct Reader {
    method: Method,
    version: Version,
    /// The connection ends with the reply.
    pub(in super::super) last: bool,
    pub(in super::super) before: &'static [u8],
}

impl Reader {
    /// Who sent `asked`.
    pub(in super::super) fn of(asked: &Asked) -> Self {
        let Asked { request, last, .. } = asked;
        Self { method: request.method().clone(), version: request.version(), last: *last, before: &[] }
    }

    /// Who sent what is no request.
    pub(in super::super) fn of_nobody() -> Self {
        Self { method: Method::GET, version: Version::HTTP_11, last: true, before: &[] }
    }
}

impl Answer {
    /// `reply`, framed for whom it is for. Where it has no date it is `now`'s (RFC 9110 §6.6.1).
    pub(in super::super) fn new(reply: Response<ReplyStream>, reader: &Reader, now: Time) -> Self {
        let (Parts { status, headers, .. }, body) = reply.into_parts();
        let framing = framing(status, reader, &body);
        let then = match status {
            StatusCode::SWITCHING_PROTOCOLS => Then::Switch,
            _ if reader.last || framing == Framing::Close => Then::Close,
            _ => Then::GoOn,
        };
        let announced = announced(status, reader, &headers, &body);
        let outgoing = Outgoing::new(body, framing, |text| {
            text.extend_from_slice(reader.before);
            text.extend_from_slice(b"HTTP/1.1 ");
            text.extend_from_slice(status.as_str().as_bytes());
            text.extend_from_slice(b" ");
            text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
            text.extend_from_slice(b"\r\n");
            let is_dated = write_lines(text, &headers);
            if !is_dated && then != Then::Switch {
                write_date(text, now);
            }
            if then == Then::Close {
                text.extend_from_slice(b"connection: close\r\n");
            }
            if let Some(length) = announced {
                text.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
        });
        Self { outgoing, then, is_broken: false }
    }

    /// Writes what there is of it; ready at its end, and what follows. What its body gave before it broke is written, and
    /// then nothing more: a reply that is cut never looks complete.
    pub(in super::super) fn poll(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Then> {
        if !self.is_broken {
            match ready!(self.outgoing.poll(to, cx)) {
                Ok(()) => return Poll::Ready(self.then),
                Err(Stuck::Connection(_)) => return Poll::Ready(Then::Close),
                Err(Stuck::Body) => self.is_broken = true,
            }
        }
        self.outgoing.poll_rest(to, cx).map(|_| Then::Close)
    }
}

/// True for a reply that has no body, whatever its head says (RFC 9112 §6.3).
fn is_bodiless(status: StatusCode, reader: &Reader) -> bool {
    let never = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    never || status.is_informational() || reader.method == Method::HEAD
}

fn framing(status: StatusCode, reader: &Reader, body: &ReplyStream) -> Framing {
    if is_bodiless(status, reader) {
        return Framing::None;
    }
    let framing = Framing::of(body);
    // Such a client knows no chunks (RFC 9112 §7.1).
    let old = framing == Framing::Chunked && reader.version == Version::HTTP_10;
    if old { Framing::Close } else { framing }
}

/// A length that no body follows: of the body that a GET would have (RFC 9110 §8.6), or of one that is empty.
fn announced(status: StatusCode, reader: &Reader, headers: &HeaderMap, body: &ReplyStream) -> Option<u64> {
    if !is_bodiless(status, reader) {
        return body.is_end_stream().then_some(0);
    }
    if reader.method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let told = headers.get(CONTENT_LENGTH).and_then(number);
    told.or(body.size_hint().exact().filter(|length| *length > 0))
}

fn write_date(text: &mut Vec<u8>, now: Time) {
    TODAY.with_borrow_mut(|(second, words)| {
        if *second != now.as_secs() || words.is_empty() {
            words.clear();
            let at = Timestamp::from_second(i64::try_from(now.as_secs()).unwrap_or_default());
            let told = at.map(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at));
            if let Ok(Ok(told)) = told {
                (*second, *words) = (now.as_secs(), told);
            }
        }
        if !words.is_empty() {
            for part in ["date: ", words, "\r\n"] {
                text.extend_from_slice(part.as_bytes());
            }
        }
    });
}

/// The answer to what is no request.
pub(in super::super) fn refused(why: &Turned) -> Response<ReplyStream> {
    reply::ours(why.status(), &json!({"error": {"code": why.code(), "message": why.to_string()}}))
}
