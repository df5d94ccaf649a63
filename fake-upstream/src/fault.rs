//! Faults as data: which requests they meet, and what they do to the reply.
//! The same words in tests (methods) and over the control API (JSON).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::coding::Coding;

/// Something that goes wrong with a reply.
///
/// Faults are tried in the order in which they were set; the first that meets
/// the request shapes it. A fault that names an account meets only requests
/// that pass the check of that account's credential; one that names none also
/// meets requests without a credential, as a fault of the provider's edge does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The requests it meets.
    pub when: When,
    /// What it does, in order. Nothing: the request is served as usual.
    #[serde(rename = "do")]
    pub actions: Vec<Action>,
    /// Serves the request first (quota is spent, tokens are rotated) and only
    /// then replaces its reply.
    pub committed: bool,
}

/// Which requests a fault meets. What is not named does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Account id.
    pub account: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Path without query; a `*` at the end matches every continuation.
    pub path: Option<String>,
    /// Method. `GET` is the handshake of a WebSocket, `WS` a message over it.
    pub method: Option<String>,
    /// Requests let through before it begins.
    pub skip: u64,
    /// Meets only every n-th of the rest; 0 and 1 mean all.
    pub every: u64,
    /// Times it acts before it is used up. `None`: no end.
    pub times: Option<u64>,
}

/// One thing that a fault does. Those that make a reply come first, those that
/// shape it follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Replaces the reply by this status and body.
    Reply {
        /// HTTP status.
        status: u16,
        /// Body; JSON when it parses as JSON, HTML when it begins with `<`.
        body: Payload,
    },
    /// Replaces the reply by a recorded one; see [`crate::catalogue_names`].
    Named(String),
    /// The same as `Reply`, sent as soon as the head is read, while the upload
    /// goes on. The rest of the upload is read and counted.
    Early {
        /// HTTP status.
        status: u16,
        /// Body.
        body: Payload,
    },
    /// Writes these bytes to the connection instead of a reply.
    Raw(Payload),
    /// Replaces the body by so many bytes, made while they are sent.
    Flood(u64),
    /// Replaces the body by an event stream without an end.
    Endless,
    /// Adds a header.
    Header(String, String),
    /// Removes a header.
    WithoutHeader(String),
    /// Sends this event after the first `after` events of the stream and
    /// nothing after it.
    InBand {
        /// The event's data; its `type` is the event's name.
        event: Value,
        /// Events of the real stream sent before it.
        after: usize,
    },
    /// Ends the stream after so many events, in good form.
    StopAfter(usize),
    /// Keeps the connection open after the last byte, without ending the body.
    /// A WebSocket stays open and silent: not even a ping is answered.
    Hold,
    /// Ends after byte `at` of the whole reply, status line included.
    Cut {
        /// Bytes sent.
        at: u64,
        /// How the connection ends.
        ending: Ending,
    },
    /// Ends after byte `at` of the body.
    CutBody {
        /// Bytes of the body sent.
        at: u64,
        /// How the connection ends.
        ending: Ending,
    },
    /// Ends the connection after a whole reply that promised to keep it.
    Finish(Ending),
    /// Over HTTP/2, resets the stream with `REFUSED_STREAM`, which promises that
    /// the request was not looked at; over HTTP/1.1, resets the connection.
    RefuseStream,
    /// Waits at a gate before the head.
    StallHead(String),
    /// Waits at a gate after so many events.
    StallAfter {
        /// Events sent before the wait.
        events: usize,
        /// Name of the gate.
        gate: String,
    },
    /// Sends one byte at a time.
    Drip,
    /// Ends the lines of the event stream with CR LF.
    CrLf,
    /// Ends the lines of the event stream with CR.
    Cr,
    /// Breaks the data of each event into several `data:` lines.
    ManyDataLines,
    /// Puts an event with so many bytes of data first in the stream.
    GiantEvent(usize),
    /// Puts a comment line before each event.
    Comments,
    /// Ends after so many events and so many bytes of the next, without an end
    /// of the body.
    CutAfter {
        /// Whole events sent.
        events: usize,
        /// Bytes of the next one, or of the next frame.
        bytes: u64,
        /// How the connection ends.
        ending: Ending,
    },
    /// Codes the body, an event stream with a flush after each event. Messages
    /// of a WebSocket are never coded.
    Encode(Coding),
    /// Over a WebSocket: sends each message in fragments of so many bytes.
    Fragment(usize),
    /// Over a WebSocket: sends a ping before the first message.
    Ping,
    /// Over a WebSocket: sends a close frame after the last message, then closes.
    CloseFrame {
        /// Code of RFC 6455 §7.4.
        code: u16,
        /// Reason; at most 123 bytes are sent.
        reason: String,
    },
    /// Appends bytes to the body.
    Trailing(Payload),
    /// Adds one header with a value of so many bytes.
    GiantHead(usize),
    /// Adds so many headers.
    ManyHeaders(usize),
}

impl Fault {
    /// Whether a reply shaped by it is a reason to try another account.
    pub(crate) fn spoils(&self) -> bool {
        self.actions.iter().any(Action::spoils)
    }
}

impl Action {
    fn spoils(&self) -> bool {
        match self {
            Self::CloseFrame { .. }
            | Self::Cut { .. }
            | Self::CutAfter { .. }
            | Self::CutBody { .. }
            | Self::Early { .. }
            | Self::Endless
            | Self::Finish(_)
            | Self::Flood(_)
            | Self::Hold
            | Self::InBand { .. }
            | Self::Named(_)
            | Self::Raw(_)
            | Self::RefuseStream
            | Self::Reply { .. }
            | Self::StallAfter { .. }
            | Self::StallHead(_)
            | Self::StopAfter(_) => true,
            Self::Comments
            | Self::Cr
            | Self::CrLf
            | Self::Drip
            | Self::Encode(_)
            | Self::Fragment(_)
            | Self::GiantEvent(_)
            | Self::GiantHead(_)
            | Self::Header(..)
            | Self::ManyDataLines
            | Self::ManyHeaders(_)
            | Self::Ping
            | Self::Trailing(_)
            | Self::WithoutHeader(_) => false,
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// In order, by FIN.
    Close,
    /// Not at all: it stays open and silent until the client leaves.
    Hang,
    /// By RST.
    Reset,
}

/// Bytes; in JSON a text, or `{"base64": "…"}`, or any other JSON as itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}
