//! Turns a reply and a fault into what is played to the client, step by step.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use crate::catalogue;
use crate::coding::Coding;
use crate::errors;
use crate::event::{Carrier, Comments, DataLines, Event, Framing, LineEnd};
use crate::fault::{Action, Ending, Fault, Payload};
use crate::frames;
use crate::gate::{Gate, Gates};
use crate::reply::{Content, MAX_HEADERS, Reply};

/// Largest event and largest head that a fault makes.
const MAX_PADDING: usize = 64 * 1024 * 1024;

/// A reply on its way, with everything that is to happen to it.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) steps: VecDeque<Step>,
    /// Length of the body when it is known and is to be announced.
    pub(crate) length: Option<u64>,
    pub(crate) head_gate: Option<Gate>,
    pub(crate) pace: Pace,
    /// What only a connection taken away from the HTTP library can do.
    pub(crate) wire: Option<WireFault>,
    /// Over HTTP/2, says that the request was not looked at.
    pub(crate) refuses: bool,
}

/// One step of a body.
#[derive(Debug)]
pub(crate) enum Step {
    Bytes(Bytes),
    Endless,
    Flood(u64),
    Gate(Gate),
    Hold,
}

/// How many bytes go at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    ByteByByte,
    Whole,
}

/// Where and how a connection is broken.
#[derive(Clone, Debug)]
pub(crate) struct WireFault {
    pub(crate) cut: Option<Cut>,
    pub(crate) ending: Ending,
    /// Written instead of the reply.
    pub(crate) raw: Option<Bytes>,
}

/// After which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Body(u64),
    Reply(u64),
}

/// The reply that a fault puts in the place of the real one, if it does.
pub(crate) fn replacement(fault: &Fault, model: &str, now: i64) -> Option<Reply> {
    fault.actions.iter().find_map(|action| match action {
        Action::Reply { status, body } | Action::Early { status, body } => Some(plain(*status, body)),
        Action::Named(name) => Some(catalogue::reply(name, model, now).unwrap_or_else(|| {
            let words = format!("the fake upstream has no catalogue entry named {name:?}");
            errors::openai(500, "fake_upstream_unknown_entry", &words)
        })),
        Action::Raw(_) => Some(Reply::bytes(200, "application/octet-stream", "")),
        Action::Flood(bytes) => Some(Reply {
            content: Content::Flood(*bytes),
            ..Reply::bytes(200, "application/octet-stream", "")
        }),
        Action::Endless => {
            Some(Reply { content: Content::Endless, ..Reply::bytes(200, "text/event-stream", "") })
        }
        Action::CloseFrame { .. }
        | Action::Comments
        | Action::Cr
        | Action::CrLf
        | Action::Cut { .. }
        | Action::CutAfter { .. }
        | Action::CutBody { .. }
        | Action::Drip
        | Action::Encode(_)
        | Action::Finish(_)
        | Action::Fragment(_)
        | Action::GiantEvent(_)
        | Action::GiantHead(_)
        | Action::Header(..)
        | Action::Hold
        | Action::InBand { .. }
        | Action::ManyDataLines
        | Action::ManyHeaders(_)
        | Action::Ping
        | Action::RefuseStream
        | Action::StallAfter { .. }
        | Action::StallHead(_)
        | Action::StopAfter(_)
        | Action::Trailing(_)
        | Action::WithoutHeader(_) => None,
    })
}

/// Lays the reply out in steps, changed as the fault says.
pub(crate) async fn play(reply: Reply, fault: Option<&Fault>, gates: &Gates, carrier: Carrier) -> Play {
    let actions = fault.map(|fault| fault.actions.as_slice()).unwrap_or_default();
    let mut draft = Draft::new(reply, carrier);
    for action in actions {
        draft.apply(action, gates);
    }
    draft.finish().await
}

fn plain(status: u16, body: &Payload) -> Reply {
    let bytes = body.0.clone();
    if serde_json::from_slice::<serde_json::Value>(&bytes).is_ok() {
        return Reply::bytes(status, "application/json", bytes);
    }
    let html = bytes.trim_ascii_start().starts_with(b"<");
    Reply::bytes(status, if html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" }, bytes)
}

struct Draft {
    reply: Reply,
    framing: Framing,
    coding: Option<Coding>,
    leading: Vec<Bytes>,
    trailing: Vec<Bytes>,
    /// Events and bytes after which the connection ends, and how.
    cut_after: Option<(usize, u64, Ending)>,
    /// Gates by the number of pieces sent before them.
    gates: Vec<(usize, Gate)>,
    head_gate: Option<Gate>,
    holds: bool,
    refuses: bool,
    pace: Pace,
    wire: Option<WireFault>,
}

impl Draft {
    fn new(reply: Reply, carrier: Carrier) -> Self {
        Self {
            reply,
            framing: Framing { carrier, ..Framing::default() },
            coding: None,
            leading: Vec::new(),
            trailing: Vec::new(),
            cut_after: None,
            gates: Vec::new(),
            head_gate: None,
            holds: false,
            refuses: false,
            pace: Pace::Whole,
            wire: None,
        }
    }

    fn apply(&mut self, action: &Action, gates: &Gates) {
        match action {
            Action::CloseFrame { code, reason } if self.is_socket() => {
                self.trailing.push(frames::close(*code, reason));
                self.break_off(None, Ending::Close);
            }
            Action::Comments => self.framing.comments = Comments::BeforeEach,
            Action::Cr => self.framing.ends = LineEnd::Cr,
            Action::CrLf => self.framing.ends = LineEnd::CrLf,
            Action::Cut { at, ending } => self.break_off(Some(Cut::Reply(*at)), *ending),
            Action::CutBody { at, ending } => self.break_off(Some(Cut::Body(*at)), *ending),
            Action::CutAfter { events, bytes, ending } => self.cut_after = Some((*events, *bytes, *ending)),
            Action::Drip => self.pace = Pace::ByteByByte,
            Action::CloseFrame { .. }
            | Action::Early { .. }
            | Action::Endless
            | Action::Flood(_)
            | Action::Named(_)
            | Action::Reply { .. } => {}
            Action::Encode(coding) => self.coding = Some(*coding),
            Action::Finish(ending) => self.break_off(None, *ending),
            Action::Fragment(bytes) => self.framing.fragment = Some(*bytes),
            Action::GiantEvent(size) => {
                let padding = "x".repeat((*size).min(MAX_PADDING));
                let event = Event::typed(&serde_json::json!({"type": "fake.padding", "padding": padding}));
                self.events(|events| events.insert(0, event));
            }
            Action::GiantHead(size) => {
                self.reply.add("x-fake-padding", &"x".repeat((*size).min(MAX_PADDING)))
            }
            Action::Header(name, value) => self.reply.add(name, value),
            Action::Hold => self.holds = true,
            Action::InBand { event, after } => {
                let event = Event::typed(event);
                self.events(|events| {
                    events.truncate(*after);
                    events.push(event);
                });
            }
            Action::ManyDataLines => self.framing.data = DataLines::Many,
            Action::ManyHeaders(count) => {
                for place in 0..(*count).min(MAX_HEADERS) {
                    self.reply.add(&format!("x-fake-{place}"), "x");
                }
            }
            Action::Ping if self.is_socket() => self.leading.push(frames::ping()),
            Action::Ping => {}
            Action::Raw(payload) => {
                self.break_off(None, Ending::Close);
                if let Some(wire) = &mut self.wire {
                    wire.raw = Some(payload.0.clone());
                }
            }
            Action::RefuseStream => {
                self.break_off(Some(Cut::Reply(0)), Ending::Reset);
                self.refuses = true;
            }
            Action::StallAfter { events, gate } => self.gates.push((*events, gates.named(gate))),
            Action::StallHead(gate) => self.head_gate = Some(gates.named(gate)),
            Action::StopAfter(events) => self.events(|all| all.truncate(*events)),
            Action::Trailing(payload) => self.trailing.push(payload.0.clone()),
            Action::WithoutHeader(name) => {
                if let Ok(name) = HeaderName::try_from(name.as_str()) {
                    self.reply.headers.remove(name);
                }
            }
        }
    }

    fn is_socket(&self) -> bool {
        self.framing.carrier == Carrier::Socket
    }

    fn break_off(&mut self, cut: Option<Cut>, ending: Ending) {
        let raw = self.wire.take().and_then(|wire| wire.raw);
        self.wire = Some(WireFault { cut, ending, raw });
    }

    /// Changes the events of the reply; a reply that has none becomes an event
    /// stream.
    fn events(&mut self, change: impl FnOnce(&mut Vec<Event>)) {
        if let Content::Events(events) = &mut self.reply.content {
            return change(events);
        }
        let mut events = Vec::new();
        change(&mut events);
        self.reply = Reply::events(events);
    }

    async fn finish(mut self) -> Play {
        let whole = matches!(self.reply.content, Content::Whole(_));
        let mut pieces = self.pieces();
        if let Some(coding) = self.coding.filter(|_| !self.is_socket()) {
            self.encode(coding, &mut pieces).await;
        }
        if let Some((events, bytes, ending)) = self.cut_after {
            let before: usize = pieces.iter().take(events).map(Bytes::len).sum();
            self.break_off(Some(Cut::Body(before as u64 + bytes)), ending);
        }
        pieces.append(&mut self.trailing);
        let announced = self.reply.headers.contains_key(CONTENT_LENGTH)
            || self.reply.headers.contains_key(TRANSFER_ENCODING);
        if announced && self.wire.is_none() {
            // The HTTP library refuses a length that is not true; the wire does not.
            self.break_off(None, Ending::Close);
        }
        let flood = match self.reply.content {
            Content::Flood(bytes) => Some(bytes),
            Content::Endless | Content::Events(_) | Content::Whole(_) => None,
        };
        let known = whole.then(|| pieces.iter().map(|piece| piece.len() as u64).sum());
        let length = if self.holds || announced { None } else { flood.or(known) };
        Play {
            status: self.reply.status,
            length,
            steps: self.steps(pieces),
            headers: *self.reply.headers,
            head_gate: self.head_gate,
            pace: self.pace,
            wire: self.wire,
            refuses: self.refuses,
        }
    }

    fn pieces(&mut self) -> Vec<Bytes> {
        let socket = self.is_socket();
        let mut pieces: Vec<Bytes> = match &self.reply.content {
            Content::Endless | Content::Flood(_) => Vec::new(),
            Content::Events(events) => events.iter().map(|event| event.frame(self.framing)).collect(),
            Content::Whole(bytes) if socket => vec![frames::message(&self.reply, bytes).frame(self.framing)],
            Content::Whole(bytes) => vec![bytes.clone()],
        };
        if !self.leading.is_empty() {
            // Beside the first piece, so that gates and cuts count events only.
            self.leading.extend(pieces.first().cloned());
            pieces.splice(..pieces.len().min(1), [Bytes::from(self.leading.concat())]);
        }
        pieces
    }

    async fn encode(&mut self, coding: Coding, pieces: &mut Vec<Bytes>) {
        let coded: io::Result<Vec<Bytes>> = coding.encode(pieces).await;
        // An encoder that writes into memory has no reason to fail; if it does,
        // the body goes out as it was and says so by having no coding.
        if let Ok(coded) = coded {
            *pieces = coded;
            self.reply.set(CONTENT_ENCODING.as_str(), coding.name());
        }
    }

    fn steps(&mut self, pieces: Vec<Bytes>) -> VecDeque<Step> {
        let mut steps = VecDeque::new();
        let count = pieces.len();
        for (place, piece) in pieces.into_iter().enumerate() {
            steps.extend(self.gates_at(|at| at == place));
            if !piece.is_empty() {
                steps.push_back(Step::Bytes(piece));
            }
        }
        steps.extend(self.gates_at(|at| at >= count));
        match self.reply.content {
            Content::Endless => steps.push_back(Step::Endless),
            Content::Flood(bytes) => steps.push_back(Step::Flood(bytes)),
            Content::Events(_) | Content::Whole(_) => {}
        }
        if self.holds {
            steps.push_back(Step::Hold);
        }
        steps
    }

    fn gates_at(&self, here: impl Fn(usize) -> bool) -> Vec<Step> {
        self.gates.iter().filter(|(at, _)| here(*at)).map(|(_, gate)| Step::Gate(gate.clone())).collect()
    }
}
