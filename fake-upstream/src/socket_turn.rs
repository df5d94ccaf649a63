//! One message over a WebSocket of the Responses API and its answer, and what
//! the connection remembers between messages. Nothing here waits.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::account::Account;
use crate::ask::{Ask, Head, Via};
use crate::errors;
use crate::fault::Fault;
use crate::frames;
use crate::handshake::Session;
use crate::hub::Hub;
use crate::limits::Meter;
use crate::reply::{Content, Reply};
use crate::responses::TURN_STATE;
use crate::routes::{Api, Route};
use crate::serve::{self, Checked};

/// Method under which messages are recorded and met by faults.
const METHOD: &[u8] = b"WS";
/// Most earlier responses that a connection can be asked to continue.
const MAX_REMEMBERED: usize = 8;

/// The responses given over one connection, oldest first, with everything that
/// was said until then.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    responses: VecDeque<(String, Vec<Value>)>,
    /// Answers given, prewarms not counted.
    turns: u64,
}

/// How a message is answered, and whether the connection ends with it.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) fault: Option<Fault>,
    /// The connection has reached its limit and is closed after the reply.
    pub(crate) last: bool,
}

impl Memory {
    fn said_before(&self, id: &str) -> Option<&[Value]> {
        self.responses.iter().find(|(known, _)| known == id).map(|(_, said)| said.as_slice())
    }

    fn remember(&mut self, id: String, said: Vec<Value>) {
        self.responses.push_back((id, said));
        if self.responses.len() > MAX_REMEMBERED {
            self.responses.pop_front();
        }
    }
}

/// The head under which a message is recorded: that of the handshake, without
/// what spoke only of the handshake.
pub(crate) fn head(session: &Session) -> Head {
    let mut headers: HeaderMap = session.head.headers.clone();
    for name in ["connection", "upgrade", "sec-websocket-key", "sec-websocket-version"] {
        headers.remove(name);
    }
    headers.remove(TURN_STATE);
    Head { method: Method::from_bytes(METHOD).unwrap_or(Method::POST), headers, ..session.head.clone() }
}

/// Reads a message as the request it stands for: what was said before stands
/// in its input.
pub(crate) fn request(session: &Session, memory: &Memory, text: Bytes) -> Ask {
    let mut ask = Ask::new(head(session), text);
    let previous = ask.text("previous_response_id").to_owned();
    let before = memory.said_before(&previous);
    ask.via = Via::Socket { id: session.id, continues: before.is_some() };
    if let Some(fields) = ask.json.as_object_mut() {
        let said = said(before.unwrap_or_default(), fields.get("input").unwrap_or(&Value::Null));
        fields.insert("input".into(), said.into());
        fields.insert("stream".into(), true.into());
    }
    ask
}

fn said(before: &[Value], input: &Value) -> Vec<Value> {
    let mut said = before.to_vec();
    match input {
        Value::Array(items) => said.extend(items.iter().cloned()),
        Value::String(text) => said.push(json!({"type": "message", "role": "user", "content": text})),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => {}
    }
    said
}

/// Answers a message.
pub(crate) fn answer(hub: &Hub, session: &Session, memory: &mut Memory, ask: &Ask) -> Answer {
    let mut world = hub.world();
    let refused = |reply| Answer { reply, fault: None, last: false };
    if ask.text("type") != "response.create" {
        let words = format!("Unknown type of message: {:?}.", ask.text("type"));
        return refused(errors::openai(400, "invalid_value", &words));
    }
    let policy = world.script.socket.clone();
    let age = hub.clock.now_ms().saturating_sub(session.opened_ms);
    if age >= policy.max_age_seconds.saturating_mul(1000)
        || policy.max_turns.is_some_and(|turns| memory.turns >= turns)
    {
        let words = "Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.";
        let reply = errors::openai(400, "websocket_connection_limit_reached", words);
        return Answer { reply, fault: None, last: true };
    }
    let api = Api::Responses(session.provider);
    let route = Route::Api(api.clone());
    let checked = Checked::Passed(api, session.caller.clone());
    let (mut reply, fault) = serve::answer(&mut world, ask, &route, checked, hub.here());
    let Content::Events(events) = &mut reply.content else {
        return Answer { reply, fault, last: false };
    };
    let finished: Value =
        events.last().and_then(|event| serde_json::from_str(&event.data).ok()).unwrap_or(Value::Null);
    if let Some(id) = finished.pointer("/response/id").and_then(Value::as_str) {
        let input = ask.json.get("input").unwrap_or(&Value::Null);
        let output = finished.pointer("/response/output").unwrap_or(&Value::Null);
        memory.remember(id.to_owned(), said(&said(&[], input), output));
    }
    memory.turns += u64::from(!ask.is_prewarm());
    let told: Option<&Account> = world
        .accounts
        .get(session.caller.place)
        .filter(|_| policy.rate_limits && session.caller.meter == Meter::Codex);
    if let Some(account) = told {
        events.insert(0, frames::rate_limits(account, hub.clock.now()));
    }
    Answer { reply, fault, last: false }
}
