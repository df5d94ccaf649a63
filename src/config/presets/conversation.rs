//! What ties a conversation to an account: `[conversation]` as it is written, one layer over another, and as it is meant.
use super::leaf::{Headers, Leaf, SafePath, Text, plain};
use crate::model::{
    Conversation, EventRules, InnerField, LimitEvent, LostReply, MarkerClass, MarkerField, OnOwnerLost,
    SessionField,
};
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `[conversation]`. Each key replaces that of the file beneath.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with session_fields, markers, turn_headers, on_owner_lost, lost, events, websocket, reconnect, keep_alive"
)]
pub(super) struct RawConversation {
    session_fields: Option<Vec<RawSessionField>>,
    markers: Option<Vec<RawMarker>>,
    turn_headers: Option<Vec<Text<HeaderName>>>,
    on_owner_lost: Option<OnOwnerLost>,
    lost: Option<RawLost>,
    events: Option<RawEvents>,
    websocket: Option<Vec<Text<SafePath>>>,
    reconnect: Option<Text<JsonText>>,
    keep_alive: Option<Text<EventText>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { path = \"metadata.user_id\", inner = \"session_id\", after = \"_session_\" }"
)]
struct RawSessionField {
    path: Text<FieldPath>,
    inner: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { key = \"encrypted_content\", least = 32, class = \"reasoning\" }"
)]
struct RawMarker {
    key: Text<KeyText>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    least: u32,
    class: MarkerClass,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with status and body")]
struct RawLost {
    status: ErrorStatus,
    body: Text<JsonText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with handshake, refusal, last, asks, limits and statuses")]
struct RawEvents {
    handshake: Option<Vec<Arc<str>>>,
    refusal: Option<Vec<Arc<str>>>,
    last: Option<Vec<Arc<str>>>,
    asks: Option<Vec<Arc<str>>>,
    limits: Option<RawLimitEvent>,
    statuses: Option<BTreeMap<Arc<str>, ErrorStatus>>,
}

impl RawConversation {
    /// This layer over `base`.
    pub(super) fn over(self, base: Self) -> Self {
        let events = match (self.events, base.events) {
            (Some(own), Some(base)) => Some(RawEvents {
                handshake: own.handshake.or(base.handshake),
                refusal: own.refusal.or(base.refusal),
                last: own.last.or(base.last),
                asks: own.asks.or(base.asks),
                limits: own.limits.or(base.limits),
                statuses: own.statuses.or(base.statuses),
            }),
            (own, base) => own.or(base),
        };
        Self {
            session_fields: self.session_fields.or(base.session_fields),
            markers: self.markers.or(base.markers),
            turn_headers: self.turn_headers.or(base.turn_headers),
            on_owner_lost: self.on_owner_lost.or(base.on_owner_lost),
            lost: self.lost.or(base.lost),
            events,
            websocket: self.websocket.or(base.websocket),
            reconnect: self.reconnect.or(base.reconnect),
            keep_alive: self.keep_alive.or(base.keep_alive),
        }
    }

    /// What is meant.
    pub(super) fn finish(self) -> Conversation {
        let fields = self.session_fields.unwrap_or_default().into_iter().map(RawSessionField::meant);
        let markers = self.markers.unwrap_or_default().into_iter().map(|raw| MarkerField {
            key: raw.key.0.0,
            prefix: raw.prefix.into(),
            least: raw.least,
            class: raw.class,
        });
        let events = self.events.unwrap_or_default();
        Conversation {
            session_fields: fields.collect(),
            markers: markers.collect(),
            turn_headers: self.turn_headers.map(plain).unwrap_or_default(),
            on_owner_lost: self.on_owner_lost.unwrap_or_default(),
            lost: self.lost.map(|raw| LostReply { status: raw.status.0, body: raw.body.0.0 }),
            events: EventRules {
                handshake: events.handshake.unwrap_or_default(),
                refusal: events.refusal.unwrap_or_default(),
                last: events.last.unwrap_or_default(),
                asks: events.asks.unwrap_or_default(),
                limits: events.limits.map(RawLimitEvent::meant),
                statuses: (events.statuses.unwrap_or_default().into_iter())
                    .map(|(code, status)| (code, status.0))
                    .collect(),
            },
            websocket: plain(self.websocket.unwrap_or_default())
                .into_iter()
                .map(|SafePath(path)| path)
                .collect(),
            reconnect: self.reconnect.map(|Text(JsonText(text))| text),
            keep_alive: self.keep_alive.map(|Text(EventText(text))| text),
        }
    }
}

/// An event that says what limit headers say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with type and headers")]
struct RawLimitEvent {
    #[serde(rename = "type")]
    kind: Arc<str>,
    headers: Headers<FieldPath>,
}

impl RawLimitEvent {
    fn meant(self) -> LimitEvent {
        let Headers(headers) = self.headers;
        let headers = headers.into_iter().map(|(name, field)| (name, field.path)).collect();
        LimitEvent { kind: self.kind, headers }
    }
}

impl RawSessionField {
    fn meant(self) -> SessionField {
        let Self { path: Text(FieldPath { path, kind }), inner, after } = self;
        let inner = (inner.is_some() || after.is_some()).then(|| InnerField {
            key: inner.unwrap_or_default().into(),
            after: after.unwrap_or_default().into(),
        });
        SessionField { path, inner, kind }
    }
}

/// Keys from the top of a body, with dots between.
#[derive(Debug)]
struct FieldPath {
    path: Vec<Arc<str>>,
    kind: HeaderName,
}

impl Leaf for FieldPath {
    const EXPECTED: &'static str = "a path of keys such as \"metadata.user_id\"";
    const PATTERN: &'static str = r"^[^.]+(\.[^.]+)*$";
    fn read(text: &str) -> Result<Self, String> {
        let path: Vec<Arc<str>> = text.split('.').map(Arc::from).collect();
        let kind = HeaderName::from_bytes(format!("body.{}", text.to_ascii_lowercase()).as_bytes());
        match kind {
            Ok(kind) if path.iter().all(|key| !key.is_empty()) => Ok(Self { path, kind }),
            Ok(_) | Err(_) => Err(format!("{text:?} is not {}", Self::EXPECTED)),
        }
    }
}

/// A key of an object.
#[derive(Debug)]
struct KeyText(Arc<str>);

impl Leaf for KeyText {
    const EXPECTED: &'static str = "a key of at most 46 bytes";
    const PATTERN: &'static str = "^.{1,46}$";
    fn read(text: &str) -> Result<Self, String> {
        let fits = (1..=MarkerField::LONGEST_KEY).contains(&text.len());
        fits.then(|| Self(text.into())).ok_or_else(|| format!("{text:?} is not {}", Self::EXPECTED))
    }
}

/// A status that is an error.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "u16")]
#[schemars(extend("minimum" = 400, "maximum" = 599))]
struct ErrorStatus(u16);

impl TryFrom<u16> for ErrorStatus {
    type Error = &'static str;
    fn try_from(status: u16) -> Result<Self, &'static str> {
        (400..600).contains(&status).then_some(Self(status)).ok_or("the status of an error is 400 to 599")
    }
}

/// A JSON object as it is written.
#[derive(Debug)]
struct JsonText(Arc<str>);

impl Leaf for JsonText {
    const EXPECTED: &'static str = "a JSON object as a string";
    const PATTERN: &'static str = r"^\s*\{";
    fn read(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(serde_json::Value::Object(_)) => Ok(Self(text.into())),
            Ok(_) | Err(_) => Err(format!("{text:?} is not {}", Self::EXPECTED)),
        }
    }
}

/// One or more whole events of a stream.
#[derive(Debug)]
struct EventText(Arc<str>);

impl Leaf for EventText {
    const EXPECTED: &'static str = "an event or a comment of a stream, which ends with an empty line";
    const PATTERN: &'static str = r"\n\n$";
    fn read(text: &str) -> Result<Self, String> {
        if text.ends_with("\n\n") {
            Ok(Self(text.into()))
        } else {
            Err(format!("{text:?} is not {}", Self::EXPECTED))
        }
    }
}
