use super::marker::MarkerFields;
use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What ties a conversation to an account, and how its streams are read: data of a provider's preset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Fields of a request's body that name its session, where no header did, the most telling first (SEL-3).
    pub session_fields: Vec<SessionField>,
    /// Values that only the account whose reply held them can read or resolve (SEL-4). The same fields are looked for
    /// in requests and replies.
    pub markers: MarkerFields,
    /// Headers of a reply that only the account it came from may see again.
    pub turn_headers: Vec<HeaderName>,
    /// What becomes of a request whose owner cannot serve.
    pub on_owner_lost: OnOwnerLost,
    /// The provider's own error that makes a client begin anew, where it has one.
    pub lost: Option<LostReply>,
    /// Which events of a stream mean what.
    pub events: EventRules,
    /// Mapped paths that speak WebSocket; others are told to do without.
    pub websocket: Vec<String>,
    /// A message that makes a WebSocket's client reconnect and send its conversation whole, where there is one.
    pub reconnect: Option<Arc<str>>,
    /// What keeps a client from giving up while nothing comes: an event of its own dialect, as it is written on the
    /// wire. None: nothing is sent.
    pub keep_alive: Option<Arc<str>>,
}

impl Conversation {
    /// True where a stream's events tell something: refusals, an end, or whose state they hold.
    pub fn watches(&self) -> bool {
        !self.events.is_empty() || !self.markers.is_empty()
    }
}

impl EventRules {
    /// True where nothing is known of any event.
    pub fn is_empty(&self) -> bool {
        self.handshake.is_empty() && self.refusal.is_empty() && self.last.is_empty()
    }
}

/// A field of a request's body that names its session, where no header did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionField {
    /// Keys from the top of the body; at least one.
    pub path: Vec<Arc<str>>,
    /// Where the id is only a part of the text found there.
    pub inner: Option<InnerField>,
    /// What the key is called: `body.` and the path.
    pub kind: HeaderName,
}

/// A session's id inside a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerField {
    /// The key, where the text is a JSON object.
    pub key: Arc<str>,
    /// Else what stands before the id.
    pub after: Arc<str>,
}

/// What becomes of a request whose owner cannot serve (SEL-4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnOwnerLost {
    /// It is refused, with the provider's own recoverable error where there is one.
    #[default]
    Fail,
    /// What only the owner could read is left out, and another account serves; where that cannot be, as `fail`.
    Sanitize,
    /// It waits for its owner as long as the request's patience lasts, then as `fail`.
    Wait,
}

/// A provider's own error for state that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostReply {
    /// Its status.
    pub status: u16,
    /// Its body: a JSON text.
    pub body: Arc<str>,
}

/// Which events of a reply's stream mean what for rotation, by their type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRules {
    /// Nothing of the answer yet: held back until the first that is not among these (FLO-9).
    pub handshake: Vec<Arc<str>>,
    /// The upstream turns the request down, in its body.
    pub refusal: Vec<Arc<str>>,
    /// The status that a reply with this error code or type would have had (a `*` at either end stands for any text).
    pub statuses: Vec<(Arc<str>, u16)>,
    /// A stream that has shown one of these has ended whole.
    pub last: Vec<Arc<str>>,
    /// Messages of a WebSocket's client that ask for an answer.
    pub asks: Vec<Arc<str>>,
    /// An event that tells what a reply's limit headers tell, where there is one.
    pub limits: Option<LimitEvent>,
}

/// An event that says what has been used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitEvent {
    /// Its type.
    pub kind: Arc<str>,
    /// Which header of a reply says the same as which of its values: keys from the top of its data.
    pub headers: Vec<(HeaderName, Vec<Arc<str>>)>,
}
