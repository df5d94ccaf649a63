//! The handshake of a WebSocket (RFC 6455 §4.2): what it is answered, and what
//! is known of the connection afterwards. No extension is ever accepted.

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};

use crate::ask::Head;
use crate::auth::Caller;
use crate::conversation::Turn;
use crate::errors;
use crate::frames;
use crate::limits::{self, Meter};
use crate::models;
use crate::recorder::Entry;
use crate::reply::Reply;
use crate::responses::{TURN_STATE, turn_state};
use crate::routes::Provider;
use crate::shape::Play;

/// The version of RFC 6455; there is no other.
const VERSION: &str = "13";

/// Who speaks over a WebSocket, and since when.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) provider: Provider,
    pub(crate) caller: Caller,
    /// Head of the handshake.
    pub(crate) head: Head,
    /// Number of the handshake in the record.
    pub(crate) id: u64,
    pub(crate) opened_ms: i64,
}

/// A WebSocket whose handshake is still to be answered.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) play: Play,
    pub(crate) entry: Entry,
    pub(crate) session: Session,
}

/// Answers a handshake whose credential has passed the check.
pub(crate) fn accept(mut turn: Turn<'_>) -> Reply {
    let head = &turn.ask.head;
    if !turn.world.script.socket.offered || !head.header(UPGRADE.as_str()).eq_ignore_ascii_case("websocket") {
        return errors::openai(426, "upgrade_not_supported", "Use HTTP.");
    }
    if head.header(SEC_WEBSOCKET_VERSION.as_str()) != VERSION {
        return errors::openai(426, "upgrade_not_supported", "Unknown version of the WebSocket protocol.")
            .with("sec-websocket-version", VERSION);
    }
    let key = head.header(SEC_WEBSOCKET_KEY.as_str());
    if key.is_empty() {
        return errors::openai(400, "invalid_handshake", "Missing header: 'sec-websocket-key'.");
    }
    let mut reply = Reply::bytes(101, "text/plain", "");
    reply.headers.clear();
    reply.set(UPGRADE.as_str(), "websocket");
    reply.set(CONNECTION.as_str(), "Upgrade");
    reply.set(SEC_WEBSOCKET_ACCEPT.as_str(), &frames::accept_key(key));
    if let Some(state) = turn_state(&mut turn) {
        reply.set(TURN_STATE, &state);
    }
    if turn.caller.meter == Meter::Codex {
        reply.set("x-models-etag", &models::etag(&turn));
    }
    if let Some(account) = turn.world.accounts.get(turn.caller.place) {
        limits::headers(account, turn.caller.meter, turn.now, &mut reply);
    }
    reply
}
