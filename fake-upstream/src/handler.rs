//! One request from its head to its reply: recorded, checked, answered, shaped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::ask::{Ask, Head};
use crate::auth::Caller;
use crate::body::{BrokenOff, PlayBody};
use crate::event::Carrier;
use crate::fault::{Ending, Fault};
use crate::handshake::{Opening, Session};
use crate::hub::Hub;
use crate::recorder::{Entry, Outcome, Recorded, Slot, Traffic};
use crate::reply::Reply;
use crate::routes::{Api, Door, Provider, Route};
use crate::serve::{self, Checked};
use crate::shape::{self, Cut, Play, WireFault};
use crate::wire::{Link, Spoilt, Takeover};
use crate::{auth, control, errors, messages, parameters, upload};

/// Headers that say which conversation a request belongs to.
const AFFINITY_HEADERS: [&str; 12] = [
    "conversation_id",
    "session-id",
    "session_id",
    "thread-id",
    "x-claude-code-agent-id",
    "x-claude-code-session-id",
    "x-client-request-id",
    "x-codex-installation-id",
    "x-codex-turn-state",
    "x-rota-session",
    "x-session-affinity",
    "x-session-id",
];
/// The same in bodies: the name shown and where it is.
const AFFINITY_FIELDS: [(&str, &str); 7] = [
    ("client_metadata.installation_id", "/client_metadata/x-codex-installation-id"),
    ("client_metadata.session_id", "/client_metadata/session_id"),
    ("client_metadata.thread_id", "/client_metadata/thread_id"),
    ("metadata.user_id", "/metadata/user_id"),
    ("previous_response_id", "/previous_response_id"),
    ("prompt_cache_key", "/prompt_cache_key"),
    ("thread.previous_message_id", "/thread/previous_message_id"),
];

/// Answers one request. `link` is there when the connection can be taken over.
pub(crate) async fn answer(
    hub: Arc<Hub>,
    request: Request<Incoming>,
    link: Option<Arc<Link>>,
) -> Result<Response<PlayBody>, BrokenOff> {
    let (parts, body) = request.into_parts();
    let head = Head::new(parts.method, &parts.uri, parts.headers);
    if head.path.starts_with(control::PREFIX) {
        return Ok(control::answer(&hub, head, body).await);
    }
    let is_head = head.method == Method::HEAD;
    let entry = open_entry(&hub, &head);
    let Decided { reply, fault, session } = match decide(&hub, head, body, &entry).await {
        Ok(decided) => decided,
        Err(upload::Left) => return Err(BrokenOff::midway()),
    };
    let mut play = shape::play(reply, fault.as_ref(), &hub.gates, Carrier::Stream).await;
    if is_head || play.status == StatusCode::NOT_MODIFIED || play.status == StatusCode::NO_CONTENT {
        play.steps.clear();
        play.length = None;
    }
    entry.update(|recorded| {
        recorded.status = Some(play.status.as_u16());
        recorded.faulted = fault.is_some();
    });
    match (session, link) {
        (Some(session), Some(link)) if play.status == StatusCode::SWITCHING_PROTOCOLS => {
            open_socket(play, entry, session, &link).await
        }
        (_, link) => deliver(play, entry, link).await,
    }
}

/// What a request is answered, and who goes on when it opens a WebSocket.
struct Decided {
    reply: Reply,
    fault: Option<Fault>,
    session: Option<Session>,
}

impl Decided {
    fn plain(reply: Reply, fault: Option<Fault>) -> Self {
        Self { reply, fault, session: None }
    }
}

/// Reads as much of the request as its answer needs, and finds the answer.
async fn decide(hub: &Arc<Hub>, head: Head, body: Incoming, entry: &Entry) -> Result<Decided, upload::Left> {
    let route = if head.headers.contains_key(UPGRADE) {
        Route::of_handshake(&head.method, &head.path)
    } else {
        Route::of(&head.method, &head.path, head.headers.contains_key("anthropic-version"))
    };
    let (checked, early, cap) = {
        let mut world = hub.world();
        let checked = Checked::of(&mut world, &head, &route, hub.clock.now_ms());
        let early = serve::early(&mut world, &head, &checked, hub.clock.now());
        (checked, early, world.script.kept_body_bytes)
    };
    if let Some((reply, fault)) = early {
        let observer = entry.observer();
        tokio::spawn(async move {
            // How far the upload came is in the record; its end does not matter.
            let _ended = upload::drain(body, &observer, 0).await;
        });
        return Ok(Decided::plain(reply, Some(fault)));
    }
    let ask = match upload::receive(head, body, entry, route.provider(), cap).await? {
        Ok(ask) => ask,
        Err(refused) => return Ok(Decided::plain(refused, None)),
    };
    note_body(hub, entry, &ask, &route);
    if route.provider() == Some(Provider::Anthropic)
        && (ask.oversize || ask.body.len() as u64 > messages::MAX_BODY)
    {
        return Ok(Decided::plain(errors::anthropic(413, "Request exceeds the maximum size"), None));
    }
    let caller = match &checked {
        Checked::Passed(Api::Socket(provider), caller) => Some((*provider, caller.clone())),
        Checked::Open(_) | Checked::Passed(..) | Checked::Refused(_) => None,
    };
    let (reply, fault) = serve::answer(&mut hub.world(), &ask, &route, checked, hub.here());
    let session = caller.map(|(provider, caller): (Provider, Caller)| Session {
        provider,
        caller,
        head: ask.head,
        id: entry.seq(),
        opened_ms: hub.clock.now_ms(),
    });
    Ok(Decided { reply, fault, session })
}

/// Takes the connection from the HTTP library and goes on as a WebSocket.
async fn open_socket(
    mut play: Play,
    entry: Entry,
    session: Session,
    link: &Link,
) -> Result<Response<PlayBody>, BrokenOff> {
    if let Some(gate) = play.head_gate.take() {
        gate.pass().await;
    }
    entry.update(|recorded| recorded.socket = Some(Traffic::default()));
    // A step of an answer without a body is a fault: to wait, or to be silent.
    let silent = !play.steps.is_empty();
    let spoilt = play.wire.take();
    let spoilt =
        spoilt.or_else(|| silent.then_some(WireFault { cut: None, ending: Ending::Hang, raw: None }));
    link.give(match spoilt {
        Some(fault) => Takeover::Reply(Box::new(Spoilt { play, fault, entry })),
        None => Takeover::Socket(Box::new(Opening { play, entry, session })),
    });
    // The connection drops this future when it takes itself away.
    std::future::pending().await
}

/// Hands the reply to the HTTP library, or takes the connection from it.
async fn deliver(
    mut play: Play,
    mut entry: Entry,
    link: Option<Arc<Link>>,
) -> Result<Response<PlayBody>, BrokenOff> {
    if let Some(gate) = play.head_gate.take() {
        gate.pass().await;
    }
    let mut broken_after = None;
    match (play.wire.take(), link) {
        (None, _) => {}
        (Some(fault), Some(link)) => {
            link.give(Takeover::Reply(Box::new(Spoilt { play, fault, entry })));
            // The connection drops this future when it takes itself away.
            return std::future::pending().await;
        }
        (Some(fault), None) => match fault.cut {
            // Where bytes of a reply cannot be counted, a cut before the body
            // means no reply, and one within it ends the stream with an error.
            Some(Cut::Reply(_)) => {
                entry.end(Outcome::Broken);
                return Err(if play.refuses { BrokenOff::refused() } else { BrokenOff::midway() });
            }
            Some(Cut::Body(bytes)) => broken_after = Some(bytes),
            None => {}
        },
    }
    let body = PlayBody::new(play.steps, play.pace, Some(entry));
    let mut response = Response::new(match broken_after {
        Some(bytes) => body.broken_after(bytes),
        None => body,
    });
    *response.status_mut() = play.status;
    *response.headers_mut() = play.headers;
    if let Some(length) = play.length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

pub(crate) fn open_entry(hub: &Hub, head: &Head) -> Entry {
    let target =
        if head.query.is_empty() { head.path.clone() } else { format!("{}?{}", head.path, head.query) };
    let mut raw = format!("{} {target}\r\n", head.method).into_bytes();
    for (name, value) in &head.headers {
        raw.extend_from_slice(name.as_str().as_bytes());
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(value.as_bytes());
        raw.extend_from_slice(b"\r\n");
    }
    let mut world = hub.world();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), world.masked(&String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let affinity = AFFINITY_HEADERS
        .iter()
        .filter(|name| head.headers.contains_key(**name))
        .map(|name| ((*name).to_owned(), head.header(name).to_owned()))
        .collect::<BTreeMap<_, _>>();
    let identity = auth::identify(&world, head);
    world.watch.look(&raw, identity.as_ref().map_or("-", |(id, _)| id));
    let recorded = Recorded {
        seq: 0,
        at_ms: hub.clock.now_ms(),
        method: head.method.to_string(),
        path: world.masked(&target),
        slot: identity.as_ref().map(|(_, slot)| *slot),
        account: identity.map(|(id, _)| id),
        model: String::new(),
        headers,
        body_len: 0,
        body_sha256: None,
        affinity,
        parameters: BTreeMap::new(),
        status: None,
        sent: 0,
        faulted: false,
        outcome: Outcome::Open,
        socket: None,
        on_socket: None,
    };
    drop(world);
    hub.recorder.open(recorded, Bytes::from(raw))
}

pub(crate) fn note_body(hub: &Hub, entry: &Entry, ask: &Ask, route: &Route) {
    let model = serve::model(ask, route);
    let owner = {
        let mut world = hub.world();
        let sender = auth::identify(&world, &ask.head).map_or_else(|| "-".to_owned(), |(id, _)| id);
        world.watch.look(&ask.body, &sender);
        serve::owner_of_token_request(&world, ask, route)
    };
    let parameters = match route {
        Route::Door(Door::Token(_) | Door::DeviceAuthorization) => parameters::shown(ask),
        Route::Api(_) | Route::Door(_) => BTreeMap::new(),
    };
    let found: Vec<(String, String)> = AFFINITY_FIELDS
        .iter()
        .filter_map(|(name, place)| {
            let value = ask.json.pointer(place).and_then(Value::as_str)?;
            Some(((*name).to_owned(), value.to_owned()))
        })
        .collect();
    entry.update(|recorded| {
        recorded.model = model;
        recorded.parameters = parameters;
        recorded.affinity.extend(found);
        if let Some(owner) = owner {
            recorded.account = Some(owner);
            recorded.slot = Some(Slot::Body);
        }
    });
}

/// A small JSON answer that is not recorded.
pub(crate) fn unrecorded(status: u16, body: &Value) -> Response<PlayBody> {
    let mut response = Response::new(PlayBody::new(
        [crate::shape::Step::Bytes(Bytes::from(json!(body).to_string()))].into(),
        crate::shape::Pace::Whole,
        None,
    ));
    *response.status_mut() = crate::reply::code(status);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
