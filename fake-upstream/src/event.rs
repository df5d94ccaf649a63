//! One server-sent event, and the ways in which an upstream may frame it.

use bytes::Bytes;
use serde_json::Value;

use crate::frames;

/// One event: an optional name and the text of its `data` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: Option<String>,
    pub(crate) data: String,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) ends: LineEnd,
    pub(crate) data: DataLines,
    pub(crate) comments: Comments,
    pub(crate) carrier: Carrier,
    /// Largest fragment of a WebSocket message in bytes.
    pub(crate) fragment: Option<usize>,
}

/// What carries the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The body of an HTTP reply.
    #[default]
    Stream,
    /// A WebSocket: the data is the message.
    Socket,
}

/// Whether lines that say nothing stand between the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Comments {
    BeforeEach,
    #[default]
    None,
}

/// What ends a line of an event stream; all three are legal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LineEnd {
    #[default]
    Lf,
    CrLf,
    Cr,
}

/// How many `data:` lines one event has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DataLines {
    #[default]
    One,
    /// Broken after every comma that stands between two members, so that the
    /// lines joined by newlines are the same JSON.
    Many,
}

impl Event {
    /// An event whose name is the `type` of its data, as OpenAI and Anthropic do.
    pub(crate) fn typed(data: &Value) -> Self {
        let name = data.get("type").and_then(Value::as_str).map(String::from);
        Self { name, data: data.to_string() }
    }

    /// An event with data only, as chat completions and Gemini do.
    pub(crate) fn bare(data: impl Into<String>) -> Self {
        Self { name: None, data: data.into() }
    }

    /// The bytes on the wire, with the empty line that ends the event.
    pub(crate) fn frame(&self, framing: Framing) -> Bytes {
        if framing.carrier == Carrier::Socket {
            return frames::text(&self.data, framing.fragment);
        }
        let end = match framing.ends {
            LineEnd::Lf => "\n",
            LineEnd::CrLf => "\r\n",
            LineEnd::Cr => "\r",
        };
        let mut out = String::with_capacity(self.data.len() + 64);
        if framing.comments == Comments::BeforeEach {
            out.push_str(": keepalive");
            out.push_str(end);
            out.push_str(end);
        }
        if let Some(name) = &self.name {
            out.push_str("event: ");
            out.push_str(name);
            out.push_str(end);
        }
        let data = match framing.data {
            DataLines::One => self.data.clone(),
            DataLines::Many => self.data.replace(",\"", ",\n\""),
        };
        for line in data.split('\n') {
            out.push_str("data: ");
            out.push_str(line);
            out.push_str(end);
        }
        out.push_str(end);
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_framed_in_every_legal_way() {
        let event = Event::typed(&json!({"type": "ping", "a": 1}));
        let crlf = Framing { ends: LineEnd::CrLf, ..Framing::default() };
        let many = Framing { data: DataLines::Many, ..Framing::default() };
        let spoken = Framing { comments: Comments::BeforeEach, ..crlf };
        let socket = Framing { carrier: Carrier::Socket, fragment: Some(10), ..Framing::default() };
        assert_eq!(event.frame(Framing::default()), "event: ping\ndata: {\"a\":1,\"type\":\"ping\"}\n\n");
        assert_eq!(event.frame(crlf), "event: ping\r\ndata: {\"a\":1,\"type\":\"ping\"}\r\n\r\n");
        assert_eq!(event.frame(many), "event: ping\ndata: {\"a\":1,\ndata: \"type\":\"ping\"}\n\n");
        assert_eq!(Event::bare("x").frame(spoken), ": keepalive\r\n\r\ndata: x\r\n\r\n");
        assert_eq!(Event::bare("hello").frame(socket), &b"\x81\x05hello"[..]);
        assert_eq!(Event::bare("[DONE]").frame(Framing::default()), "data: [DONE]\n\n");
    }
}
