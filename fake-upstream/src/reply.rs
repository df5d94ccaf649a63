//! What an endpoint answers, before faults and the wire have their say.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::event::Event;

/// Most headers that are ever added to one reply.
pub(crate) const MAX_HEADERS: usize = 10_000;

/// A whole answer, not yet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Boxed, because replies are often the smaller half of a result.
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) content: Content,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Known bytes, sent with a length.
    Whole(Bytes),
    /// An event stream.
    Events(Vec<Event>),
    /// So many bytes of [`flood_chunk`], made while they are sent.
    Flood(u64),
    /// [`flood_chunk`] again and again until the client leaves.
    Endless,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    pub(crate) fn bytes(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status: code(status), headers: Box::new(headers), content: Content::Whole(body.into()) }
    }

    pub(crate) fn events(events: Vec<Event>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Self { status: StatusCode::OK, headers: Box::new(headers), content: Content::Events(events) }
    }

    /// Sets a header; a value that HTTP cannot carry is left out.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        self.set(name, value.as_ref());
        self
    }

    /// Sets a header; a name or value that HTTP cannot carry is left out.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            self.headers.insert(name, value);
        }
    }

    /// Adds a header beside others of its name, up to [`MAX_HEADERS`].
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if self.headers.len() >= MAX_HEADERS {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            self.headers.append(name, value);
        }
    }
}

/// A status from a number; one that is no status becomes 500.
pub(crate) fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// 64 KiB of whole 64-byte events, so that a flood is a legal event stream
/// wherever it is cut at a multiple of 64.
pub(crate) fn flood_chunk() -> Bytes {
    const FRAME: &[u8; 64] = b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"xxxxxxx\"} \n\n";
    Bytes::from(FRAME.repeat(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_http_cannot_carry_is_left_out() {
        let reply = Reply::json(999, &Value::Null).with("x-a", "bad\nvalue").with("x-b", "ok");
        assert_eq!((reply.status.as_u16(), reply.headers.contains_key("x-a")), (999, false));
        assert_eq!(reply.headers.get("x-b").map(HeaderValue::as_bytes), Some(&b"ok"[..]));
        assert_eq!(code(7), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(flood_chunk().len(), 65_536);
    }
}
